"""The placement problem as an integer program, and what its levels cost. Pure; called by `solve`.

Shares of rates, not rates, are the unit of coverage, so that a service of one request an hour counts as exactly as
one of a million a second. Columns that serve one demand on nodes of their own are covered by their count alone; the
others, which share their time, have a variable for what they carry.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from orchestrator.core.solver.ordered import Ordered, Reals, Wholes
from orchestrator.core.solver.program import INFINITE, TOLERANCE, Program
from orchestrator.core.solver.rooms import Kind, Room

EXACT = 10**8  # units of a node; with more, a sum that is over by one would pass within the search's tolerance


class Short(NamedTuple):
    """The share of a demand that is not carried in one way (None: outside choices)."""

    demand: int
    way: int | None
    variable: int


class Carries(NamedTuple):
    """What one column carries of one demand: share of the demand's scale, and replicas kept busy, per unit."""

    column: int
    demand: int
    variable: int
    share: float
    time: float


@dataclass(slots=True)
class Model:
    """An integer program, and where the problem's parts are in it.

    Attributes:
        counts: variables of the replicas, by column.
        ways: variables, by way.
        missing: replicas and places that a demand lacks: demand and variable.
        offset: what is to be added to cost times x for the cost and moves of a plan.
    """

    problem: Ordered
    program: Program
    counts: Wholes
    ways: Wholes
    shorts: list[Short] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)
    carries: list[Carries] = field(default_factory=list)
    drops: list[tuple[int, int]] = field(default_factory=list)  # column, and variable of replicas that end
    cover_rows: dict[int, int] = field(default_factory=dict)  # by demand
    simple: frozenset[int] = frozenset()  # columns covered by their count alone
    offset: float = 0.0

    def cost(self) -> Reals:
        """Cost and moves, per variable."""
        columns = self.problem.columns
        cost = np.zeros(self.program.variables)
        cost[self.counts] = [c.cost_per_h + c.move_per_h for c in columns]
        for column, variable in self.drops:
            cost[variable] = 2 * columns[column].move_per_h
        return cost

    def dislike(self) -> Reals:
        """What is disliked, per variable."""
        dislike = np.zeros(self.program.variables)
        dislike[self.counts] = [c.dislike for c in self.problem.columns]
        return dislike

    def levels(self) -> list[Reals]:
        """What is minimised before cost, first to last: by priority what is short and missing, then loss."""
        problem = self.problem
        levels: dict[tuple[int, int, int], Reals] = defaultdict(lambda: np.zeros(self.program.variables))
        for demand, _, variable in self.shorts:
            levels[0, -problem.demands[demand].priority, 0][variable] += 1.0
        for demand, variable in self.missing:
            levels[0, -problem.demands[demand].priority, 1][variable] += 1.0
        first = self._first_priority()
        for way, variable in zip(problem.ways, self.ways, strict=True):
            if way.loss:
                levels[1, -first[way.choice], 0][variable] += way.loss
        return [levels[key] for key in sorted(levels)]

    def _first_priority(self) -> dict[int, int]:
        """Of each choice, the largest priority of its demands."""
        first: dict[int, int] = {}
        for way in self.problem.ways:
            priorities = [self.problem.demands[d].priority for d in way.rates_per_s]
            first[way.choice] = max([first.get(way.choice, -(2**63)), *priorities])
        return first

    def nothing(self) -> Reals:
        """Values without any replica: always possible, and all is short."""
        x = np.zeros(self.program.variables)
        first: dict[int, int] = {}
        for at, taken in enumerate(self.problem.ways):
            first.setdefault(taken.choice, at)
        x[self.ways[list(first.values())]] = 1.0
        for _, way, variable in self.shorts:
            x[variable] = 1.0 if way is None or way in first.values() else 0.0
        for demand, variable in self.missing:
            ways = self.problem.demand_ways[demand]
            asked = not ways or any(
                w in first.values() and self.problem.ways[w].rates_per_s.get(demand, 0.0) > 0 for w in ways
            )
            x[variable] = np.concatenate(self.program.upper)[variable] if asked else 0.0
        for column, variable in self.drops:
            x[variable] = float(self.problem.columns[column].now)
        return x

    def whole(self) -> Reals:
        """Upper bounds that leave nothing short or missing and give up as little as ways can."""
        upper = np.concatenate(self.program.upper)
        upper[[s.variable for s in self.shorts]] = 0.0
        upper[[variable for _, variable in self.missing]] = 0.0
        least: dict[int, float] = {}
        for way in self.problem.ways:
            least[way.choice] = min(way.loss, least.get(way.choice, way.loss))
        for way, variable in zip(self.problem.ways, self.ways, strict=True):
            if way.loss > least[way.choice]:
                upper[variable] = 0.0
        return upper


