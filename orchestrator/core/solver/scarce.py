"""Large problems in which not everything fits: what the relaxation uses, level by level. Pure; called by `solve`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from orchestrator.core.solver.levels import HELD_WITHIN, Settled, hold, hold_levels, scale_of
from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Reals
from orchestrator.core.solver.program import Effort, solve_integer, solve_linear
from orchestrator.core.solver.rooms import Room
from orchestrator.core.solver.rounding import rounded

SEARCHED = Effort(nodes=200, checks=60, gap=1e-4)
NEAR = 4  # columns of each demand that are searched beside those in use


def settle_large(model: Model, space: tuple[Room, ...], *, thorough: bool) -> Settled:
    """Good values, level by level, and the relaxation's bound for plans as good in the levels before cost."""
    cost = model.cost()
    scale = scale_of(cost)
    used, relaxed, price = _relaxed(model, cost / scale)
    x = rounded(model, space, relaxed, price)
    if thorough or x is None:
        upper = _searched(model, used)
        if x is not None:
            upper[model.counts] = np.maximum(upper[model.counts], x[model.counts])
        start = hold_levels(model, SEARCHED, upper, x)
        answer = solve_integer(model.program, cost / scale, SEARCHED, upper=upper, start=start)
        x = start if answer.x is None else answer.x
    else:
        for level in model.levels():
            hold(model, level, float(level @ x) + HELD_WITHIN)
    bound = solve_linear(model.program, cost / scale).bound
    return Settled(x, bound * scale, optimal=False)


def _relaxed(model: Model, cost: Reals) -> tuple[npt.NDArray[np.bool_], Reals, Reals]:
    """The relaxation, level by level: which columns some level uses, the last values, and prices by variable."""
    shadow = replace(model, program=model.program.copy())
    used = np.zeros(len(model.counts), dtype=bool)
    x, price = model.nothing(), cost
    rows = np.repeat(np.arange(model.program.rows), np.diff(model.program.matrix().start))
    matrix = model.program.matrix()
    kept = ~np.isin(rows, list(model.cover_rows.values()))
    for level in (*model.levels(), cost):
        answer = solve_linear(shadow.program, level)
        if answer.x is None or answer.duals is None:
            continue
        x = answer.x
        used |= x[model.counts] > HELD_WITHIN
        paid = matrix.value[kept] * answer.duals[rows[kept]]
        price = level - np.bincount(matrix.where[kept], weights=paid, minlength=len(cost))
        reached = float(level @ x)
        hold(shadow, level, reached + HELD_WITHIN * max(1.0, reached))
    return used, x, price


def _searched(model: Model, used: npt.NDArray[np.bool_]) -> Reals:
    """Bounds that leave the columns in use, and those nearly worth their price."""
    cost = model.cost()
    problem = model.problem
    worth = cost[model.counts[problem.served_column]] * problem.scale_per_s[problem.served_demand]
    order = np.lexsort((worth / problem.capacity_per_s, problem.served_demand))
    demand = problem.served_demand[order]
    first = np.searchsorted(demand, demand)
    used = used.copy()
    used[problem.served_column[order][np.arange(len(order)) - first < NEAR]] = True
    upper = np.concatenate(model.program.upper)
    upper[model.counts[~used]] = 0.0
    return upper
