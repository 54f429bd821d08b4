"""What comes first comes first: shortage by priority, loss, cost and moves, dislike. Called by `solve` and `scarce`.

Each level is optimised with all levels before it held where they are. Mostly everything fits, and the levels before
cost are settled by one search that allows nothing short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Reals
from orchestrator.core.solver.program import INFINITE, Effort, solve_integer

HELD_WITHIN = 1e-8  # of what a level reached; what the search calls equal
# A level may gain what the level before it was not held to, many times over: the slack of each must exceed that.
GROWTH, SLACK_AT_MOST = 100.0, 5e-6
COUNT_WEIGHT = 1e-6  # between plans that are liked the same, fewer replicas; little beside any dislike


@dataclass(frozen=True, slots=True)
class Settled:
    """The values found, and what no values that are as good in the levels before cost can beat.

    Attributes:
        x: by variable of the model.
        bound: of cost and moves, the model's offset not included.
        optimal: whether cost and moves are proven least.
    """

    x: Reals
    bound: float
    optimal: bool


def settle(model: Model, effort: Effort) -> Settled:
    """The best values, level by level."""
    cost = model.cost()
    scale = scale_of(cost)
    upper: Reals | None = model.whole()
    answer = solve_integer(model.program, cost / scale, effort, upper=upper)
    if answer.x is None:
        upper = None
        start = hold_levels(model, effort)
        answer = solve_integer(model.program, cost / scale, effort, start=start)
        if answer.x is None:
            return Settled(start, answer.bound * scale, optimal=False)
    x = _liked(model, effort, answer.x, upper) if answer.optimal else answer.x
    return Settled(x, answer.bound * scale, answer.optimal)


def scale_of(cost: Reals) -> float:
    """What a typical replica costs, so that tolerances mean the same in every currency."""
    paid = cost[cost > 0]
    return float(np.median(paid)) if len(paid) else 1.0


def hold_levels(model: Model, effort: Effort, upper: Reals | None = None, start: Reals | None = None) -> Reals:
    """Optimise the levels before cost one after the other, and hold each by a row; the values reached."""
    x = model.nothing() if start is None else start
    slack = HELD_WITHIN
    for level in model.levels():
        if level @ x > HELD_WITHIN:
            answer = solve_integer(model.program, level, effort, upper=upper, start=x)
            x = x if answer.x is None else answer.x
        reached = float(level @ x)
        if reached <= slack:
            hold(model, level, 0.0)
            continue
        hold(model, level, reached + slack * max(1.0, reached))
        slack = min(slack * GROWTH, SLACK_AT_MOST)
    return x


def hold(model: Model, level: Reals, most: float) -> None:
    """Add a row that keeps a level where it is."""
    used = np.flatnonzero(level)
    model.program.add_row(used, level[used], -INFINITE, most)


def _liked(model: Model, effort: Effort, x: Reals, upper: Reals | None) -> Reals:
    """Of the plans that cost no more, the one that is disliked least, then the one with the fewest replicas."""
    cost, dislike = model.cost(), model.dislike()
    if not dislike.any() and (cost[model.counts] > 0).all():
        return x
    counted = np.zeros(len(cost))
    counted[model.counts] = COUNT_WEIGHT
    scale, reached = scale_of(cost), float(cost @ x)
    program = model.program.copy()
    paid = np.flatnonzero(cost)
    program.add_row(paid, cost[paid] / scale, -INFINITE, reached / scale * (1 + HELD_WITHIN) + 1e-9)
    liked = solve_integer(program, dislike / scale_of(dislike) + counted, effort, upper=upper, start=x)
    return x if liked.x is None else liked.x
