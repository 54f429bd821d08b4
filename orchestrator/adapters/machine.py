"""This machine as a hardware profile named `local`: detected and measured, never assumed.

Called by `orchestrator.wiring`. The two measurements, memory bandwidth and fp32 peak, take about a second together and
are kept in a small file; a different processor, core count or memory, or a damaged file, makes them run again. What the
machine shares with others is respected: affinity and cgroup limits bound cores and memory.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from orchestrator.api.document import API_VERSION
from orchestrator.api.hardware import HardwareProfile

MEASURING = 1  # goes up when the way of measuring changes, so that older files are measured again
NAME = "local"
_MATTER = [
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "fphp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
    "lasx",
]
_CALLED = {"asimd": "neon"}
_BUFFER_BYTES = 1 << 28  # far beyond the last cache of one socket
_BANDWIDTH_S = 0.5  # many short rounds: on a busy machine a few of them find all cores free
_PEAK_S = 0.2
_BATCH, _MATRIX = 16, 64
_PLANNED = 0.9  # the rest is left to the system
_SENSIBLE = (1e6, 1e17)
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Machine:
    """What can be read without measuring."""

    processor: str
    cores: int  # physical cores this process may use
    memory_bytes: int  # that may be planned
    instructions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, in bytes per second and operations per second."""

    bandwidth: float
    peak_fp32: float


def detect(cache: Path, measure: Callable[[int], Measured] | None = None) -> HardwareProfile:
    """The profile of this machine.

    Args:
        cache: file that keeps the measurements; it is written when they are new.
        measure: measures with a number of threads; by default memory is read and matrices are multiplied.
    """
    machine = look()
    key = {"measuring": MEASURING} | {name: value for name, value in asdict(machine).items() if name != "instructions"}
    measured = _kept(cache, key)
    if measured is None:
        measured = (measure or _measure)(machine.cores)
        _keep(cache, key, measured)
    return _profile(machine, measured)


def look() -> Machine:
    """Processor, cores, memory and instruction sets of this machine, within what this process may use."""
    text, groups = _text(Path("/proc/cpuinfo")), _groups(_text(Path("/proc/self/cgroup")), _CGROUPS)
    total = int(psutil.virtual_memory().total)
    memory = min(total, memory_limit(groups) or total)
    return Machine(_processor(text), _cores(processor_limit(groups)), int(memory * _PLANNED), instructions(text))


def instructions(cpu_text: str) -> tuple[str, ...]:
    """Instruction sets that matter to engines, from the text of /proc/cpuinfo."""
    line = re.search(r"^(?:flags|Features|features)\s*:(.*)$", cpu_text, re.MULTILINE)
    have = set(line.group(1).lower().split()) if line else set()
    return tuple(_CALLED.get(name, name) for name in _MATTER if name in have)


def memory_limit(groups: Iterable[Path]) -> int | None:
    """The smallest memory limit in bytes that these cgroups set, if any."""
    limits = []
    for group in groups:
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(ValueError):
                limits.append(int(_text(group / name)))
    return min((limit for limit in limits if limit > 0), default=None)


