r"""Fits the calibrations that ship with the catalog, from published rows alone.

Rows are those of `benchmarks/silicon.py`, and a table in the columns of `headwater validate`. Nothing here is a test.

    python benchmarks/calibrations.py --measured manifests/measured/serving.csv --models manifests/measured/catalog \
        --rows silicon_sample.csv --write manifests/catalog/calibrations
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from silicon import installed, silicon

from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.calibration import Calibration
from orchestrator.api.kinds import Catalog, as_json
from orchestrator.core.fitting.fit import fit
from orchestrator.core.performance.case import Case
from orchestrator.core.rows.mapping import cases
from orchestrator.core.rows.row import row_of

TRUSTED = frozenset({"ok", "vendor", "paper"})


def main() -> int:
    """Read both tables, fit, and write one file for each calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, help="silicon_sample.csv; absent: of the installed aiconfigurator_core")
    parser.add_argument("--measured", type=Path, required=True, help="rows in the columns of `headwater validate`")
    parser.add_argument("--models", type=Path, action="append", default=[], help="folder with cards the rows need")
    parser.add_argument("--write", type=Path, required=True, help="the folder to write into")
    asked = parser.parse_args()
    path = asked.rows or installed()
    if path is None or not path.is_file():
        sys.stderr.write("name the rows: --rows silicon_sample.csv, or install aiconfigurator-core==0.12.0\n")
        return 2
    catalog = read_catalog(asked.models)
    write((*silicon(path, catalog), *measured(asked.measured, catalog)), catalog, asked.write)
    return 0


def measured(path: Path, catalog: Catalog) -> tuple[Case, ...]:
    """Rows of trusted quality of a table that others measured."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [
            row_of({name: cell or "" for name, cell in row.items()}, at)
            for at, row in enumerate(csv.DictReader(stream), 2)
        ]
    mapped, skipped = cases([row for row in rows if row.quality in TRUSTED], catalog)
    sys.stderr.write(f"{path.name}: {len(mapped)} rows of trusted quality mapped, {len(skipped)} skipped\n")
    return mapped


def write(rows: Sequence[Case], catalog: Catalog, folder: Path) -> None:
    """Fit and write one file for each calibration of a chip that the catalog has."""
    folder.mkdir(parents=True, exist_ok=True)
    here = {case.row for case in rows if case.quality == "silicon"}
    for fitted in fit(rows):
        document = _sourced(fitted, [case for case in rows if _covers(fitted, case)], here)
        if document.spec.chip is not None and document.spec.chip not in catalog.profiles:
            continue
        text = yaml.safe_dump(_short(as_json(document)), sort_keys=False, allow_unicode=True, width=118)
        (folder / f"{document.metadata.name}.yaml").write_text(text, encoding="utf-8")


def _covers(document: Calibration, case: Case) -> bool:
    spec, runner = document.spec, case.runner
    return (
        spec.vendor in (None, runner.profile.spec.vendor)
        and spec.engine in (None, runner.engine.spec.program)
        and spec.chip in (None, runner.profile.metadata.name)
    )


def _sourced(document: Calibration, rows: Sequence[Case], here: set[str]) -> Calibration:
    """With the tables its rows are in."""
    theirs = ("aiconfigurator-core 0.12.0 systems/silicon_sample.csv",)
    sources: tuple[str, ...] = theirs if any(row.row in here for row in rows) else ()
    sources += ("manifests/measured/serving.csv",) if any(row.row not in here for row in rows) else ()
    return document.model_copy(update={"spec": document.spec.model_copy(update={"sources": sources})})


def _short(value: Any) -> Any:
    """Without fields that say nothing."""
    if isinstance(value, dict):
        return {name: _short(part) for name, part in value.items() if part not in (None, "", [], {})}
    return [_short(part) for part in value] if isinstance(value, list) else value


if __name__ == "__main__":
    raise SystemExit(main())
