"""A bound from whole mixes of replicas, and good mixes to choose from: column generation. Called by `fleet`.

At prices for what demands compete for, each tail demand's cheapest whole mix is found exactly; together with the rest
of the program that proves a bound (Lagrange), and the mixes found are the columns of the next program, whose duals are
the next prices. Prices are mixed with the best so far, because bare duals jump about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from orchestrator.core.solver.covering import mixes, tables
from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Reals, Wholes
from orchestrator.core.solver.program import Growing, Matrix
from orchestrator.core.solver.tail import Tail, Whole

STAY = 0.5  # share of the best prices so far in the next
GRID = 1000  # steps of a rate, while mixes are looked for
SAFE = 1e-9  # of a bound, given up for what floating point may have rounded
DEAR = 300.0  # times the dearest replica: what a need without a mix is counted with, more than any plan would pay


@dataclass(slots=True)
class Bundles:
    """Mixes found so far and the bound they prove.

    Attributes:
        mixes: need (position in `Tail.needs`), and replicas by position in the tail's row of columns.
        bound: no plan can have less cost and moves; the model's offset not included.
    """

    model: Model
    tail: Tail
    whole: Whole
    cost: Reals
    bound: float
    prices: Reals
    mixes: list[tuple[int, Wholes]] = field(default_factory=list)
    known: set[tuple[int, bytes]] = field(default_factory=set)
    value: float = np.inf  # of the program with the mixes known before the last were found

    def start(self) -> Growing:
        """The program with the mixes known now, and for each need one that costs more than any plan would."""
        growing = Growing(self.whole.program, self.cost, self.whole.upper)
        needs = len(self.tail.needs)
        dear = np.full(needs, DEAR * float(self.cost.max(initial=1.0)))
        rows = self.whole.first_need + np.arange(needs)
        growing.add(dear, Matrix(np.arange(needs + 1, dtype=np.int32), rows.astype(np.int32), np.ones(needs)))
        self._put(growing, 0)
        return growing

    def improve(self, growing: Growing) -> bool:
        """Solve, price, and add what is found; whether anything new was."""
        answer = growing.solve()
        if answer.x is None or answer.duals is None:
            return False
        self.value = answer.bound
        duals = answer.duals[: self.whole.first_need]
        before = len(self.mixes)
        self.price(STAY * self.prices + (1 - STAY) * duals)
        if len(self.mixes) == before:
            self.price(duals)
        self._put(growing, before)
        return len(self.mixes) > before

    def price(self, prices: Reals, grid: int = GRID) -> None:
        """The bound that prices prove, and the mixes that are cheapest at them."""
        tail, model = self.tail, self.model
        prices = self.binding(prices)
        left = self.left(prices)
        if not tail.demands:
            self._prove(prices, left, np.zeros(0))
            return
        own = model.counts[np.maximum(tail.columns, 0)]
        there = tail.columns >= 0
        price = np.where(there, np.maximum(left[own], 0.0), np.inf)
        found = tables(tail.shares, price, grid)
        straight = np.where(there, price / np.where(there, tail.shares, 1.0), np.inf).min(axis=1, initial=np.inf)
        needed = np.array([need for _, _, need in tail.needs])
        rows = np.array([at for at, _, _ in tail.needs], dtype=np.int64)
        steps = np.ceil(needed * grid - 1e-9).astype(np.int64)
        least = np.maximum(found.least[steps, rows], needed * straight[rows])
        self._prove(prices, left, least)
        most = np.where(there, model.problem.upper[np.maximum(tail.columns, 0)], 0)
        for need in dict.fromkeys(needed.tolist()):
            these = np.flatnonzero(needed == need)
            wanted = np.zeros(len(tail.shares))
            wanted[rows[these]] = need
            replicas = mixes(found, tail.shares, price, most, wanted)
            for position in these.tolist():
                self._know(position, replicas[rows[position]])

    def _prove(self, prices: Reals, left: Reals, least: Reals) -> None:
        """Keep the bound of the prices where it is the best so far."""
        bound = self._lagrange(prices, left, least)
        if bound > self.bound:
            self.bound, self.prices = bound, prices

    def _lagrange(self, prices: Reals, left: Reals, least: Reals) -> float:
        """What all rows are worth at the prices, and the least that every variable and every need adds to it."""
        model, program = self.model, self.model.program
        side = np.where(prices > 0, _joined(program.row_lower), _joined(program.row_upper))
        total = float(prices @ np.where(prices != 0, side, 0.0))
        own = np.minimum(left, 0.0) * model.whole()
        own[model.ways] = 0.0
        total += float(own.sum())
        by_way = np.zeros(len(model.ways))
        for (_, way, _), value in zip(self.tail.needs, least.tolist(), strict=True):
            if way is None:
                total += value
            else:
                by_way[way] += value
        by_way += left[model.ways]
        allowed = model.whole()[model.ways] > 0
        for choice in range(len(model.problem.choices)):
            total += min(by_way[w] for w, way in enumerate(model.problem.ways) if way.choice == choice and allowed[w])
        return total - SAFE * abs(total)

    def binding(self, prices: Reals) -> Reals:
        """Prices of rows that can bind on the side they pay for; the tail's coverage has none."""
        program = self.model.program
        side = np.where(prices > 0, _joined(program.row_lower), _joined(program.row_upper))
        kept = np.where(np.isfinite(side), prices, 0.0)
        kept[[self.model.cover_rows[d] for d in self.tail.demands]] = 0.0
        return kept

    def left(self, prices: Reals) -> Reals:
        """What every variable costs beside what its rows pay for it."""
        columns, many = self.whole.columns, self.model.program.variables
        by = np.repeat(np.arange(many), np.diff(columns.start))
        return self.cost - np.bincount(by, weights=columns.value * prices[columns.where], minlength=many)

    def _know(self, need: int, replicas: Wholes) -> None:
        key = (need, replicas.tobytes())
        own = self.tail.columns[self.tail.needs[need][0]]
        within = (replicas <= np.where(own >= 0, self.model.problem.upper[np.maximum(own, 0)], 0)).all()
        if within and key not in self.known:
            self.known.add(key)
            self.mixes.append((need, replicas))

    def plain(self, x: Reals) -> Reals:
        """Values of the model's variables, from those of a program with all mixes after them."""
        plain = x[: self.model.program.variables].copy()
        for (need, replicas), weight in zip(self.mixes, x[self.model.program.variables :], strict=True):
            if weight > 1 / 2:
                own = self.tail.columns[self.tail.needs[need][0]]
                plain[self.model.counts[own[own >= 0]]] += replicas[own >= 0]
        return plain

    def _put(self, growing: Growing, first: int) -> None:
        """Give the program the mixes from `first` on."""
        if first < len(self.mixes):
            growing.add(*self.columns_of(range(first, len(self.mixes))))

    def columns_of(self, which: Iterable[int]) -> tuple[Reals, Matrix]:
        """What mixes cost and take, as columns of the program."""
        columns, first_need = self.whole.columns, self.whole.first_need
        cost: list[float] = []
        start, index, value = [0], [np.zeros(0, np.int32)], [np.zeros(0)]
        for mix in which:
            need, replicas = self.mixes[mix]
            rows: dict[int, float] = {first_need + need: 1.0}
            spent = 0.0
            for at in np.flatnonzero(replicas).tolist():
                variable = int(self.model.counts[self.tail.columns[self.tail.needs[need][0], at]])
                many = float(replicas[at])
                spent += many * float(self.cost[variable])
                for entry in range(columns.start[variable], columns.start[variable + 1]):
                    row = int(columns.where[entry])
                    rows[row] = rows.get(row, 0.0) + many * float(columns.value[entry])
            cost.append(spent)
            index.append(np.array(sorted(rows), dtype=np.int32))
            value.append(np.array([rows[row] for row in sorted(rows)]))
            start.append(start[-1] + len(rows))
        return np.array(cost), Matrix(np.array(start, dtype=np.int32), np.concatenate(index), np.concatenate(value))


def _joined(parts: list[Reals]) -> Reals:
    return np.concatenate(parts) if parts else np.zeros(0)
