"""From the relaxation to whole replicas at once: round down, then fill what is missing. Pure; called by `fleet`.

It knows rooms that are one row and demands covered by counts. Its result is held against every row of the program, so
that for any other problem it finds nothing rather than something wrong.
"""

from __future__ import annotations

import numpy as np

from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Reals, Wholes
from orchestrator.core.solver.rooms import Kind, Room

NEARLY = 1e-7  # how far a row may be missed


def rounded(
    model: Model, space: tuple[Room, ...], relaxed: Reals, price: Reals, upper: Reals | None = None
) -> Reals | None:
    """Values with whole replicas that keep every row; None when this simple way finds none.

    Demands are filled by priority, so what does not fit is short where priority is least.

    Args:
        model: what is to be placed.
        space: its rooms.
        relaxed: values of the relaxation.
        price: by variable, its cost and what it takes from others.
        upper: bounds that the values must keep; those of the program where not given.
    """
    problem = model.problem
    down = np.floor(relaxed[model.counts] + NEARLY).astype(np.int64)
    counts = np.zeros(len(down), dtype=np.int64)
    filling = _Filling(model, space, counts, price[model.counts])
    taken = _ways(model, relaxed)
    x = np.zeros(model.program.variables)
    shorts = {(short.demand, short.way): short.variable for short in model.shorts}
    missing = dict(model.missing)
    order = np.argsort(problem.served_demand, kind="stable")
    starts = np.searchsorted(problem.served_demand[order], np.arange(len(problem.demands) + 1))
    by_priority = sorted(range(len(problem.demands)), key=lambda d: (-problem.demands[d].priority, d))
    begun: set[int] = set()
    for at, demand in enumerate(by_priority):
        priority = problem.demands[demand].priority
        if priority not in begun:  # what is whole in the relaxation first, for all of the priority
            begun.add(priority)
            for equal in by_priority[at:]:
                if problem.demands[equal].priority == priority:
                    filling.take_over(problem.served_column[order[starts[equal] : starts[equal + 1]]], down)
        entries = order[starts[demand] : starts[demand + 1]]
        ways = problem.demand_ways[demand]
        way = taken[problem.ways[ways[0]].choice] if ways else None
        rate = problem.rate_per_s(demand, way)
        if rate > 0 or not ways:
            short, lacking = filling.fill(demand, entries, rate)
            if short > NEARLY * rate:
                x[shorts[demand, way]] = min(1.0, short / rate)
            if demand in missing:
                x[missing[demand]] = lacking
    x[model.counts] = counts
    x[model.ways[sorted(taken.values())]] = 1.0
    for column, variable in model.drops:
        x[variable] = max(0, problem.columns[column].now - int(counts[column]))
    bounds = np.concatenate(model.program.upper) if upper is None else upper
    return x if _keeps(model, x, bounds) else None


def _ways(model: Model, relaxed: Reals) -> dict[int, int]:
    """By choice, the way that the relaxation takes most of."""
    taken: dict[int, int] = {}
    for at, way in enumerate(model.problem.ways):
        best = taken.setdefault(way.choice, at)
        if relaxed[model.ways[at]] > relaxed[model.ways[best]] + NEARLY:
            taken[way.choice] = at
    return taken


class _Filling:
    """Counts that grow while there is room."""

    def __init__(self, model: Model, space: tuple[Room, ...], counts: Wholes, price: Reals) -> None:
        self.model, self.counts = model, counts
        self.price = np.maximum(price, 0.0)
        self.takes: dict[int, list[tuple[int, int]]] = {}  # by column: room and units
        self.left = [room.nodes * room.room for room in space]
        for at, room in enumerate(space):
            if room.kind is Kind.SUM:
                for part in room.parts:
                    units = part.units * part.nodes
                    self.takes.setdefault(part.column, []).append((at, units))

    def take_over(self, columns: Wholes, wanted: Wholes) -> None:
        """Add as many replicas as are wanted, as far as there is room."""
        for column in columns[wanted[columns] > self.counts[columns]].tolist():
            self._add(column, max(0, min(int(wanted[column]) - int(self.counts[column]), self._fit(column))))

    def fill(self, demand: int, entries: Wholes, rate: float) -> tuple[float, int]:
        """Add what carries the rest for least, as far as there is room; what is short then, and replicas lacking."""
        problem = self.model.problem
        own, capacity = problem.served_column[entries], problem.capacity_per_s[entries]
        fits = np.array([self._fit(int(column)) for column in own])
        short = rate - float(capacity @ self.counts[own])
        while short > NEARLY * rate:
            if not (fits > 0).any():
                break
            wanted = np.ceil(short / capacity - NEARLY)
            whole = np.where(fits >= wanted, wanted * self.price[own], np.inf)
            best = int(whole.argmin())
            if not np.isfinite(whole[best]):  # none does it alone: the best for its price, as far as it goes
                best = int(np.where(fits > 0, self.price[own] / capacity, np.inf).argmin())
                wanted = np.minimum(wanted, fits)
            # With several to add, all but the last: what is then missing may be cheaper elsewhere.
            many = max(1, int(wanted[best]) - 1)
            self._add(int(own[best]), many)
            short -= many * float(capacity[best])
            fits = np.array([self._fit(int(column)) for column in own])
        lacking = problem.demands[demand].least - int(self.counts[own].sum())
        while lacking > 0 and (fits > 0).any():
            best = int(np.where(fits > 0, self.price[own], np.inf).argmin())
            self._add(int(own[best]), 1)
            lacking -= 1
            fits = np.array([self._fit(int(column)) for column in own])
        return max(0.0, short), max(0, lacking)

    def _fit(self, column: int) -> int:
        room = int(self.model.problem.upper[column]) - int(self.counts[column])
        return min([room, *(self.left[at] // units for at, units in self.takes.get(column, []))])

    def _add(self, column: int, many: int) -> None:
        self.counts[column] += many
        for at, units in self.takes.get(column, []):
            self.left[at] -= units * many


def _keeps(model: Model, x: Reals, bounds: Reals) -> bool:
    """Whether values keep every row and bound of the program."""
    program, matrix = model.program, model.program.matrix()
    rows = np.repeat(np.arange(program.rows), np.diff(matrix.start))
    found = np.bincount(rows, weights=matrix.value * x[matrix.where], minlength=program.rows)
    lower, upper = np.concatenate(program.row_lower), np.concatenate(program.row_upper)
    return bool((found >= lower - NEARLY).all() and (found <= upper + NEARLY).all() and (x <= bounds + NEARLY).all())
