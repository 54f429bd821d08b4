"""Large problems in which not everything fits: what the relaxation uses, level by level. Pure; called by `solve`."""

from __future__ import annotations

import numpy as np

from orchestrator.core.solver.levels import HELD_WITHIN, Settled, hold, hold_levels, scale_of
from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Reals
from orchestrator.core.solver.program import Effort, solve_integer, solve_linear

SEARCHED = Effort(nodes=200, checks=60, gap=1e-4)
NEAR = 4  # columns of each demand that are searched beside those in use


def settle_large(model: Model) -> Settled:
    """Good values, level by level, and the relaxation's bound for plans as good in the levels before cost."""
    upper = _searched(model)
    start = hold_levels(model, SEARCHED, upper)
    cost = model.cost()
    scale = scale_of(cost)
    answer = solve_integer(model.program, cost / scale, SEARCHED, upper=upper, start=start)
    relaxed = solve_linear(model.program, cost / scale)
    x = start if answer.x is None else answer.x
    return Settled(x, relaxed.bound * scale, optimal=False)


def _searched(model: Model) -> Reals:
    """Bounds that leave the columns that some level of the relaxation uses, and those nearly worth their price."""
    cost = model.cost()
    shadow = Model(model.problem, model.program.copy(), model.counts, model.ways)
    used = np.zeros(len(model.counts), dtype=bool)
    for level in (*model.levels(), cost / scale_of(cost)):
        answer = solve_linear(shadow.program, level)
        if answer.x is None:
            continue
        used |= answer.x[model.counts] > HELD_WITHIN
        reached = float(level @ answer.x)
        hold(shadow, level, reached + HELD_WITHIN * max(1.0, reached))
    problem = model.problem
    worth = cost[model.counts[problem.served_column]] * problem.scale_per_s[problem.served_demand]
    order = np.lexsort((worth / problem.capacity_per_s, problem.served_demand))
    demand = problem.served_demand[order]
    first = np.searchsorted(demand, demand)
    used[problem.served_column[order][np.arange(len(order)) - first < NEAR]] = True
    upper = np.concatenate(model.program.upper)
    upper[model.counts[~used]] = 0.0
    return upper
