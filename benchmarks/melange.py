"""Melange's problem, solved by us and by its own formulation, in one run.

Reads a file of Melange's shape (`gpu_info`, `workload_distribution`, `total_request_rate`, `slice_factor`), or draws an
instance from a seed. Melange's formulation (each bucket cut into slices, each slice wholly to one type; PuLP and CBC,
stopped after 120 s) is solved too when the package pulp is installed. Nothing here is a test.

    python benchmarks/melange.py [FILE] [--types 12] [--buckets 400] [--rate 1000] [--seed 1] [--output table|json]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import random
import time
from pathlib import Path
from typing import Any

from orchestrator.core.solver.problem import Column, Demand, Problem
from orchestrator.core.solver.solve import solve

THEIR_LIMIT_S = 120


def drawn(types: int, buckets: int, rate: float, seed: int) -> dict[str, Any]:
    """An instance of Melange's shape: longer requests are slower everywhere, and types differ in what suits them."""
    rng = random.Random(seed)
    side = math.isqrt(buckets)
    while buckets % side:
        side -= 1
    weights = [[rng.lognormvariate(0.0, 1.0) for _ in range(buckets // side)] for _ in range(side)]
    total = sum(map(sum, weights))
    kinds = {}
    for kind in range(types):
        speed = rng.uniform(1.0, 12.0)
        slope_in, slope_out = rng.uniform(0.02, 0.3), rng.uniform(0.02, 0.3)
        table = [
            [speed / (1 + slope_in * i + slope_out * o) * rng.uniform(0.85, 1.15) for o in range(buckets // side)]
            for i in range(side)
        ]
        kinds[f"type-{kind:02}"] = {"cost": round(0.35 * speed**0.9 * rng.uniform(0.8, 1.3), 3), "tputs": table}
    return {
        "gpu_info": kinds,
        "workload_distribution": [[w / total for w in row] for row in weights],
        "total_request_rate": rate,
        "slice_factor": 1,
    }


def ours(instance: dict[str, Any]) -> dict[str, Any]:
    """Every bucket a demand, every type a column that serves them all and shares its time among them."""
    begun_s = time.perf_counter()
    rates = {
        f"{i:03}/{o:03}": share * instance["total_request_rate"]
        for i, row in enumerate(instance["workload_distribution"])
        for o, share in enumerate(row)
        if share > 0
    }
    columns = []
    for kind, known in instance["gpu_info"].items():
        served = {f"{i:03}/{o:03}": t for i, row in enumerate(known["tputs"]) for o, t in enumerate(row) if t > 0}
        columns.append(Column(kind, {b: t for b, t in served.items() if b in rates}, (), known["cost"]))
    demands = tuple(Demand(bucket, rate) for bucket, rate in rates.items())
    solution = solve(Problem(demands, (), tuple(columns)), effort="full")
    return {
        "cost_per_h": round(solution.cost_per_h, 4),
        "bound_per_h": round(solution.bound_per_h, 4),
        "proof": solution.proof,
        "seconds": round(time.perf_counter() - begun_s, 3),
        "machines": dict(solution.replicas),
    }


def theirs(instance: dict[str, Any]) -> dict[str, Any] | None:
    """Melange's own formulation and solver, as its paper and repository state them; None without pulp."""
    if importlib.util.find_spec("pulp") is None:
        return None
    import pulp  # noqa: PLC0415 only where it is installed

    begun_s = time.perf_counter()
    kinds, cut = instance["gpu_info"], instance["slice_factor"]
    slices = [
        (i, o, share * instance["total_request_rate"] / cut)
        for i, row in enumerate(instance["workload_distribution"])
        for o, share in enumerate(row)
        for _ in range(cut)
    ]
    program = pulp.LpProblem("melange", pulp.LpMinimize)
    counts = {kind: pulp.LpVariable(f"n_{at}", 0, None, "Integer") for at, kind in enumerate(kinds)}
    gives = {
        (s, kind): pulp.LpVariable(f"x_{s}_{at}", 0, 1, "Integer")
        for s in range(len(slices))
        for at, kind in enumerate(kinds)
    }
    program += pulp.lpSum(counts[kind] * kinds[kind]["cost"] for kind in kinds)
    for s in range(len(slices)):
        program += pulp.lpSum(gives[s, kind] for kind in kinds) == 1
    for kind, known in kinds.items():
        loads = [gives[s, kind] * (rate / known["tputs"][i][o]) for s, (i, o, rate) in enumerate(slices)]
        program += pulp.lpSum(loads) <= counts[kind]
    program.solve(pulp.PULP_CBC_CMD(msg=False, timeLimit=THEIR_LIMIT_S))
    taken_s = time.perf_counter() - begun_s
    return {
        "cost_per_h": round(sum(counts[kind].value() * kinds[kind]["cost"] for kind in kinds), 4),
        "proof": "optimal" if program.sol_status == 1 and taken_s < THEIR_LIMIT_S else "stopped at its limit",
        "seconds": round(taken_s, 3),
        "machines": {kind: int(counts[kind].value()) for kind in kinds if counts[kind].value()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--types", type=int, default=12)
    parser.add_argument("--buckets", type=int, default=400)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", choices=("table", "json"), default="table")
    wanted = parser.parse_args()
    if wanted.file:
        instance = json.loads(wanted.file.read_text(encoding="utf-8"))
    else:
        instance = drawn(wanted.types, wanted.buckets, wanted.rate, wanted.seed)
    rows = {"headwater": ours(instance), "melange": theirs(instance)}
    if wanted.output == "json":
        print(json.dumps(rows, indent=2))
        return
    for name, row in rows.items():
        print(name, row or "not run: pulp is not installed")


if __name__ == "__main__":
    main()
