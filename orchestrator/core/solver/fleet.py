"""Large problems: a linear relaxation, bundles for what is few, and a search among what they chose. Called by `solve`.

The search is over the bundles found and the columns that are nearly worth their price, which is small enough to be
searched in a second and holds a plan within the gap that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from orchestrator.core.solver.bundles import SAFE, Bundles
from orchestrator.core.solver.levels import scale_of
from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Reals
from orchestrator.core.solver.program import Answer, Effort, solve_integer, solve_linear
from orchestrator.core.solver.rooms import Room
from orchestrator.core.solver.rounding import rounded
from orchestrator.core.solver.tail import tail_of, whole_of

ROUNDS = 12  # of prices and mixes
CLOSE = 0.001  # the rounds end when mixes in parts cost so little more than the bound
FINE = 4000  # steps of a rate, for the bound that is kept
COARSE = 250  # and for a quick one
WANTED = 0.007  # the search ends at so small a gap
TASTE = 1e-4  # what the dislike of a typical replica weighs beside its cost; far below the gap
# How many columns of each demand of many replicas are searched, how far their counts may be from the relaxation's
# (a part of the count, and so many more), and how often the search may ask whether to go on.
WIDTHS = ((4, 0.05, 3, 60), (10, 0.5, 10, 120))
WITHOUT = Effort(nodes=500, checks=100)  # of the search without bundles, where those found do not go together
ENOUGH, REFINED = 0.01, 3_000  # a gap above this is worth a search of all, in a program of so many variables
NEAR = 6  # columns of each demand in it that are nearly worth their price, beside those in use


@dataclass(frozen=True, slots=True)
class Found:
    """A plan of a large problem.

    Attributes:
        x: by variable of the model; None when the search ended without a plan.
        bound: of cost and moves, the model's offset not included.
    """

    x: Reals | None
    bound: float


def search(model: Model, space: tuple[Room, ...], *, thorough: bool) -> Found | None:
    """A plan in which all is carried, and its bound; None when the relaxation already shows that there is none."""
    real = model.cost()
    scale = scale_of(real)
    real = real / scale
    dislike = model.dislike()
    cost = real + TASTE * dislike / scale_of(dislike)
    relaxed = solve_linear(model.program, cost, model.whole())
    if relaxed.x is None or relaxed.duals is None:
        return None
    tail = tail_of(model, relaxed.x)
    found = Bundles(model, tail, whole_of(model, tail), cost, -np.inf, relaxed.duals)
    plan = rounded(model, space, relaxed.x, found.left(found.binding(relaxed.duals)), model.whole())
    proven = Bundles(model, tail, found.whole, real, -np.inf, relaxed.duals)
    proven.price(relaxed.duals, FINE if thorough else COARSE)
    if plan is not None and (not thorough or real @ plan <= proven.bound * (1 + WANTED)):
        return Found(plan, proven.bound * scale)
    found.price(relaxed.duals)
    growing = found.start()
    for _ in range(ROUNDS):
        if not found.improve(growing) or found.value <= found.bound * (1 + CLOSE):
            break
    proven.price(found.prices, FINE)
    x = _among(found, growing.solve(), proven.bound)
    if x is None or (plan is not None and real @ plan < real @ x):
        x = plan
    if x is not None and model.program.variables <= REFINED and real @ x > proven.bound * (1 + ENOUGH):
        answer = solve_integer(model.program, real, replace(WITHOUT, gap=ENOUGH), upper=model.whole(), start=x)
        bound = max(proven.bound, answer.bound - SAFE * abs(answer.bound))
        return Found(x if answer.x is None or real @ answer.x > real @ x else answer.x, bound * scale)
    return Found(x, proven.bound * scale)


def _among(found: Bundles, last: Answer, bound: float) -> Reals | None:
    """The best plan among the mixes found and the columns nearly worth their price; wider until there is one."""
    if last.x is None or last.duals is None:
        return None
    for width in WIDTHS:
        x = _restricted(found, last.x, last.duals, bound, width)
        if x is not None:
            return x
    return _without(found, last.x, last.duals, bound)


def _without(found: Bundles, relaxed: Reals, duals: Reals, bound: float) -> Reals | None:
    """A plan of the model itself, among the columns in use and those nearly worth their price."""
    model, problem = found.model, found.model.problem
    left = found.left(found.binding(duals[: found.whole.first_need]))
    kept = relaxed[model.counts] > 0
    for need, replicas in found.mixes:
        kept[found.tail.columns[found.tail.needs[need][0]][replicas > 0]] = True
    worth = left[model.counts[problem.served_column]] * problem.scale_per_s[problem.served_demand]
    order = np.lexsort((worth / problem.capacity_per_s, problem.served_demand))
    demand = problem.served_demand[order]
    first = np.searchsorted(demand, demand)
    kept[problem.served_column[order][np.arange(len(order)) - first < NEAR]] = True
    upper = model.whole()
    upper[model.counts[~kept]] = 0.0
    effort = replace(WITHOUT, gap=WANTED / 4, target=bound * (1 + WANTED))
    return solve_integer(model.program, found.cost, effort, upper=upper).x


def _restricted(
    found: Bundles, relaxed: Reals, duals: Reals, bound: float, width: tuple[int, float, int, int]
) -> Reals | None:
    model, tail = found.model, found.tail
    columns, share, more, checks = width
    program = found.whole.program.copy()
    lower, upper = np.zeros(program.variables), found.whole.upper.copy()
    left = found.left(found.binding(duals[: found.whole.first_need]))
    problem = model.problem
    many = np.setdiff1d(list(model.cover_rows), tail.demands)
    for demand in many.tolist():
        own = model.counts[problem.served_column[problem.served_demand == demand]]
        used = relaxed[own]
        kept = used > 0
        kept[np.argsort(left[own], kind="stable")[:columns]] = True
        upper[own[~kept]] = 0.0
        lower[own] = np.floor(np.maximum(0.0, used * (1 - share) - more))
        upper[own] = np.minimum(upper[own], np.ceil(used * (1 + share) + more))
    program.lower, program.upper = [lower], [upper]
    cost, matrix = found.columns_of(range(len(found.mixes)))
    taken = program.add_variables(np.zeros(len(cost)), 1.0, integer=True)
    program.put(matrix.where, np.repeat(taken, np.diff(matrix.start)), matrix.value)
    effort = Effort(nodes=2_000, checks=checks, gap=WANTED / 4, target=bound * (1 + WANTED))
    answer = solve_integer(program, np.concatenate((found.cost, cost)), effort)
    return None if answer.x is None else found.plain(answer.x)
