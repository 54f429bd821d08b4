"""An architecture, cut over chips, becomes the terms of a step. Pure; the roofline and whoever weighs rows call.

The walk over the layers happens once for each way to run a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from orchestrator.api.architecture import Architecture, Indexer, Layers
from orchestrator.api.hardware import Link
from orchestrator.core.architecture import expert_parameters, mixing, parameters
from orchestrator.core.cache import kept
from orchestrator.core.memory import STORAGE
from orchestrator.core.performance.arithmetic import attention_peak, dense_peak, expert_peak
from orchestrator.core.performance.runner import Runner
from orchestrator.core.performance.terms import Attended, Cached, Routed, Terms

WIDE = 2  # bytes of a number that chips exchange, and of weights that a quantization leaves alone
DISPATCHED_BYTES = 3  # of one number sent to an expert and back: one byte out, two back
NARROW = 0.5  # power of a narrow type's peak over the wide one's that programs reach
DEPTH = 4  # guesses made one after the other; what more are guessed are branches of a tree
DEALT = 3  # exchanges of sums that sending tokens to experts, or back, takes as long as: counts go before tokens
NETWORK_REACHED = 0.7  # of the bandwidth between nodes, where the profile does not say
LAUNCHED = 10  # programs of a layer with grouped attention: norms, projections, positions, attention, feed-forward
LAUNCHED_LATENT = 16  # compressing, norms of what is compressed, products with the projections of keys and of values
LAUNCHED_INDEX = 6  # projections, norm, positions, narrowing, scores, choice of tokens
LAUNCHED_LINEAR = 14  # convolution, gates, decay, state, norm
ROUNDS = 3  # an exchange among eight chips counts as one: three doublings
ONE_BATCH = "Chitu"  # nothing published says that it exchanges one half of a batch while it computes the other
LEAVES_ATTENTION = frozenset({"nvfp4"})  # releases of models with experts keep attention in 16 bits


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
    launched = sum(group.count * _launched(group) for group in a.layers) / LAUNCHED
    expert_layers = sum(group.count for group in a.layers if group.experts)
    spread = cut.tensor * cut.data
    per_link, per_network, exchanges, waited = _exchanged(runner, layers, expert_layers)
    numbers = s.kv if runner.cache_bytes is None else runner.cache_bytes
    link, network = spec.node_link, spec.network
    wide = attention_peak(runner.profile) or math.inf
    drafts = min(runner.speculation.guessed, DEPTH)
    return Terms(
        bandwidth=spec.bandwidth.known,
        peak=_reachable(wide, dense_peak(runner.profile, runner.quantization)),
        expert_peak=_reachable(wide, expert_peak(runner.profile, runner.quantization)),
        attention_peak=wide,
        narrow=float((dense_peak(runner.profile, runner.quantization) or 0) > wide),
        expert_narrow=float((expert_peak(runner.profile, runner.quantization) or 0) > wide),
        link=(link.bandwidth.value if link else None) or math.inf,
        network=_reachable_network(network),
        layers=launched,
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
        routed=tuple(
            _routed(a, group, s.body if s.experts is None else s.experts) for group in a.layers if group.experts
        ),
        attended=tuple(part for group in a.layers for part in _attended(group, tensor)),
        exchanges=exchanges,
        waited_s=waited,
        link_bytes=per_link,
        network_bytes=per_network,
        verified=1 + runner.speculation.guessed,
        overlapped=float(_overlaps(runner)),
    )


def _overlaps(runner: Runner) -> bool:
    """Whether halves of a batch take turns in computing and exchanging, as where experts are dealt over nodes."""
    cut = runner.cut
    apart = cut.data > 1 and cut.tensor == 1 and cut.expert and runner.nodes > 1
    return apart and not runner.engine.spec.program.startswith(ONE_BATCH)


def _launched(group: Layers) -> float:
    """Programs a chip starts for one layer, experts apart, as engines fuse them."""
    if group.latent is not None:
        return LAUNCHED_LATENT + (LAUNCHED_INDEX if group.latent.indexer else 0)
    if group.linear is not None:
        return LAUNCHED_LINEAR
    index = group.grouped.indexer if group.grouped is not None else None
    return LAUNCHED + (LAUNCHED_INDEX if index else 0)


def _reachable(wide: float, peak: float | None) -> float:
    """What a narrow type is worth: programs turn less of its higher peak into work than of a wide type's."""
    if peak is None or peak <= wide:
        return wide if peak is None else peak
    return wide * float((peak / wide) ** NARROW)


