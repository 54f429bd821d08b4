"""How fast a replica will be: a roofline of memory, compute and communication. Pure.

One engine step decodes one token for each running sequence. Its time is the larger of reading (weights and cache) and
computing, plus what the chips tell each other, plus the engine's own overhead. Efficiency factors are data of the
engine; their 10th and 90th percentile give every prediction its band.

Sources: expected distinct experts and the step formula follow the usual roofline of MoE decoding; constants are in the
catalog with their origin. Called by `orchestrator.core.configurations`.
"""

from __future__ import annotations

from orchestrator.api.architecture import Architecture, Layers
from orchestrator.api.engine import Speed
from orchestrator.api.hardware import Link
from orchestrator.core.architecture import Parameters, expert_parameters, parameters
from orchestrator.core.cache import sequence_bytes
from orchestrator.core.memory import STORAGE
from orchestrator.core.performance.arithmetic import compute_peak
from orchestrator.core.performance.runner import Band, Prediction, Runner, Workload

LINK_EFFICIENCY = 0.7  # of a link's one-way bandwidth; Huawei's simulator uses it for HCCS and RoCE
DEFAULT_LATENCY_S = 10e-6  # per collective when the profile has none


def predict(runner: Runner, work: Workload, *, sequences: int, round_trip_s: float) -> Prediction:
    """Predict a replica with `sequences` requests running, spread over its data ranks.

    The caller has checked with `unknown` that every number is there; raises ValueError otherwise.
    """
    memory, compute = _speed(runner).memory, _speed(runner).compute
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


def _speed(runner: Runner) -> Speed:
    if runner.engine.spec.speed is None:
        raise ValueError(f"nobody measured {runner.engine.metadata.name}")
    return runner.engine.spec.speed


def _step_s(runner: Runner, work: Workload, sequences: int, memory: float, compute: float) -> float:
    """Seconds of one decode step in the middle of the answers."""
    a, cut = runner.architecture, runner.cut
    p, s = parameters(a), STORAGE[runner.quantization]
    per_rank = max(1.0, sequences / cut.data)
    group = cut.tensor * cut.pipeline
    read = _weights_read(runner, p, sequences)
    context = work.input_tokens + work.output_tokens / 2
    cache = per_rank * sequence_bytes(a, context, s.kv, tensor=cut.tensor, read=True) / cut.pipeline
    reading = (read + cache) / (runner.profile.spec.bandwidth.known * memory)
    active = p.body + p.head
    peak = compute_peak(runner.profile, runner.quantization) or float("inf")
    computing = 2 * active * per_rank / (group * peak * compute)
    return max(reading, computing) + _communication_s(runner, per_rank) + _speed(runner).step_overhead


def _weights_read(runner: Runner, p: Parameters, sequences: int) -> float:
    """Bytes of weights the busiest chip reads in one step."""
    if runner.needs:
        return runner.needs.weights_bytes
    a, cut, s = runner.architecture, runner.cut, STORAGE[runner.quantization]
    read = (p.dense * s.of(p) + p.head * s.head) / (cut.tensor * cut.pipeline)
    tokens = sequences if cut.expert else sequences / cut.data
    each = s.body if s.experts is None else s.experts
    for layers in a.layers:
        if layers.experts is not None:
            missed = (1 - layers.experts.per_token / layers.experts.routed) ** tokens
            touched = layers.count * layers.experts.routed * (1 - missed) * expert_parameters(a, layers.experts) * each
            read += touched / (cut.chips if cut.expert else cut.tensor * cut.pipeline)
    return read


def _prefill_s(runner: Runner, work: Workload, memory: float, compute: float) -> float:
    """Seconds until the first token of one prompt that finds the engine free."""
    a, cut = runner.architecture, runner.cut
    p = parameters(a)
    tokens = work.input_tokens
    operations = 2 * p.body * tokens + attention_operations(a, tokens) + 2 * p.head
    peak = compute_peak(runner.profile, runner.quantization) or float("inf")
    computing = operations / (cut.tensor * cut.pipeline * peak * compute)
    reading = _weights_read(runner, p, tokens) / (runner.profile.spec.bandwidth.known * memory)
    return max(computing, reading) + _communication_s(runner, tokens) + _speed(runner).step_overhead


def attention_operations(a: Architecture, tokens: int) -> float:
    """Operations of attention proper over a whole prompt: each token with what it sees of those before it."""
    return sum(layers.count * _attention_operations(layers, tokens) for layers in a.layers)


def _attention_operations(layers: Layers, tokens: int) -> float:
    mean = tokens / 2
    if (g := layers.grouped) is not None:
        seen = min(mean, g.window or mean, g.indexer.top_tokens if g.indexer else mean)
        return 2 * g.heads * (g.head_dim + (g.value_head_dim or g.head_dim)) * tokens * seen
    if (m := layers.latent) is not None:
        seen = min(mean, m.indexer.top_tokens) if m.indexer else mean
        return 2 * m.heads * (m.nope_head_dim + m.rope_head_dim + m.value_head_dim) * tokens * seen
    if (c := layers.compressed) is not None:
        entries = mean / c.tokens_per_entry if c.tokens_per_entry else 0
        seen = min(mean, c.window) + (min(entries, c.indexer.top_tokens) if c.indexer else entries)
        return 4 * c.heads * c.head_dim * tokens * seen
    if (s := layers.linear) is not None:
        return 4 * s.value_heads * s.key_dim * s.value_dim * tokens  # the state is written and read once a token
    return 0


def _communication_s(runner: Runner, tokens: float) -> float:
    """Seconds the chips of one replica talk in one step that carries `tokens` per data rank."""
    a, cut, spec = runner.architecture, runner.cut, runner.profile.spec
    seconds = 0.0
    if cut.tensor > 1 and spec.node_link is not None:
        reduced = 2 * (cut.tensor - 1) / cut.tensor * tokens * a.hidden_size * 2
        seconds += 2 * sum(layers.count for layers in a.layers) * _transfer_s(spec.node_link, reduced)
    if cut.expert and runner.nodes > 1 and spec.network is not None:
        away = 1 - 1 / runner.nodes
        for layers in a.layers:
            if layers.experts is not None:  # one byte out, two back
                sent = tokens / cut.tensor * layers.experts.per_token * a.hidden_size * 3 * away
                seconds += layers.count * (_latency_s(spec.network) + _transfer_s(spec.network, sent))
    return seconds


def _latency_s(link: Link) -> float:
    return (link.latency.value if link.latency else None) or DEFAULT_LATENCY_S


def _transfer_s(link: Link, sent_bytes: float) -> float:
    """Latency and time of one transfer; a link of unknown speed counts with its latency alone, and is named."""
    speed = link.bandwidth.value
    return _latency_s(link) + (sent_bytes / (speed * LINK_EFFICIENCY) if speed else 0)
