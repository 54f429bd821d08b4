"""How long a prediction takes in process: looking up a calibration, compiling a way to run a model, and one load of it.

Nothing here is a test.

    python benchmarks/predict.py [--rounds 2000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from orchestrator.adapters.catalog import read_catalog
from orchestrator.core.performance.lookup import applied
from orchestrator.core.performance.runner import Runner, Workload
from orchestrator.core.performance.serving import predictor
from orchestrator.core.world import Parallelism


def main() -> int:
    """Time the three parts for a large mixture of experts on eight chips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    rounds = parser.parse_args().rounds
    catalog = read_catalog()
    engine, profile = catalog.engines["vllm"], catalog.profiles["nvidia-h200-sxm"]
    architecture = catalog.models["deepseek-v3"].spec.architecture
    if architecture is None:
        raise ValueError("deepseek-v3 has no dimensions")
    found = applied(catalog.calibrations, engine, profile, "deepseek-v3")
    runner = Runner(architecture, "fp8", profile, engine, Parallelism(tensor=8, expert=True), 1, applied=found)
    ready, work = predictor(runner), Workload(1000, 300)
    parts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("look up", lambda: applied(catalog.calibrations, engine, profile, "deepseek-v3")),
        ("compile", lambda: predictor(runner)),
        ("predict", lambda: ready.predict(work, sequences=32)),
    )
    for name, do in parts:
        print(f"{name:<8} {_each_us(do, rounds):8.1f} us")
    return 0


def _each_us(do: Callable[[], object], rounds: int) -> float:
    begun_s = time.perf_counter()
    for _ in range(rounds):
        do()
    return (time.perf_counter() - begun_s) / rounds * 1e6


if __name__ == "__main__":
    raise SystemExit(main())
