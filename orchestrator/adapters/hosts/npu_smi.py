"""Huawei's `npu-smi info`: A2 and A3 servers, 310P cards with two chips, 310B boards, and the 950 layout.

Pure. Called by `detect` beside this file. On A3 a package has two dies, each is a line pair of the same NPU: a die is
what Kubernetes counts, so a die is what we count.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from orchestrator.adapters.hosts.chips import MIB, Chip, pci_address
from orchestrator.adapters.hosts.tables import Row, after, chip_rows

TOOL = "npu-smi"
TWO_DIES = "910C"  # only this generation shows two Ascend910 in one package
_UNNAMED = "Ascend910"  # what A3 and the first generation both print
_PAIR = re.compile(r"(\d{1,8})\s*/\s*(\d{1,8})")
_FIRST = re.compile(r"(\d{1,4})(?:\s+(\S+))?$")


def npu_smi(text: str) -> tuple[Chip, ...]:
    """Chips of `npu-smi info`, in its order."""
    if "npu-smi" not in text:
        return ()
    driver = after(text, "Version")
    found: list[tuple[int, Chip]] = []
    for first, second in chip_rows(text):
        named = _npu_and_name(first)
        if named is None:
            continue
        npu, name = named
        numbers = second[0].split()  # chip on the card, then where there is one its number on the host
        index = int(numbers[-1]) if len(numbers) > 1 and numbers[-1].isdigit() else npu
        address = pci_address(" | ".join(second[1:]))
        found.append((npu, Chip("Huawei", name, _memory_bytes(second), index, address, driver, TOOL)))
    on_npu = Counter(npu for npu, _ in found)
    return tuple(
        replace(chip, generation=TWO_DIES) if chip.name == _UNNAMED and on_npu[npu] > 1 else chip for npu, chip in found
    )


def _npu_and_name(row: Row) -> tuple[int, str] | None:
    """Number and name: in one cell, or in two where the 950 generation has a bar between them."""
    found = _FIRST.match(row[0])
    if found is None:
        return None
    name = found.group(2) or (row[1] if len(row) > 1 else "")
    return (int(found.group(1)), name) if name else None


def _memory_bytes(row: Row) -> int | None:
    """Of the last pair `used / total` on the line that is not empty: HBM where there is, else the board's memory."""
    pairs = _PAIR.findall(" | ".join(row))
    totals = [int(total) for _, total in pairs if int(total) > 0]
    return totals[-1] * MIB if totals else None
