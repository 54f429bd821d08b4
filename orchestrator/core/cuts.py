"""How a replica is cut over chips and nodes. Pure.

Tensor ranks are a power of two within a node, because query heads are dealt to them evenly; that is our rule, whatever
else the platform accepts. Over several nodes a mixture of experts has one data rank a node and its experts on all
chips, a dense model one pipeline stage a node. Called by `orchestrator.core.configurations` and
`orchestrator.core.sizing`.
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
    tensor = 1
    while tensor <= pool.chips:
        if tensor in counts and divides_heads(a, tensor):
            yield Parallelism(tensor=tensor, expert=has_experts(a) and tensor > 1), 1
        tensor *= 2
    nodes = 2
    while has_experts(a) and nodes <= pool.nodes and pool.chips in counts:
        yield Parallelism(tensor=pool.chips, data=nodes, expert=True), nodes
        nodes *= 2


def whole_cut(a: Architecture, chips: int, per_node: int) -> Parallelism:
    """The usual cut of one replica over so many chips of nodes with `per_node` each."""
    if chips <= per_node:
        return Parallelism(tensor=chips, expert=has_experts(a) and chips > 1)
    nodes = chips // per_node
    if has_experts(a):
        return Parallelism(tensor=per_node, data=nodes, expert=True)
    return Parallelism(tensor=per_node, pipeline=nodes)


def divides_heads(a: Architecture, tensor: int) -> bool:
    """Whether the query heads of every layer can be dealt to so many tensor ranks."""
    return all(count % tensor == 0 for count in heads(a))


def heads(a: Architecture) -> tuple[int, ...]:
    """Query heads (of linear attention: value heads) of the layers that mix tokens, each number once."""
    kinds = (layers.grouped or layers.latent or layers.compressed for layers in a.layers)
    counts = {kind.heads for kind in kinds if kind}
    return tuple(sorted(counts | {layers.linear.value_heads for layers in a.layers if layers.linear}))


def show_cut(cut: Parallelism, nodes: int) -> str:
    """`TP8 DP2 EP on 2 nodes`, for people."""
    parts = [f"TP{cut.tensor}"]
    parts += [f"PP{cut.pipeline}"] if cut.pipeline > 1 else []
    parts += [f"DP{cut.data}"] if cut.data > 1 else []
    parts += ["EP"] if cut.expert else []
    return f"{' '.join(parts)} on {nodes} node{'s' if nodes > 1 else ''}"
