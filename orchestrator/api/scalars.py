"""What a plain YAML scalar means: text, number, truth value or nothing; and what is refused because it misleads.

Pure. Called by `orchestrator.api.load` only. Readers of YAML 1.1 and 1.2 disagree about `no`, `1:30`, `0755` or a date.
Such a scalar is refused wherever it stands unquoted, so that a file means the same to every tool.
"""

from __future__ import annotations

import math
import re

LARGEST = 2**63 - 1
_NUMBER_LENGTH = 40

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

_NO_NUMBER = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
_TRAPS = (
    (re.compile(r"(yes|on)", re.IGNORECASE), "some YAML readers take {text} for true"),
    (re.compile(r"(no|off)", re.IGNORECASE), "some YAML readers take {text} for false"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"), "some YAML readers take {text} for a base-60 number"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"), "YAML takes {text} for a date"),
    (re.compile(r"[-+]?0[0-9_]+|[-+]?0[oO]?[0-7_]+"), "some YAML readers take {text} for an octal number"),
    (re.compile(r"[-+]?0[xX][0-9a-fA-F_]+|[-+]?0[bB][01_]+"), "some YAML readers take {text} for a number"),
    (re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?"), "some YAML readers take {text} for a number"),
)


def short(text: str) -> str:
    """The text in quotes, cut where it gets long, control characters escaped."""
    return repr(text if len(text) <= 64 else text[:61] + "...")  # noqa: PLR2004  fits a line of a terminal


def meaning(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar stands for. Raises ValueError with what to write instead."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if not (text[0] in "+-." or text[0].isdigit() or len(text) <= 3):  # noqa: PLR2004  most texts are plain words
        return text
    if _NO_NUMBER.fullmatch(text):
        raise ValueError(f"{short(text)} is not a number that can be planned with; write a finite number")
    for pattern, what in _TRAPS:
        if pattern.fullmatch(text):
            raise ValueError(
                f"{what.format(text=short(text))}; put it in quotes if text is meant, or {_instead(pattern)}"
            )
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    return text


def _instead(pattern: re.Pattern[str]) -> str:
    return "write true or false" if pattern in (_TRAPS[0][0], _TRAPS[1][0]) else "write a plain decimal number"


def _integer(text: str) -> int:
    if len(text) > _NUMBER_LENGTH or abs(int(text)) > LARGEST:
        raise ValueError(f"{short(text)} is too large; whole numbers end at {LARGEST}")
    return int(text)


def _float(text: str) -> float:
    value = float(text) if len(text) <= _NUMBER_LENGTH else math.inf
    if not math.isfinite(value):
        raise ValueError(f"{short(text)} is too large or too long for a number")
    return value
