"""Which node holds what: the proof that counts fit, checked in whole numbers. Pure; called by `solve`.

Pools stated by one row, or with a node for every part, are packed largest first, which always succeeds there. Pools
stated by patterns or groups carry their packing in the values of the integer program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.core.solver.rooms import Part


class Held(NamedTuple):
    """Nodes that hold the same: how many there are, and how many parts of which column each holds."""

    nodes: int
    parts: tuple[tuple[int, int], ...]


def pack(room: int, nodes: int, parts: Sequence[tuple[Part, int]]) -> tuple[Held, ...] | None:
    """Put parts on nodes, largest first and each where it leaves least; None when they do not all find a place.

    Args:
        room: of one node, in the unit of the parts.
        nodes: how many there are.
        parts: with the number of replicas of each.
    """
    free: dict[int, list[dict[int, int]]] = {room: []}  # nodes in use by what is left on them
    unused = nodes
    for part, replicas in sorted(parts, key=lambda p: (-p[0].units, -p[0].nodes, p[0].column)):
        for _ in range(replicas):
            put: list[tuple[int, dict[int, int]]] = []
            for _ in range(part.nodes):
                left = min((f for f, there in free.items() if f >= part.units and there), default=None)
                if left is None:
                    if not unused:
                        return None
                    unused -= 1
                    left, node = room, {}
                else:
                    node = free[left].pop()
                node[part.column] = node.get(part.column, 0) + 1
                put.append((left - part.units, node))
            for left, node in put:  # only now, so that the parts of one replica are on different nodes
                free.setdefault(left, []).append(node)
    held: dict[tuple[tuple[int, int], ...], int] = {}
    for there in free.values():
        for node in there:
            key = tuple(sorted(node.items()))
            held[key] = held.get(key, 0) + 1
    return tuple(Held(n, key) for key, n in sorted(held.items()))
