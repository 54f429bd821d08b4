"""Feeds broken configurations and weight headers to `headwater models import` and measures what that costs.

    python benchmarks/fuzz_import.py --count 10000 --seed 1

Every case is a file that somebody could hand us: a good one, broken in one to four ways. A case may be read or refused
with one sentence; anything else is a traceback and counted. The same seed makes the same cases.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import hostile_configs
import hostile_gguf
import hostile_safetensors

from orchestrator.adapters.imports.card import import_model
from orchestrator.adapters.imports.view import card_text, import_view
from orchestrator.errors import HeadwaterError

MOST_ADDRESS_BYTES = 2 << 30  # libraries alone map several hundred megabytes that are never touched
SLOW_S = 2.0
MAKERS: dict[str, Callable[[random.Random, Path], Path]] = {
    "config": hostile_configs.make,
    "safetensors": hostile_safetensors.make,
    "gguf": hostile_gguf.make,
}


def run(count: int, seed: int, folder: Path) -> dict[str, object]:
    ends: Counter[str] = Counter()
    tracebacks: list[str] = []
    slowest: list[tuple[float, str]] = []
    for number in range(count):
        kind = list(MAKERS)[number % len(MAKERS)]
        case = f"{seed}/{number}"
        where = folder / "model"
        where.mkdir()
        source = MAKERS[kind](random.Random(f"{kind} {case}"), where)
        begin = time.perf_counter()
        end = "read"
        try:
            found = import_model(str(source))
            import_view(found)
            card_text(found.card)
        except HeadwaterError as error:
            said = str(error)
            end = type(error).__name__
            if "\n" in said or not said.isprintable() or len(said) > 3000:
                tracebacks.append(f"{kind} {case}: no single printable sentence: {said[:200]!r}")
        except Exception:  # noqa: BLE001  whatever it is, it is a finding
            tracebacks.append(f"{kind} {case}: {traceback.format_exc(limit=-4)}")
        taken_s = time.perf_counter() - begin
        ends[f"{kind} {end}"] += 1
        slowest = sorted([*slowest, (taken_s, f"{kind} {case}: {end}")], reverse=True)[:5]
        for path in where.iterdir():
            path.unlink()
        where.rmdir()
    return {
        "cases": count,
        "seed": seed,
        "ends": dict(sorted(ends.items())),
        "tracebacks": tracebacks,
        "maxResidentBytes": most_resident_bytes(),
        "slowestSeconds": slowest[0][0] if slowest else 0.0,
        "overTwoSeconds": sum(taken_s > SLOW_S for taken_s, _ in slowest),
        "slowest": [f"{taken_s:.2f} s {what}" for taken_s, what in slowest],
    }


def most_resident_bytes() -> int:
    """The most memory this program had; what getrusage says includes that of a large parent before exec."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def main() -> int:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--count", type=int, default=10_000)
    wanted.add_argument("--seed", type=int, default=1)
    asked = wanted.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESS_BYTES, MOST_ADDRESS_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        summary = run(asked.count, asked.seed, Path(folder))
    print(json.dumps(summary, indent=1))
    return 1 if summary["tracebacks"] else 0


if __name__ == "__main__":
    sys.exit(main())
