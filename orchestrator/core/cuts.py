"""How a replica is cut over chips and nodes. Pure.

Plans take a power of two of chips within a node; that is our rule, whatever else the platform accepts. Where all heads
share one latent vector, tensor ranks would each hold the whole cache, so data ranks within the node are tried too. Over
several nodes a mixture of experts has one data rank a node and its experts on all chips, a dense model one pipeline
stage a node. Called by `orchestrator.core.configurations`,
`orchestrator.core.sizing` and `orchestrator.lookup`.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.api.architecture import Architecture
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.site import Pool
from orchestrator.core.world import Parallelism


def has_experts(a: Architecture) -> bool:
    """Whether some layer picks experts."""
    return any(layers.experts for layers in a.layers)


def cuts_of(
    a: Architecture, profile: HardwareProfile, pool: Pool, counts: tuple[int, ...]
) -> Iterator[tuple[Parallelism, int]]:
    """Ways to cut a replica in a pool whose platform accepts these counts, with their nodes, smallest first."""
    if profile.spec.kind == "cpu":
        yield Parallelism(), 1
        return
    tensors = [n for n in counts if n.bit_count() == 1 and shares_heads(a, n)]
    experts = has_experts(a)
    for tensor in tensors:
        yield Parallelism(tensor=tensor, expert=experts and tensor > 1), 1
    if experts and any(layers.latent for layers in a.layers):
        for chips in (n for n in counts if n.bit_count() == 1):
            yield from ((Parallelism(t, data=chips // t, expert=True), 1) for t in tensors if t < chips)
    nodes = 2
    while nodes <= spanned(pool) and pool.chips in tensors and spans_nodes(profile, pool):
        wide = Parallelism(pool.chips, data=nodes, expert=True) if experts else Parallelism(pool.chips, pipeline=nodes)
        if experts or nodes <= sum(layers.count for layers in a.layers):
            yield wide, nodes
        nodes *= 2


def spanned(pool: Pool) -> int:
    """The most nodes that a replica is tried on: the largest power of two there is."""
    return 1 << (pool.nodes.bit_length() - 1)


def spans_nodes(profile: HardwareProfile, pool: Pool) -> bool:
    """Whether one replica may have chips of several nodes: not of edge boards, and not of slices."""
    return profile.spec.place == "datacenter" and pool.slice is None


def whole_cut(a: Architecture, chips: int, per_node: int) -> Parallelism:
    """The usual cut of one replica over so many chips of nodes with `per_node` each."""
    if chips <= per_node:
        return Parallelism(tensor=chips, expert=has_experts(a) and chips > 1)
    nodes = chips // per_node
    if has_experts(a):
        return Parallelism(tensor=per_node, data=nodes, expert=True)
    return Parallelism(tensor=per_node, pipeline=nodes)


def shares_heads(a: Architecture, tensor: int) -> bool:
    """Whether so many tensor ranks get equally many heads in every layer; the few key heads may be repeated instead."""
    queries, keys = heads(a)
    dealt = all(count % tensor == 0 for count in queries)
    return dealt and all(count % tensor == 0 or tensor % count == 0 for count in keys)


def heads(a: Architecture) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Query heads and key heads of the layers that mix tokens, each number once.

    Linear attention counts its value heads as queries. Latent and compressed attention have no key heads to deal out.
    """
    one = {kind.heads for layers in a.layers if (kind := layers.latent or layers.compressed)}
    grouped = [layers.grouped for layers in a.layers if layers.grouped]
    linear = [layers.linear for layers in a.layers if layers.linear]
    queries = one | {kind.heads for kind in grouped} | {kind.value_heads for kind in linear}
    keys = {kind.kv_heads for kind in grouped} | {kind.key_heads for kind in linear}
    return tuple(sorted(queries)), tuple(sorted(keys))


def show_heads(a: Architecture) -> str:
    """`64 query and 8 key heads`, for people."""
    queries, keys = (" or ".join(map(str, counts)) for counts in heads(a))
    return f"{queries} query and {keys} key heads" if keys else f"{queries} heads"


def show_cut(cut: Parallelism, nodes: int) -> str:
    """`TP8 DP2 EP on 2 nodes`, for people."""
    parts = [f"TP{cut.tensor}"]
    parts += [f"PP{cut.pipeline}"] if cut.pipeline > 1 else []
    parts += [f"DP{cut.data}"] if cut.data > 1 else []
    parts += ["EP"] if cut.expert else []
    return f"{' '.join(parts)} on {nodes} node{'s' if nodes > 1 else ''}"
