"""Which chips of a pool a plan takes, as cells to draw: one for each chip, or one for many in large pools.

Which node a replica gets is decided when it starts; here the largest replicas take the first nodes that have room.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from orchestrator.api.site import Pool

MOST_NODES, MOST_CHIPS = 24, 160  # drawn one by one
BAR_CELLS = 99


@dataclass(frozen=True, slots=True)
class Use:
    """Replicas of one tier in one pool."""

    tier: str  # SERVICE/TIER
    replicas: int
    nodes: int  # of one replica
    chips_per_node: int


@dataclass(frozen=True, slots=True)
class Cells:
    """What to draw; an empty name is a free cell."""

    nodes: tuple[tuple[str, ...], ...]  # chips by node; empty where only the bar is drawn
    bar: tuple[str, ...]  # cells that stand for many chips; empty where nodes are drawn
    chips_per_cell: int
    used: int  # chips taken
    total: int


def uses_of(tiers: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], list[Use]]:
    """What a plan takes of each pool, by (site, pool)."""
    found: dict[tuple[str, int], list[Use]] = {}
    for tier in tiers:
        for group in tier.get("groups", ()):
            name = f"{tier['service']}/{tier['tier']}"
            for role in group["roles"]:
                use = Use(name, group["replicas"] * role["count"], role["nodes"], role["chips"] // role["nodes"])
                found.setdefault((group["site"], group["pool"]), []).append(use)
    return found


def cells_of(pool: Pool, uses: Sequence[Use], *, shared: bool) -> Cells:
    """The cells of one pool.

    Args:
        pool: the nodes.
        uses: what the plan takes of it.
        shared: whether replicas share a machine, as on CPUs; a machine is then one cell for each replica, at least one.
    """
    if shared:
        return _machines(pool, uses)
    total = pool.nodes * pool.chips
    counts = _counted(uses)
    used = min(total, sum(counts.values()))
    if pool.nodes <= MOST_NODES and total <= MOST_CHIPS:
        return Cells(_dealt(pool, uses), (), 1, used, total)
    return bar_of(counts, total)


def bar_of(counts: Mapping[str, int], total: int) -> Cells:
    """A bar of cells that each stand for as many chips, to scale; what is used at all has at least one cell.

    Tiers lie one after the other, the largest first, and a cell has the tier at its middle.
    """
    each = -(-total // BAR_CELLS)
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    tiers, ends = [tier for tier, _ in ordered], list(accumulate(count for _, count in ordered))
    middles = (number * each + each / 2 for number in range(-(-total // each)))
    bar = [tiers[place] if (place := bisect_right(ends, middle)) < len(tiers) else "" for middle in middles]
    if tiers and ends[-1] <= each:
        bar[0] = tiers[0]
    return Cells((), tuple(bar), each, min(total, ends[-1] if ends else 0), total)


def _counted(uses: Sequence[Use]) -> dict[str, int]:
    """Chips by tier."""
    counts: dict[str, int] = {}
    for use in uses:
        counts[use.tier] = counts.get(use.tier, 0) + use.replicas * use.nodes * use.chips_per_node
    return counts


def _dealt(pool: Pool, uses: Sequence[Use]) -> tuple[tuple[str, ...], ...]:
    """Chips by node, largest replicas first."""
    nodes: list[list[str]] = [[] for _ in range(pool.nodes)]
    for use in sorted(uses, key=lambda one: (-one.chips_per_node, one.tier)):
        for _ in range(use.replicas * use.nodes):
            node = next((one for one in nodes if len(one) + use.chips_per_node <= pool.chips), None)
            if node is not None:
                node += [use.tier] * use.chips_per_node
    return tuple((*node, *[""] * (pool.chips - len(node))) for node in nodes)


def _machines(pool: Pool, uses: Sequence[Use]) -> Cells:
    """Machines that replicas share: the emptiest takes the next one."""
    if pool.nodes > MOST_NODES:
        return bar_of({use.tier: min(use.replicas, pool.nodes) for use in uses}, pool.nodes)
    nodes: list[list[str]] = [[] for _ in range(pool.nodes)]
    for use in uses:
        for _ in range(use.replicas):
            min(nodes, key=len).append(use.tier)
    busy = sum(1 for node in nodes if node)
    return Cells(tuple(tuple(node) or ("",) for node in nodes), (), 1, busy, pool.nodes)
