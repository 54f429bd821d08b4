"""One row of a table of measurements, its cells read as numbers and words. Pure.

Files are read in `orchestrator.adapters.measurements`; what the words mean is `orchestrator.core.rows.mapping`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

LARGEST = 1e12  # no count, rate or time in such a table is larger
NOT_SAID = frozenset(
    {"", "-", "--", "?", "n/a", "na", "none", "null", "not stated", "not named", "not shown", "see page", "unknown"}
)
_NUMBER = re.compile(r"[+]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:[eE][+-]?\d{1,3})?")
_RANGE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s*(?:-|to|or|\u2013)\s*(\d{1,12}(?:\.\d{1,12})?)")
_BOUND = re.compile(r"(?:[<>~]=?|about)?\s*\d{1,12}(?:\.\d{1,12})?\s*\+?")


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row; a number nobody stated is None. Times are in ms, rates in tokens a second."""

    id: str
    quality: str
    source: str
    path_or_url: str
    device: str
    units: str  # chips, or packages of several; `1 or 2` stays as it is written
    nodes: float | None
    model: str
    precision: str
    engine: str
    engine_version: str
    parallelism: str
    workload: str
    input_len: float | None
    output_len: float | None
    num_prompts: float | None
    concurrency: float | None
    out_tps_total: float | None
    total_tps: float | None
    out_tps_per_unit: float | None
    ttft_ms: float | None
    tpot_ms: float | None
    tpot_ms_median: float | None
    notes: str
    line: int = 0  # of the file, from 1


COLUMNS = tuple(field.name for field in fields(Row) if field.name != "line")
NUMBERS = tuple(field.name for field in fields(Row) if field.type == "float | None")
NEEDED = ("id", "device", "model", "engine")
"""Columns without which no row means anything; others may be left out of a file."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that is not predicted, and why."""

    row: str
    quality: str
    reason: str  # the same words for the same reason, so that rows can be counted by it
    detail: str = ""  # what the row says


def row_of(cells: Mapping[str, str], line: int) -> Row:
    """A row from its cells by column; columns that are left out are empty. Raises ValueError naming the column."""
    words = {name: " ".join(cells.get(name, "").split()) for name in COLUMNS}
    for name in NEEDED:
        if not words[name]:
            raise ValueError(f"{name}: is empty; every row needs {', '.join(NEEDED)}")
    numbers = {name: number(name, words[name]) for name in NUMBERS}
    return Row(**(words | numbers), line=line)  # type: ignore[arg-type]  # the two dicts hold what each field is


def number(column: str, cell: str) -> float | None:
    """The number of a cell; the middle of a range; None where the cell states none, or a bound alone.

    Raises ValueError for negative numbers, for numbers out of range and for words.
    """
    text = cell.strip().replace(",", "")
    if text.lower() in NOT_SAID:
        return None
    if _NUMBER.fullmatch(text):
        value = float(text)
        if value > LARGEST:
            raise ValueError(f"{column}: {cell[:40]} is too large; at most {LARGEST:.0e}")
        return value
    if (match := _RANGE.fullmatch(text)) is not None:
        return (float(match[1]) + float(match[2])) / 2
    if _BOUND.fullmatch(text):
        return None
    raise ValueError(f"{column}: {cell[:40]!r} is {_what(text)}; write a number from 0 up, or leave the cell empty")


def _what(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return "no number"
    return "negative" if math.isfinite(value) else "no finite number"
