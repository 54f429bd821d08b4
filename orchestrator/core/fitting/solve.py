"""Factors that explain measured figures, pulled toward a parent's where rows say little. Pure.

Gauss-Newton on the logarithms of the factors and of the figures: a factor is pulled toward its parent by a ridge, and a
figure far off counts less than its square (pseudo-Huber), because published rows hold mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.core.fitting.table import NAMES, Table, predicted
from orchestrator.core.performance.roofline import Peaks
from orchestrator.core.performance.terms import Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.core.performance.case import Case

    Array = NDArray[np.float64]

TOLERANCE = 0.25  # error of a logarithm beyond which a figure counts less and less
ROUNDS = 30
STILL = 3e-3  # movement of a logarithm that is none
NUDGE = 1e-4
STRIDE = 0.5  # most that a logarithm moves in one round
BOUNDS = {
    "weights": (0.05, 0.95),
    "experts": (0.05, 0.95),
    "cache": (0.03, 0.95),
    "compute": (0.03, 0.95),
    "expert_compute": (0.02, 0.95),
    "narrow": (0.2, 1.2),
    "attention": (0.02, 0.95),
    "link": (0.02, 0.95),
    "exchange": (1e-6, 3e-4),
    "layer": (1e-6, 1e-3),
    "expert_layer": (1e-6, 1e-3),
    "step": (1e-5, 0.1),
    "sequence": (1e-6, 1e-3),
    "mixing": (0.05, 3.0),
    "first": (1e-3, 2.0),
    "queue": (0.2, 20.0),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of each case; NaN where it was not."""

    pace_s: Array  # per token
    rate: Array  # tokens a second
    first_s: Array
    total: NDArray[np.bool_]  # the rate counts prompts too
    weight: Array  # of each case


def measured(cases: Sequence[Case], weight: Sequence[float]) -> Measured:
    """Figures of the cases as arrays."""
    import numpy as np  # noqa: PLC0415  fitting is rare, and planning must not wait for numpy

    total = np.array([case.output_per_s is None and case.total_per_s is not None for case in cases])
    rates = [case.total_per_s if case.output_per_s is None else case.output_per_s for case in cases]
    return Measured(
        np.array([case.tpot_s or np.nan for case in cases]),
        np.array([rate or np.nan for rate in rates]),
        np.array([case.ttft_s or np.nan for case in cases]),
        total,
        np.array(weight, dtype=float),
    )


RATE_WEIGHT = 0.2  # of a throughput beside a time per token of the same row
FIRST_WEIGHT = 0.05  # of a first token, which is mostly queueing


def errors(table: Table, m: Measured, logs: Array) -> tuple[Array, Array]:
    """Logarithms of predicted over measured, of all figures one after the other, and their weights, without NaN."""
    import numpy as np  # noqa: PLC0415  as above

    p = predicted(table, logs)
    rate = np.where(m.total, p["total_per_s"], p["output_per_s"])
    alone = np.where(np.isnan(m.pace_s), 1.0, RATE_WEIGHT)
    found = np.concatenate([np.log(p["tpot_s"] / m.pace_s), np.log(rate / m.rate), np.log(p["ttft_s"] / m.first_s)])
    weight = np.concatenate([m.weight, m.weight * alone, m.weight * FIRST_WEIGHT])
    known = np.isfinite(found)
    return np.where(known, found, 0.0), np.where(known, weight, 0.0)


def solve(table: Table, m: Measured, parent: Array, pull: Array, start: Array | None = None) -> Array:
    """The factors' logarithms.

    Args:
        table: the cases.
        m: what was measured of them.
        parent: logarithms to be pulled toward.
        pull: for each factor, how many rows that are off by as much outweigh the parent.
        start: logarithms to start from, where a near answer is known.
    """
    import numpy as np  # noqa: PLC0415  as above

    low = np.log([BOUNDS[name][0] for name in NAMES])
    high = np.log([BOUNDS[name][1] for name in NAMES])
    logs = np.clip(parent if start is None else start, low, high)
    for _ in range(ROUNDS):
        off, weight = errors(table, m, logs)
        slopes = np.empty((len(off), len(logs)))
        for index in range(len(logs)):
            nudged = logs.copy()
            nudged[index] += NUDGE
            slopes[:, index] = (errors(table, m, nudged)[0] - off) / NUDGE
        counted = weight / np.sqrt(1 + (off / TOLERANCE) ** 2)
        bent = slopes.T @ (slopes * counted[:, None]) + np.diag(pull)
        slope = slopes.T @ (counted * off) + pull * (logs - parent)
        moved = np.clip(logs - np.clip(np.linalg.solve(bent, slope), -STRIDE, STRIDE), low, high)
        still = float(np.abs(moved - logs).max())
        logs = moved
        if still < STILL:
            break
    return logs


def rows_of(table: Table, m: Measured, chosen: NDArray[np.bool_]) -> tuple[Table, Measured]:
    """The chosen cases alone."""
    import numpy as np  # noqa: PLC0415  as above

    kept = chosen[table.step_of]
    number = np.cumsum(chosen) - 1
    small = Table(
        number[table.step_of[kept]],
        Work._make(np.asarray(amount)[kept] for amount in table.works),
        Peaks(*(peak[kept] for peak in table.peaks)),
        table.weights[:, kept],
        table.output_tokens[chosen],
        table.total_tokens[chosen],
    )
    return small, replace(
        m,
        pace_s=m.pace_s[chosen],
        rate=m.rate[chosen],
        first_s=m.first_s[chosen],
        total=m.total[chosen],
        weight=m.weight[chosen],
    )
