"""Quantities with units: parse and print, nowhere else.

A quantity is written with its unit (`500ms`, `40/s`, `16GiB`, `11.2/h`, `1Gbps`, `25%`) and held as a plain number in
one unit: seconds, per second, bytes, per hour, bytes per second, share of one. A number without a unit is refused,
because nobody can tell what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_LONGEST = 64
_DIGITS = (6, 15, 17, 21)
_LARGEST_DENOMINATOR = 10**9
_WRITTEN = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(\S.*?)?\s*$")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of quantity: its name for people, its units largest first, and an example."""

    name: str
    units: Mapping[str, float]
    example: str

    def parse(self, written: Any) -> float:
        """Turn `500ms` into 0.5. Raises ValueError with what would be right."""
        if isinstance(written, bool) or not isinstance(written, int | float | str):
            raise ValueError(  # noqa: TRY004  pydantic turns ValueError into a problem of the field
                f"expected {self.name} such as {self.example}, got {_plainly(written)}"
            )
        text = str(written)
        match = _WRITTEN.match(text) if len(text) <= _LONGEST else None
        if match is None:
            raise ValueError(
                f"{text[:_LONGEST]!r} is not {self.name}; write a positive number with a unit, such as {self.example}"
            )
        number, unit = match.groups()
        if unit is None:
            raise ValueError(
                f"{number} has no unit; write {self.name} such as {self.example} (units: {', '.join(self.units)})"
            )
        if unit not in self.units:
            raise ValueError(
                f"unknown unit {unit!r} for {self.name}; units: {', '.join(self.units)}; for example {self.example}"
            )
        return float(Fraction(number) * _exact(self.units[unit]))

    def show(self, value: float) -> str:
        """The shortest writing that parses back to the same value: 0.5 becomes `500ms`."""
        if value == 0:
            return "0" + min(self.units, key=lambda unit: abs(self.units[unit] - 1))
        writings = list(self._writings(value))
        if not writings:
            raise ValueError(f"{value!r} cannot be written as {self.name}")
        number, unit = min(writings, key=lambda writing: (writing[0].startswith("0."), len(writing[0])))
        return number + unit

    def _writings(self, value: float) -> Iterator[tuple[str, str]]:
        """For each unit, largest first, the shortest number that parses back."""
        for unit, size in self.units.items():
            scaled = Fraction(repr(float(value))) / _exact(size)
            for digits in _DIGITS:
                short = Context(prec=digits).divide(Decimal(scaled.numerator), Decimal(scaled.denominator)).normalize()
                number = f"{short:f}"
                if len(number + unit) <= _LONGEST and self.parse(number + unit) == value:
                    yield number, unit
                    break


def _plainly(written: Any) -> str:
    if written is None:
        return "nothing"
    if isinstance(written, bool):
        return "true" if written else "false"
    return "a mapping" if isinstance(written, Mapping) else "a list" if isinstance(written, list) else "something else"


def _exact(size: float) -> Fraction:
    """A unit's size without the rounding of floats: 1/60 is a sixtieth."""
    return Fraction(size).limit_denominator(_LARGEST_DENOMINATOR)


DURATION = Kind("a duration", {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}, "500ms")
RATE = Kind("a rate", {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600, "/day": 1 / 86400}, "40/s")
MEMORY = Kind(
    "a memory size",
    {
        "TiB": 2.0**40,
        "TB": 1e12,
        "GiB": 2.0**30,
        "GB": 1e9,
        "MiB": 2.0**20,
        "MB": 1e6,
        "KiB": 2.0**10,
        "kB": 1e3,
        "B": 1.0,
    },
    "16GiB",
)
PRICE = Kind("a price", {"/h": 1.0, "/day": 1 / 24, "/month": 1 / 730}, "11.2/h")
BANDWIDTH = Kind(
    "a bandwidth",
    {
        "TB/s": 1e12,
        "Tbps": 1.25e11,
        "GB/s": 1e9,
        "Gbps": 1.25e8,
        "MB/s": 1e6,
        "Mbps": 1.25e5,
        "kbps": 125.0,
    },
    "1Gbps",
)
COMPUTE = Kind("a compute rate", {"PFLOPS": 1e15, "TFLOPS": 1e12, "TOPS": 1e12, "GFLOPS": 1e9}, "295TFLOPS")
POWER = Kind("a power", {"kW": 1e3, "W": 1.0}, "350W")
SHARE = Kind("a share", {"%": 0.01}, "25%")


PLAIN: dict[str, Any] = {"type": "number", "format": "double"}
"""How a schema says that a number stands for itself, and is no share that may be written as `25%`."""


def _share(written: Any) -> float:
    """A share may also be a bare number from 0 to 1."""
    value = written if isinstance(written, int | float) and not isinstance(written, bool) else SHARE.parse(written)
    if not 0 <= value <= 1:
        raise ValueError(f"{written} is not a share; write 0 to 1, or 0% to 100%, such as {SHARE.example}")
    return float(value)


def _positive(kind: Kind) -> BeforeValidator:
    def check(written: Any) -> float:
        value = kind.parse(written)
        if value <= 0:
            raise ValueError(f"{written} must be more than zero, such as {kind.example}")
        return value

    return BeforeValidator(check)


def _json(kind: Kind) -> WithJsonSchema:
    units = "|".join(re.escape(unit) for unit in kind.units)
    return WithJsonSchema(
        {"type": "string", "pattern": rf"^\s*[0-9]+(\.[0-9]+)?\s*({units})\s*$", "examples": [kind.example]}
    )


Duration = Annotated[float, _positive(DURATION), PlainSerializer(DURATION.show, when_used="json"), _json(DURATION)]
Rate = Annotated[float, _positive(RATE), PlainSerializer(RATE.show, when_used="json"), _json(RATE)]
Memory = Annotated[float, _positive(MEMORY), PlainSerializer(MEMORY.show, when_used="json"), _json(MEMORY)]
Price = Annotated[float, BeforeValidator(PRICE.parse), PlainSerializer(PRICE.show, when_used="json"), _json(PRICE)]
Bandwidth = Annotated[float, _positive(BANDWIDTH), PlainSerializer(BANDWIDTH.show, when_used="json"), _json(BANDWIDTH)]
Compute = Annotated[float, _positive(COMPUTE), PlainSerializer(COMPUTE.show, when_used="json"), _json(COMPUTE)]
Power = Annotated[float, _positive(POWER), PlainSerializer(POWER.show, when_used="json"), _json(POWER)]
Share = Annotated[float, BeforeValidator(_share)]
