"""What one way to run a model has to read, compute and exchange in a step of the engine. Pure.

`compile_terms` walks the architecture once; `Terms.work` then gives the amounts of any step in a few microseconds. How
long amounts take is `orchestrator.core.performance.step`. All amounts are of the busiest chip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.api.architecture import Architecture, Layers
from orchestrator.api.hardware import Link
from orchestrator.core.architecture import expert_parameters, mixing, parameters
from orchestrator.core.cache import kept
from orchestrator.core.memory import STORAGE
from orchestrator.core.performance.arithmetic import attention_peak, dense_peak, expert_peak
from orchestrator.core.performance.runner import Runner

WIDE = 2  # bytes of a number that chips exchange, and of weights that a quantization leaves alone
DISPATCHED_BYTES = 3  # of one number sent to an expert and back: one byte out, two back
NARROW = 0.5  # power of a narrow type's peak over the wide one's that programs reach
DEPTH = 4  # guesses made one after the other; what more are guessed are branches of a tree
ROUNDS = 3  # an exchange among eight chips counts as one: three doublings


class Work(NamedTuple):
    """Amounts of one step on the busiest chip."""

    weight_bytes: float  # that every token passes
    weight_operations: float
    expert_bytes: float
    expert_operations: float
    cache_bytes: float  # read by decoding sequences
    cache_operations: float
    attention_operations: float  # of prompts
    link_bytes: float  # exchanged within a node
    network_bytes: float  # exchanged between nodes
    exchanges: float  # with the rounds each takes
    waited_s: float  # latency of the links
    layers: float
    expert_layers: float
    steps: float
    sequences: float


@dataclass(frozen=True, slots=True)
class Cached:
    """What equal layers read of the cache for one sequence."""

    per_token: float  # bytes, all such layers, this rank
    index_per_token: float
    fixed: float  # bytes whatever the length
    window: float
    attended: float
    operations_per_token: float  # of one query over one cached token, all such layers, this rank


@dataclass(frozen=True, slots=True)
class Routed:
    """Equal layers with experts."""

    count: int
    routed: int
    per_token: int
    bytes: float  # of one expert
    operations: float  # of one token in one expert


@dataclass(frozen=True, slots=True)
class Attended:
    """What equal layers compute when prompts attend."""

    operations: float  # of one token over one token it sees, all such layers, this rank
    fixed: float  # of one token whatever it sees
    window: float  # tokens it sees at most


@dataclass(frozen=True, slots=True)
class Terms:
    """One way to run a model, compiled."""

    bandwidth: float  # bytes/s of one chip
    peak: float  # operations/s in layers that all tokens pass
    expert_peak: float
    attention_peak: float
    narrow: float  # 1 where layers that all tokens pass are computed in a type narrower than 16 bits, else 0
    expert_narrow: float
    link: float  # bytes/s of one chip, one direction; infinite where unknown
    network: float
    layers: int
    expert_layers: int
    tensor: int
    data: int
    pipeline: int
    weight_bytes: float
    weight_operations: float  # per token
    head_bytes: float
    head_operations: float  # per token that gets an answer token
    spread: int  # chips over which experts are dealt out
    cached: tuple[Cached, ...]
    routed: tuple[Routed, ...]
    attended: tuple[Attended, ...]
    exchanges: float  # per step, with the rounds each takes
    waited_s: float  # per step
    link_bytes: float  # per token
    network_bytes: float  # per token
    verified: int  # tokens of one sequence in one step

    def work(self, sequences: float, context: float, prompt: float = 0, seen: float = 0) -> Work:
        """Amounts of one step.

        Args:
            sequences: that decode, on one data rank.
            context: tokens in the cache of each.
            prompt: prompt tokens in the same step, on one data rank.
            seen: tokens that each of them sees on average.
        """
        tokens = sequences * self.verified + prompt
        answered = sequences * self.verified + (1 if prompt else 0)
        expert_bytes = expert_operations = 0.0
        everywhere = tokens * self.data
        for r in self.routed:
            chosen = r.per_token / r.routed
            touched = r.routed * (1 - (1 - chosen) ** everywhere)
            expert_bytes += r.count * touched * r.bytes / self.spread
            expert_operations += r.count * everywhere * r.per_token * r.operations / self.spread
        cache_bytes = cache_operations = 0.0
        if sequences:
            for c in self.cached:
                read = min(context, c.window, c.attended)
                cache_bytes += read * c.per_token + context * c.index_per_token + c.fixed
                cache_operations += read * c.operations_per_token
        attention = 0.0
        if prompt:
            for a in self.attended:
                attention += min(seen, a.window) * a.operations + a.fixed
        return Work(
            self.weight_bytes + self.head_bytes,
            tokens * self.weight_operations + answered * self.head_operations,
            expert_bytes,
            expert_operations,
            sequences * cache_bytes,
            sequences * self.verified * cache_operations,
            prompt * attention,
            tokens * self.link_bytes,
            tokens * self.network_bytes,
            self.exchanges,
            self.waited_s,
            self.layers,
            self.expert_layers,
            1,
            sequences,
        )


def compile_terms(runner: Runner) -> Terms:
    """Walk the architecture once. Raises ValueError when the chip's bandwidth is unknown."""
    a, cut, s, spec = runner.architecture, runner.cut, STORAGE[runner.quantization], runner.profile.spec
    p = parameters(a)
    tensor = cut.tensor
    attention = sum(layers.count * mixing(a, layers) for layers in a.layers)
    stored = p.dense * s.of(p)
    if runner.quantization in LEAVES_ATTENTION and p.routed_experts:
        stored += attention * (WIDE - s.of(p))
    if runner.needs:
        stored, head = float(runner.needs.weights_bytes), 0.0
    else:
        head = p.head * (s.body if spec.place == "edge" else s.head)  # tools for boards store the head narrow too
    layers = sum(group.count for group in a.layers)
    expert_layers = sum(group.count for group in a.layers if group.experts)
    spread = cut.tensor * cut.data
    per_link, per_network, exchanges, waited = _exchanged(runner, layers, expert_layers)
    numbers = s.kv if runner.cache_bytes is None else runner.cache_bytes
    link, network = spec.node_link, spec.network
    wide = attention_peak(runner.profile) or float("inf")
    drafts = min(runner.speculation.guessed, DEPTH)
    return Terms(
        bandwidth=spec.bandwidth.known,
        peak=_reachable(wide, dense_peak(runner.profile, runner.quantization)),
        expert_peak=_reachable(wide, expert_peak(runner.profile, runner.quantization)),
        attention_peak=wide,
        narrow=float((dense_peak(runner.profile, runner.quantization) or 0) > wide),
        expert_narrow=float((expert_peak(runner.profile, runner.quantization) or 0) > wide),
        link=(link.bandwidth.value if link else None) or float("inf"),
        network=(network.bandwidth.value if network else None) or float("inf"),
        layers=layers,
        expert_layers=expert_layers,
        tensor=tensor,
        data=cut.data,
        pipeline=cut.pipeline,
        weight_bytes=(stored + drafts * stored / layers) / tensor,
        weight_operations=2 * p.dense / tensor,
        head_bytes=(1 + drafts) * head / tensor,
        head_operations=2 * p.head / tensor,
        spread=spread,
        cached=_cached(a, numbers, tensor),
        routed=tuple(_routed(a, group, s.body if s.experts is None else s.experts) for group in a.layers if group.experts),
        attended=tuple(_attended(group, tensor) for group in a.layers),
        exchanges=exchanges,
        waited_s=waited,
        link_bytes=per_link,
        network_bytes=per_network,
        verified=1 + runner.speculation.guessed,
    )


