"""Many weighed cases as arrays, so that all of them are predicted at once. Pure; numpy is imported when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.core.performance.case import Case
from orchestrator.core.performance.roofline import Peaks, Reached, rates, seconds
from orchestrator.core.performance.terms import Work
from orchestrator.core.performance.weighed import weigh

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

NAMES = Reached._fields
"""Factors in the order in which they stand in a vector of their logarithms."""


@dataclass(frozen=True, slots=True)
class Table:
    """Weighed steps of all cases, one after the other, and what was measured of each case."""

    step_of: NDArray[np.intp]  # the case of each step
    works: Work  # amounts, an array each
    peaks: Peaks  # of each step's chip
    weights: Array  # tpot, waited, first, queued, run; of each step
    output_tokens: Array
    total_tokens: Array

    @property
    def cases(self) -> int:
        """How many cases there are."""
        return len(self.output_tokens)


def table_of(cases: Sequence[Case]) -> Table:
    """Weigh every case."""
    import numpy as np  # noqa: PLC0415  fitting is rare, and planning must not wait for numpy

    sums = [weigh(case) for case in cases]
    steps = [(index, step, one.terms) for index, one in enumerate(sums) for step in one.steps]
    works = np.array([step.work for _, step, _ in steps], dtype=float).reshape(len(steps), len(Work._fields)).T
    return Table(
        np.array([index for index, _, _ in steps], dtype=np.intp),
        Work(*works),
        Peaks(*(np.array([getattr(terms, name) for _, _, terms in steps]) for name in Peaks._fields)),
        np.array([step[1:] for _, step, _ in steps], dtype=float).reshape(len(steps), 5).T,
        np.array([one.output_tokens for one in sums]),
        np.array([one.total_tokens for one in sums]),
    )


def predicted(table: Table, logs: Array) -> dict[str, Array]:
    """Figures of every case: tpot_s, ttft_s, output_per_s, total_per_s.

    Args:
        table: the cases.
        logs: logarithms of the factors, in the order of `NAMES`: a vector for all cases, or a column for each case.
    """
    import numpy as np  # noqa: PLC0415  as above

    per_case = Reached(*np.exp(logs))
    per_step = per_case if logs.ndim == 1 else Reached(*(row[table.step_of] for row in per_case))
    times = seconds(table.works, rates(table.peaks, per_step))
    tpot, waited, first, queued, run = (
        np.bincount(table.step_of, weights=row * times, minlength=table.cases) for row in table.weights
    )
    whole = run + per_case.first
    return {
        "tpot_s": tpot + per_case.mixing * waited,
        "ttft_s": per_case.first + first + per_case.queue * queued,
        "output_per_s": table.output_tokens / whole,
        "total_per_s": table.total_tokens / whole,
    }
