"""How many sequences one replica runs together: what memory holds and the objectives allow. Pure.

On an accelerator the most that fit carry the most, and the chips are the replica's own. A CPU machine is shared by
memory, so every batch that carries more for more memory is a way of its own. Called by
`orchestrator.core.configurations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.api.site import Pool
from orchestrator.core import fit
from orchestrator.core.asks import Ask
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.memory import Memory, chip_memory, edge_memory, reserved_bytes, usable_bytes
from orchestrator.core.performance.runner import Prediction, Role, Runner, Workload
from orchestrator.core.performance.serving import Predictor, predictor

SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # running together on each data rank
EDGE_SEQUENCES = (1, 2, 4, 8)  # beyond 8 a CPU decodes no faster in total
CONTEXT_TOKENS = 4096  # when the tier does not say and its typical request is not longer


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a model, compiled once; what was worked out for one tier is there for the next."""

    runner: Runner
    sizes: tuple[int, ...]  # batches that are tried, smallest first
    predictors: Mapping[Role, Predictor]
    memories: dict[tuple[object, ...], Memory] = field(default_factory=dict)
    predictions: dict[tuple[object, ...], Prediction] = field(default_factory=dict)

    def memory(self, pool: Pool, sequences: int, context_tokens: int) -> Memory:
        """What one chip, or one machine, holds with so many sequences of this length."""
        key = sequences, context_tokens, pool.memory, pool.slice
        if key not in self.memories:
            self.memories[key] = _memory(self.runner, pool, sequences, context_tokens)
        return self.memories[key]

    def predict(self, role: Role, work: Workload, sequences: int, round_trip_s: float) -> Prediction:
        """What a replica of this role does with so many sequences."""
        key = role, work, sequences, round_trip_s
        if key not in self.predictions:
            predictor = self.predictors[role]
            self.predictions[key] = predictor.predict(work, sequences=sequences, round_trip_s=round_trip_s)
        return self.predictions[key]


def compiled_way(runner: Runner) -> Way:
    """Compile a runner for every role."""
    whole = predictor(runner)
    roles: tuple[Role, ...] = ("aggregated", "prefill", "decode")
    return Way(runner, _sizes(runner), {role: replace(whole, runner=replace(runner, role=role)) for role in roles})


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences that run together, what they need and how fast they are."""

    sequences: int
    context_tokens: int
    memory: Memory
    prediction: Prediction


def batches(ask: Ask, way: Way, pool: Pool, round_trip_s: float, subject: str) -> Iterator[Batch | Rejected]:
    """The batches worth a choice, largest first; or the one reason why not even a single sequence does."""
    context = context_of(ask)
    request = ask.workload.input_tokens + ask.workload.output_tokens
    if context < request:
        hint = f"the model allows {ask.model.spec.context or context}"
        yield Rejected(subject, Why.CONTEXT, f"{request} tokens", f"{context} tokens", hint)
        return
    sizes = held(way, pool, context)
    if not sizes:
        least, usable = way.memory(pool, way.sizes[0], context), usable_bytes(way.runner.profile, pool)
        yield Rejected(subject, Why.MEMORY, fit.size(least.total), fit.size(usable))
        return
    fast: list[Batch] = []
    refused: Rejected | None = None
    for count in reversed(sizes):
        prediction = way.predict("aggregated", ask.workload, count, round_trip_s)
        refused = too_slow(ask, subject, prediction)
        if refused is None:
            fast.append(Batch(count, context, way.memory(pool, count, context), prediction))
            if not _shares(way.runner):
                break
    if refused is not None and not fast:
        yield refused
    yield from _worth(fast)


def context_of(ask: Ask) -> int:
    """Longest prompt and answer together: what the tier wants, as far as the model goes."""
    wanted = ask.tier.context or max(CONTEXT_TOKENS, ask.workload.input_tokens + ask.workload.output_tokens)
    return min(wanted, ask.model.spec.context or wanted)


def held(way: Way, pool: Pool, context_tokens: int) -> tuple[int, ...]:
    """The batches that fit memory, smallest first; what one more sequence adds is the same each time."""
    sizes, usable = way.sizes, usable_bytes(way.runner.profile, pool)
    if _shares(way.runner):  # beside the cache, a machine holds answers of every sequence
        return tuple(count for count in sizes if way.memory(pool, count, context_tokens).total <= usable)
    least = way.memory(pool, sizes[0], context_tokens)
    return tuple(count for count in sizes if least.total + least.kv_cache * (count // sizes[0] - 1) <= usable)


def _sizes(runner: Runner) -> tuple[int, ...]:
    return EDGE_SEQUENCES if _shares(runner) else tuple(count * runner.cut.data for count in SEQUENCES)


def _shares(runner: Runner) -> bool:
    return runner.engine.spec.recipe == "edge"


def _worth(fast: list[Batch]) -> Iterator[Batch]:
    """The batches, largest first, without those that carry no more than a smaller one."""
    for position, batch in enumerate(fast):
        rate = batch.prediction.requests_per_s.mid
        if all(rate > smaller.prediction.requests_per_s.mid for smaller in fast[position + 1 :]):
            yield batch


def _memory(runner: Runner, pool: Pool, sequences: int, context_tokens: int) -> Memory:
    if _shares(runner):
        return edge_memory(
            runner.architecture, runner.quantization, runner.needs, sequences=sequences, context_tokens=context_tokens
        )
    return chip_memory(
        runner.architecture,
        runner.quantization,
        runner.cut,
        sequences=sequences,
        context_tokens=context_tokens,
        reserved_bytes=reserved_bytes(runner.profile, pool),
        board=runner.profile.spec.place == "edge",
    )


def too_slow(ask: Ask, subject: str, prediction: Prediction) -> Rejected | None:
    """None when the middle of the prediction meets the objectives of the tier."""
    slo = ask.tier.slo
    if slo.ttft is not None and prediction.ttft_s.mid > slo.ttft:
        return Rejected(
            subject, Why.TTFT, f"at most {fit.time(slo.ttft)}", f"{fit.time(prediction.ttft_s.mid)} predicted"
        )
    if slo.tpot is not None and prediction.tpot_s.mid > slo.tpot:
        return Rejected(
            subject, Why.TPOT, f"at most {fit.time(slo.tpot)}", f"{fit.time(prediction.tpot_s.mid)} predicted"
        )
    return None
