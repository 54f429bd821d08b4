"""What `headwater validate` and `headwater calibrate` share: files to cases, and the options of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtimes.errors import Invalid

if TYPE_CHECKING:
    from orchestrator.api.kinds import Catalog
    from orchestrator.core.performance.case import Case
    from orchestrator.core.rows.row import Row, Skipped

QualityOption = Annotated[
    str, typer.Option(help="Qualities of rows to take, with commas; `all` takes every row.", metavar="NAMES")
]
TRUSTED = "ok,vendor,paper"


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows of files, as far as they mean something."""

    cases: tuple[Case, ...]  # with the factors that hold for them
    skipped: tuple[Skipped, ...]
    sources: Mapping[str, str]  # by row: where it was published
    left_out: int  # rows of other qualities


def read_measured(files: Sequence[Path], quality: str, catalog: Catalog) -> Measured:
    """The rows of files, or those that ship without any.

    Raises Invalid for files that cannot be read, for ids that two files share, and for a quality no row has.
    """
    from orchestrator.adapters.measurements import read_rows, shipped_rows, with_measured
    from orchestrator.core.rows.mapping import cases
    from orchestrator.core.validation.comparison import with_factors

    rows = [row for file in files for row in read_rows(file)] if files else list(shipped_rows())
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise Invalid(f"{row.id[:40]!r} is the id of rows of two files; give each row its own")
        seen.add(row.id)
    wanted = qualities(quality)
    chosen = [row for row in rows if wanted is None or row.quality in wanted]
    if not chosen:
        have = ", ".join(sorted({row.quality or "none" for row in rows}))[:200]
        raise Invalid(f"no row is of quality {quality[:80]}; the rows have {have}. Write --quality all for every row")
    found, skipped = cases(chosen, with_measured(catalog))
    named = {row.id: row for row in chosen}
    return Measured(
        with_factors(found, catalog.calibrations),
        tuple(_with_near(one, named[one.row], catalog) for one in skipped),
        {row.id: row.source for row in chosen},
        len(rows) - len(chosen),
    )


def _with_near(skipped: Skipped, row: Row, catalog: Catalog) -> Skipped:
    """The same with the nearest names of the catalog, where a name is what is wrong."""
    from orchestrator.api.names import nearest_names

    near: list[str] = []
    if skipped.reason.startswith("the chip is not in the catalog"):
        near = nearest_names(row.device, catalog.profiles)
    elif skipped.reason.startswith("the model is not in the catalog"):
        near = nearest_names(row.model, catalog.models)
    return replace(skipped, detail=f"{skipped.detail}; did you mean {' or '.join(near)}?") if near else skipped


def qualities(written: str) -> frozenset[str] | None:
    """Names of qualities; None for every one. Raises Invalid for none at all."""
    names = frozenset(name.strip() for name in written.split(",") if name.strip())
    if not names:
        raise Invalid("--quality names no quality; write one such as ok, several with commas, or all")
    return None if "all" in names else names


def share(value: float) -> str:
    """`12.3%`."""
    return f"{value:.1%}"
