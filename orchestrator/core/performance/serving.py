"""What requests see of an engine's steps: first token, time per token, requests a second. Pure.

An engine either mixes parts of prompts into decode steps, or stops decoding while it reads a prompt (`exclusive`, the
edge engine and boards). A replica may also do one half alone: read prompts and send the cache on, or receive it and
decode. Called by `orchestrator.core.configurations`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.api.calibration import Range
from orchestrator.core.cache import sequence_bytes
from orchestrator.core.memory import STORAGE
from orchestrator.core.performance.roofline import Clock, clock
from orchestrator.core.performance.runner import Band, Prediction, Runner, Workload

CHUNK_TOKENS = 8192  # prompt tokens that engines put into one step at most, by their defaults
SMALL_CHUNK_TOKENS = 2048  # of vLLM and its relatives on chips with less memory than `LARGE_BYTES`, and on an A100
LARGE_BYTES = 70 << 30
PROMPTS_FIRST = frozenset({"SGLang", "MindIE"})  # by their defaults they read waiting prompts before they decode on
TOGETHER = 0.5  # of the prompts of others: those that are read while one decodes, where prompts gather and go first
DEFAULT_NETWORK = 12.5e9  # bytes/s of one chip, where the profile names no network: 100 Gb/s


@dataclass(frozen=True, slots=True)
class Predictor:
    """One runner, compiled; evaluates any load in microseconds."""

    runner: Runner
    clock: Clock
    exclusive: bool

    def predict(self, work: Workload, *, sequences: int, round_trip_s: float = 0.0) -> Prediction:
        """Predict with `sequences` requests running, spread over data ranks and pipeline stages."""
        times = times_of(self, work, sequences)
        spread = self.runner.applied.spread
        return Prediction(
            ttft_s=_band(times.first_s, spread.ttft, beside=round_trip_s),
            tpot_s=_band(times.tpot_s, spread.tpot),
            single_stream_tpot_s=_band(times.single_s, spread.tpot),
            requests_per_s=_band(times.requests_per_s, spread.throughput),
        )


@dataclass(frozen=True, slots=True)
class Times:
    """The middle of a prediction, and the steps it was made of."""

    first_s: float
    tpot_s: float
    single_s: float
    requests_per_s: float
    decode_s: float  # one decode step of all sequences
    prompt_s: float  # what one prompt adds to the steps it takes part in


@dataclass(frozen=True, slots=True)
class Entering:
    """Prompts as they enter the engine: in so many pieces each, or several prompts in one step."""

    pieces: float  # steps one prompt takes part in; less than one where several share a step
    tokens: float  # of prompts in one step
    seen: float  # tokens that each of them sees on average


def predictor(runner: Runner) -> Predictor:
    """Compile a runner. Raises ValueError when the chip's bandwidth is unknown."""
    return Predictor(runner, clock(runner), is_exclusive(runner))


def is_exclusive(runner: Runner) -> bool:
    """Whether the engine stops decoding while it reads prompts."""
    return runner.engine.spec.program in PROMPTS_FIRST or reads_whole(runner)


def met_share(runner: Runner) -> float:
    """Share of the others' prompts that an answer waits for; it waited for the rest before its first token.

    An engine that reads prompts first makes requests march in step: they come together, are read one after another, and
    decode together.
    """
    return TOGETHER if runner.engine.spec.program in PROMPTS_FIRST else 1.0


def chunk_tokens(runner: Runner) -> float:
    """Prompt tokens that the engine puts into one step at most."""
    if reads_whole(runner):
        return math.inf
    if not runner.engine.spec.program.startswith("vLLM"):
        return CHUNK_TOKENS
    profile = runner.profile
    large = (profile.spec.memory.value or 0) >= LARGE_BYTES and profile.spec.family != "Ampere"
    return CHUNK_TOKENS if large else SMALL_CHUNK_TOKENS


