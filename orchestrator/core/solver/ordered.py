"""A problem in its one order, as arrays: everything sorted by name, replicas bounded, useless columns gone. Pure.

What is here is the same for every order of the input, so that what is computed from it is too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from orchestrator.core.solver.problem import Choice, Column, Demand, Pool, Problem

Reals = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

MOST_REPLICAS = 10**9  # of one column; more than this is nobody's fleet, and counts stay exact in floating point
BEYOND_REACH = 100.0  # times what all useful replicas together carry: a rate is not told from larger ones


@dataclass(frozen=True, slots=True)
class WayRates:
    """One way of a choice: position of the choice, its loss, and the rate of each demand by position."""

    choice: int
    name: str
    loss: float
    rates_per_s: dict[int, float]


@dataclass(frozen=True, slots=True)
class Ordered:
    """A problem in canonical order.

    Attributes:
        columns: those of which a replica can be of use.
        upper: by column, replicas that can be of use at most.
        scale_per_s: by demand, its largest rate in any way; 1 where it is 0.
        ways: of all choices, in order.
        demand_ways: by demand, positions in `ways`; empty for a demand outside choices.
        served_column, served_demand, capacity_per_s: one entry for each pair of a column and a demand it serves.
    """

    demands: tuple[Demand, ...]
    pools: tuple[Pool, ...]
    columns: tuple[Column, ...]
    choices: tuple[Choice, ...]
    upper: Wholes
    scale_per_s: Reals
    ways: tuple[WayRates, ...]
    demand_ways: tuple[tuple[int, ...], ...]
    served_column: Wholes
    served_demand: Wholes
    capacity_per_s: Reals

    def rate_per_s(self, demand: int, way: int | None) -> float:
        """What comes in of a demand, in a way of its choice."""
        return self.demands[demand].rate_per_s if way is None else self.ways[way].rates_per_s.get(demand, 0.0)


def ordered(problem: Problem) -> Ordered:
    """Put a checked problem in order."""
    demands = tuple(sorted(problem.demands, key=lambda d: d.name))
    pools = tuple(sorted(problem.pools, key=lambda p: p.name))
    choices = tuple(sorted(problem.choices, key=lambda c: c.name))
    demand_at = {d.name: i for i, d in enumerate(demands)}
    ways: list[WayRates] = []
    demand_ways: list[list[int]] = [[] for _ in demands]
    for position, choice in enumerate(choices):
        touched = {demand_at[d] for way in choice.ways for d in way.rates_per_s}
        for way in sorted(choice.ways, key=lambda w: w.name):
            for demand in sorted(touched):
                demand_ways[demand].append(len(ways))
            rates = {demand_at[d]: float(r) for d, r in sorted(way.rates_per_s.items())}
            ways.append(WayRates(position, way.name, float(way.loss), rates))
    rates_max = [
        max((ways[w].rates_per_s.get(i, 0.0) for w in demand_ways[i]), default=0.0) if demand_ways[i] else d.rate_per_s
        for i, d in enumerate(demands)
    ]
    by_name = {p.name: p for p in pools}
    kept: list[Column] = []
    upper: list[int] = []
    served: list[tuple[int, int, float]] = []
    for column in sorted(problem.columns, key=lambda c: c.name):
        serves = sorted((demand_at[d], float(c)) for d, c in column.capacity_per_s.items())
        most = _useful(column, serves, demands, rates_max, by_name)
        if most == 0 and column.now == 0:
            continue
        served.extend((len(kept), demand, capacity) for demand, capacity in serves)
        kept.append(column)
        upper.append(most)
    # A demand far beyond all that could ever be carried would make what is carried look like nothing.
    reach = [0.0] * len(demands)
    for position, demand, capacity in served:
        reach[demand] += BEYOND_REACH * capacity * upper[position]
    reach = [most if most > 0 else math.inf for most in reach]  # what nothing carries is short as it is
    demands = tuple(replace(d, rate_per_s=min(d.rate_per_s, reach[i])) for i, d in enumerate(demands))
    ways = [replace(w, rates_per_s={d: min(r, reach[d]) for d, r in w.rates_per_s.items()}) for w in ways]
    rates_max = [min(rate, reach[d]) for d, rate in enumerate(rates_max)]
    at = np.array([s[:2] for s in served], dtype=np.int64).reshape(-1, 2)
    return Ordered(
        demands=demands,
        pools=pools,
        columns=tuple(kept),
        choices=choices,
        upper=np.array(upper, dtype=np.int64),
        scale_per_s=np.array([r if r > 0 else 1.0 for r in rates_max]),
        ways=tuple(ways),
        demand_ways=tuple(tuple(w) for w in demand_ways),
        served_column=at[:, 0],
        served_demand=at[:, 1],
        capacity_per_s=np.array([s[2] for s in served]),
    )


def _useful(
    column: Column,
    serves: list[tuple[int, float]],
    demands: tuple[Demand, ...],
    rates_max: list[float],
    pools: dict[str, Pool],
) -> int:
    """Replicas that can be of use: by the room, by the bounds, and by what there is to carry."""
    room = [pools[t.pool].nodes * (pools[t.pool].room // t.units) // t.nodes for t in column.takes]
    absent = any(t.nodes > pools[t.pool].nodes for t in column.takes)
    caps = [0 if absent else min(room, default=MOST_REPLICAS), MOST_REPLICAS]
    if column.most is not None:
        caps.append(column.most)
    # Replicas count for the bounds of every demand they serve.
    caps.extend(most for d, _ in serves if (most := demands[d].most) is not None)
    asked = [d for d, _ in serves if rates_max[d] > 0 or demands[d].least or demands[d].places > 1]
    if not asked:
        return min(column.now, *caps)
    # A node whose time is shared has use for one replica, however little of its time is left.
    timed = [pools[t.pool].nodes for t in column.takes if pools[t.pool].shared_time]
    alone = sum(min(MOST_REPLICAS, math.ceil(min(1e15, rates_max[d] / c))) for d, c in serves)
    caps.append(max(min(timed, default=alone), column.now, 1, *(demands[d].least for d in asked)))
    return min(caps)
