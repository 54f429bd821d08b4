"""What the replicas of a tier are predicted to do under a load that somebody puts on. Pure.

One step and one prompt are predicted in `orchestrator.core.performance`; here is how many of them meet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.core.performance.runner import Band, Prediction, Runner, Workload
from orchestrator.core.performance.serving import predict

ROUNDS = 40  # of the search for how many requests run; it halves the error each time
MOST_BUSY = 0.95  # of reading prompts; a wait in front of a server that is busier has no end worth a number


@dataclass(frozen=True, slots=True)
class Load:
    """What a tier is asked to carry: so many requests a second, or so many at all times. One of the two is None."""

    rate_per_s: float | None = None
    at_once: int | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """Replicas of a tier that are alike."""

    runner: Runner
    replicas: int
    slots: int  # sequences that one of them runs at once; more of them wait
    round_trip_s: float = 0.0  # between client and replica
    whole: Prediction | None = None  # where other engines read its prompts: what is predicted of both, full


@dataclass(frozen=True, slots=True)
class Expected:
    """What a tier is predicted to do under a load."""

    ttft_s: Band
    tpot_s: Band
    answer_s: Band
    output_per_s: Band | None  # None in open loop, where the load decides it
    running: float  # requests in one replica as one of them meets it, itself included; mean over requests
    carried: bool  # the load does not pile up, by the middle prediction


def expect(ways: Sequence[Way], work: Workload, load: Load) -> Expected:
    """Predict a tier under a load, which its replicas share by what they carry.

    Closed loop: the load says how many run. Open loop: a request meets itself and, by Little's law, rate x latency
    others; the latency is that at so many, so the number is searched for. Prompts of others are read before it, one
    after another, so that a first token waits as in a queue with one server; where more are asked at once than run, it
    waits for whole answers. A wait errs as much as the first token itself does.

    Args:
        ways: the tier's replicas, at least one.
        work: lengths that are really asked for.
        load: over all replicas.
    """
    carry = [way.replicas * _at(way, work, way.slots).requests_per_s.mid for way in ways]
    shares = [one / math.fsum(carry) for one in carry]
    found = [_expect(way, work, load, share / way.replicas) for way, share in zip(ways, shares, strict=True)]
    whole = [
        None if one.output_per_s is None else _scaled(one.output_per_s, way.replicas)
        for one, way in zip(found, ways, strict=True)
    ]
    return Expected(
        ttft_s=_mean([one.ttft_s for one in found], shares),
        tpot_s=_mean([one.tpot_s for one in found], shares),
        answer_s=_mean([one.answer_s for one in found], shares),
        output_per_s=_mean([one for one in whole if one is not None], [1.0] * len(ways)) if load.at_once else None,
        running=math.fsum(share * one.running for share, one in zip(shares, found, strict=True)),
        carried=all(one.carried for one in found),
    )


def _expect(way: Way, work: Workload, load: Load, share: float) -> Expected:
    """One replica that gets this share of the load."""
    queued = 0.0  # answers of others that one waits for, where more are asked at once than run
    if load.at_once is not None:
        running, carried = min(float(way.slots), max(1.0, share * load.at_once)), True
        queued = max(0.0, share * load.at_once / way.slots - 1)
    else:
        running = _meets(way, work, share * (load.rate_per_s or 0.0))
        carried = share * (load.rate_per_s or 0.0) <= _at(way, work, way.slots).requests_per_s.mid
    found = _at(way, work, running)
    after_first = max(0, work.output_tokens - 1)
    latency_s = found.ttft_s.mid + after_first * found.tpot_s.mid
    wait_s = _wait_s(_prompt_s(way, work), (running - 1) / latency_s) + queued * latency_s
    ttft_s = _scaled(found.ttft_s, 1 + wait_s / found.ttft_s.mid)
    answer_s = Band(*(t + after_first * o for t, o in zip(_edges(ttft_s), _edges(found.tpot_s), strict=True)))
    output = _scaled(found.requests_per_s, work.output_tokens) if load.at_once is not None else None
    return Expected(ttft_s, found.tpot_s, answer_s, output, running, carried)


def _meets(way: Way, work: Workload, rate_per_s: float) -> float:
    """How many run in one replica when a request comes, itself included."""
    low, high = 1.0, float(way.slots)
    for _ in range(ROUNDS):
        running = (low + high) / 2
        found = _at(way, work, running)
        latency_s = found.ttft_s.mid + (work.output_tokens - 1) * found.tpot_s.mid
        low, high = (running, high) if 1 + rate_per_s * latency_s > running else (low, running)
    return low


def _prompt_s(way: Way, work: Workload) -> float:
    """Seconds of the engine that reading one prompt takes: a whole request alone, less the tokens of its answer."""
    if way.whole is not None:
        return 0.0  # its prompts wait elsewhere
    alone = predict(way.runner, work, sequences=1, round_trip_s=0.0)
    return max(0.0, 1 / alone.requests_per_s.mid - work.output_tokens * alone.single_stream_tpot_s.mid)


def _wait_s(reading_s: float, rate_per_s: float) -> float:
    """Mean wait for prompts that are read one after another, each in the same time (M/D/1)."""
    busy = min(rate_per_s * reading_s, MOST_BUSY)
    return busy * reading_s / (2 * (1 - busy))


def _at(way: Way, work: Workload, running: float) -> Prediction:
    """The prediction at a number of sequences that need not be whole."""
    if way.whole is not None:
        return way.whole
    below = max(1, math.floor(running))
    share = running - below
    least = predict(way.runner, work, sequences=below, round_trip_s=way.round_trip_s)
    if share <= 0:
        return least
    more, shares = predict(way.runner, work, sequences=below + 1, round_trip_s=way.round_trip_s), (1 - share, share)
    return replace(
        least,
        ttft_s=_mean([least.ttft_s, more.ttft_s], shares),
        tpot_s=_mean([least.tpot_s, more.tpot_s], shares),
        requests_per_s=_mean([least.requests_per_s, more.requests_per_s], shares),
    )


def _mean(bands: Sequence[Band], weights: Sequence[float]) -> Band:
    """Edges weighted; what errs, errs on all of them together."""
    edges = zip(*map(_edges, bands), strict=True)
    return Band(*(math.fsum(w * edge for w, edge in zip(weights, each, strict=True)) for each in edges))


def _scaled(band: Band, by: float) -> Band:
    return Band(*(by * edge for edge in _edges(band)))


def _edges(band: Band) -> tuple[float, float, float]:
    return band.low, band.mid, band.high
