"""From values of the integer program back to replicas, rates and money. Pure; called by `solve`."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Ordered, Reals, Wholes
from orchestrator.core.solver.problem import Solution

WHOLE = 1 - 1e-7  # of a rate; the search's tolerance


def read(model: Model, x: Reals, bound_per_h: float, proof: str) -> Solution:
    """The solution that the values stand for."""
    problem = model.problem
    counts = np.rint(x[model.counts]).astype(np.int64)
    taken = {way.choice: at for at, way in enumerate(problem.ways) if x[model.ways[at]] > 1 / 2}
    busy: dict[int, float] = defaultdict(float)
    for carries in model.carries:
        share = max(0.0, float(x[carries.variable])) * carries.share
        busy[carries.demand] += share * float(problem.scale_per_s[carries.demand])
    for column, demand, capacity in zip(
        problem.served_column.tolist(), problem.served_demand.tolist(), problem.capacity_per_s.tolist(), strict=True
    ):
        if column in model.simple and counts[column]:
            busy[demand] += capacity * int(counts[column])
    carried = {}
    for at, demand in enumerate(problem.demands):
        ways = problem.demand_ways[at]
        rate = problem.rate_per_s(at, taken[problem.ways[ways[0]].choice] if ways else None)
        carried[demand.name] = rate if busy[at] >= rate * WHOLE else busy[at]
    cost, moves = money(problem, counts)
    return Solution(
        replicas={c.name: int(n) for c, n in zip(problem.columns, counts, strict=True) if n},
        carried_per_s=carried,
        ways={problem.choices[choice].name: problem.ways[at].name for choice, at in taken.items()},
        cost_per_h=cost,
        moves_per_h=moves,
        bound_per_h=min(bound_per_h, cost + moves),
        proof=proof,
    )


def money(problem: Ordered, counts: Wholes) -> tuple[float, float]:
    """Cost and moves of so many replicas by column."""
    cost = sum(c.cost_per_h * int(n) for c, n in zip(problem.columns, counts, strict=True) if n)
    moves = sum(c.move_per_h * abs(int(n) - c.now) for c, n in zip(problem.columns, counts, strict=True))
    return float(cost), float(moves)
