"""JSON from strangers within bounds of bytes, values and depth, so that no file can take the memory or the time.

A value of JSON costs up to about a hundred bytes of memory and half a microsecond; the bound on values is checked by
counting separators before anything is parsed. Called by the readers beside it. Files of the edge build are read in
`runtimes.build.directory`.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from orchestrator.errors import Invalid

MOST_VALUES = 1 << 19  # separators and brackets; a tensor in a header has eight, so some 65,000 of them
MOST_CONFIG_BYTES = 4 << 20  # the largest published config.json, with a name for each of its labels, has 1 MB
SHOWN = 60


def shown(value: object) -> str:
    """A value for a message: short, on one line, with nothing a terminal would obey."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**SHOWN:
        return "an enormous number"
    text = repr(value) if value is None or isinstance(value, int | float) else value
    return ascii(text[:SHOWN])[1:-1] if isinstance(text, str) else type(value).__name__


def parse_object(raw: bytes, what: str) -> dict[str, Any]:
    """A JSON object.

    Args:
        raw: UTF-8 text; the caller has bounded its length.
        what: name of the file, for messages.

    Raises:
        Invalid: no JSON object, a key written twice, NaN or Infinity, too deep, or too many values.
    """
    values = raw.count(b",") + raw.count(b"[") + raw.count(b"{")
    if values > MOST_VALUES:
        raise Invalid(f"{what} has about {values:,} values; at most {MOST_VALUES:,} are read")
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
    except RecursionError:
        raise Invalid(f"{what} is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise Invalid(f"{what} is not JSON: {shown(str(error))}") from None
    if not isinstance(found, dict):
        raise Invalid(f"{what} must hold a JSON object")
    return found


def read_object(path: Path, most_bytes: int = MOST_CONFIG_BYTES) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        Invalid: the file is absent, no regular file, too large, or no JSON object.
    """
    return parse_object(read_bytes(path, most_bytes), path.name)


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """All bytes of a regular file that is no larger than it may be."""
    if not path.is_file():
        raise Invalid(f"{path.name} is not there, or is no regular file")
    with path.open("rb") as file:
        raw = file.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise Invalid(f"{path.name} is larger than {most_bytes:,} bytes, which is no {path.name} as models have")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = sorted(key for key, _ in pairs)
        twice = next(key for key, following in pairwise(keys) if key == following)
        raise ValueError(f"{shown(twice)} is written twice")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
