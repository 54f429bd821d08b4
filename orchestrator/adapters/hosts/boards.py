"""Boards whose accelerator is no PCI device: Rockchip, Jetson, Ascend 310B; files of kernel and vendor tell.

Reading small files is all the I/O there is. Called by `detect` beside this file. The memory of such a chip is the
board's, shared with everything else that runs there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from orchestrator.adapters.hosts.chips import MIB, Chip

_MOST_BYTES = 1 << 16
_JETSON: Mapping[str, str] = {  # modules as the device trees of Linux and of Jetson Linux name them
    "p3701-0000": "Jetson AGX Orin 32GB",
    "p3701-0004": "Jetson AGX Orin 32GB",
    "p3701-0005": "Jetson AGX Orin 64GB",
    "p3701-0008": "Jetson AGX Orin 64GB",
    "p3767-0000": "Jetson Orin NX 16GB",
    "p3767-0001": "Jetson Orin NX 8GB",
    "p3767-0003": "Jetson Orin Nano 8GB",
    "p3767-0004": "Jetson Orin Nano 4GB",
    "p3767-0005": "Jetson Orin Nano 8GB",
}
_RELEASE = re.compile(r"# R(\d{1,3}) \(release\), REVISION: ([\d.]{1,16})")
_RAM = re.compile(r"\bRAM (\d{1,8})/(\d{1,8})MB")
_RKNPU = re.compile(r"\bv?(\d[\d.]{1,16})")


def look(root: Path) -> tuple[Chip, ...]:
    """Chips of the board with this root, mostly none or one.

    Args:
        root: `/` of the host.
    """
    compatible = _read(root / "proc/device-tree/compatible").split("\0")
    memory = memory_bytes(_read(root / "proc/meminfo"))
    rockchip = _named(compatible, r"rockchip,(rk\d{4})")
    if rockchip:
        version = _RKNPU.search(_read(root / "sys/kernel/debug/rknpu/version"))
        loaded = (root / "sys/bus/platform/drivers/RKNPU").exists() or version is not None
        driver = f"rknpu {version.group(1)}" if version else "rknpu" if loaded else ""
        return (Chip("Rockchip", rockchip.upper(), memory, 0, "", driver, "device tree"),)
    release = tegra_release(_read(root / "etc/nv_tegra_release"))
    if release or any(name.startswith("nvidia,tegra") for name in compatible):
        name = jetson_name(compatible) or _read(root / "proc/device-tree/model").strip("\0 \n") or "Jetson"
        return (Chip("NVIDIA", name, memory, 0, "", release, "device tree"),)
    if (root / "dev/davinci0").exists():
        return (Chip("Huawei", "310B", memory, 0, "", "", "/dev/davinci0"),)
    return ()


def jetson_name(compatible: list[str]) -> str:
    """The module's name, from texts such as `nvidia,p3768-0000+p3767-0005`; empty for one we do not know."""
    return next((_JETSON[module] for module in _JETSON for name in compatible if module in name), "")


def tegra_release(text: str) -> str:
    """`R35.4.1` of the text of /etc/nv_tegra_release; empty when it is another file."""
    found = _RELEASE.search(text)
    return f"R{found.group(1)}.{found.group(2)}" if found else ""


def tegrastats(text: str) -> int | None:
    """The board's memory in bytes from a line of tegrastats: of `RAM 1488/7620MB` the second number, which is MiB."""
    found = _RAM.search(text)
    return int(found.group(2)) * MIB or None if found else None


def memory_bytes(text: str) -> int | None:
    """`MemTotal` of the text of /proc/meminfo."""
    found = re.search(r"^MemTotal:\s+(\d{1,14}) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def ascend_generation(text: str) -> str:
    """What the version in /etc/hccl_rootinfo.json says about an Ascend server; empty when it says nothing."""
    found = re.search(r'"version"\s*:\s*"(\d\.\d)"', text)
    known = {"1.0": "Atlas A2", "1.2": "Atlas A3", "2.0": "Atlas A5"}
    return known.get(found.group(1), "") if found else ""


def hccl_rootinfo(root: Path) -> str:
    """The text of the host's /etc/hccl_rootinfo.json; empty without one."""
    return _read(root / "etc/hccl_rootinfo.json")


def _named(compatible: list[str], pattern: str) -> str:
    return next((found.group(1) for name in compatible if (found := re.match(pattern, name))), "")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
