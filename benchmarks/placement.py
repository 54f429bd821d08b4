"""The placement solver on generated fleets: seconds, cost, proven bound and gap.

Fleets are drawn from a seed: 12 types of chips, pools of equal nodes, services whose rates fall steeply from first to
last. Capacities and prices are invented; what is measured is the solver. Nothing here is a test.

    python benchmarks/placement.py [--seed 1] [--output table|json]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time

from orchestrator.core.solver.problem import Column, Demand, Pool, Problem, Take
from orchestrator.core.solver.solve import solve

FLEETS = ((1_000, 100, 40), (10_000, 300, 120))  # nodes, services, pools
CHIPS = 12
USED = 0.6  # of the fleet, at its mean speed


def fleet(nodes: int, services: int, pools: int, seed: int) -> Problem:
    """A fleet of so many nodes, in so many pools, with so many services."""
    rng = random.Random(seed)
    chips = [
        (rng.choice((24, 32, 48, 64, 80, 96, 141)), rng.uniform(0.3, 3.0), rng.uniform(0.6, 1.6)) for _ in range(CHIPS)
    ]  # memory in GB, speed, and price by speed
    cuts = sorted(rng.sample(range(1, nodes), pools - 1))
    sizes = [b - a for a, b in zip((0, *cuts), (*cuts, nodes), strict=True)]
    kinds = [rng.randrange(CHIPS) for _ in range(pools)]
    rooms = tuple(Pool(f"pool-{p:03}", size, 8) for p, size in enumerate(sizes))
    site_price = [rng.uniform(0.85, 1.25) for _ in range(pools)]
    weights = [rng.lognormvariate(0.0, 1.6) for _ in range(services)]
    fleet_speed = sum(size * 8 * chips[kind][1] for size, kind in zip(sizes, kinds, strict=True))
    demands, columns = [], []
    for s in range(services):
        memory = rng.choice((8, 16, 30, 60, 130, 250, 480))
        work = memory**0.8
        rate = USED * fleet_speed * weights[s] / sum(weights) / work * 10
        demands.append(Demand(f"service-{s:03}", rate))
        taste = [rng.lognormvariate(0.0, 0.2) for _ in range(CHIPS)]  # how well the model suits the chip
        for p, kind in enumerate(kinds):
            gigabytes, speed, price = chips[kind]
            fits = [tp for tp in (1, 2, 4, 8) if tp * gigabytes * 0.85 > memory]
            if not fits or rng.random() < 0.1:
                continue
            for tp in fits[: 1 + (rng.random() < 0.15)]:
                capacity = 10 * speed * taste[kind] * tp**0.93 / work
                cost = tp * speed * price * site_price[p]
                columns.append(
                    Column(f"{s:03}/{p:03}/{tp}", {f"service-{s:03}": capacity}, (Take(f"pool-{p:03}", 1, tp),), cost)
                )
    return Problem(tuple(demands), rooms, tuple(columns))


def measure(nodes: int, services: int, pools: int, seed: int) -> dict[str, float | str | int]:
    problem = fleet(nodes, services, pools, seed)
    begun_s = time.perf_counter()
    solution = solve(problem, effort="full")
    taken_s = time.perf_counter() - begun_s
    begun_s = time.perf_counter()
    quick = solve(problem, effort="quick")
    quick_s = time.perf_counter() - begun_s
    short = sum(d.rate_per_s > solution.carried_per_s[d.name] * (1 + 1e-9) for d in problem.demands)
    return {
        "nodes": nodes,
        "services": services,
        "columns": len(problem.columns),
        "seconds": round(taken_s, 2),
        "cost_per_h": round(solution.cost_per_h, 2),
        "bound_per_h": round(solution.bound_per_h, 2),
        "gap": round(solution.gap, 5),
        "proof": solution.proof,
        "short": short,
        "replicas": sum(solution.replicas.values()),
        "quick_seconds": round(quick_s, 3),
        "quick_gap": round(quick.gap, 5) if math.isfinite(quick.gap) else 1.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", choices=("table", "json"), default="table")
    wanted = parser.parse_args()
    rows = [measure(*size, wanted.seed) for size in FLEETS]
    if wanted.output == "json":
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
