"""Tools whose table is nvidia-smi's with another name on it: cnmon, mx-smi, ixsmi, xpu-smi, ppu-smi, efsmi.

Pure: text in, chips out; a text of another kind gives none. Called by `detect` beside this file.
"""

from __future__ import annotations

import re

from orchestrator.adapters.hosts.chips import MIB, Chip, pci_address
from orchestrator.adapters.hosts.tables import after, chip_rows, index_and_name, total_memory_bytes

_LONE_MIB = re.compile(r"(\d{1,8})\s*MiB")


def cnmon(text: str) -> tuple[Chip, ...]:
    """Cambricon: `cnmon`."""
    return _chips(text, "Cambricon", "cnmon", mark="CNMON", driver="Driver")


def mx_smi(text: str) -> tuple[Chip, ...]:
    """MetaX: `mx-smi`."""
    return _chips(text, "MetaX", "mx-smi", mark="MX-SMI", driver="Kernel Mode Driver Version")


def ixsmi(text: str) -> tuple[Chip, ...]:
    """Iluvatar CoreX: `ixsmi`. A BI-V150 board shows its two processors as two chips."""
    return _chips(text, "Iluvatar CoreX", "ixsmi", mark="IX-ML", driver="Driver Version")


def xpu_smi(text: str) -> tuple[Chip, ...]:
    """Kunlunxin: `xpu-smi`. Intel has a tool of the same name, whose answers have no XPU-RT in them."""
    return _chips(text, "Kunlunxin", "xpu-smi", mark="XPU-RT", driver="Driver Version")


def ppu_smi(text: str) -> tuple[Chip, ...]:
    """T-Head: `ppu-smi`."""
    return _chips(text, "T-Head", "ppu-smi", mark="PPU-SMI", driver="Driver Version")


def efsmi(text: str) -> tuple[Chip, ...]:
    """Enflame: `efsmi`. It shows the memory that is there, without what is used; error correction takes its share."""
    return _chips(text, "Enflame", "efsmi", mark="Enflame System Management Interface", driver="Driver Ver")


def _chips(text: str, vendor: str, tool: str, *, mark: str, driver: str) -> tuple[Chip, ...]:
    if mark not in text:
        return ()
    version = after(text, driver)
    chips = []
    for first, second in chip_rows(text):
        named = index_and_name(first[0])
        if named is None:
            continue
        memory = total_memory_bytes(second) or _lone_memory_bytes(second)
        address = pci_address(" | ".join(first[1:]))
        chips.append(Chip(vendor, named[1], memory, named[0], address, version, tool))
    return tuple(chips)


def _lone_memory_bytes(row: tuple[str, ...]) -> int | None:
    found = _LONE_MIB.search(" | ".join(row[1:]))
    return int(found.group(1)) * MIB or None if found else None