def build(problem: Ordered, rooms: tuple[Room, ...]) -> Model:
    """State the problem with these rooms as an integer program."""
    program = Program()
    counts = program.add_variables(np.zeros(len(problem.columns)), problem.upper, integer=True)
    ways = program.add_variables(np.zeros(len(problem.ways)), 1.0, integer=True)
    model = Model(problem, program, counts, ways)
    for choice in range(len(problem.choices)):
        own = [v for w, v in zip(problem.ways, ways, strict=True) if w.choice == choice]
        program.add_row(own, 1.0, 1.0, 1.0)
    timed = {p.column for room in rooms if room.pool.shared_time and room.kind is not Kind.FREE for p in room.parts}
    _coverage(model, timed)
    _bounds(model)
    _moves(model)
    busy: dict[int, list[Carries]] = defaultdict(list)
    for carried in model.carries:
        busy[carried.column].append(carried)
    for column, of_column in busy.items():
        own = [model.counts[column], *(c.variable for c in of_column)]
        program.add_row(own, [-1.0, *(c.time for c in of_column)], -INFINITE, 0.0)
    for room in rooms:
        _room(model, room, busy)
    return model


def _coverage(model: Model, timed: set[int]) -> None:
    """What is carried and what is short make up the rate of the way that is taken."""
    problem, program = model.problem, model.program
    serves = np.bincount(problem.served_column, minlength=len(problem.columns))
    model.simple = frozenset(j for j in range(len(problem.columns)) if serves[j] == 1 and j not in timed)
    shares = problem.capacity_per_s / problem.scale_per_s[problem.served_demand]
    needed = np.array(
        [max([d.rate_per_s] if not own else [problem.rate_per_s(i, w) for w in own]) > 0
         for i, (d, own) in enumerate(zip(problem.demands, problem.demand_ways, strict=True))],
        dtype=bool,
    )  # fmt: skip
    rows = program.add_rows(np.where([bool(w) for w in problem.demand_ways], 0.0, 1.0)[needed], INFINITE)
    model.cover_rows = dict(zip(np.flatnonzero(needed).tolist(), rows.tolist(), strict=True))
    row_of = np.full(len(problem.demands), -1)
    row_of[needed] = rows
    plain = np.isin(problem.served_column, list(model.simple)) & needed[problem.served_demand]
    rows_plain = row_of[problem.served_demand[plain]]
    program.put(rows_plain, model.counts[problem.served_column[plain]], np.minimum(shares[plain], 1.0))
    mixed = np.flatnonzero(~plain & needed[problem.served_demand])
    whole_time = problem.upper[problem.served_column[mixed]]
    units = program.add_variables(np.zeros(len(mixed)), np.where(shares[mixed] < 1.0, whole_time, 1.0), integer=False)
    for entry, variable in zip(mixed.tolist(), units.tolist(), strict=True):
        # A unit is a replica's whole time where that carries less than the rate, else the whole rate.
        share, column = float(shares[entry]), int(problem.served_column[entry])
        at = Carries(column, int(problem.served_demand[entry]), variable, min(1.0, share), min(1.0, 1.0 / share))
        model.carries.append(at)
    program.put(row_of[problem.served_demand[mixed]], units, np.minimum(shares[mixed], 1.0))
    for demand, row in model.cover_rows.items():
        for way in problem.demand_ways[demand] or (None,):
            rate = problem.rate_per_s(demand, way) / problem.scale_per_s[demand]
            if rate == 0:
                continue
            short = int(program.add_variables(0.0, 1.0, integer=False)[0])
            model.shorts.append(Short(demand, way, short))
            program.put(row, short, rate)
            if way is not None:
                program.put(row, model.ways[way], -rate)
                program.add_row([short, model.ways[way]], [1.0, -1.0], -INFINITE, 0.0)


def _bounds(model: Model) -> None:
    """Least, most and places of each demand."""
    problem, program = model.problem, model.program
    columns: list[list[int]] = [[] for _ in problem.demands]
    for column, demand in zip(problem.served_column.tolist(), problem.served_demand.tolist(), strict=True):
        columns[demand].append(column)
    for i, demand in enumerate(problem.demands):
        own = model.counts[columns[i]]
        asked = [model.ways[w] for w in problem.demand_ways[i] if problem.ways[w].rates_per_s.get(i, 0.0) > 0]
        free = not problem.demand_ways[i]
        if demand.most is not None and len(own):
            program.add_row(own, 1.0, -INFINITE, float(demand.most))
        if not free and not asked:
            continue
        wanted = [(demand.least, own.tolist())] if demand.least else []
        if demand.places > 1:
            wanted.append((demand.places, _places(model, columns[i])))
        for least, counted in wanted:
            missing = int(program.add_variables(0.0, float(least), integer=False)[0])
            model.missing.append((i, missing))
            row = program.add_row([*counted, missing], 1.0, float(least) if free else 0.0, INFINITE)
            program.put(row, asked, -float(least))


