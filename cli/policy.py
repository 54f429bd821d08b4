"""`headwater policy check`: what the policy of each service says to its models and to the sites, rule by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cli.options import FilesArgument
from cli.output import Output, OutputOption, draw, show
from runtimes.errors import Invalid

if TYPE_CHECKING:
    from orchestrator.core.policy import Verdict
    from orchestrator.offline import Desk

COLUMNS = ("rule", "site", "allowed", "needs", "has")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(
        help="Licences, duties, territories and residency.",
        no_args_is_help=True,
        epilog="Example: headwater policy check service.yaml sites.yaml",
    )
    app.add_typer(commands, name="policy")

    @commands.callback()
    def policy() -> None:
        """Licences, duties, territories and residency."""

    @commands.command(
        epilog="Examples: headwater policy check service.yaml sites.yaml; "
        "headwater policy check service.yaml --output json"
    )
    def check(files: FilesArgument, output: OutputOption = Output.TABLE) -> None:
        """Say of every service whether its policy allows its models and sites, and why; exit code 1 when it does not.

        Weights are not read: a model given by source and licence is judged by the licence that is stated.
        """
        from orchestrator.offline import open_desk
        from orchestrator.settings import read_settings

        desk = open_desk(files, read_settings(), weights=False)
        if not desk.services:
            raise Invalid(f"no ModelService in {', '.join(map(str, files))}; give the file that has it as well")
        value = policy_view(desk)
        show(value, output, lambda: _print(value))
        if not value["allowed"]:
            raise typer.Exit(1)


def policy_view(desk: Desk) -> dict[str, Any]:
    """Every verdict as plain values, and the conclusion."""
    from orchestrator.core.policy import check, refusals

    services: list[dict[str, Any]] = []
    refused: list[str] = []
    for service in sorted(desk.services, key=lambda one: one.metadata.name):
        name, verdicts = service.metadata.name, check(service, desk.catalog, desk.sites)
        no = refusals(verdicts)
        refused += [f"{name}/{tier} ({_rules(no, tier)})" for tier in dict.fromkeys(each.tier for each in no)]
        services.append({"service": name, "allowed": not no, "verdicts": [_view(verdict) for verdict in verdicts]})
    return {"allowed": not refused, "conclusion": _conclusion(refused, desk), "services": services}


def _rules(refused: tuple[Verdict, ...], tier: str) -> str:
    return ", ".join(dict.fromkeys(no.rule.value for no in refused if no.tier == tier))


def _view(verdict: Verdict) -> dict[str, Any]:
    return {
        "tier": verdict.tier,
        "model": verdict.model,
        "site": verdict.site or None,
        "rule": verdict.rule.value,
        "allowed": verdict.allowed,
        "need": verdict.need,
        "have": verdict.have,
        "hint": verdict.hint,
    }


def _conclusion(refused: list[str], desk: Desk) -> str:
    unseen = "" if desk.sites else "; no site was given, so regions were not looked at"
    if refused:
        return f"refused: {'; '.join(refused)}{unseen}"
    return f"allowed: {', '.join(sorted(service.metadata.name for service in desk.services))}{unseen}"


def _print(value: dict[str, Any]) -> None:
    """One table a tier, what to write below it, and the conclusion."""
    for service in value["services"]:
        for tier, model in dict.fromkeys((each["tier"], each["model"]) for each in service["verdicts"]):
            verdicts = [each for each in service["verdicts"] if each["tier"] == tier]
            draw(f"{service['service']}/{tier}: {model}", COLUMNS, [_row(each) for each in verdicts])
            hints = [f"  {each['rule']}: {each['hint']}" for each in verdicts if each["hint"]]
            if hints:
                typer.echo("\n".join([*dict.fromkeys(hints), ""]))
    typer.echo(f"{value['conclusion'][0].upper()}{value['conclusion'][1:]}.")


def _row(verdict: dict[str, Any]) -> tuple[str, ...]:
    said = "yes" if verdict["allowed"] else "no"
    return verdict["rule"], verdict["site"] or "", said, verdict["need"], verdict["have"]
