"""Does a configuration fit: memory of the fullest chip, and why not, with both numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """The rule that said no."""

    LICENCE = "licence"
    DUTY = "duty"  # the licence asks something that nobody accepted
    TERRITORY = "territory"  # the licence is not granted there
    TRAINING = "training"  # the licence forbids training on answers
    RESIDENCY = "residency"
    PLACE = "place"  # role, region or site the tier asked for
    CONNECTED = "connected"  # no machine of the site is there
    ENGINE = "engine"  # no engine of the chip runs it
    QUANTIZATION = "quantization"
    CHECKPOINT = "checkpoint"  # nobody publishes it and we do not build it
    QUALITY = "quality"  # the variant lost more than the tier allows, or nobody measured what it lost
    COUNT = "count"  # chips or nodes
    MEMORY = "memory"
    CONTEXT = "context"
    TTFT = "ttft"
    TPOT = "tpot"
    DTYPE = "dtype"  # the chip has no such arithmetic
    UNKNOWN = "unknown"  # a number that is needed is not known to anybody
    CAPACITY = "capacity"  # the pool is taken by services before
    NOT_BUILT = "not-built"
    OWNER = "owner"  # someone else has the replica's name
    UNREADABLE = "unreadable"  # the store has a document of another version
    FAILING = "failing"  # it was tried often enough to call a person


@dataclass(frozen=True, slots=True, order=True)
class Rejected:
    """A no, with what was needed, what there was and which rule said so."""

    subject: str  # what was tried: a site, a pool, a configuration
    why: Why
    need: str
    have: str
    hint: str = ""  # what would be right, when there is something to do

    def __str__(self) -> str:
        sentence = f"{self.subject}: {self.why} (needs {self.need}, has {self.have})"
        return f"{sentence}; {self.hint}" if self.hint else sentence


def fits(subject: str, needed_bytes: int, usable_bytes: int) -> Rejected | None:
    """None when it fits, otherwise the reason with both numbers."""
    if needed_bytes <= usable_bytes:
        return None
    return Rejected(subject, Why.MEMORY, size(needed_bytes), size(usable_bytes))


def size(count_bytes: float) -> str:
    """Bytes for people."""
    unit, scale = ("GiB", 1 << 30) if count_bytes >= 1 << 30 else ("MiB", 1 << 20)
    return f"{count_bytes / scale:.1f} {unit}"


def rate(per_s: float) -> str:
    """Requests per second for people."""
    return f"{per_s:,.0f}/s" if per_s >= 1000 else f"{per_s:.4g}/s"  # noqa: PLR2004  four digits either way


def time(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
