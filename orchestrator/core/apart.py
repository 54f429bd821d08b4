"""Prefill and decode apart: replicas that read prompts beside replicas that answer, in matched numbers. Pure.

A prompt is read where compute is plenty and its cache is sent on; answers are written where memory is. One unit of both
together is one way to run a tier. Called by `orchestrator.core.configurations`, for teachers that leave it to the
planner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from orchestrator.api.site import Pool
from orchestrator.core.asks import Ask
from orchestrator.core.batches import CONTEXT_TOKENS, SEQUENCES, Batch, memory_of, too_slow
from orchestrator.core.memory import usable_bytes
from orchestrator.core.performance.runner import Band, Prediction, Runner
from orchestrator.core.performance.serving import predictor

MOST_EACH = 8  # replicas of a role in one unit
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
        return self.prefills * self.prefill.runner.cut.chips + self.decodes * self.decode.runner.cut.chips

    @property
    def rate_per_chip(self) -> float:
        """Requests per second and chip."""
        return self.prediction.requests_per_s.mid / self.chips


def units(ask: Ask, runners: Iterable[Runner], pool: Pool, round_trip_s: float) -> tuple[Unit, ...]:
    """Units that fit a pool and meet the objectives, for each number of chips the one that carries most."""
    sides = [side for runner in runners if (side := _sides(ask, runner, pool, round_trip_s)) is not None]
    best: dict[int, Unit] = {}
    for prefill, _ in sides:
        for _, decode in sides:
            if prefill is None or decode is None:
                continue
            for unit in _matched(prefill, decode):
                fits = unit.chips <= pool.nodes * pool.chips and too_slow(ask, "", unit.prediction) is None
                known = best.get(unit.chips)
                if fits and (known is None or unit.rate_per_chip > known.rate_per_chip):
                    best[unit.chips] = unit
    return tuple(_rising(best[chips] for chips in sorted(best)))


def _rising(smallest_first: Iterable[Unit]) -> Iterator[Unit]:
    """Those that carry more for a chip than any smaller one."""
    most = 0.0
    for unit in smallest_first:
        if unit.rate_per_chip > most:
            most = unit.rate_per_chip
            yield unit


def _sides(ask: Ask, runner: Runner, pool: Pool, round_trip_s: float) -> tuple[Side | None, Side | None] | None:
    context = min(ask.tier.context or CONTEXT_TOKENS, ask.model.spec.context or CONTEXT_TOKENS)
    usable = usable_bytes(runner.profile, pool)
    prompts = PROMPTS * runner.cut.data
    memory = memory_of(runner, pool, prompts, min(context, ask.workload.input_tokens))
    prefill: Side | None = None
    if memory.total <= usable:
        reader = replace(runner, role="prefill")
        seen = predictor(reader).predict(ask.workload, sequences=prompts, round_trip_s=round_trip_s)
        prefill = Side(reader, Batch(prompts, context, memory, seen))
    writer = replace(runner, role="decode")
    compiled = predictor(writer)
    for count in (each * runner.cut.data for each in reversed(SEQUENCES)):
        memory = memory_of(runner, pool, count, context)
        if memory.total > usable:
            continue
        prediction = compiled.predict(ask.workload, sequences=count)
        if ask.tier.slo.tpot is None or prediction.tpot_s.mid <= ask.tier.slo.tpot:
            return prefill, Side(writer, Batch(count, context, memory, prediction))
    return None if prefill is None else (prefill, None)


def _matched(prefill: Side, decode: Side) -> Iterator[Unit]:
    """Numbers of both up to `MOST_EACH` that leave the least of either idle."""
    first, then = prefill.batch.prediction, decode.batch.prediction
    ttft = Band(*(a + b for a, b in zip(_ends(first.ttft_s), _ends(then.ttft_s), strict=True)))
    for decodes in range(1, MOST_EACH + 1):
        prefills = max(1, round(decodes * decode.rate_per_s / prefill.rate_per_s))
        if prefills > MOST_EACH or math.gcd(prefills, decodes) > 1:
            continue
        sides = zip(_ends(first.requests_per_s), _ends(then.requests_per_s), strict=True)
        rate = Band(*(min(prefills * a, decodes * b) for a, b in sides))
        together = Prediction(ttft, then.tpot_s, then.single_stream_tpot_s, rate)
        yield Unit(prefill, prefills, decode, decodes, together)


def _ends(band: Band) -> tuple[float, float, float]:
    return band.low, band.mid, band.high
