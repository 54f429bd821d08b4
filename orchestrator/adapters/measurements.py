"""Tables of measurements on disk: CSV files of a user, and the rows that ship with the package.

Reading means bytes, encoding, limits and cells here; what a row means is `orchestrator.core.rows`. Called by the
commands that validate and calibrate.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.load import load_bytes
from orchestrator.api.model import Model
from orchestrator.core.rows.row import COLUMNS, NEEDED, Row, row_of
from orchestrator.errors import Invalid, InvalidSpec, Problem

MOST_BYTES = 16 << 20
MOST_ROWS = 100_000
MOST_COLUMNS = 100
MOST_CHARACTERS = 2000  # of a cell
MOST_PROBLEMS = 20  # that are told at once
SHIPPED = "measured/serving.csv"
_MARKS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of a CSV file.

    Raises:
        Invalid: the file cannot be read, is too large, or is no CSV file in UTF-8 with the columns of a row.
        InvalidSpec: with the line and column of every cell that is wrong, up to a number of them.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error
    return rows_of(content, str(path))


@cache
def shipped_rows() -> tuple[Row, ...]:
    """The published measurements that ship with the package."""
    return rows_of((files("manifests") / SHIPPED).read_bytes(), SHIPPED)


def with_measured(catalog: Catalog) -> Catalog:
    """The catalog over what occurs in the shipped rows alone: models and chips that nothing is planned with."""
    models, profiles = _beside()
    return Catalog(
        models={**models, **catalog.models},
        profiles={**profiles, **catalog.profiles},
        engines=catalog.engines,
        clusters=catalog.clusters,
        calibrations=catalog.calibrations,
    )


def rows_of(content: bytes, name: str) -> tuple[Row, ...]:
    """The rows in the bytes of a CSV file; errors as of `read_rows`."""
    reader = csv.reader(_text(content, name).splitlines(keepends=True), strict=True)
    rows: list[Row] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    header: list[str] = []
    for line, cells in _lines(reader, name):
        if not header:
            header = _header(cells, name, line)
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(rows) >= MOST_ROWS:
            raise Invalid(f"{name}: has more than {MOST_ROWS:,} rows; split the file")
        try:
            rows.append(_row(header, cells, line))
        except ValueError as error:
            problems.append(_problem(name, line, str(error)))
            if len(problems) > MOST_PROBLEMS:
                break
            continue
        if (first := seen.setdefault(rows[-1].id, line)) != line:
            problems.append(Problem(name, line, "id", f"{rows[-1].id[:40]!r} is the id of line {first} too"))
    if problems:
        raise InvalidSpec(_told(problems, name))
    if not header or not rows:
        raise Invalid(f"{name}: has no rows; write a header with {', '.join(NEEDED)} and one line for each measurement")
    return tuple(rows)


def _text(content: bytes, name: str) -> str:
    if len(content) > MOST_BYTES:
        raise Invalid(f"{name}: is larger than {MOST_BYTES >> 20} MiB; split the file")
    marked = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), None)
    if marked:
        raise Invalid(f"{name}: is written in {marked}; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{name}:{line}: is not UTF-8; save it as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Invalid(f"{name}:{line}: holds a zero byte; write a CSV file as text")
    return text


def _lines(reader: Iterator[list[str]], name: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of cells with the line each begins at. Raises Invalid for text that is no CSV."""
    while True:
        begins = reader.line_num + 1  # type: ignore[attr-defined]  # a csv reader, which has no public type
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Invalid(f"{name}:{begins}: {_fault(error)}") from error
        yield begins, cells


def _fault(error: csv.Error) -> str:
    """What is wrong with the quotes; a cell beyond all limits is most often one that is never closed."""
    if "larger than field limit" in str(error):
        return f"has a cell longer than {MOST_CHARACTERS:,} characters; shorten it, or close its quote"
    return "is no CSV; close every quote, put a cell with quotes in quotes, and write each of its own twice"


def _header(cells: list[str], name: str, line: int) -> list[str]:
    """The names of the columns. Raises Invalid for missing and repeated ones."""
    header = [cell.strip() for cell in cells]
    if len(header) > MOST_COLUMNS:
        raise Invalid(f"{name}:{line}: has {len(header)} columns; at most {MOST_COLUMNS}")
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise Invalid(f"{name}:{line}: separate the columns with commas, not with semicolons or tabs")
    if missing := [column for column in NEEDED if column not in header]:
        raise Invalid(f"{name}:{line}: has no column {', '.join(missing)}; known columns: {', '.join(COLUMNS)}")
    if twice := sorted({column for column in header if column and header.count(column) > 1}):
        raise Invalid(f"{name}:{line}: has the column {twice[0][:40]!r} more than once")
    return header


def _row(header: list[str], cells: list[str], line: int) -> Row:
    if len(cells) != len(header):
        raise ValueError(f"has {len(cells)} cells where the header has {len(header)}; put cells with commas in quotes")
    long = next((name for name, cell in zip(header, cells, strict=True) if len(cell) > MOST_CHARACTERS), None)
    if long is not None:
        raise ValueError(f"{long}: is longer than {MOST_CHARACTERS:,} characters")
    return row_of(dict(zip(header, cells, strict=True)), line)


def _problem(name: str, line: int, message: str) -> Problem:
    column, separator, rest = message.partition(": ")
    return Problem(name, line, column, rest) if separator and column in COLUMNS else Problem(name, line, "", message)


def _told(problems: list[Problem], name: str) -> list[Problem]:
    if len(problems) <= MOST_PROBLEMS:
        return problems
    last = problems[MOST_PROBLEMS]
    return [*problems[:MOST_PROBLEMS], Problem(name, last.line, "", "and more; correct these first")]


@cache
def _beside() -> tuple[dict[str, Model], dict[str, HardwareProfile]]:
    """Models and chips that occur in the shipped rows and that the catalog has nothing of."""
    models: dict[str, Model] = {}
    profiles: dict[str, HardwareProfile] = {}
    for name in ("models.yaml", "chips.yaml"):
        for loaded in load_bytes((files("manifests") / "measured" / "catalog" / name).read_bytes(), name):
            match loaded.document:
                case Model() as model:
                    models[model.metadata.name] = model
                case HardwareProfile() as profile:
                    profiles[profile.metadata.name] = profile
    return models, profiles
