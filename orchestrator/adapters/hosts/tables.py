"""The tables that vendors' tools print, read line by line; nothing here knows a vendor.

Pure. Most tools copied the table of nvidia-smi: two lines a chip, index and name over temperature and power, bus
address over memory. The parsers of `smi_tables` and `npu_smi` say what stands where.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.adapters.hosts.chips import MIB, MOST_CHIPS

Row = tuple[str, ...]
_MOST_LINES = 20_000
_PROCESSES = re.compile(r"process(?:es|\s*id)", re.IGNORECASE)
_USED_OF_TOTAL = re.compile(r"(\d{1,8})\s*(?:MiB)?\s*/\s*(\d{1,8})\s*MiB")
_NAME = re.compile(r"(\d{1,4})\s+(?:/\s+)?(\S+(?: \S+)*)")


def chip_rows(text: str) -> Iterator[tuple[Row, Row]]:
    """For each chip the cells of its two lines. What stands below the heading `Processes` is left out."""
    first: Row | None = None
    found = 0
    for line in text.splitlines()[:_MOST_LINES]:
        stripped = line.strip()
        if not stripped.startswith("|"):
            first = None
            continue
        if _PROCESSES.search(stripped):
            return
        cells = tuple(cell.strip() for cell in stripped.strip("|").split("|"))
        if first is not None:
            yield first, cells
            first, found = None, found + 1
            if found == MOST_CHIPS:
                return
        elif cells[0][:1].isdigit():
            first = cells


def index_and_name(cell: str) -> tuple[int, str] | None:
    """`0     /   MLU370-X8    v1.1.6` is chip 0 named MLU370-X8: a name has single spaces, then columns follow."""
    found = _NAME.match(cell)
    if found is None:
        return None
    return int(found.group(1)), found.group(2).removesuffix(" N/A").strip()


def total_memory_bytes(row: Row) -> int | None:
    """Of the first `826/65536 MiB` in a row, the second number, in bytes."""
    found = _USED_OF_TOTAL.search(" | ".join(row))
    return int(found.group(2)) * MIB or None if found else None


def after(text: str, label: str) -> str:
    """The word behind a label, such as the version behind `Driver Version:`; empty when the label is not there."""
    found = re.search(re.escape(label) + r"\s*:?\s*([^\s|]{1,64})", text)
    return found.group(1) if found else ""
