"""From values of the integer program back to replicas, rates and money. Pure; called by `solve`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Ordered, Reals, Wholes
from orchestrator.core.solver.problem import Solution

WHOLE = 1 - 1e-7  # of a rate; the search's tolerance


def read(model: Model, x: Reals, bound_per_h: float, proof: str) -> Solution:
    """The solution that the values stand for."""
    problem = model.problem
    counts = np.rint(x[model.counts]).astype(np.int64)
    carried: dict[int, float] = defaultdict(float)
    for carries in model.carries:
        share = max(0.0, float(x[carries.variable])) * carries.share
        carried[carries.demand] += share * float(problem.scale_per_s[carries.demand])
    for column, demand, capacity in zip(
        problem.served_column.tolist(), problem.served_demand.tolist(), problem.capacity_per_s.tolist(), strict=True
    ):
        if column in model.simple and counts[column]:
            carried[demand] += capacity * int(counts[column])
    return stated(model, x, counts, carried, (bound_per_h, proof))


def stated(model: Model, x: Reals, counts: Wholes, carried: Mapping[int, float], bound: tuple[float, str]) -> Solution:
    """The solution in the ways of the values, with these replicas by column that carry this much by demand."""
    problem, taken = model.problem, ways_taken(model, x)
    carried_per_s = {}
    for at, demand in enumerate(problem.demands):
        ways = problem.demand_ways[at]
        rate = problem.rate_per_s(at, taken[problem.ways[ways[0]].choice] if ways else None)
        mine = carried.get(at, 0.0)
        carried_per_s[demand.name] = rate if mine >= rate * WHOLE else mine
    cost, moves = money(problem, counts)
    return Solution(
        replicas={c.name: int(n) for c, n in zip(problem.columns, counts, strict=True) if n},
        carried_per_s=carried_per_s,
        ways={problem.choices[choice].name: problem.ways[at].name for choice, at in sorted(taken.items())},
        cost_per_h=cost,
        moves_per_h=moves,
        bound_per_h=max(0.0, min(bound[0], cost + moves)),
        proof=bound[1],
    )


def ways_taken(model: Model, x: Reals) -> dict[int, int]:
    """By choice, the position of the way that is taken."""
    return {way.choice: at for at, way in enumerate(model.problem.ways) if x[model.ways[at]] > 1 / 2}


def money(problem: Ordered, counts: Wholes) -> tuple[float, float]:
    """Cost and moves of so many replicas by column."""
    cost = sum(c.cost_per_h * int(n) for c, n in zip(problem.columns, counts, strict=True) if n)
    moves = sum(c.move_per_h * abs(int(n) - c.now) for c, n in zip(problem.columns, counts, strict=True))
    return float(cost), float(moves)
