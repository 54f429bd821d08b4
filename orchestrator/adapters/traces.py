"""Request traces in public formats, row by row: when, how many tokens in, how many out, and which blocks of the prompt.

Azure's CSV (`TIMESTAMP,ContextTokens,GeneratedTokens`, with or without quotes) and Mooncake's JSON lines (`timestamp`
in ms, `input_length`, `output_length`, `hash_ids`), either of them as it is or in gzip. Whatever else comes is refused
with its line. Called by the command line and by benchmarks.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from orchestrator.core.simulation.request import Asked
from orchestrator.errors import Invalid

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
HEADER = ",".join(COLUMNS)
EXAMPLE = "2023-11-16 18:15:46.680590"
LONGEST_LINE = 1 << 20  # bytes; a prompt of a million blocks has none longer in the public traces
MOST_TOKENS = 10_000_000
MOST_BLOCKS = 100_000
MOST_BLOCK = 2**53  # names stay whole numbers wherever they are read
MOST_REPEATS = 1_000_000
GZIP = b"\x1f\x8b"
_SHOWN = 60  # characters of a line that is refused
_WHOLE = re.compile(r"[0-9]{1,12}")

Parse = Callable[[str], Asked]


def read_trace(path: Path, *, repeat: int = 1, limit: int | None = None, speed: float = 1.0) -> Iterator[Asked]:
    """Requests of a trace, the first at second 0, in order of time.

    Args:
        path: the file.
        repeat: how often it is played, end to end; blocks of one round are not those of another.
        limit: stop after so many requests.
        speed: requests come so many times as fast.

    Raises:
        Invalid: the file cannot be read, holds no request, or a line is wrong; names the line.
    """
    rows = _rounds(path, repeat)
    for row in islice(rows, limit):
        yield row if speed == 1.0 else row._replace(at_s=row.at_s / speed)


def _rounds(path: Path, repeat: int) -> Iterator[Asked]:
    kept: list[Asked] = []
    for row in _rows(path):
        if repeat > 1:
            kept.append(row)
        yield row
    if not kept:
        return
    span_s = kept[-1].at_s
    span_s += span_s / (len(kept) - 1) if len(kept) > 1 else 1.0  # the next round begins a usual distance later
    names = 1 + max((block for row in kept for block in row.blocks), default=0)
    for round_ in range(1, repeat):
        for at_s, input_tokens, output_tokens, blocks in kept:
            mine = tuple([block + round_ * names for block in blocks]) if blocks else ()
            yield Asked(at_s + round_ * span_s, input_tokens, output_tokens, mine)


def _rows(path: Path) -> Iterator[Asked]:
    """All rows, with seconds since the first."""
    begun_s, last_s, parse = None, 0.0, None
    for number, line in _lines(path):
        if parse is None:
            parse = _format(path, number, line)
            if parse is _azure:
                continue
        try:
            row = parse(line)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, csv.Error) as exc:
            raise Invalid(f"{path}:{number}: {_why(exc)}; the line reads {_short(line)}") from None
        if begun_s is None:
            begun_s = last_s = row.at_s
        if row.at_s < last_s:
            raise Invalid(f"{path}:{number}: comes {last_s - row.at_s:g} s before the line above; sort it by time")
        last_s = row.at_s
        yield row._replace(at_s=row.at_s - begun_s)
    if begun_s is None:
        raise Invalid(f"{path}: holds no request; give a trace with one request a line")


def _format(path: Path, number: int, line: str) -> Parse:
    if line.lstrip().startswith("{"):
        return _mooncake
    with contextlib.suppress(csv.Error):
        if _cells(line) == [*COLUMNS]:
            return _azure
    raise Invalid(
        f"{path}:{number}: is no trace that can be read: it begins with {_short(line)}; it must begin with the line "
        f"{HEADER}, or with a JSON object a line with timestamp, input_length and output_length"
    )


def _cells(line: str) -> list[str]:
    """The cells of a line of CSV. Raises csv.Error."""
    quoted = '"' in line  # most lines have none, and are split twice as fast
    cells = next(csv.reader([line], strict=True, skipinitialspace=True), []) if quoted else line.split(",")
    return [cell.strip() for cell in cells]


def _azure(line: str) -> Asked:
    cells = _cells(line)
    if len(cells) != len(COLUMNS):
        raise ValueError(f"has {len(cells)} cells where {HEADER} has {len(COLUMNS)}")
    return Asked(_seconds(cells[0]), _count(COLUMNS[1], cells[1]), _count(COLUMNS[2], cells[2]))


def _seconds(cell: str) -> float:
    try:
        when = datetime.fromisoformat(cell[:26])  # microseconds; the public files have one digit more
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{COLUMNS[0]}: {_short(cell)} is no time; write one such as {EXAMPLE}") from None


def _count(name: str, cell: str) -> int:
    return _tokens(name, int(cell) if _WHOLE.fullmatch(cell) else cell)


def _mooncake(line: str) -> Asked:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise TypeError("is no JSON object")
    at_ms = row["timestamp"]
    if isinstance(at_ms, bool) or not isinstance(at_ms, int | float) or not 0 <= at_ms < MOST_BLOCK:
        raise ValueError("timestamp must be milliseconds, 0 or more")
    blocks = row.get("hash_ids", ())
    if not isinstance(blocks, list | tuple) or len(blocks) > MOST_BLOCKS:
        raise ValueError(f"hash_ids must be a list of at most {MOST_BLOCKS} whole numbers")
    if not all(type(block) is int and 0 <= block < MOST_BLOCK for block in blocks):
        raise ValueError("hash_ids must be whole numbers, 0 or more")
    input_tokens, output_tokens = (_tokens(name, row[name]) for name in ("input_length", "output_length"))
    return Asked(at_ms / 1000, input_tokens, output_tokens, tuple(blocks))


def _tokens(name: str, count: Any) -> int:
    if type(count) is not int or not 1 <= count <= MOST_TOKENS:
        given = f"; {_short(count)} is none" if isinstance(count, str) else ""
        raise ValueError(f"{name} must be a whole number from 1 to {MOST_TOKENS:,}{given}")
    return count


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with their numbers."""
    number = 0
    try:
        with _opened(path) as file:
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    raise Invalid(f"{path}:{number}: is longer than {LONGEST_LINE} bytes; give one request a line")
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if line:
                    yield number, line
    except UnicodeDecodeError:
        raise Invalid(f"{path}:{number}: is no UTF-8 text; give CSV or JSON lines, as they are or in gzip") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise Invalid(f"{path}: its gzip data breaks off after line {number}; fetch the file again") from None
    except OSError as exc:
        raise Invalid(f"{path}: {exc.strerror or exc}; give a file that can be read") from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        if file.peek(2)[:2] != GZIP:
            yield file
            return
        with gzip.open(file, "rb") as unpacked:
            yield unpacked  # type: ignore[misc]  # read as bytes


def _why(exc: Exception) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return f"is no JSON object ({exc.msg} at column {exc.colno})"
    if isinstance(exc, KeyError):
        return f"lacks {exc.args[0]}"
    if isinstance(exc, RecursionError):
        return "is nested too deep"
    if isinstance(exc, csv.Error):
        return "is no CSV; close every quote, and write three short cells"
    return str(exc)


def _short(line: str) -> str:
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…")
