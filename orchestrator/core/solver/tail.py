"""Which demands are few replicas, and what the program looks like when each takes one whole mix. Called by `bundles`.

For a demand of few replicas the linear relaxation is far from what whole replicas cost. Its count variables are
replaced by bundles: one variable for each whole mix of replicas, of which exactly one is taken in the way that is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Reals, Wholes
from orchestrator.core.solver.problem import Demand
from orchestrator.core.solver.program import INFINITE, Matrix, Program

FEW = 30.0  # replicas; with more the linear relaxation is as good


@dataclass(frozen=True, slots=True)
class Tail:
    """The demands of few replicas, as rectangles: one row for each, padded on the right.

    Attributes:
        demands: positions in the problem.
        columns: by demand: positions of its columns; -1 where there are no more.
        shares: of the demand's scale that a replica carries; 0 where there are no more.
        needs: demand (position here), way (None outside choices) and share needed: one entry for each whole mix.
    """

    demands: tuple[int, ...]
    columns: Wholes
    shares: Reals
    needs: tuple[tuple[int, int | None, float], ...]


def tail_of(model: Model, relaxed: Reals) -> Tail:
    """The demands that the relaxation gives few replicas, and whose columns serve nothing else."""
    problem = model.problem
    demands = len(problem.demands)
    served, by = problem.served_column, problem.served_demand
    used = np.bincount(by, weights=relaxed[model.counts[served]], minlength=demands)
    simple = np.isin(served, list(model.simple))
    mixed = np.bincount(by, weights=~simple, minlength=demands) > 0
    chosen = [
        d
        for d in model.cover_rows
        if used[d] < FEW and not mixed[d] and (by == d).any() and not _bounded(problem.demands[d], float(used[d]))
    ]
    share = np.minimum(problem.capacity_per_s / problem.scale_per_s[by], 1.0)
    entries = [np.flatnonzero(by == d) for d in chosen]
    width = max((len(e) for e in entries), default=0)
    columns = np.full((len(chosen), width), -1, dtype=np.int64)
    shares = np.zeros((len(chosen), width))
    needs: list[tuple[int, int | None, float]] = []
    for at, (demand, entry) in enumerate(zip(chosen, entries, strict=True)):
        columns[at, : len(entry)] = served[entry]
        shares[at, : len(entry)] = share[entry]
        for way in problem.demand_ways[demand] or (None,):
            needed = problem.rate_per_s(demand, way) / float(problem.scale_per_s[demand])
            if needed > 0:
                needs.append((at, way, needed))
    return Tail(tuple(chosen), columns, shares, tuple(needs))


def _bounded(demand: Demand, used: float) -> bool:
    """Whether the number of replicas or places decides, so that the cheapest mix by capacity would seldom do."""
    few = demand.least > 1 and used < demand.least + 1
    many = demand.most is not None and used > demand.most - 1
    return few or many or demand.places > 1


@dataclass(frozen=True, slots=True)
class Whole:
    """The program in which every tail demand takes one bundle.

    Attributes:
        program: the model's, without the tail's coverage, and with a row for each need after the model's rows.
        upper: bounds of its variables: nothing short, no loss, no counts of the tail outside bundles.
        first_need: position of the first need's row.
        columns: the matrix of the model by column.
    """

    program: Program
    upper: Reals
    first_need: int
    columns: Matrix


def whole_of(model: Model, tail: Tail) -> Whole:
    """Take the tail's coverage out of a model and put a row for each need in."""
    program = model.program.copy()
    free = np.concatenate(program.row_lower)
    free[[model.cover_rows[d] for d in tail.demands]] = -INFINITE
    program.row_lower = [free]
    upper = model.whole()
    upper[model.counts[tail.columns[tail.columns >= 0]]] = 0.0
    fixed = np.array([1.0 if way is None else 0.0 for _, way, _ in tail.needs])
    rows = program.add_rows(fixed, fixed)
    for row, (_, way, _) in zip(rows.tolist(), tail.needs, strict=True):
        if way is not None:
            program.put(row, model.ways[way], -1.0)
    return Whole(program, upper, int(rows[0]) if len(rows) else program.rows, _by_column(model, tail))


def _by_column(model: Model, tail: Tail) -> Matrix:
    """The matrix of the model by column, without the tail's coverage."""
    matrix = model.program.matrix()
    rows = np.repeat(np.arange(model.program.rows), np.diff(matrix.start))
    kept = ~np.isin(rows, [model.cover_rows[d] for d in tail.demands])
    order = np.argsort(matrix.where[kept], kind="stable")
    counts = np.bincount(matrix.where[kept], minlength=model.program.variables)
    start = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return Matrix(start, rows[kept][order].astype(np.int32), matrix.value[kept][order])
