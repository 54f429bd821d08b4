"""Prefill and decode apart: replicas that read prompts beside replicas that answer, in matched numbers. Pure.

A prompt is read where compute is plenty and its cache is sent on; answers are written where memory is. One unit of both
together is one way to run a tier. Called by `orchestrator.core.configurations`, for teachers that leave it to the
planner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from orchestrator.api.site import Pool
from orchestrator.core.asks import Ask
from orchestrator.core.batches import Batch, Way, context_of, held
from orchestrator.core.cuts import spanned
from orchestrator.core.memory import usable_bytes
from orchestrator.core.performance.runner import Band, Prediction, Runner

MOST_EACH = 8  # replicas of a role in one unit
TRIED = 3  # cuts of each role that are matched with each other
PROMPTS = 4  # that a prefill replica holds at once on each data rank


@dataclass(frozen=True, slots=True)
class Side:
    """One replica that does half of the work."""

    runner: Runner
    batch: Batch

    @property
    def rate_per_s(self) -> float:
        """Requests it serves its half of."""
        return self.batch.prediction.requests_per_s.mid

    @property
    def chips(self) -> int:
        """Of the replica."""
        return self.runner.cut.chips


@dataclass(frozen=True, slots=True)
class Unit:
    """So many of each, and what they do together."""

    prefill: Side
    prefills: int
    decode: Side
    decodes: int
    prediction: Prediction

    @property
    def chips(self) -> int:
        """Of all replicas of the unit."""
        return self.prefills * self.prefill.chips + self.decodes * self.decode.chips

    @property
    def rate_per_chip(self) -> float:
        """Requests per second and chip."""
        return self.prediction.requests_per_s.mid / self.chips


def units(ask: Ask, ways: Iterable[Way], pool: Pool, round_trip_s: float) -> tuple[Unit, ...]:
    """Units that fit a pool and meet the objectives, smallest first, each carrying more for a chip than the smaller.

    Args:
        ask: the tier.
        ways: the cuts there are, compiled.
        pool: whose chips are taken.
        round_trip_s: from the gateway to the site and back.
    """
    cuts = tuple(ways)
    reading = _best(side for one in cuts if (side := _prefill(ask, one, pool, round_trip_s)) is not None)
    writing = _best(side for one in cuts if (side := _decode(ask, one, pool)) is not None)
    found: dict[int, tuple[float, Side, int, Side, int]] = {}
    nodes = spanned(pool)
    for read, write in product(reading, writing):
        if ask.tier.slo.ttft is not None and _first(read, write).mid > ask.tier.slo.ttft:
            continue
        for prefills, decodes in _matched(read.rate_per_s, write.rate_per_s):
            chips = prefills * read.chips + decodes * write.chips
            each = min(prefills * read.rate_per_s, decodes * write.rate_per_s) / chips
            apart = max(prefills * read.runner.nodes, decodes * write.runner.nodes)  # each on nodes of its own
            if apart <= nodes and chips <= nodes * pool.chips and (chips not in found or each > found[chips][0]):
                found[chips] = each, read, prefills, write, decodes
    return tuple(_rising(found[chips] for chips in sorted(found)))


def _best(sides: Iterable[Side]) -> list[Side]:
    """Those that do most for a chip."""
    return sorted(sides, key=lambda side: -side.rate_per_s / side.chips)[:TRIED]


def _rising(smallest_first: Iterable[tuple[float, Side, int, Side, int]]) -> Iterator[Unit]:
    most = 0.0
    for each, read, prefills, write, decodes in smallest_first:
        if each > most:
            most = each
            yield _unit(read, prefills, write, decodes)


def _prefill(ask: Ask, way: Way, pool: Pool, round_trip_s: float) -> Side | None:
    """A replica of this cut that only reads prompts."""
    prompts, tokens = PROMPTS * way.runner.cut.data, ask.workload.input_tokens
    memory = way.memory(pool, prompts, tokens)
    if memory.total > usable_bytes(way.runner.profile, pool):
        return None
    return Side(way.runner, Batch(prompts, tokens, memory, way.predict("prefill", ask.workload, prompts, round_trip_s)))


def _decode(ask: Ask, way: Way, pool: Pool) -> Side | None:
    """A replica of this cut that only answers, with the most sequences that keep the objective."""
    context = context_of(ask)
    for count in reversed(held(way, pool, context)):
        prediction = way.predict("decode", ask.workload, count, 0.0)
        if ask.tier.slo.tpot is None or prediction.tpot_s.mid <= ask.tier.slo.tpot:
            return Side(way.runner, Batch(count, context, way.memory(pool, count, context), prediction))
    return None


def _matched(read_per_s: float, write_per_s: float) -> Iterator[tuple[int, int]]:
    """Numbers of both, up to `MOST_EACH`, that leave little of either idle."""
    for decodes in range(1, MOST_EACH + 1):
        prefills = max(1, round(decodes * write_per_s / read_per_s))
        if prefills <= MOST_EACH and math.gcd(prefills, decodes) == 1:
            yield prefills, decodes


def _first(read: Side, write: Side) -> Band:
    """Until the first token: the prompt is read, sent on, and its first step decoded."""
    first, then = read.batch.prediction.ttft_s, write.batch.prediction.ttft_s
    return Band(*(a + b for a, b in zip(_ends(first), _ends(then), strict=True)))


def _unit(read: Side, prefills: int, write: Side, decodes: int) -> Unit:
    one, other = read.batch.prediction.requests_per_s, write.batch.prediction
    sides = zip(_ends(one), _ends(other.requests_per_s), strict=True)
    rate = Band(*(min(prefills * a, decodes * b) for a, b in sides))
    together = Prediction(_first(read, write), other.tpot_s, other.single_stream_tpot_s, rate)
    return Unit(read, prefills, write, decodes, together)


def _ends(band: Band) -> tuple[float, float, float]:
    return band.low, band.mid, band.high
