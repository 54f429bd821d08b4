"""What a client saw of a service, in numbers. Pure.

Every time is in seconds on one clock of the client. A latency counts from the moment a request was due, so that a
client or a server that falls behind cannot hide it. The load is made in `orchestrator.adapters.load_test`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

LATE_S = 0.01  # a client behind its schedule by less is as good as on time
LATE_SHARE = 0.1  # of the time to the first token


class Fault(StrEnum):
    """How a request failed."""

    REFUSED = "refused"  # 429 or 503: come back later
    STATUS = "status"  # any other answer than 200
    UNREACHABLE = "unreachable"
    BROKEN = "broken"  # the stream ended before the answer did, or said that it failed
    TIMEOUT = "timeout"
    WRONG = "wrong"  # no stream of the OpenAI protocol, or one without end


@dataclass(frozen=True, slots=True)
class Sample:
    """One request as its client saw it."""

    due_s: float  # when it should have been sent
    sent_s: float
    first_s: float = math.nan  # the first piece of the answer
    last_s: float = math.nan  # the last piece of it
    pieces: int = 0
    prompt_tokens: int | None = None  # None when the server does not say
    output_tokens: int | None = None
    fault: Fault | None = None
    status: int = 0  # of the refusal
    said: str = ""  # what went wrong, for a person

    @property
    def tokens(self) -> int:
        """Tokens of the answer; each piece counts as one when the server does not say."""
        return self.pieces if self.output_tokens is None else self.output_tokens

    @property
    def ttft_s(self) -> float:
        """From when it was due to the first piece."""
        return self.first_s - self.due_s

    @property
    def latency_s(self) -> float:
        """From when it was due to the last piece."""
        return self.last_s - self.due_s

    @property
    def stay_s(self) -> float:
        """From when it was sent to the last piece."""
        return self.last_s - self.sent_s

    @property
    def tpot_s(self) -> float | None:
        """Mean over the tokens after the first; None for an answer in one piece, which says nothing of it."""
        return (self.last_s - self.first_s) / (self.tokens - 1) if min(self.pieces, self.tokens) > 1 else None


@dataclass(frozen=True, slots=True)
class Spread:
    """What many measurements are like."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run was like. Rates are over the time in which requests were sent."""

    sent: int  # with those of the first wave
    requests: int  # that are counted
    answered: int
    faults: Mapping[str, int]
    examples: Mapping[str, str]  # what the first request of each fault met with
    window_s: float
    ttft_s: Spread | None
    tpot_s: Spread | None
    latency_s: Spread | None
    input_tokens: float | None  # mean, as the server counts
    output_tokens: float | None
    requests_per_s: float  # answered
    output_per_s: float
    running: float  # mean number of requests inside, by their latencies
    lag_p99_s: float  # how far the client was behind its schedule
    pieces_counted: bool  # in place of tokens, which the server did not count

    @property
    def late(self) -> bool:
        """Whether the client was too slow for its numbers to be the server's."""
        first_s = self.ttft_s.mean if self.ttft_s else 0.0
        return self.lag_p99_s > max(LATE_S, LATE_SHARE * first_s)


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and percentiles; None of nothing."""
    known = sorted(values)
    if not known:
        return None
    mean = math.fsum(known) / len(known)
    return Spread(len(known), mean, *(percentile(known, share) for share in (0.5, 0.95, 0.99)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the ordered values do not exceed, between neighbours as NumPy does it."""
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def measure(samples: Iterable[Sample], drift_s: Iterable[float] = (), *, first_wave: int = 0) -> Measured:
    """Numbers of a run.

    Args:
        samples: every request.
        drift_s: how late the client's own clock ticks came, in seconds.
        first_wave: so many requests were sent at once to begin with; they are not counted where as many came after.
    """
    ordered = sorted(samples, key=lambda one: one.sent_s)
    counted = after_first_wave(ordered, first_wave)
    answered = [one for one in counted if one.fault is None]
    window = _window(counted, answered)
    per_s = 1 / (window[1] - window[0]) if window[1] > window[0] else 0.0
    inside = [one for one in ordered if one.fault is None]
    examples: dict[str, str] = {}
    for one in counted:
        if one.fault is not None:
            examples.setdefault(one.fault.value, one.said)
    lags, drifts = sorted(one.sent_s - one.due_s for one in counted), sorted(drift_s)
    prompts = [one.prompt_tokens for one in answered if one.prompt_tokens is not None]
    return Measured(
        sent=len(ordered),
        requests=len(counted),
        answered=len(answered),
        faults=dict(sorted(Counter(one.fault.value for one in counted if one.fault is not None).items())),
        examples=examples,
        window_s=window[1] - window[0],
        ttft_s=spread(one.ttft_s for one in answered),
        tpot_s=spread(paced for one in answered if (paced := one.tpot_s) is not None),
        latency_s=spread(one.latency_s for one in answered),
        input_tokens=math.fsum(prompts) / len(prompts) if prompts else None,
        output_tokens=math.fsum(one.tokens for one in answered) / len(answered) if answered else None,
        requests_per_s=per_s * math.fsum(_inside(one.sent_s, one.last_s, window) for one in inside),
        output_per_s=per_s * math.fsum(_tokens_inside(one, window) for one in inside),
        running=per_s * math.fsum(_inside(one.sent_s, one.last_s, window) * one.stay_s for one in inside),
        lag_p99_s=max(percentile(each, 0.99) if each else 0.0 for each in (lags, drifts)),
        pieces_counted=any(one.output_tokens is None for one in answered),
    )


def after_first_wave(samples: Iterable[Sample], first_wave: int) -> list[Sample]:
    """The samples that are counted, in the order in which they were sent."""
    ordered = sorted(samples, key=lambda one: one.sent_s)
    return ordered[first_wave:] if len(ordered) >= 2 * first_wave else ordered


def share_met(samples: Iterable[Sample], metric: str, most_s: float) -> float:
    """The share of requests that took at most so long for `ttft_s` or `tpot_s`; one that failed did not."""
    known = list(samples)
    met = sum(one.fault is None and (getattr(one, metric) or 0.0) <= most_s for one in known)
    return met / len(known) if known else 0.0


def _window(counted: Sequence[Sample], answered: Sequence[Sample]) -> tuple[float, float]:
    """The time in which there was load: until the last request went out, unless that is too short to say anything."""
    begun_s = min((one.due_s for one in counted), default=0.0)
    last_sent_s = max((one.sent_s for one in counted), default=begun_s)
    ended_s = max((one.last_s for one in answered), default=last_sent_s)
    return begun_s, last_sent_s if last_sent_s - begun_s > (ended_s - begun_s) / 2 else ended_s


def _inside(from_s: float, to_s: float, window: tuple[float, float]) -> float:
    """The share of a span that lies in the window."""
    if to_s <= from_s:
        return float(window[0] <= from_s <= window[1])
    return max(0.0, min(to_s, window[1]) - max(from_s, window[0])) / (to_s - from_s)


def _tokens_inside(one: Sample, window: tuple[float, float]) -> float:
    """Tokens that came in the window, if all after the first came evenly."""
    first = window[0] <= one.first_s <= window[1]
    return first + (one.tokens - 1) * _inside(one.first_s, one.last_s, window)
