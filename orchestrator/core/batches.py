"""How many sequences one replica runs together: what memory holds and the objectives allow. Pure.

On an accelerator the most that fit carry the most, and the chips are the replica's own. A CPU machine is shared by
memory, so every batch that carries more for more memory is a way of its own. Called by
`orchestrator.core.configurations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.api.site import Pool
from orchestrator.core import fit
from orchestrator.core.asks import Ask
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.memory import Memory, chip_memory, edge_memory, reserved_bytes, usable_bytes
from orchestrator.core.performance.runner import Prediction, Runner
from orchestrator.core.performance.serving import Predictor

SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # running together on each data rank
EDGE_SEQUENCES = (1, 2, 4, 8)  # beyond 8 a CPU decodes no faster in total
CONTEXT_TOKENS = 4096  # when the tier does not say


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences that run together, what they need and how fast they are."""

    sequences: int
    context_tokens: int
    memory: Memory
    prediction: Prediction


def batches(ask: Ask, compiled: Predictor, pool: Pool, round_trip_s: float, subject: str) -> Iterator[Batch | Rejected]:
    """The batches worth a choice, largest first; or the one reason why not even a single sequence does."""
    runner, longest = compiled.runner, ask.model.spec.context
    wanted = ask.tier.context or CONTEXT_TOKENS
    context = min(wanted, longest or wanted)
    request = ask.workload.input_tokens + ask.workload.output_tokens
    if context < request:
        hint = f"the model allows {longest or context}"
        yield Rejected(subject, Why.CONTEXT, f"{request} tokens", f"{context} tokens", hint)
        return
    edge = runner.engine.spec.recipe == "edge"
    sizes = EDGE_SEQUENCES if edge else tuple(count * runner.cut.data for count in SEQUENCES)
    usable = usable_bytes(runner.profile, pool)
    least = memory_of(runner, pool, sizes[0], context)
    if least.total > usable:
        yield Rejected(subject, Why.MEMORY, fit.size(least.total), fit.size(usable))
        return
    fast: list[Batch] = []
    refused: Rejected | None = None
    for count in reversed(sizes):
        if least.total + least.kv_cache * (count // sizes[0] - 1) > usable:
            continue
        prediction = compiled.predict(ask.workload, sequences=count, round_trip_s=round_trip_s)
        refused = too_slow(ask, subject, prediction)
        memory = memory_of(runner, pool, count, context)
        if refused is None and memory.total <= usable:
            fast.append(Batch(count, context, memory, prediction))
            if not edge:
                break
    if refused is not None and not fast:
        yield refused
    yield from _worth(fast)


def _worth(fast: list[Batch]) -> Iterator[Batch]:
    """The batches, largest first, without those that carry no more than a smaller one."""
    for position, batch in enumerate(fast):
        rate = batch.prediction.requests_per_s.mid
        if all(rate > smaller.prediction.requests_per_s.mid for smaller in fast[position + 1 :]):
            yield batch


def memory_of(runner: Runner, pool: Pool, sequences: int, context_tokens: int) -> Memory:
    """What one chip, or one machine, holds with so many sequences of this length."""
    if runner.engine.spec.recipe == "edge":
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
