"""One accelerator as a host or its tools show it, before anybody asked the catalog which profile it is.

Pure. The parsers beside this file make chips, `orchestrator.core.recognition` finds their profiles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MIB = 1 << 20
MOST_CHIPS = 1024  # of one tool's answer; more is no answer of a real host
_ADDRESS = re.compile(r"(?<![\w:])(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip as Kubernetes would count it: a die of a package with two, a processor of a card with two."""

    vendor: str
    name: str  # as the tool says it
    memory_bytes: int | None  # None: the source does not tell
    index: int
    pci_address: str  # 0000:c1:00.0, or empty
    driver: str
    source: str  # the tool, `pci`, or the file that gave it away
    generation: str = ""  # what the form of the answer says beyond the name, such as 910C for packages of two dies
    pci_id: str = ""  # vendor and device as 19e5:d802, when read from the bus
    profile: str | None = None  # of the catalog


def pci_address(text: str) -> str:
    """The first PCI address in a text as `0000:c1:00.0`; empty when there is none.

    Tools write the domain with two, four or eight digits, or not at all.
    """
    found = _ADDRESS.search(text)
    if found is None:
        return ""
    domain, bus, device, function = found.groups(default="0")
    return f"{int(domain, 16):04x}:{bus}:{device}.{function}".lower()


def mebibytes(text: str) -> int | None:
    """Bytes of a count of MiB; None for what is no positive number (`[N/A]`, `0`, twenty digits)."""
    clean = text.strip()
    if not clean.isascii() or not clean.isdigit() or len(clean) > len("99999999"):
        return None
    return int(clean) * MIB or None
