"""Hygon's `hy-smi`, asked for JSON, or its table where a version answers with nothing else.

Pure. Called by `detect` beside this file. The table has no names and no memory: chips are counted from it, not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from orchestrator.adapters.hosts.chips import MOST_CHIPS, Chip, mebibytes, pci_address

TOOL = "hy-smi"
QUERY = ("--showproductname", "--showbus", "--showmeminfo", "vram", "--showdriverversion", "--json")
UNNAMED = "DCU"
_CARD = re.compile(r"card(\d{1,4})$")
_ROW = re.compile(r"^(\d{1,4}) +[\d.]+C +[\d.]+W ", re.MULTILINE)
_SERIES, _MEMORY, _BUS, _DRIVER = "card series", "vram total memory (mib)", "pci bus", "driver version"


def hy_smi(text: str) -> tuple[Chip, ...]:
    """Chips of the answer to `QUERY`, or of the plain table."""
    cards = _cards(text)
    if not cards:
        rows = _ROW.findall(text)[:MOST_CHIPS]
        return tuple(Chip("Hygon", UNNAMED, None, int(index), "", "", TOOL) for index in rows)
    driver = cards.get("system", {}).get(_DRIVER, "")
    chips = []
    for name, fields in cards.items():
        found = _CARD.match(name)
        if found is None or not fields:
            continue
        memory = mebibytes(fields.get(_MEMORY, ""))
        address = pci_address(fields.get(_BUS, ""))
        chips.append(Chip("Hygon", fields.get(_SERIES, UNNAMED), memory, int(found.group(1)), address, driver, TOOL))
    return tuple(sorted(chips, key=lambda chip: chip.index))[:MOST_CHIPS]


def _cards(text: str) -> Mapping[str, Mapping[str, str]]:
    """The JSON object in the text, with the names of fields in lower case: their capitals change with versions."""
    try:
        value = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {
        name: {key.lower(): str(field) for key, field in fields.items()}
        for name, fields in value.items()
        if isinstance(fields, dict)
    }
