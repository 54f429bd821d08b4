"""How the counts of a pool are kept within what packs into its nodes. Pure; called by `model` and `seating`.

`sum units <= nodes * room` is exact only when sizes divide each other and the node. Otherwise nodes are counted by
pattern, or every node (or group of nodes that hold the same) has counts of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from orchestrator.core.solver.ordered import Ordered
from orchestrator.core.solver.problem import Pool

PATTERNS_AT_MOST = 300
SINGLE_NODES = 6  # pools up to so many nodes have counts for every node; larger ones have groups that double
COUNTS_AT_MOST = 150  # or as many nodes as keep the counts within this number


class Kind(Enum):
    """How the room of a pool is stated."""

    FREE = "free"  # whatever is of use fits, every part on a node of its own
    SUM = "sum"  # one row over all units
    PATTERNS = "patterns"  # how many nodes hold which sizes
    GROUPS = "groups"  # what each node, or each node of a group, holds


@dataclass(frozen=True, slots=True)
class Part:
    """What one replica of a column takes of the pool: so many units on each of so many different nodes."""

    column: int
    units: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Room:
    """A pool with what may be taken of it.

    Attributes:
        units, room: in the pool's unit divided by what all sizes share.
        patterns: for PATTERNS: by pattern, how many parts of each size (in the order of `sizes`).
        groups: for GROUPS: how many nodes each group has.
    """

    pool: Pool
    kind: Kind
    parts: tuple[Part, ...]
    room: int
    nodes: int
    sizes: tuple[int, ...] = ()
    patterns: tuple[tuple[int, ...], ...] = ()
    groups: tuple[int, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every set of counts that packs is allowed."""
        return self.kind is not Kind.GROUPS or all(g == 1 for g in self.groups)


def rooms(problem: Ordered) -> tuple[Room, ...]:
    """The room of every pool, in order."""
    at = {p.name: i for i, p in enumerate(problem.pools)}
    parts: list[list[Part]] = [[] for _ in problem.pools]
    for position, column in enumerate(problem.columns):
        if problem.upper[position]:
            for take in column.takes:
                parts[at[take.pool]].append(Part(position, take.units, take.nodes))
    upper = [int(u) for u in problem.upper]
    return tuple(_room(pool, tuple(of), upper) for pool, of in zip(problem.pools, parts, strict=True))


def _room(pool: Pool, parts: tuple[Part, ...], upper: list[int]) -> Room:
    """The cheapest exact statement of one pool's room; groups of nodes where there is none."""
    shared = math.gcd(*(p.units for p in parts)) if parts else 1
    parts = tuple(Part(p.column, p.units // shared, p.nodes) for p in parts)
    room = pool.room // shared
    sizes = tuple(sorted({p.units for p in parts}, reverse=True))
    asked = sum(upper[p.column] * p.nodes for p in parts)
    if asked <= pool.nodes:
        return Room(pool, Kind.FREE, parts, room, pool.nodes)
    if not pool.shared_time and all(p.nodes == 1 or 2 * p.units > room for p in parts):
        if all(large % small == 0 for large, small in zip((room, *sizes), sizes, strict=False)):
            return Room(pool, Kind.SUM, parts, room, pool.nodes, sizes)
        patterns = _patterns(room, sizes)
        if patterns is not None:
            return Room(pool, Kind.PATTERNS, parts, room, pool.nodes, sizes, patterns)
    nodes = min(pool.nodes, asked)
    singles = max(SINGLE_NODES, COUNTS_AT_MOST // len(parts))
    return Room(pool, Kind.GROUPS, parts, room, pool.nodes, sizes, groups=_groups(nodes, singles))


def _patterns(room: int, sizes: tuple[int, ...]) -> tuple[tuple[int, ...], ...] | None:
    """All ways to fill a node to which no part can be added, sizes falling; None when there are too many."""
    found: list[tuple[int, ...]] = []
    stack: list[tuple[tuple[int, ...], int]] = [((), room)]
    while stack:
        counts, left = stack.pop()
        if len(counts) == len(sizes):
            if left < sizes[-1]:
                found.append(counts)
            if len(found) > PATTERNS_AT_MOST:
                return None
            continue
        fit = left // sizes[len(counts)]
        first = fit if len(counts) == len(sizes) - 1 else 0
        stack.extend(((*counts, n), left - n * sizes[len(counts)]) for n in range(first, fit + 1))
        if len(stack) > 20 * PATTERNS_AT_MOST:
            return None
    return tuple(sorted(found, reverse=True))


def _groups(nodes: int, singles: int) -> tuple[int, ...]:
    """Single nodes first, then groups that double, so that every number of nodes can be made up."""
    groups = [1] * min(nodes, singles)
    left, size = nodes - len(groups), 2
    while left > 0:
        groups.append(min(size, left))
        left -= groups[-1]
        size *= 2
    return tuple(groups)
