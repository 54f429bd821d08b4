"""The one door of the solver: from a problem to counts with a proof. Pure; called by `orchestrator.core.placement`."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from orchestrator.core.solver.check import check
from orchestrator.core.solver.fleet import search
from orchestrator.core.solver.levels import HELD_WITHIN, hold, scale_of, settle
from orchestrator.core.solver.model import Model, build
from orchestrator.core.solver.ordered import Ordered, Reals, ordered
from orchestrator.core.solver.problem import Problem, Solution
from orchestrator.core.solver.program import INFINITE, Effort, solve_integer
from orchestrator.core.solver.reading import read, stated
from orchestrator.core.solver.rooms import Kind, Room, rooms
from orchestrator.core.solver.scarce import settle_large
from orchestrator.core.solver.seating import seat

Level = Literal["quick", "full"]

FEW_COLUMNS = 100  # so many are searched as they are, to the optimum
FULL = Effort(nodes=5_000, checks=1_000)
QUICK = Effort(nodes=20, checks=50)


def solve(problem: Problem, *, effort: Level = "full") -> Solution:
    """The best plan found, and what no plan can beat; the same for every order of the input.

    What comes first, by descending priority: rate carried, then replicas and places that are asked for; then least
    loss, again by priority; then cost and moves; then dislike.

    Args:
        problem: what to place.
        effort: "quick" is rounding with a bound; "full" improves until the gap is 1 % or the effort is spent.

    Raises:
        ValueError: the problem has no meaning; says what and where.
    """
    check(problem)
    arranged = ordered(problem)
    space = rooms(arranged)
    if len(arranged.columns) > FEW_COLUMNS:
        return _large(arranged, space, effort)
    return _small(arranged, space, build(arranged, space), QUICK if effort == "quick" else FULL)


def _small(problem: Ordered, space: tuple[Room, ...], model: Model, effort: Effort) -> Solution:
    settled = settle(model, effort)
    bound, proof = settled.bound + model.offset, "optimal" if settled.optimal else "search"
    if not all(room.exact for room in space):
        bound, proof = _wider(problem, space, model, settled.x, effort), "relaxation"
    solution = read(model, settled.x, bound, proof)
    if proof == "optimal":
        return replace(solution, bound_per_h=solution.cost_per_h + solution.moves_per_h)
    return solution


def _large(problem: Ordered, space: tuple[Room, ...], effort: Level) -> Solution:
    thorough = effort == "full"
    wide_space = _as_sums(space, every=True)
    model = build(problem, wide_space)
    found = search(model, wide_space, thorough=thorough)
    if found is not None and found.x is not None:
        x, bound, proof = found.x, found.bound, "bundles"
    else:
        settled = settle_large(model, wide_space, thorough=thorough)
        x, bound, proof = settled.x, settled.bound, "relaxation"
    if all(room.kind is not Kind.GROUPS for room in space):
        return read(model, x, bound + model.offset, proof)
    counts, carried = seat(model, space, x)
    return stated(model, x, counts, carried, (bound + model.offset, proof))


def _as_sums(space: tuple[Room, ...], *, every: bool) -> tuple[Room, ...]:
    """Rooms in which nodes are not told apart where there are counts for groups of them."""
    return tuple(
        replace(room, kind=Kind.SUM) if room.kind is Kind.GROUPS and (every or not room.exact) else room
        for room in space
    )


def _wider(problem: Ordered, space: tuple[Room, ...], model: Model, x: Reals, effort: Effort) -> float:
    """What no plan can beat even where nodes are not told apart, as good as x in the levels before cost."""
    wide = build(problem, _as_sums(space, every=False))
    for level, own in zip(wide.levels(), model.levels(), strict=True):
        hold(wide, level, float(own @ x) + HELD_WITHIN)
    cost = wide.cost()
    scale = scale_of(cost)
    found = solve_integer(wide.program, cost / scale, effort)
    return -INFINITE if found.impossible else found.bound * scale + wide.offset
