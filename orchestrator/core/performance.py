"""How fast a replica will be: a roofline of memory, compute and communication. Pure.

One engine step decodes one token for each running sequence. Its time is the larger of reading (weights and cache) and
computing, plus what the chips tell each other, plus the engine's own overhead. Efficiency factors are data of the
engine; their 10th and 90th percentile give every prediction its band.

Sources: expected distinct experts and the step formula follow the usual roofline of MoE decoding; constants are in the
catalog with their origin.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.api.hardware import Engine, HardwareProfile
from orchestrator.api.model import Architecture
from orchestrator.core.architecture import Parameters, parameters
from orchestrator.core.memory import STORAGE, kv_bytes_per_token
from orchestrator.core.world import Parallelism
from runtimes.contract import Needs

LINK_EFFICIENCY = 0.7  # of a link's one-way bandwidth; Huawei's simulator uses it for HCCS and RoCE
DEFAULT_LATENCY_S = 10e-6  # per collective when the profile has none


@dataclass(frozen=True, slots=True)
class Band:
    """A prediction: 10th percentile, middle, 90th percentile."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one replica will do at its number of sequences."""

    ttft_s: Band  # prompt of the declared length, no queue, network round trip included
    tpot_s: Band  # all sequences busy
    single_stream_tpot_s: Band  # one sequence alone
    requests_per_s: Band  # of the declared lengths, all sequences busy