def _reachable(wide: float, peak: float | None) -> float:
    """What a narrow type is worth: programs turn less of its higher peak into work than of a wide type's."""
    if peak is None or peak <= wide:
        return wide if peak is None else peak
    return wide * float((peak / wide) ** NARROW)


LEAVES_ATTENTION = frozenset({"nvfp4"})  # releases of models with experts keep attention in 16 bits


def _routed(a: Architecture, group: Layers, each: float) -> Routed:
    experts = group.experts
    if experts is None:
        raise ValueError("no experts")
    size = expert_parameters(a, experts)
    return Routed(group.count, experts.routed, experts.per_token, size * each, 2 * size)


def _cached(a: Architecture, numbers: float, tensor: int) -> tuple[Cached, ...]:
    found = []
    infinite = float("inf")
    for k in kept(a):
        parts = min(tensor, k.parts)
        found.append(
            Cached(
                k.count * k.numbers_per_token * numbers / parts,
                k.count * k.index_bytes_per_token,
                k.count * k.state_bytes / parts,
                k.window or infinite,
                k.attended or infinite,
                0.0,
            )
        )
    operations = [_decoded(group, tensor) for group in a.layers]
    found += [Cached(0, 0, 0, window, infinite, each) for window, each in operations if each]
    return tuple(found)


