"""How good predictions are: errors, and the share inside the band. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.api.calibration import Range, Score
from orchestrator.core.performance.case import Case
from orchestrator.core.performance.weighed import Figures

Metric = Literal["tpot", "ttft", "throughput", "pace"]
METRICS: tuple[Metric, ...] = ("pace", "tpot", "throughput", "ttft")
EIGHT_IN_TEN = 1.2816  # deviations of a normal variable between its middle and its 90th percentile
BELIEF = 4  # groups of models that the spread of the scope above counts for
LARGEST = 1.0  # error of a logarithm beyond which a row is a mistake, and counts no further


@dataclass(frozen=True, slots=True)
class Scored:
    """One figure of a case beside what is predicted for it."""

    case: Case
    metric: Metric
    measured: float
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Signed, as a share of what was measured."""
        return self.predicted / self.measured - 1


def pairs(case: Case, p: Figures) -> tuple[tuple[Metric, float, float], ...]:
    """Each figure that was measured, with its prediction: metric, measured, predicted.

    `pace` is the time per token, or the throughput of a row that has no time per token.
    """
    found: list[tuple[Metric, float, float]] = []
    if case.tpot_s:
        found += [("pace", case.tpot_s, p.tpot_s), ("tpot", case.tpot_s, p.tpot_s)]
    rate = case.output_per_s or case.total_per_s
    if rate:
        expected = p.output_per_s if case.output_per_s else p.total_per_s
        found += [] if case.tpot_s else [("pace", rate, expected)]
        found.append(("throughput", rate, expected))
    if case.ttft_s:
        found.append(("ttft", case.ttft_s, p.ttft_s))
    return tuple(found)


def scores(scored: Sequence[Scored]) -> tuple[Score, ...]:
    """Mean and median of the absolute errors, bias and coverage of each metric that has rows."""
    found = []
    for metric in METRICS:
        rows = [one for one in scored if one.metric == metric]
        if not rows:
            continue
        errors = [abs(one.error) for one in rows]
        found.append(
            Score(
                metric=metric,
                rows=len(rows),
                mape=round(statistics.fmean(errors), 4),
                median=round(statistics.median(errors), 4),
                bias=round(statistics.fmean(one.error for one in rows), 4),
                coverage=round(sum(one.low <= one.measured <= one.high for one in rows) / len(rows), 4),
            )
        )
    return tuple(found)


def range_of(ratios: Mapping[str, Sequence[float]], wider: Range) -> Range:
    """Where measured over predicted lies eight times in ten; toward the range of the scope above where few speak.

    Rows of one model err alike, so a group counts as one, however many rows it has. The logarithms are taken as normal
    around none: what a model that nobody measured is off by is as likely up as down.

    Args:
        ratios: measured over predicted, by group.
        wider: of the scope above.
    """
    above = (math.log(wider.high / wider.low) / 2 / EIGHT_IN_TEN) ** 2
    squares = [
        statistics.fmean(min(abs(math.log(ratio)), LARGEST) ** 2 for ratio in group) for group in ratios.values()
    ]
    deviation = math.sqrt((sum(squares) + BELIEF * above) / (len(squares) + BELIEF))
    return Range(low=round(math.exp(-EIGHT_IN_TEN * deviation), 4), high=round(math.exp(EIGHT_IN_TEN * deviation), 4))