@dataclass(frozen=True, slots=True)
class Workload:
    """What one request is like."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Runner:
    """Everything the step formula needs about one way to run a model."""

    architecture: Architecture
    quantization: str
    profile: HardwareProfile
    engine: Engine
    cut: Parallelism
    nodes: int
    needs: Needs | None = None  # measured, of a built edge artifact


def predict(runner: Runner, work: Workload, *, sequences: int, round_trip_s: float) -> Prediction:
    """Predict a replica with `sequences` requests running, spread over its data ranks.

    Raises nothing; the caller has checked that the profile has a compute peak for the quantization.
    """
    memory, compute = runner.engine.spec.memory_efficiency, runner.engine.spec.compute_efficiency
    best, middle, worst = (memory.high, compute.high), (memory.value, compute.value), (memory.low, compute.low)
    steps = [_step_s(runner, work, sequences, *point) for point in (best, middle, worst)]
    alone = [_step_s(runner, work, 1, *point) for point in (best, middle, worst)]
    prefills = [_prefill_s(runner, work, *point) for point in (best, middle, worst)]
    busy = [p / runner.cut.data + work.output_tokens * s / sequences for p, s in zip(prefills, steps, strict=True)]
    return Prediction(
        ttft_s=Band(*(seconds + round_trip_s for seconds in prefills)),
        tpot_s=Band(*steps),
        single_stream_tpot_s=Band(*alone),
        requests_per_s=Band(*(1 / seconds for seconds in reversed(busy))),
    )


def compute_peak(profile: HardwareProfile, quantization: str) -> float | None:
    """Operations per second the chip reaches at most for this quantization; None when it has no such path.

    Weight-only quantization computes in the next wider type the chip has.
    """
    wanted = {
        "fp8": ("fp8",),
        "w8a8": ("int8",),
        "bf16": ("bf16",),
        "fp16": ("fp16",),
        "fp32": ("fp32",),
        "int8": ("bf16", "fp16", "fp32"),
        "int4": ("bf16", "fp16", "fp32"),
    }[quantization]
    order = tuple(reversed(wanted)) if profile.spec.kind == "cpu" else wanted
    peaks = (profile.spec.peaks[dtype].value for dtype in order if dtype in profile.spec.peaks)
    return next(peaks, None)


def _step_s(runner: Runner, work: Workload, sequences: int, memory: float, compute: float) -> float:
    """Seconds of one decode step in the middle of the answers."""
    a, cut = runner.architecture, runner.cut
    p, s = parameters(a), STORAGE[runner.quantization]
    per_rank = max(1.0, sequences / cut.data)
    group = cut.tensor * cut.pipeline
    read = _weights_read(runner, p, sequences)
    context = work.input_tokens + work.output_tokens / 2
    if a.indexer is not None:
        context = min(context, a.indexer.top_tokens)
    split = 1 if a.latent is not None else min(cut.tensor, a.kv_heads or 1)
    cache = per_rank * context * kv_bytes_per_token(a, s.kv) / (split * cut.pipeline)
    reading = (read + cache) / (runner.profile.spec.bandwidth.value * memory)
    active = p.body(a.experts.per_token if a.experts else 0) + p.head
    peak = compute_peak(runner.profile, runner.quantization) or float("inf")
    computing = 2 * active * per_rank / (group * peak * compute)
    return max(reading, computing) + _communication_s(runner, per_rank) + runner.engine.spec.step_overhead


def _weights_read(runner: Runner, p: Parameters, sequences: int) -> float:
    """Bytes of weights the busiest chip reads in one step."""
    if runner.needs:
        return runner.needs.weights_bytes
    a, cut, s = runner.architecture, runner.cut, STORAGE[runner.quantization]
    read = (p.dense * s.body + p.head * s.head) / (cut.tensor * cut.pipeline)
    if a.experts:
        tokens = sequences if cut.expert else sequences / cut.data
        missed = (1 - a.experts.per_token / a.experts.routed) ** tokens
        touched = p.moe_layers * a.experts.routed * (1 - missed) * p.expert * s.body
        read += touched / (cut.chips if cut.expert else cut.tensor * cut.pipeline)
    return read


def _prefill_s(runner: Runner, work: Workload, memory: float, compute: float) -> float:
    """Seconds until the first token of one prompt that finds the engine free."""
    a, cut = runner.architecture, runner.cut
    p = parameters(a)
    active = p.body(a.experts.per_token if a.experts else 0)
    tokens = work.input_tokens
    width = a.latent.nope_head_dim + a.latent.rope_head_dim + a.latent.value_head_dim if a.latent else 2 * a.head_dim
    seen = min(tokens / 2, a.indexer.top_tokens) if a.indexer else tokens / 2
    operations = 2 * active * tokens + 2 * a.layers * a.heads * width * tokens * seen + 2 * p.head
    peak = compute_peak(runner.profile, runner.quantization) or float("inf")
    computing = operations / (cut.tensor * cut.pipeline * peak * compute)
    reading = _weights_read(runner, p, tokens) / (runner.profile.spec.bandwidth.value * memory)
    return max(computing, reading) + _communication_s(runner, tokens) + runner.engine.spec.step_overhead


def _communication_s(runner: Runner, tokens: float) -> float:
    """Seconds the chips of one replica talk in one step that carries `tokens` per data rank."""
    a, cut, spec = runner.architecture, runner.cut, runner.profile.spec
    seconds = 0.0
    if cut.tensor > 1 and spec.node_link is not None:
        link = spec.node_link
        latency = link.latency.value if link.latency else DEFAULT_LATENCY_S
        reduced = 2 * (cut.tensor - 1) / cut.tensor * tokens * a.hidden_size * 2
        seconds += 2 * a.layers * (latency + reduced / (link.bandwidth.value * LINK_EFFICIENCY))
    if cut.expert and runner.nodes > 1 and spec.network is not None and a.experts is not None:
        network = spec.network
        latency = network.latency.value if network.latency else DEFAULT_LATENCY_S
        away = 1 - 1 / runner.nodes
        sent = tokens / cut.tensor * a.experts.per_token * a.hidden_size * 3 * away  # one byte out, two back
        moe_layers = a.layers - a.experts.first_dense_layers
        seconds += moe_layers * (2 * latency + sent / (network.bandwidth.value * LINK_EFFICIENCY))
    return seconds
