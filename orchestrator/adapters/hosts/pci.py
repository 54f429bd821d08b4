"""Accelerators on the PCI bus, from sysfs: what is there even when no driver and no tool is.

Reading a folder is all the I/O there is. Called by `detect` beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

VENDORS: Mapping[str, str] = {
    "0x10de": "NVIDIA",
    "0x1002": "AMD",
    "0x19e5": "Huawei",
    "0xcabc": "Cambricon",
    "0x1d94": "Hygon",
    "0x1e3e": "Iluvatar CoreX",
    "0x9999": "MetaX",
    "0x1ed5": "Moore Threads",
    "0x1ded": "T-Head",
    "0x1d22": "Kunlunxin",
    "0x2057": "Kunlunxin",
    "0x1e36": "Enflame",
}
_KINDS = ("0x02", "0x03", "0x0b", "0x12")  # network, display, co-processor, processing accelerator
_ALSO_MAKE_NETWORK_CARDS = {"0x10de", "0x1002", "0x19e5", "0x1d94", "0x1ded"}
_NOT_FOR_COMPUTING = {("0x19e5", "0x1711")}  # the screen of the management controller on Huawei servers
_MOST_DEVICES = 4096


@dataclass(frozen=True, slots=True)
class Device:
    """One function on the bus that can be an accelerator."""

    address: str  # 0000:c1:00.0
    vendor_id: str  # 0x19e5
    device_id: str  # d802
    vendor: str
    driver: str  # kernel module that has it; empty: none

    @property
    def pci_id(self) -> str:
        """`19e5:d802`."""
        return f"{self.vendor_id.removeprefix('0x')}:{self.device_id}"


def devices(root: Path, also: Mapping[str, str] | None = None) -> tuple[Device, ...]:
    """Accelerators in `sys/bus/pci/devices` below a root, in order of address; none when that cannot be read.

    Args:
        root: `/` of the host.
        also: further vendor ids with names, such as those of profiles a user added.
    """
    vendors = {**(also or {}), **VENDORS}
    return tuple(device for device in _all(root / "sys/bus/pci/devices", vendors) if _is_accelerator(device))


def _all(folder: Path, vendors: Mapping[str, str]) -> Iterator[Device]:
    try:
        entries = sorted(folder.iterdir())[:_MOST_DEVICES]
    except OSError:
        return
    for entry in entries:
        vendor_id, device_id, kind = (_word(entry / name) for name in ("vendor", "device", "class"))
        if vendor_id not in vendors or not kind.startswith(_KINDS) or (entry / "physfn").exists():
            continue  # a virtual function with its physical one in sight is the same chip again
        if kind.startswith(_KINDS[0]) and vendor_id in _ALSO_MAKE_NETWORK_CARDS:
            continue
        driver = ""
        with suppress(OSError):
            driver = (entry / "driver").readlink().name
        yield Device(entry.name.lower(), vendor_id, device_id.removeprefix("0x"), vendors[vendor_id], driver)


def _is_accelerator(device: Device) -> bool:
    return (device.vendor_id, f"0x{device.device_id}") not in _NOT_FOR_COMPUTING


def _word(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(16).decode("ascii", errors="replace").strip().lower()
    except OSError:
        return ""