def _decoded(group: Layers, tensor: int) -> tuple[float, float]:
    """Most tokens one query of a decoding sequence sees, and its operations over each."""
    if (g := group.grouped) is not None:
        top = g.indexer.top_tokens if g.indexer else None
        return g.window or top or float("inf"), group.count * 2 * g.heads * (g.head_dim + (g.value_head_dim or g.head_dim)) / tensor
    if (m := group.latent) is not None:
        top = m.indexer.top_tokens if m.indexer else None
        return top or float("inf"), group.count * 2 * m.heads * (2 * m.kv_lora_rank + m.rope_head_dim) / tensor
    if (c := group.compressed) is not None:
        return c.window, group.count * 4 * c.heads * c.head_dim / tensor
    return float("inf"), 0.0


def _attended(group: Layers, tensor: int) -> Attended:
    infinite, n = float("inf"), group.count / tensor
    if (g := group.grouped) is not None:
        most = min(g.window or infinite, g.indexer.top_tokens if g.indexer else infinite)
        return Attended(n * 2 * g.heads * (g.head_dim + (g.value_head_dim or g.head_dim)), 0, most)
    if (m := group.latent) is not None:
        most = m.indexer.top_tokens if m.indexer else infinite
        each = 2 * m.heads * (m.nope_head_dim + m.rope_head_dim + m.value_head_dim)
        return Attended(n * each, 0, most)
    if (c := group.compressed) is not None:
        return Attended(n * 4 * c.heads * c.head_dim, 0, c.window)
    if (s := group.linear) is not None:
        return Attended(0, n * 4 * s.value_heads * s.key_dim * s.value_dim, infinite)
    return Attended(0, 0, infinite)


def _exchanged(runner: Runner, layers: int, expert_layers: int) -> tuple[float, float, float, float]:
    """Bytes per token within a node and between nodes; rounds of exchange and seconds of latency per step."""
    a, cut, spec = runner.architecture, runner.cut, runner.profile.spec
    reach = min(cut.chips, spec.node_link.group if spec.node_link else 1)
    within = min(cut.tensor, reach)
    reduced = a.hidden_size * WIDE
    near = far = rounds = 0.0
    nearby = faraway = 0
    if cut.tensor > 1:
        near = 2 * layers * 2 * (within - 1) / within * reduced
        nearby += 2 * layers
        rounds += 2 * layers * math.log2(cut.tensor) / ROUNDS
        if cut.tensor > within:
            groups = cut.tensor / within
            far = 2 * layers * 2 * (groups - 1) / groups * reduced / within
            faraway += 2 * layers
    if cut.data > 1 and expert_layers:
        away, beyond = 1 - 1 / cut.chips, max(0.0, 1 - reach / cut.chips)
        for group in a.layers:
            if group.experts is not None:
                copies = min(group.experts.per_token, cut.chips)
                sent = group.count * copies * a.hidden_size * DISPATCHED_BYTES / cut.tensor
                near += sent * (away - beyond)
                far += sent * beyond
        rounds += 2 * expert_layers * math.log2(cut.chips) / ROUNDS
        nearby, faraway = nearby + 2 * expert_layers, faraway + (2 * expert_layers if beyond else 0)
    rounds += cut.pipeline - 1
    return near, far, rounds, nearby * _latency(spec.node_link) + faraway * _latency(spec.network)


def _latency(link: Link | None) -> float:
    return (link.latency.value if link and link.latency else None) or 0.0
