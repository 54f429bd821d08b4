"""Every tail demand's cheapest whole mix of replicas at given prices, all demands at once. Pure; called by `bundles`.

A covering knapsack for each demand: on a grid of capacity, rounded up, so that the result is never more than the true
least. Vectorised over demands, because a fleet has hundreds and prices are asked for dozens of times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestrator.core.solver.ordered import Reals, Wholes

BEYOND = 40  # steps above a demand's rate where a mix that the grid flatters is looked for
SMALL = 8.0  # columns of fewer steps are taken in parts: rounding them up would flatter them by more than that does
RIVALS = 8  # columns against which the others are compared before the search


@dataclass(frozen=True, slots=True)
class Tables:
    """What every amount of every demand costs at some prices.

    Attributes:
        least: by step of the grid and demand: what carrying so much costs at least.
        taken: by step and demand: position of the column that comes last in the cheapest mix, in `columns`.
        columns: by demand: positions of the columns that were compared, in the order given.
        weights: by demand and compared column: steps it covers.
        grid: steps of a demand's largest rate.
    """

    least: Reals
    taken: npt.NDArray[np.int16]
    columns: Wholes
    weights: Wholes
    grid: int


def tables(shares: Reals, cost: Reals, grid: int) -> Tables:
    """Solve all demands.

    Args:
        shares: by demand and column: share of the demand's largest rate that a replica carries; 0 where there is no
            such column.
        cost: of a replica, at the prices, at least 0; infinite where there is no such column.
        grid: steps of a demand's largest rate; more of them prove more, and take longer.
    """
    steps_each = shares * grid
    small = (steps_each > 0) & (steps_each < SMALL)
    weights = np.minimum(np.ceil(steps_each - 1e-9), grid + BEYOND).astype(np.int64)
    weights[small] = 1
    cost = np.where(small, cost / np.where(small, steps_each, 1.0), cost)
    columns = _compared(weights, cost)
    rows = np.arange(len(shares))[:, None]
    weights, cost = weights[rows, columns], cost[rows, columns]
    demands = len(shares)
    steps = grid + BEYOND
    least = np.zeros((steps + 1, demands))
    taken = np.zeros((steps + 1, demands), dtype=np.int16)
    flat = least.reshape(-1)
    across = np.arange(demands)
    reach = np.maximum(weights, 1) * demands - across[:, None]
    for step in range(1, steps + 1):
        total = flat[np.maximum(step * demands - reach, across[:, None])] + cost
        best = total.argmin(axis=1)
        taken[step] = best
        least[step] = total[across, best]
    return Tables(least, taken, columns, weights, grid)


def _compared(weights: Wholes, cost: Reals) -> Wholes:
    """Columns that no number of replicas of a rival beats, padded with the first; at least one of each demand."""
    rows = np.arange(len(weights))[:, None]
    falling = np.lexsort((cost, -weights), axis=1)
    cheapest = np.minimum.accumulate(cost[rows, falling], axis=1)
    beaten = np.zeros(weights.shape, dtype=bool)
    beaten[rows, falling[:, 1:]] = cost[rows, falling[:, 1:]] >= cheapest[:, :-1]  # by one that covers as much
    beaten |= weights == 0
    ratio = np.where(beaten, np.inf, cost / np.maximum(weights, 1))
    rivals = np.argsort(ratio, axis=1, kind="stable")[:, :RIVALS]
    for rival in rivals.T:
        own, price = weights[rows, rival[:, None]], cost[rows, rival[:, None]]
        times = -(-weights // np.maximum(own, 1))
        usable = ~beaten[rows, rival[:, None]] & (np.arange(weights.shape[1]) != rival[:, None])
        beaten |= usable & (times > 1) & (times * np.where(usable, price, 0.0) <= cost)
    beaten[np.arange(len(weights)), rivals[:, 0]] = False
    width = int((~beaten).sum(axis=1).max())
    order = np.argsort(beaten, axis=1, kind="stable")[:, :width]
    return np.where(beaten[rows, order], rivals[:, :1], order)


def mixes(found: Tables, shares: Reals, cost: Reals, most: Wholes, needs: Reals) -> Wholes:
    """For each demand the cheapest mix on the grid that truly carries what is needed; replicas by demand and column.

    Where the grid flatters all it has, or takes more than `most` of a column, the mix is filled by what carries most
    for its cost.
    """
    demands = len(shares)
    rows = np.arange(demands)
    steps_each = shares * found.grid
    replicas = np.zeros(shares.shape, dtype=np.int64)
    done = needs <= 0
    target = np.ceil(needs * found.grid - 1e-9).astype(np.int64)
    for beyond in (0, 1, 2, 4, 8, 16, BEYOND):
        if done.all():
            break
        trial = np.zeros(shares.shape, dtype=np.int64)
        left = np.where(done, 0, target + beyond)
        while (left > 0).any():
            active = rows[left > 0]
            last = found.taken[left[active], active]
            trial[active, found.columns[active, last]] += 1
            left[active] = np.maximum(0, left[active] - found.weights[active, last])
        small = (trial > 0) & (steps_each < SMALL)
        trial[small] = np.ceil(trial[small] / steps_each[small] - 1e-9)
        carried = (trial * shares).sum(axis=1) >= needs - 1e-9
        new = carried & ~done
        replicas[new] = trial[new]
        done |= new
    for demand in np.flatnonzero(~done | (replicas > most).any(axis=1)).tolist():
        replicas[demand] = _filled(shares[demand], cost[demand], most[demand], float(needs[demand]))
    return replicas


def _filled(shares: Reals, cost: Reals, most: Wholes, need: float) -> Wholes:
    """Replicas by column, the best for their cost first, as many as there may be."""
    replicas = np.zeros(len(shares), dtype=np.int64)
    ratio = np.where(shares > 0, cost / np.where(shares > 0, shares, 1.0), np.inf)
    for at in np.argsort(ratio, kind="stable").tolist():
        if need <= 0 or shares[at] <= 0:
            break
        replicas[at] = min(int(most[at]), int(np.ceil(need / shares[at] - 1e-9)))
        need -= float(replicas[at] * shares[at])
    return replicas
