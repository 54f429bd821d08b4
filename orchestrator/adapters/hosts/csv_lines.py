"""Tools that answer a query with comma separated lines: nvidia-smi, and brsmi after its example.

Pure. Called by `detect` beside this file, which also asks with the queries below.
"""

from __future__ import annotations

from orchestrator.adapters.hosts.chips import MOST_CHIPS, Chip, mebibytes, pci_address

NVIDIA_QUERY = ("--query-gpu=index,name,memory.total,driver_version,pci.bus_id", "--format=csv,noheader,nounits")
BIREN_QUERY = ("gpu", "--query-gpu=index,name,memory.used,memory.free", "--format=csv,noheader,nounits")
_LONGEST_INDEX = 4


def nvidia_smi(text: str) -> tuple[Chip, ...]:
    """Chips of `nvidia-smi` asked with `NVIDIA_QUERY`. A board that shares its memory writes [N/A] for it."""
    return tuple(
        Chip("NVIDIA", name, mebibytes(memory), index, pci_address(address), driver, "nvidia-smi")
        for index, (name, memory, driver, address) in _lines(text, fields=5)
    )


def brsmi(text: str) -> tuple[Chip, ...]:
    """Chips of `brsmi` asked with `BIREN_QUERY`: used and free memory together are the chip's."""
    chips = []
    for index, (name, used, free) in _lines(text, fields=4):
        parts = [int(part) for part in (used, free) if mebibytes(part) is not None or part == "0"]
        memory = mebibytes(str(sum(parts))) if len(parts) == len((used, free)) else None
        chips.append(Chip("Biren", name, memory, index, "", "", "brsmi"))
    return tuple(chips)


def _lines(text: str, *, fields: int) -> list[tuple[int, list[str]]]:
    """Lines with this many fields whose first is a number; all others are messages."""
    found = []
    for line in text.splitlines():
        first, *others = (field.strip() for field in line.split(","))
        numbered = first.isascii() and first.isdigit() and len(first) <= _LONGEST_INDEX
        if numbered and len(others) == fields - 1 and others[0]:
            found.append((int(first), others))
    return found[:MOST_CHIPS]
