"""`headwater deploy`: build what is missing, then make the node want these services, and wait until they are ready."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import build
from cli.options import DryRunOption, FilesArgument
from cli.output import Output, OutputOption, say, show
from cli.plan import print_plan
from runtimes.errors import Invalid, Refused, Unavailable

if TYPE_CHECKING:
    from cli.control import Control
    from orchestrator.api.kinds import Document
    from orchestrator.offline import Desk

READY_S = 120.0


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Examples: headwater deploy service.yaml sites.yaml; headwater deploy service.yaml --dry-run")
    def deploy(
        files: FilesArgument,
        output: OutputOption = Output.TABLE,
        dry_run: DryRunOption = False,
        wait: Annotated[bool, typer.Option(help="Wait until everything is ready.")] = True,
        timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait.")] = READY_S,
    ) -> None:
        """Deploy services and sites; a second time with the same files changes nothing."""
        from cli.control import Control
        from orchestrator.settings import read_settings

        done = run(files, dry_run=dry_run, wait_s=timeout if wait else 0.0, control=Control(read_settings()))
        show(done, output, lambda: print_plan(done["plan"]) if dry_run else None)


def run(files: list[Path], *, dry_run: bool, wait_s: float, control: Control) -> dict[str, Any]:
    """Deploy; returns what changed and the plan that is in force."""
    kept: tuple[Document, ...] = ()
    away: Unavailable | None = None
    try:
        kept = control.documents()
    except Unavailable as exc:
        away = exc
    desk = read(files, kept)  # a mistake in a file is told before that nothing runs
    if away is not None:
        raise away
    build_missing(desk, dry_run=dry_run)
    answer = _apply(desk, control, dry_run=dry_run)
    changed, done = answer["changed"], {"changed": answer["changed"], "plan": answer["plan"]}
    if dry_run:
        return done
    say(f"changed: {', '.join(changed)}" if changed else "nothing to change")
    if wait_s:
        _wait(control, {service.metadata.name for service in desk.services}, answer["at"], wait_s)
    return done


def read(files: list[Path], kept: tuple[Document, ...] = ()) -> Desk:
    """Read and check all files together, beside what the controller keeps; licences first of all rules."""
    from orchestrator.offline import open_desk
    from orchestrator.settings import read_settings

    desk = open_desk(files, read_settings(), kept)
    desk.check_licences()
    return desk


def build_missing(desk: Desk, *, dry_run: bool) -> bool:
    """Build the artifacts the plan wants on this machine; a build can change the plan, so look again after each.

    Returns whether anything was missing.
    """
    any_missing = False
    while missing := desk.to_build(desk.plan()):
        any_missing = True
        for model, quantization in missing:
            request = desk.build_request(model, quantization)
            if dry_run:
                build.check_reachable(request, desk.settings)
            say(f"{'would build' if dry_run else 'building'} {model} {quantization}")
            if not dry_run:
                build.run(request)
        if dry_run:
            break
    return any_missing


def _apply(desk: Desk, control: Control, *, dry_run: bool) -> dict[str, Any]:
    """Send every document in one request; what the controller finds wrong is told with the file it was written in."""
    try:
        return control.apply(desk.as_text().encode(), dry_run=dry_run)
    except Invalid as exc:
        told = re.sub(r"^request:(\d+)", lambda found: desk.place_of(int(found[1])), str(exc), flags=re.MULTILINE)
        raise Invalid(told.removeprefix(": ")) from exc


def _wait(control: Control, names: set[str], applied_at_s: float, wait_s: float) -> None:
    """Wait for these services, whatever others are doing, and say how each tier is."""

    def settled(status: dict[str, Any]) -> bool:
        seen = not status["error"] and status["seenAt"] > applied_at_s
        return seen and all(tier["state"] in {"done", "blocked"} for _, tier in _tiers(status, names))

    tiers = _tiers(control.wait(settled, wait_s, "not ready"), names)
    blocked = [f"{name}: {tier['why']}" for name, tier in tiers if tier["state"] == "blocked"]
    if blocked:
        raise Refused("; ".join(blocked))
    for name, tier in tiers:
        say(f"{name}: {tier['why']}")


def _tiers(status: dict[str, Any], names: set[str]) -> list[tuple[str, dict[str, Any]]]:
    """The tiers of these services by `service/tier`."""
    wanted = [service for service in status["services"] if service["name"] in names]
    return [(f"{service['name']}/{tier['tier']}", tier) for service in wanted for tier in service["tiers"]]