def processor_limit(groups: Iterable[Path]) -> float | None:
    """The smallest number of processors' worth of time that these cgroups grant, if they bound it."""
    limits = []
    for group in groups:
        written = _text(group / "cpu.max") or " ".join(
            _text(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")
        )
        with suppress(ValueError, ZeroDivisionError):
            quota, period = written.split()
            limits.append(int(quota) / int(period))
    return min((limit for limit in limits if limit > 0), default=None)


def _groups(own: str, root: Path) -> list[Path]:
    """Folders of the cgroups this process is in, up to the root, from the text of /proc/self/cgroup."""
    found: dict[Path, None] = {}
    for line in own.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        for top in [root] if not controllers else [root / name for name in (controllers, *controllers.split(","))]:
            folder = top / path.lstrip("/")
            found.update(dict.fromkeys([folder, *folder.parents][: len(folder.relative_to(top).parts) + 1]))
    return list(found)


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def _processor(cpu_text: str) -> str:
    line = re.search(r"^(?:model name|Model Name|Hardware)\s*:\s*(.+)$", cpu_text, re.MULTILINE)
    return line.group(1).strip() if line else platform.processor() or platform.machine() or "unknown processor"


def _cores(limit: float | None) -> int:
    """Physical cores, bounded by affinity and by the cgroup's share of processor time."""
    logical = psutil.cpu_count() or 1
    threads_per_core = max(1, logical // (psutil.cpu_count(logical=False) or logical))
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    return max(1, min(math.ceil(allowed / threads_per_core), math.floor(limit or logical)))


def _measure(threads: int) -> Measured:
    return Measured(_read_bandwidth(threads), _matrix_peak(threads))


def _read_bandwidth(threads: int) -> float:
    """Bytes per second read by all cores together from a buffer beyond the caches; the best round within a time."""
    size = min(_BUFFER_BYTES, psutil.virtual_memory().available // 8) // 8 // threads
    parts = [np.ones(max(size, 1), dtype=np.int64) for _ in range(threads)]
    best, until = math.inf, time.perf_counter() + _BANDWIDTH_S
    with ThreadPoolExecutor(threads) as pool:
        while time.perf_counter() < until:
            started = time.perf_counter()
            list(pool.map(np.add.reduce, parts))
            best = min(best, time.perf_counter() - started)
    return sum(part.nbytes for part in parts) / best


def _matrix_peak(threads: int) -> float:
    """fp32 operations per second of all cores: the best of one core in many short rounds, times the cores.

    Products this small stay on one core. Threads that must meet would measure who else runs on a busy machine.
    """
    a = np.ones((_BATCH, _MATRIX, _MATRIX), dtype=np.float32)
    out = np.empty_like(a)
    best, until = math.inf, time.perf_counter() + _PEAK_S
    while time.perf_counter() < until:
        started = time.perf_counter()
        np.matmul(a, a, out=out)
        best = min(best, time.perf_counter() - started)
    return threads * 2.0 * _BATCH * _MATRIX**3 / best


def _kept(cache: Path, key: Mapping[str, object]) -> Measured | None:
    """Measurements of the same machine, or None when the file is absent, damaged or of another machine."""
    try:
        kept = json.loads(cache.read_text(encoding="utf-8"))
        numbers = [float(kept["bandwidth"]), float(kept["peak_fp32"])]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if kept.get("machine") != key or not all(_SENSIBLE[0] < number < _SENSIBLE[1] for number in numbers):
        return None
    return Measured(*numbers)


def _keep(cache: Path, key: Mapping[str, object], measured: Measured) -> None:
    """Write the file whole or not at all; a folder that cannot be written only costs measuring again."""
    with suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        whole = cache.with_name(f".{cache.name}.{os.getpid()}")
        whole.write_text(json.dumps({"machine": key, **asdict(measured)}), encoding="utf-8")
        whole.replace(cache)


def _profile(machine: Machine, measured: Measured) -> HardwareProfile:
    read = f"read by {machine.cores} threads from a buffer beyond the caches, best within {_BANDWIDTH_S} s"
    multiplied = (
        f"numpy products of {_MATRIX} x {_MATRIX} fp32 matrices on one core, best within {_PEAK_S} s, times cores"
    )
    return HardwareProfile.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "HardwareProfile",
            "metadata": {"name": NAME},
            "spec": {
                "vendor": machine.processor.split()[0],
                "family": machine.processor,
                "kind": "cpu",
                "memory": {
                    "value": f"{machine.memory_bytes}B",
                    "status": "measured",
                    "note": f"{_PLANNED:.0%} of what is fitted, or of the cgroup's limit where that is less",
                },
                "bandwidth": {"value": f"{measured.bandwidth / 1e9:.3f}GB/s", "status": "measured", "note": read},
                "peaks": {
                    "fp32": {
                        "value": f"{measured.peak_fp32 / 1e9:.3f}GFLOPS",
                        "status": "measured",
                        "note": multiplied,
                    }
                },
                "cores": machine.cores,
                "instructions": machine.instructions,
                "engines": ["edge"],
            },
        }
    )