def lanes(runner: Runner, work: Workload, sequences: float) -> float:
    """Batches that run beside each other: one for each data rank, and several where stages of a pipeline allow it.

    Requests whose prompts enter in one step stay in one batch, and walk through the stages together; where one half of
    the work is done alone, requests come one by one.
    """
    cut = runner.cut
    if cut.pipeline == 1 or runner.role != "aggregated":
        return cut.data * cut.pipeline
    entering = chunk_tokens(runner) / max(1.0, work.input_tokens * (1 - work.cached_share))
    return cut.data * min(cut.pipeline, max(1.0, sequences / cut.data / max(1.0, entering)))


def reads_whole(runner: Runner) -> bool:
    """Whether the engine reads a prompt in one step, however long it is."""
    return runner.engine.spec.recipe == "edge" or runner.profile.spec.place == "edge"


def predict(runner: Runner, work: Workload, *, sequences: int, round_trip_s: float) -> Prediction:
    """Predict a replica with `sequences` requests running; to try several loads, keep the `predictor`.

    The caller has checked with `unknown` that every number is there; raises ValueError otherwise.
    """
    return predictor(runner).predict(work, sequences=sequences, round_trip_s=round_trip_s)


def times_of(p: Predictor, work: Workload, sequences: float) -> Times:
    """Times of a replica whose slots are all taken, in the middle of its band."""
    runner, step_s = p.runner, p.clock.step_s
    factors, yielded = runner.applied.factors, 1 + runner.speculation.accepted
    ranks = lanes(runner, work, sequences)
    running = max(1.0, sequences / ranks)
    answer = max(1, work.output_tokens)
    context = work.input_tokens + answer / 2
    decode, alone = step_s(running, context), step_s(1, context)
    if runner.role == "prefill":
        one = enter(runner, work, 1)
        prompt = one.pieces * step_s(0, 0, one.tokens, one.seen)
        return Times(factors.first + prompt, 0.0, 0.0, ranks / prompt, decode, prompt)
    if runner.role == "decode":
        waited = factors.first + transfer_s(runner, work.input_tokens) + decode
        return Times(waited, decode / yielded, alone / yielded, sequences * yielded / (answer * decode), decode, 0.0)
    steps = answer / yielded
    entering = enter(runner, work, (running - 1) / steps)
    others, own = (running - 1) * entering.pieces, max(1.0, entering.pieces)
    if p.exclusive:
        read = step_s(0, 0, entering.tokens, entering.seen)
        more, busy = read, running * entering.pieces * read + steps * decode
        first = own * read + (decode if sequences > 1 else 0)
    else:
        read = step_s(running, context, entering.tokens, entering.seen)
        others, more = min(others, steps), max(0.0, read - decode)
        full = running * entering.pieces
        busy = full * read + max(0.0, steps + own - full) * decode
        first = own * read + (decode / 2 if sequences > 1 else 0)
    tpot = decode / yielded + factors.mixing * met_share(runner) * others * more / answer
    return Times(factors.first + first, tpot, alone / yielded, sequences / busy, decode, entering.pieces * more)


def enter(runner: Runner, work: Workload, together: float) -> Entering:
    """How prompts enter when so many come in the time of a step; a step takes a chunk of tokens at most."""
    fresh = max(1.0, work.input_tokens * (1 - work.cached_share))
    seen, chunk = work.input_tokens - fresh / 2, chunk_tokens(runner)
    if reads_whole(runner):
        return Entering(1, fresh, seen)
    if fresh >= chunk:
        pieces = math.ceil(fresh / chunk)
        return Entering(pieces, fresh / pieces, seen)
    together = max(1.0, min(together, chunk / fresh))
    return Entering(1 / together, fresh * together, seen)


def transfer_s(runner: Runner, tokens: float) -> float:
    """Seconds to send what one prompt leaves in the cache to another replica, all tensor ranks at once."""
    network, numbers = runner.profile.spec.network, runner.cache_bytes
    speed = (network.bandwidth.value if network else None) or DEFAULT_NETWORK
    sent = sequence_bytes(runner.architecture, tokens, STORAGE[runner.quantization].kv if numbers is None else numbers)
    return sent / (speed * min(1.0, runner.applied.factors.link) * runner.cut.tensor)


def _band(middle: float, spread: Range, *, beside: float = 0.0) -> Band:
    return Band(middle * min(1.0, spread.low) + beside, middle + beside, middle * max(1.0, spread.high) + beside)
