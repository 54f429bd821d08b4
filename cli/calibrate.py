"""`headwater calibrate`: efficiency factors from measured rows, as documents of your catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.files import write_whole
from cli.measured import TRUSTED, QualityOption, read_measured, share
from cli.options import DryRunOption
from cli.output import Output, OutputOption, count, draw, say, show
from runtimes.errors import Refused

if TYPE_CHECKING:
    from orchestrator.api.calibration import Calibration

FOLDER = "calibrations"  # below the user's catalog
SHOWN = 8  # groups that are named when all have too few rows


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater calibrate rows.csv --dry-run; headwater calibrate rows.csv more.csv; "
        "headwater verify chat --to rows.csv && headwater calibrate rows.csv --quality all; "
        "headwater calibrate rows.csv --to ./calibrations -o json"
    )
    def calibrate(
        files: Annotated[
            list[Path], typer.Argument(help="CSV files of measured rows, as `validate` reads them.", show_default=False)
        ],
        to: Annotated[
            Path | None,
            typer.Option(
                help="Folder for the documents; catalog/calibrations in $HEADWATER_HOME without it.",
                file_okay=False,
                show_default=False,
            ),
        ] = None,
        quality: QualityOption = TRUSTED,
        dry_run: DryRunOption = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Fit factors to measured rows, a document for each engine and chip and for models there; later plans use them.

        Factors stay near those of the catalog where rows say little. Each document says how far off predictions are,
        also for models whose rows it did not see.
        """
        from orchestrator import wiring
        from orchestrator.api.kinds import as_json
        from orchestrator.core.validation.calibrating import LEAST_ROWS, calibrated, calibration_view
        from orchestrator.settings import read_settings

        settings = read_settings()
        catalog = wiring.catalog(settings)
        found = read_measured(files, quality, catalog)
        say(f"fitting to {count(len(found.cases), 'row')}")
        result = calibrated(found.cases, tuple(catalog.calibrations.values()), found.sources)
        if not result.documents:
            have = "; ".join(
                f"{engine} on {chip} has {count(rows, 'row')}" for (engine, chip), rows in result.too_few[:SHOWN]
            )
            need = f"no engine on a chip has the {LEAST_ROWS} mapped rows that a fit needs"
            raise Refused(f"{need}: {have or 'none of the rows is mapped'}; `headwater validate --why` says more")
        folder = to or settings.home / "catalog" / FOLDER
        value = {
            **calibration_view(result, found.skipped),
            "folder": None if dry_run else str(folder),
            "documents": [as_json(document) for document in result.documents],
        }
        if not dry_run:
            _write(folder, result.documents)
        show(value, output, lambda: print_calibration(value))


def print_calibration(value: dict[str, Any]) -> None:
    """Draw errors before and after for a person."""
    columns = ("engine, chip", "rows", "models", "pace off by: before", "after", "after, model not seen", "in band")
    cells = [
        (
            f"{one['engine']}, {one['chip']}",
            str(one["rows"]),
            str(len(one["models"])),
            _off(one["before"]),
            _off(one["after"]),
            _off(one["heldOut"]) if len(one["models"]) > 1 else "one model alone",
            share(one["heldOut"]["coverage"]) if one["heldOut"] else "",
        )
        for one in value["groups"]
    ]
    draw("Factors fitted", columns, cells)
    for one in value["groups"]:
        if one["before"] and one["after"] and one["after"]["mape"] > one["before"]["mape"]:
            off = f"{share(one['before']['mape'])} before, {share(one['after']['mape'])} after"
            typer.echo(f"  worse in the mean of these rows: {one['engine']} on {one['chip']}, {off}")
    for one in value["tooFew"]:
        need = value["leastRows"] - one["rows"]
        have = f"{one['engine']} on {one['chip']} has {count(one['rows'], 'row')}"
        typer.echo(f"  not fitted: {have}; {need} more {'is' if need == 1 else 'are'} needed")
    for one in value["reasons"]:
        typer.echo(f"  skipped {one['rows']}: {one['reason']}")
    where = f"written to {value['folder']}" if value["folder"] else "nothing was written"
    typer.echo(f"{count(len(value['documents']), 'document')}, {where}")


def _off(score: dict[str, float] | None) -> str:
    return f"{share(score['mape'])} (median {share(score['median'])})" if score else ""


def _write(folder: Path, documents: tuple[Calibration, ...]) -> None:
    import yaml

    from orchestrator.api.kinds import as_json

    folder.mkdir(parents=True, exist_ok=True)
    for document in documents:
        write_whole(folder / f"{document.metadata.name}.yaml", yaml.safe_dump(as_json(document), sort_keys=False))
