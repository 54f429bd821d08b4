"""What this host has, in the order that misses least: PCI bus, vendors' tools, files of boards without a bus.

The I/O is in `pci`, `tools` and `boards` beside this file, the parsing in the files named like the tools; here is the
order and what contradictions mean. The processor itself is `orchestrator.adapters.machine`. Called by the command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.adapters.hosts import boards, csv_lines, hy_smi, mthreads_gmi, npu_smi, pci, smi_tables, tools
from orchestrator.adapters.hosts.chips import Chip
from orchestrator.adapters.hosts.tools import Answer
from orchestrator.api.kinds import Catalog
from orchestrator.core.recognition import Match, recognise, recognise_pci

_MOST_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Tool:
    """How one vendor's tool is asked and read."""

    name: str
    vendor: str
    parse: Callable[[str], tuple[Chip, ...]]
    ways: tuple[tuple[str, ...], ...] = ((),)  # arguments, tried in order until chips are found
    places: tuple[str, ...] = ()  # beside the search path


@dataclass(frozen=True, slots=True)
class Found:
    """The chips with what the catalog says about each, and what a person should know."""

    chips: tuple[tuple[Chip, Match], ...]
    notes: tuple[str, ...]


TOOLS = (
    Tool("npu-smi", "Huawei", npu_smi.npu_smi, (("info",),), ("/usr/local/bin", "/usr/local/sbin")),
    Tool("cnmon", "Cambricon", smi_tables.cnmon, places=("/usr/bin", "/usr/local/neuware/bin")),
    Tool("hy-smi", "Hygon", hy_smi.hy_smi, (hy_smi.QUERY, ()), ("/opt/hyhal/bin", "/opt/dtk*/bin")),
    Tool("mx-smi", "MetaX", smi_tables.mx_smi, places=("/opt/mxdriver/bin", "/opt/maca/bin")),
    Tool("mthreads-gmi", "Moore Threads", mthreads_gmi.mthreads_gmi, places=("/usr/bin",)),
    Tool("ixsmi", "Iluvatar CoreX", smi_tables.ixsmi, places=("/usr/local/corex*/bin",)),
    Tool("ppu-smi", "T-Head", smi_tables.ppu_smi, places=("/usr/local/PPU_SDK/ppu-smi/bin",)),
    Tool("xpu-smi", "Kunlunxin", smi_tables.xpu_smi, places=("/usr/local/bin", "/opt/xre/bin")),
    Tool("efsmi", "Enflame", smi_tables.efsmi, places=("/usr/bin",)),
    Tool("brsmi", "Biren", csv_lines.brsmi, (csv_lines.BIREN_QUERY,), ("/usr/bin",)),
    # last: compatible makers ship a tool of this name for their own chips
    Tool("nvidia-smi", "NVIDIA", csv_lines.nvidia_smi, (csv_lines.NVIDIA_QUERY,), ("/usr/local/nvidia/bin",)),
)
TEGRASTATS = ("tegrastats", ("--interval", "100"), ("/usr/bin",))


def look(
    catalog: Catalog,
    root: Path = Path("/"),
    ask: Callable[[str, tuple[str, ...], tuple[str, ...]], Answer | None] | None = None,
) -> Found:
    """The accelerators of this host. A broken driver or tool becomes a note, never an error.

    Args:
        catalog: names the profiles; its PCI vendor ids are looked for too.
        root: `/` of the host.
        ask: answers for a tool with these arguments and places, None where there is no such tool; by default it is run.
    """
    bus = pci.devices(root, _vendors(catalog))
    on_bus = Counter(device.vendor for device in bus)
    notes: list[str] = []
    chips: list[Chip] = []
    for tool in TOOLS:
        found, problem = _asked(tool, ask or _ask)
        seen = {chip.pci_address for chip in chips} - {""}
        chips += [chip for chip in found if chip.pci_address not in seen]
        if problem and (not found or "ended with code" not in problem):
            notes.append(problem)
        elif problem is None and on_bus[tool.vendor]:
            notes.append(f"{tool.vendor} is on the PCI bus, but {tool.name} is not here: install the driver's tools")
    chips = _with_board(chips, root, ask or _ask)
    for vendor in on_bus:
        theirs, shown = [one for one in bus if one.vendor == vendor], [chip for chip in chips if chip.vendor == vendor]
        if not shown:
            chips += [_from_bus(device, index) for index, device in enumerate(theirs)]
        notes += _unseen(vendor, theirs, shown)
    generation = boards.ascend_generation(boards.hccl_rootinfo(root))
    if generation and any(chip.vendor == "Huawei" for chip in chips):
        notes.append(f"/etc/hccl_rootinfo.json says {generation}")
    matched = tuple(_matched(chip, catalog) for chip in chips)
    return Found(matched, tuple(dict.fromkeys(notes)))


