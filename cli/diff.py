"""`headwater diff`: what changed from one lock to another, or to what files would give now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import Output, OutputOption, draw, show


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater diff headwater.lock new.lock; headwater diff headwater.lock service.yaml site.yaml"
    )
    def diff(
        old: Annotated[Path, typer.Argument(help="A lock.", exists=True, dir_okay=False, show_default=False)],
        new: Annotated[
            list[Path],
            typer.Argument(
                help="Another lock, or YAML files with services and sites, which are planned now.",
                exists=True,
                dir_okay=False,
                show_default=False,
            ),
        ],
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Compare a lock with another lock, or with a plan of files.

        Exit code 0: nothing differs; 1: something does.
        """
        from cli.locking import read_lock_file
        from orchestrator.core.difference import difference

        value = difference(read_lock_file(old), _newer(new))
        show(value, output, lambda: print_difference(value))
        if not value["same"]:
            raise typer.Exit(1)


def _newer(paths: list[Path]) -> Any:
    """The lock in the one file, or the lock that these files would give."""
    from cli.locking import lock_of_desk, read_lock_file
    from orchestrator.core.explain import placement_view
    from orchestrator.offline import open_desk
    from orchestrator.settings import read_settings

    with paths[0].open("rb") as file:
        is_json = file.read(64).lstrip()[:1] == b"{"
    if len(paths) == 1 and is_json:
        return read_lock_file(paths[0])
    desk = open_desk(paths, read_settings())
    return lock_of_desk(desk, placement_view(desk.plan()))


def print_difference(value: dict[str, Any]) -> None:
    """Draw a difference for a person."""
    if value["same"]:
        typer.echo("Nothing differs.")
        return
    for change in ("Added", "Removed"):
        for name in value[f"services{change}"]:
            typer.echo(f"service {change.lower()}: {name}")
    for one in value["unplaced"]:
        typer.echo(f"no place for {one['service']}/{one['tier']}: {one['why']}")
    rows = [
        *(_tier_row(tier, "removed") for tier in value["tiersRemoved"]),
        *(_tier_row(tier, "added") for tier in value["tiersAdded"]),
        *(row for tier in value["tiersChanged"] for row in _rows(tier)),
        *((one["service"], "share sent to the teacher", one["old"], one["new"]) for one in value["escalations"]),
    ]
    if rows:
        draw("What changed", ("tier", "what", "old", "new"), rows)
    if value["inputs"]:
        inputs = [(one["kind"], one["name"], one["change"]) for one in value["inputs"]]
        draw("Inputs that changed", ("kind", "name", "change"), inputs)
    version = value["headwater"]
    if version["old"] != version["new"]:
        typer.echo(f"headwater {version['old']} -> {version['new']}")
    cost, bound = value["costPerHour"], value["lowerBoundPerHour"]
    typer.echo(f"Cost {_arrow(cost)}; proven lower bound {_arrow(bound)}.")


def _tier_row(tier: dict[str, Any], change: str) -> tuple[str, str, str, str]:
    ways = f"{'; '.join(tier['groups'])} for {tier['costPerHour']:g}/h"
    old, new = (ways, "") if change == "removed" else ("", ways)
    return f"{tier['service']}/{tier['tier']}", f"tier {change}", old, new


def _rows(tier: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    name = f"{tier['service']}/{tier['tier']}"
    return [(name, one["what"], _text(one["old"]), _text(one["new"])) for one in tier["changes"]]


def _text(value: Any) -> str:
    return "" if value is None else f"{value:,.6g}" if isinstance(value, float) else str(value)


def _arrow(pair: dict[str, float]) -> str:
    return f"{pair['old']:g}/h" if pair["old"] == pair["new"] else f"{pair['old']:g}/h -> {pair['new']:g}/h"
