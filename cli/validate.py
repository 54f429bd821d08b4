"""`headwater validate`: predictions against measured rows, by chip and engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.measured import TRUSTED, QualityOption, read_measured, share
from cli.output import Output, OutputOption, draw, say, show

TITLE = "Predicted against measured. Pace is time per token, or throughput of rows that have only that"
COLUMNS = ("", "rows", "pace off by: mean", "median", "bias", "in band", "first token: rows", "off by: mean", "median")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater validate; headwater validate rows.csv --why; "
        "headwater validate --held-out -o json; headwater validate rows.csv --quality all. "
        "A file needs the columns id, device, model and engine; its others are those of manifests/measured/serving.csv."
    )
    def validate(
        file: Annotated[
            Path | None,
            typer.Argument(
                help="CSV file of measured rows; the published ones that ship, without it.", show_default=False
            ),
        ] = None,
        quality: QualityOption = TRUSTED,
        held_out: Annotated[
            bool, typer.Option("--held-out", help="Fit anew for each model, without its rows, and predict those.")
        ] = False,
        why: Annotated[bool, typer.Option("--why", help="Name every row that is skipped.")] = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Predict every measured row and say how far off, by chip and engine; rows that mean nothing say why."""
        from orchestrator import wiring
        from orchestrator.core.validation.comparison import held_out as without
        from orchestrator.core.validation.comparison import predicted, validation_view
        from orchestrator.settings import read_settings

        found = read_measured([file] if file else [], quality, wiring.catalog(read_settings()))
        if held_out:
            say(f"fitting {len({case.group for case in found.cases})} times, each time without the rows of one model")
        scored = without(found.cases) if held_out else predicted(found.cases)
        value = {"heldOut": held_out, "leftOut": found.left_out, **validation_view(scored, found.skipped)}
        show(value, output, lambda: print_validation(value, why=why))


def print_validation(value: dict[str, Any], *, why: bool) -> None:
    """Draw the scores for a person."""
    named = [(f"{one['chip']}, {one['engine']}", one) for one in value["scores"]]
    named += [(f"= {one['of']}", one) for one in value["totals"]]
    if named:
        draw(TITLE, COLUMNS, [(name, *_cells(one)) for name, one in named])
    how = "each model predicted by factors fitted without its rows" if value["heldOut"] else "by the catalog's factors"
    typer.echo(f"{value['mapped']} of {value['rows']} rows mapped ({share(value['mappedShare'])}), {how}.")
    if value["leftOut"]:
        typer.echo(f"  left out {value['leftOut']}: of other quality; --quality all takes them too")
    for one in value["reasons"]:
        typer.echo(f"  skipped {one['rows']}: {one['reason']}")
    if why and value["skipped"]:
        cells = [(one["row"], one["quality"], one["detail"], one["reason"]) for one in value["skipped"]]
        draw("Skipped rows", ("row", "quality", "what it says", "why"), cells)


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    pace, first = one["pace"], one["ttft"]
    cells = [str(one["rows"])]
    cells += (
        [share(pace["mape"]), share(pace["median"]), f"{pace['bias']:+.0%}", f"{pace['coverage']:.0%}"]
        if pace
        else [""] * 4
    )
    cells += [str(first["rows"]), share(first["mape"]), share(first["median"])] if first else [""] * 3
    return tuple(cells)
