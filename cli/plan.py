"""`headwater plan`: where everything would go, and why not elsewhere; works without a controller."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.options import FilesArgument
from cli.output import Output, OutputOption, bytes_for_people, draw, show, time_for_people
from runtimes.errors import Invalid


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Examples: headwater plan service.yaml sites.yaml; headwater plan service.yaml --output json")
    def plan(
        files: FilesArgument,
        output: OutputOption = Output.TABLE,
        why: Annotated[
            bool, typer.Option("--why", help="Show every rejected way with its numbers, not only the nearest.")
        ] = False,
    ) -> None:
        """Plan services over sites: place, memory, predicted speed, cost, and the reason of every rejection."""
        from orchestrator.core.explain import placement_view
        from orchestrator.offline import open_desk
        from orchestrator.settings import read_settings

        desk = open_desk(files, read_settings())
        for kind, given in (("ModelService", desk.services), ("Site", desk.sites)):
            if not given:
                raise Invalid(f"no {kind} in {', '.join(map(str, files))}; give the file that has it as well")
        value = placement_view(desk.plan())
        show(value, output, lambda: print_plan(value, all_rejections=why))
        if not all(tier["placed"] for tier in value["tiers"]):
            raise typer.Exit(1)


NEAREST, ALTERNATIVES = 6, 2  # shown for each tier unless all are asked for


def print_plan(plan: dict[str, Any], *, all_rejections: bool = False) -> None:
    """Draw a plan for a person."""
    placed = [tier for tier in plan["tiers"] if tier["placed"]]
    if placed:
        draw(
            "Plan", ("service", "tier", "model", "where", "how", "replicas", "cost"), [_where(tier) for tier in placed]
        )
        columns = (
            "service",
            "tier",
            "memory needed / usable",
            "first token",
            "per token, N at once",
            "requests/s",
            "demand/s",
        )
        draw("Per replica: memory and prediction (p10 - p90)", columns, [_numbers(tier) for tier in placed])
    for tier in plan["tiers"]:
        _why(tier, all_rejections=all_rejections)
    if not placed:
        typer.echo("Nothing placed.")
        return
    if not plan["costPerHour"]:
        typer.echo("No pool that is used has a price; give pools one, such as `price: 11.2/h`, to plan by cost.")
    gap = f"gap {plan['gap']:.1%}"
    typer.echo(f"Cost {plan['costPerHour']:g}/h; proven lower bound {plan['lowerBoundPerHour']:g}/h; {gap}.")


def _where(tier: dict[str, Any]) -> tuple[str, ...]:
    where = f"{tier['site']}, pool {tier['pool']}: {tier['profile']}"
    size = f"{tier['sequences']} x {tier['contextTokens']} tokens"
    how = f"{tier['engine']}, {tier['quantization']}, {tier['parallelism']}, {size}"
    return tier["service"], tier["tier"], tier["model"], where, how, str(tier["replicas"]), f"{tier['costPerHour']:g}/h"


def _numbers(tier: dict[str, Any]) -> tuple[str, ...]:
    memory, predicted = tier["memory"], tier["predicted"]
    needed = f"{bytes_for_people(memory['totalBytes'])} / {bytes_for_people(memory['usableBytes'])}"
    source = " (measured)" if memory["measured"] else ""
    per_chip = " per chip" if tier["chips"] > 1 else ""
    rate = predicted["requestsPerSecond"]
    return (
        tier["service"],
        tier["tier"],
        needed + per_chip + source,
        _band(predicted["ttftSeconds"]),
        f"{_band(predicted['tpotSeconds'])}, {tier['sequences']} at once",
        f"{rate['p50']:.2g} ({rate['p10']:.2g} - {rate['p90']:.2g})",
        f"{tier['demandPerSecond']:g}" + (f", {tier['shortPerSecond']:.2g} short" if tier["shortPerSecond"] else ""),
    )


def _band(band: dict[str, float]) -> str:
    return f"{time_for_people(band['p50'])} ({time_for_people(band['p10'])} - {time_for_people(band['p90'])})"


def _why(tier: dict[str, Any], *, all_rejections: bool) -> None:
    """What the plan rests on, what else would do, and what will not and why."""
    typer.echo(f"{tier['service']}/{tier['tier']}" + ("" if tier["placed"] else " has no place"))
    if tier["placed"]:
        typer.echo(f"  on {tier['site']}/{tier['pool']} because: {tier['why']}")
    if tier["placed"] and (tier["licence"]["duties"] or tier["licence"]["notes"]):
        typer.echo(f"  licence {licence_line(tier['licence'])}")
    if tier["placed"] and tier["unverified"]:
        typer.echo(f"  rests on numbers nobody verified: {', '.join(tier['unverified'])}")
    if tier["placed"] and tier["atRisk"]:
        typer.echo(f"  met by the middle of the prediction only: {', '.join(tier['atRisk'])}")
    if tier["placed"] and tier["checkpoint"]:
        typer.echo("  not started from here: `headwater render` writes its Kubernetes manifests")
    for other in tier.get("alternatives", [])[: None if all_rejections else ALTERNATIVES]:
        speed = time_for_people(other["predicted"]["singleStreamTpotSeconds"]["p50"])
        how = f"{other['site']}/{other['pool']} {other['quantization']} {other['parallelism']}"
        typer.echo(f"  also fits {how}: {other['pricePerHour']:g}/h a replica, {speed} per token alone")
    rejected = tier["rejected"]
    for no in rejected if all_rejections else rejected[:NEAREST]:
        hint = f"; {no['hint']}" if "hint" in no else ""
        typer.echo(f"  not {_subject(no['subject'], tier)} ({no['rule']}): needs {no['need']}, has {no['have']}{hint}")
    if not all_rejections and len(rejected) > NEAREST:
        typer.echo(f"  and {len(rejected) - NEAREST} more that do not fit; show them with --why")


def licence_line(licence: dict[str, Any]) -> str:
    """A licence with what it asks and what the yes rests on, in one line."""
    asked = "; ".join(f"{duty['text']} ({duty['kind']})" for duty in licence["duties"])
    agreed = ", accepted" if licence["accepted"] else ""
    return "; ".join([licence["spdx"] + agreed, *([f"it asks: {asked}"] if asked else []), *licence["notes"]])


def _subject(subject: str, tier: dict[str, Any]) -> str:
    """What was tried, without repeating whose line this is."""
    return subject.removeprefix(f"{tier['service']}/{tier['tier']}").strip() or "anywhere"