def _reachable_network(network: Link | None) -> float:
    speed = (network.bandwidth.value if network else None) or math.inf
    return speed * ((network.efficiency.value if network and network.efficiency else None) or NETWORK_REACHED)


def _routed(a: Architecture, group: Layers, each: float) -> Routed:
    experts = group.experts
    if experts is None:
        raise ValueError("no experts")
    size = expert_parameters(a, experts)
    return Routed(group.count, experts.routed, experts.per_token, size * each, 2 * size)


def _cached(a: Architecture, numbers: float, tensor: int) -> tuple[Cached, ...]:
    found = []
    for k in kept(a):
        parts = min(tensor, k.parts)
        found.append(
            Cached(
                k.count * k.numbers_per_token * numbers / parts,
                k.count * k.index_bytes_per_token,
                k.count * k.state_bytes / parts,
                k.window or math.inf,
                k.attended or math.inf,
                0.0,
            )
        )
    operations = [pair for group in a.layers for pair in _decoded(group, tensor)]
    found += [Cached(0, 0, 0, window, math.inf, each) for window, each in operations]
    return tuple(found)


def _decoded(group: Layers, tensor: int) -> Iterator[tuple[float, float]]:
    """Most tokens that one query of a decoding sequence sees, and its operations over each."""
    n = group.count / tensor
    if (m := group.latent) is not None:  # queries meet the compressed vector itself, and values are read from it
        yield _most(m.indexer), n * 2 * m.heads * (2 * m.kv_lora_rank + m.rope_head_dim)
    else:
        yield from ((part.window, part.operations) for part in _attended(group, tensor) if part.operations)


def _attended(group: Layers, tensor: int) -> Iterator[Attended]:
    n = group.count / tensor
    if (g := group.grouped) is not None:
        each = 2 * g.heads * (g.head_dim + (g.value_head_dim or g.head_dim))
        yield Attended(n * each, 0, min(g.window or math.inf, _most(g.indexer)))
    elif (m := group.latent) is not None:
        if m.indexer is None:
            width = m.nope_head_dim + m.rope_head_dim + m.value_head_dim
        else:  # chosen tokens differ from query to query: they are read compressed, as in decoding
            width = 2 * m.kv_lora_rank + m.rope_head_dim
            yield Attended(_scored(m.indexer, group.count), 0, math.inf)  # every tensor rank has all of it
        yield Attended(n * 2 * m.heads * width, 0, _most(m.indexer))
    elif (c := group.compressed) is not None:
        each = 4 * c.heads * c.head_dim
        yield Attended(n * each, 0, c.window)
        if c.tokens_per_entry is not None:
            yield Attended(n * each / c.tokens_per_entry, 0, _most(c.indexer) * c.tokens_per_entry)
    elif (s := group.linear) is not None:  # the state is written and read once a token
        yield Attended(0, n * 4 * s.value_heads * s.key_dim * s.value_dim, math.inf)


def _scored(indexer: Indexer, layers: float) -> float:
    """Operations of the index of so many layers for one token over one token, in those of a wide type."""
    return 0.0 if indexer.reused else layers * 2 * indexer.heads * indexer.head_dim / (2 if indexer.key == "fp8" else 1)


def _most(indexer: Indexer | None) -> float:
    return indexer.top_tokens if indexer else math.inf


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
        nodes = max(1.0, cut.chips / reach)
        for group in a.layers:
            if group.experts is not None:
                sent = group.count * a.hidden_size * DISPATCHED_BYTES / cut.tensor
                near += sent * _reached(cut.chips, group.experts.per_token) * (1 - 1 / reach)
                far += sent * _reached(nodes, group.experts.per_token) * (1 - 1 / nodes)
        rounds += 2 * expert_layers * DEALT * math.log2(cut.chips) / ROUNDS
        nearby, faraway = nearby + 2 * expert_layers, faraway + (2 * expert_layers if nodes > 1 else 0)
    rounds += cut.pipeline - 1
    return near, far, rounds, nearby * _latency(spec.node_link) + faraway * _latency(spec.network)


def _reached(places: float, chosen: int) -> float:
    """How many places a token's experts lie in on average; it is sent to each once."""
    return places * (1 - (1 - 1 / places) ** chosen)


def _latency(link: Link | None) -> float:
    return (link.latency.value if link and link.latency else None) or 0.0