def _places(model: Model, columns: list[int]) -> list[int]:
    """Variables that say whether a place has a replica of any of the columns."""
    by_place: dict[str, list[int]] = defaultdict(list)
    for column in columns:
        by_place[model.problem.columns[column].place].append(column)
    used = []
    for _, there in sorted(by_place.items()):
        used.append(int(model.program.add_variables(0.0, 1.0, integer=True)[0]))
        own = [*model.counts[there], used[-1]]
        model.program.add_row(own, [1.0] * len(there) + [-1.0], 0.0, INFINITE)
    return used


def _moves(model: Model) -> None:
    """A replica more than now costs a move, and one less: (n - now) + 2 (replicas that end)."""
    for position, column in enumerate(model.problem.columns):
        if column.now and column.move_per_h:
            ends = int(model.program.add_variables(0.0, float(column.now), integer=False)[0])
            model.drops.append((position, ends))
            model.program.add_row([model.counts[position], ends], 1.0, float(column.now), INFINITE)
            model.offset -= column.move_per_h * column.now


def _room(model: Model, room: Room, busy: dict[int, list[Carries]]) -> None:
    program, nodes, parts = model.program, float(room.nodes), room.parts
    own = [model.counts[p.column] for p in parts]
    if room.kind is Kind.SUM:
        units = np.array([p.units * p.nodes / room.room for p in parts])
        program.add_row(own, units, -INFINITE, nodes)
        if room.pool.shared_time:
            carried = [c for p in parts for c in busy[p.column]]
            program.add_row([c.variable for c in carried], [c.time for c in carried], -INFINITE, nodes)
    elif room.kind is Kind.PATTERNS:
        filled = program.add_variables(np.zeros(len(room.patterns)), nodes, integer=True)
        program.add_row(filled, 1.0, -INFINITE, nodes)
        for at, size in enumerate(room.sizes):
            row = program.add_row(filled, [-float(p[at]) for p in room.patterns], -INFINITE, 0.0)
            program.put(row, [model.counts[p.column] for p in parts if p.units == size],
                        [float(p.nodes) for p in parts if p.units == size])  # fmt: skip
    elif room.kind is Kind.GROUPS:
        _groups(model, room, busy)


def _groups(model: Model, room: Room, busy: dict[int, list[Carries]]) -> None:
    """Counts of every part on every node, and its time where the node's time is shared."""
    program, groups = model.program, np.array(room.groups, dtype=float)
    held = []
    for part in room.parts:
        most = min(room.room // part.units, int(model.problem.upper[part.column]))
        there = program.add_variables(np.zeros(len(groups)), float(most), integer=True)
        held.append(there)
        row = program.add_row(there, groups, 0.0, 0.0)
        program.put(row, model.counts[part.column], -float(part.nodes))
        if part.nodes > 1:  # its parts go to different nodes
            rows = program.add_rows(np.full(len(groups), -INFINITE), 0.0)
            program.put(rows, there, 1.0)
            program.put(rows, model.counts[part.column], -1.0)
    units = np.array([p.units / room.room for p in room.parts])
    full = 1.0 if room.room < EXACT else 1.0 - 2 * TOLERANCE
    for group in range(len(groups)):
        program.add_row([there[group] for there in held], units, -INFINITE, full)
    for group in range(len(groups) - 1):  # equal nodes are ordered, or each plan would be found in every order
        if groups[group] == groups[group + 1]:
            pair = [there[group + offset] for offset in (0, 1) for there in held]
            program.add_row(pair, np.concatenate((units, -units)), 0.0, INFINITE)
    if not room.pool.shared_time:
        return
    times = []
    for part, there in zip(room.parts, held, strict=True):
        time = program.add_variables(np.zeros(len(groups)), 1.0, integer=False)
        times.append(time)
        rows = program.add_rows(np.full(len(groups), -INFINITE), 0.0)
        program.put(rows, time, 1.0)
        program.put(rows, there, -1.0)
        carried = busy[part.column]
        row = program.add_row(time, -groups, -INFINITE, 0.0)
        program.put(row, [c.variable for c in carried], [c.time for c in carried])
    for group in range(len(groups)):
        program.add_row([time[group] for time in times], 1.0, -INFINITE, 1.0)
