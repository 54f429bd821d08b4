"""Moore Threads' `mthreads-gmi`. Pure. Called by `detect` beside this file."""

from __future__ import annotations

import re

from orchestrator.adapters.hosts.chips import MOST_CHIPS, Chip, mebibytes, pci_address
from orchestrator.adapters.hosts.tables import after

TOOL = "mthreads-gmi"
_CHIP = re.compile(
    r"^(\d{1,4}) +(MTT [^|\n]{1,60}?) *\|([0-9A-Fa-f:. ]{1,20})\|[^\n(]{0,40}\((\d{1,8})MiB\)", re.MULTILINE
)


def mthreads_gmi(text: str) -> tuple[Chip, ...]:
    """Chips of the table; memory stands in brackets behind what is used of it."""
    driver = after(text, "Driver Version")
    rows = _CHIP.findall(text)[:MOST_CHIPS]
    return tuple(
        Chip("Moore Threads", name, mebibytes(memory), int(index), pci_address(address), driver, TOOL)
        for index, name, address, memory in rows
    )
