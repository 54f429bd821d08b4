"""Replicas on nodes, one after the other: counts that pack, and time that nodes have. Pure; called by `solve`.

A large problem is solved with the nodes of a pool not told apart. Here every replica in a pool that is more than a sum
gets its node, largest first; what finds none, or no time, is carried elsewhere where there is room, else it is short.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from orchestrator.core.solver.model import Model
from orchestrator.core.solver.ordered import Ordered, Reals, Wholes
from orchestrator.core.solver.reading import ways_taken
from orchestrator.core.solver.rooms import Kind, Part, Room

NEARLY = 1e-9


@dataclass(slots=True, eq=False)
class _Node:
    units: int
    time: float = 1.0
    holds: dict[int, int] = field(default_factory=dict)  # replicas by column


class _Seats:
    """Nodes with what is left of them, replicas that have their place, and how long they work for whom."""

    def __init__(self, problem: Ordered, space: tuple[Room, ...], timed: frozenset[int]) -> None:
        self.problem, self.timed = problem, timed  # columns whose carrying is counted in time
        self.counts: Wholes = np.zeros(len(problem.columns), dtype=np.int64)
        self.work_of: dict[tuple[int, int], float] = defaultdict(float)  # by column and demand, in replicas
        self.busy: dict[int, float] = defaultdict(float)  # by column
        self.nodes: dict[int, list[_Node]] = {}
        self.left: dict[int, int] = {}
        self.parts: dict[int, list[tuple[int, Part]]] = defaultdict(list)
        self.shared = {at for at, room in enumerate(space) if room.pool.shared_time}
        for at, room in enumerate(space):
            for part in room.parts:
                self.parts[part.column].append((at, part))
            if room.kind is Kind.GROUPS:
                many = min(room.nodes, sum(int(problem.upper[p.column]) * p.nodes for p in room.parts))
                self.nodes[at] = [_Node(room.room) for _ in range(many)]
            elif room.kind is Kind.SUM:
                self.left[at] = room.nodes * room.room
            elif room.kind is Kind.PATTERNS:
                self.left[at] = 0  # what the program put there is all there is

    def add(self, column: int) -> bool:
        """Give one more replica its nodes; False when there is no room."""
        if self.counts[column] >= self.problem.upper[column]:
            return False
        chosen: list[tuple[_Node, int]] = []
        for at, part in self.parts[column]:
            if at in self.nodes:
                taken = {id(node) for node, _ in chosen}
                free = [n for n in self.nodes[at] if n.units >= part.units and id(n) not in taken]
                if len(free) < part.nodes:
                    return False
                # Nodes that have time and not yet the column first; of those the fullest.
                free.sort(key=lambda n: (column in n.holds or n.time < NEARLY, n.units, -n.time))
                chosen.extend((node, part.units) for node in free[: part.nodes])
            elif self.left.get(at, part.units * part.nodes) < part.units * part.nodes:
                return False
        for node, units in chosen:
            node.units -= units
            node.holds[column] = node.holds.get(column, 0) + 1
        for at, part in self.parts[column]:
            if at in self.left:
                self.left[at] -= part.units * part.nodes
        self.counts[column] += 1
        return True

    def keep(self, column: int, replicas: int) -> None:
        """Take over replicas that the program has placed already, in rooms that it states exactly."""
        self.counts[column] = replicas
        for at, part in self.parts[column]:
            if at in self.left:
                self.left[at] = max(0, self.left[at] - part.units * part.nodes * replicas)

    def work(self, column: int, demand: int, time: float) -> float:
        """Let the replicas of a column work so much for a demand; how much of it they had time for."""
        time = max(0.0, min(time, float(self.counts[column]) - self.busy[column]))
        for at, _ in self.parts[column]:
            if at in self.shared and at in self.nodes:
                wanted = time
                for node in self.nodes[at]:
                    given = min(wanted, node.time) if node.holds.get(column) else 0.0
                    node.time -= given
                    wanted -= given
                time -= wanted
        self.work_of[column, demand] += time
        self.busy[column] += time
        return time


def seat(model: Model, space: tuple[Room, ...], x: Reals) -> tuple[Wholes, dict[int, float]]:
    """Replicas by column that truly pack, and what of each demand they carry."""
    problem = model.problem
    seats = _Seats(problem, space, frozenset(carries.column for carries in model.carries))
    _place(seats, space, np.rint(x[model.counts]).astype(np.int64))
    order = sorted(range(len(problem.demands)), key=lambda d: (-problem.demands[d].priority, d))
    rank = {demand: at for at, demand in enumerate(order)}
    for carries in sorted(model.carries, key=lambda c: (rank[c.demand], c.column)):
        seats.work(carries.column, carries.demand, float(x[carries.variable]) * carries.time)
    of_demand: list[list[tuple[int, float]]] = [[] for _ in problem.demands]
    served = zip(problem.served_column.tolist(), problem.served_demand.tolist(), strict=True)
    for (column, demand), capacity in zip(served, problem.capacity_per_s.tolist(), strict=True):
        of_demand[demand].append((column, capacity))
    taken = ways_taken(model, x)
    rates = [_rate(problem, demand, taken) for demand in range(len(problem.demands))]
    return seats.counts, {demand: _fill(seats, demand, of_demand[demand], rates[demand]) for demand in order}


def _place(seats: _Seats, space: tuple[Room, ...], wanted: Wholes) -> None:
    """Give the wanted replicas their nodes, the largest first, as far as nodes have room."""
    largest: dict[int, float] = {}
    for room in space:
        if room.kind is Kind.GROUPS:
            for part in room.parts:
                largest[part.column] = max(largest.get(part.column, 0.0), part.units / room.room)
    for column in np.flatnonzero(wanted).tolist():
        if column not in largest:
            seats.keep(column, int(wanted[column]))
    for column in sorted(largest, key=lambda c: (-largest[c], c)):
        while seats.counts[column] < wanted[column] and seats.add(column):
            pass


def _rate(problem: Ordered, demand: int, taken: dict[int, int]) -> float:
    ways = problem.demand_ways[demand]
    return problem.rate_per_s(demand, taken[problem.ways[ways[0]].choice] if ways else None)


def _fill(seats: _Seats, demand: int, columns: list[tuple[int, float]], rate: float) -> float:
    """Carry what is short where there is time or room, cheapest first; what is carried then."""
    problem = seats.problem
    carried = sum(
        capacity * (seats.work_of[column, demand] if column in seats.timed else int(seats.counts[column]))
        for column, capacity in columns
    )
    dear = sorted(columns, key=lambda c: (problem.columns[c[0]].cost_per_h / c[1], c[0]))
    for column, capacity in dear:  # time that is left of what runs
        if carried < rate * (1 - NEARLY) and column in seats.timed:
            carried += capacity * seats.work(column, demand, (rate - carried) / capacity)
    most = problem.demands[demand].most
    total = sum(int(seats.counts[column]) for column, _ in columns)
    for column, capacity in dear:
        while carried < rate * (1 - NEARLY) and (most is None or total < most) and seats.add(column):
            total += 1
            more = (
                seats.work(column, demand, (rate - carried) / capacity) if column in seats.timed else 1.0
            ) * capacity
            carried += more
            if more <= NEARLY * rate:
                break
    asked = problem.demands[demand].least if rate > 0 or not problem.demand_ways[demand] else 0
    for column, _ in dear:
        while total < asked and seats.add(column):
            total += 1
    return min(rate, carried)