def _ask(name: str, arguments: tuple[str, ...], places: tuple[str, ...]) -> Answer | None:
    path = tools.find(name, places)
    return None if path is None else tools.ask(path, arguments, lines=1 if name == TEGRASTATS[0] else None)


def _asked(
    tool: Tool, ask: Callable[[str, tuple[str, ...], tuple[str, ...]], Answer | None]
) -> tuple[tuple[Chip, ...], str | None]:
    """Chips and what was wrong: empty for nothing, None for no tool."""
    problem: str | None = None
    for way in tool.ways:
        answer = ask(tool.name, way, tool.places)
        if answer is None:
            return (), None
        found = tool.parse(answer.text)
        if found:
            return found, answer.problem
        said = answer.problem or f"{tool.name} shows no chip"
        problem = said + _first_line(answer.text)
    return (), problem


def _first_line(text: str) -> str:
    """What a tool said, as far as a person can read it."""
    lines = ("".join(c for c in line if c.isprintable()).strip() for line in text[: 1 << 14].splitlines())
    line = next((line for line in lines if any(c.isalnum() for c in line)), "")
    return f": {line[:_MOST_SHOWN]}" if line else ""


def _with_board(
    chips: list[Chip], root: Path, ask: Callable[[str, tuple[str, ...], tuple[str, ...]], Answer | None]
) -> list[Chip]:
    """With the chip of the board, which knows more than a tool that reads neither memory nor address."""
    for chip in boards.look(root):
        if any(one.vendor == chip.vendor and (one.memory_bytes or one.pci_address) for one in chips):
            continue
        said = ask(*TEGRASTATS) if chip.vendor == "NVIDIA" else None
        memory = boards.tegrastats(said.text) if said else None
        kept = [one for one in chips if one.vendor != chip.vendor]
        return [*kept, replace(chip, memory_bytes=memory or chip.memory_bytes)]
    return chips


def _from_bus(device: pci.Device, index: int) -> Chip:
    name = f"{device.vendor} {device.device_id}"
    return Chip(device.vendor, name, None, index, device.address, device.driver, "pci", pci_id=device.pci_id)


def _unseen(vendor: str, bus: list[pci.Device], chips: list[Chip]) -> list[str]:
    """Devices on the bus that the tool does not show, where it shows addresses at all."""
    if not chips or not all(chip.pci_address for chip in chips):
        return []
    missing = [device.address for device in bus if device.address not in {chip.pci_address for chip in chips}]
    shown = ", ".join(missing[:4]) + (" and more" if len(missing) > len(missing[:4]) else "")
    return [f"{vendor}: on the PCI bus, but not shown by {chips[0].source}: {shown}"] if missing else []


def _matched(chip: Chip, catalog: Catalog) -> tuple[Chip, Match]:
    profiles = catalog.profiles.values()
    if chip.source == "pci":
        match = recognise_pci(chip.pci_id, profiles)
    else:
        match = recognise(chip.generation or chip.name, chip.memory_bytes, profiles)
    return replace(chip, profile=match.profile), match


def _vendors(catalog: Catalog) -> Mapping[str, str]:
    return {
        vendor_id.lower(): profile.spec.vendor
        for profile in catalog.profiles.values()
        for vendor_id in profile.spec.pci.vendors
        if vendor_id.lower().startswith("0x")
    }
