"""Replicas on nodes, one after the other: counts that pack, and time that nodes have. Pure; called by `solve`.

A large problem is solved with nodes of a pool not told apart. Here every replica of a pool that is more than a sum gets
its node, largest first; what finds none, or no time, is carried elsewhere where there is room, else it is short.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from orchestrator.core.solver.ordered import Ordered, Wholes
from orchestrator.core.solver.rooms import Part

NEARLY = 1e-9


@dataclass(slots=True)
class _Node:
    units: int
    time: float
    holds: dict[int, int] = field(default_factory=dict)  # replicas by column


@dataclass(slots=True)
class Seats:
    """Nodes with what is left of them, and what every column carries.

    Attributes:
        counts: replicas by column that have their place.
        carried: by column and demand, replicas' time.
    """

    problem: Ordered
    counts: Wholes
    nodes: dict[int, list[_Node]]
    left: list[int]
    parts: dict[int, list[tuple[int, Part]]]
    shared: frozenset[int]
    carried: dict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))

    def add(self, column: int) -> bool:
        """Give one more replica its nodes; False when there is no room."""
        if self.counts[column] >= self.problem.upper[column]:
            return False
        chosen: list[tuple[_Node, int]] = []
        for at, part in self.parts.get(column, ()):
            if at in self.nodes:
                free = [n for n in self.nodes[at] if n.units >= part.units and not any(n is c for c, _ in chosen)]
                if len(free) < part.nodes:
                    return False
                # Nodes without the column and with time first; of those the fullest.
                free.sort(key=lambda n: (column in n.holds or n.time < NEARLY, n.units, -n.time))
                chosen.extend((node, part.units) for node in free[: part.nodes])
            elif self.left[at] < part.units * part.nodes:
                return False
        for node, units in chosen:
            node.units -= units
            node.holds[column] = node.holds.get(column, 0) + 1
        for at, part in self.parts.get(column, ()):
            if at not in self.nodes:
                self.left[at] -= part.units * part.nodes
        self.counts[column] += 1
        return True

    def work(self, column: int, demand: int, time: float) -> float:
        """Let the replicas of a column work for so much time; how much they had."""
        idle = float(self.counts[column]) - sum(self.carried.get((column, d), 0.0) for d in self._serves(column))
        time = min(time, max(0.0, idle))
        timed = [at for at, _ in self.parts.get(column, ()) if at in self.shared]
        if timed:
            wanted = time
            for node in self.nodes[timed[0]]:
                given = min(wanted, node.time, float(node.holds.get(column, 0)))
                node.time -= given
                wanted -= given
            time -= wanted
        self.carried[column, demand] += time
        return time

    def _serves(self, column: int) -> list[int]:
        names = self.problem.columns[column].capacity_per_s
        return [d for d, demand in enumerate(self.problem.demands) if demand.name in names] if len(names) > 1 else [
            next(d for d, demand in enumerate(self.problem.demands) if demand.name in names)
        ]
