"""What happened to the requests of one tier, or of a whole service: counts, times, and objectives met. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

QUANTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a request may take; None: as long as it likes."""

    ttft_s: float | None = None
    tpot_s: float | None = None


ANYTHING = Goal()


def _times() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Tally:
    """Counts and times of requests. Shares of goals are of all that were asked: a refused request met nothing."""

    goal: Goal
    asked: int = 0
    answered: int = 0
    full: int = 0  # refused: every replica was full
    too_long: int = 0  # refused: prompt and answer do not fit into the context
    nowhere: int = 0  # refused: no replica
    input_tokens: int = 0  # of what was answered
    cached_tokens: int = 0  # of these, not read again
    output_tokens: int = 0
    met_ttft: int = 0
    met_tpot: int = 0
    met: int = 0  # both
    queue_s: array[float] = field(default_factory=_times)  # at the replica, until a slot is free
    ttft_s: array[float] = field(default_factory=_times)
    tpot_s: array[float] = field(default_factory=_times)  # of answers with more than one token
    latency_s: array[float] = field(default_factory=_times)

    @property
    def refused(self) -> int:
        """All that got no answer."""
        return self.full + self.too_long + self.nowhere

    def took(self, ttft_s: float, latency_s: float, output_tokens: int) -> None:
        """One request was answered."""
        self.answered += 1
        self.output_tokens += output_tokens
        self.ttft_s.append(ttft_s)
        self.latency_s.append(latency_s)
        goal = self.goal
        quick = goal.ttft_s is None or ttft_s <= goal.ttft_s
        fluent = True
        if output_tokens > 1:
            tpot_s = (latency_s - ttft_s) / (output_tokens - 1)
            self.tpot_s.append(tpot_s)
            fluent = goal.tpot_s is None or tpot_s <= goal.tpot_s
        self.met_ttft += quick
        self.met_tpot += fluent
        self.met += quick and fluent


def distribution(times: array[float]) -> Mapping[str, float] | None:
    """Mean, quantiles and maximum; a quantile is the smallest time that so many per cent do not exceed.

    None when there are none.
    """
    if not times:
        return None
    ranked = np.sort(np.frombuffer(times))
    found = {"mean": float(ranked.mean())}
    found |= {f"p{percent}": float(ranked[-(-len(ranked) * percent // 100) - 1]) for percent in QUANTILES}
    return found | {"max": float(ranked[-1])}
