"""One layer of a model from the shapes of its tensors, exact to the last parameter.

A reader names each tensor by the part it plays (`q`, `kv_a`, `expert_down`, ...) whatever its file calls it, and gives
the few numbers that shapes cannot say. Widths are read as numbers divided by the width of the model, so it does not
matter which way round a matrix is stored. Pure. Called by `orchestrator.adapters.imports.assemble`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.adapters.imports.bounded import shown
from orchestrator.api.architecture import (
    Architecture,
    Dense,
    Experts,
    GroupedAttention,
    Indexer,
    LatentAttention,
    Layers,
    LinearAttention,
    QkNorm,
)
from orchestrator.core.architecture import parameters
from orchestrator.errors import Refused

Shape = tuple[int, ...]
LINEAR = "linear_"  # how parts of linear attention begin
NORM = "norm/"  # how norms as wide as the model begin
MOST_NORMS = 8
STRANGE_SHARE = 0.1  # of a layer without its experts that may be matrices of unknown use


@dataclass(frozen=True, slots=True)
class Given:
    """What the shapes of one layer leave open, as metadata or a configuration says it; None where it does not."""

    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    window: int | None = None
    per_token: int | None = None
    shared: int | None = None
    top_tokens: int | None = None
    linear: LinearAttention | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """The tensors of one layer by part; experts stored one by one are stacked, what is not known keeps its name."""

    where: str  # of the layer, for messages
    hidden: int
    shapes: Mapping[str, Shape]

    def numbers(self, part: str) -> int:
        """How many parameters a part has; 0 when it is absent."""
        return math.prod(self.shapes[part]) if part in self.shapes else 0

    def width(self, part: str, over: int | None = None) -> int:
        """The other side of a matrix that has the width of the model (or `over`) on one side."""
        numbers, side = self.numbers(part), over or self.hidden
        if numbers % side:
            raise Refused(f"{self.where}: {part} has {numbers:,} numbers, which is no multiple of the width {side}")
        return numbers // side

    def has(self, *parts: str) -> bool:
        """Whether all of these are there."""
        return all(part in self.shapes for part in parts)


def layer(parts: Parts, given: Given) -> Layers:
    """What a layer is made of; what no dimension explains is counted in `other`.

    Raises:
        Refused: attention, experts or a state that shapes and given numbers do not determine.
    """
    linear = any(part.startswith(LINEAR) for part in parts.shapes)
    latent = parts.has("kv_a")
    mixing = {
        "linear": _linear(parts, given) if linear and not latent else None,
        "latent": _latent(parts, given) if latent else None,
        "grouped": _grouped(parts, given) if not linear and not latent and parts.has("o") else None,
    }
    dense, experts = _dense(parts), _experts(parts, given)
    if experts is not None and dense is not None:
        experts, dense = experts.model_copy(update={"dense": dense}), None
    known: dict[str, object] = {name: part for name, part in mixing.items() if part is not None}
    if not known and dense is None and experts is None:
        raise Refused(f"{parts.where}: no attention and no feed-forward part is known in it")
    _check_understood(parts, attends=bool(known))
    norms = sum(part.startswith(NORM) for part in parts.shapes)
    known |= {"count": 1, "dense": dense, "experts": experts, "norms": min(norms, MOST_NORMS)}
    found = Layers.model_validate(known)
    stored = sum(math.prod(shape) for shape in parts.shapes.values())
    counted = counted_in(parts.hidden, found)
    if counted > stored:
        raise Refused(
            f"{parts.where}: its tensors hold {stored:,} parameters, and what they look like would have {counted:,}; "
            "this architecture is not known here"
        )
    return found.model_copy(update={"other": stored - counted})


def _check_understood(parts: Parts, *, attends: bool) -> None:
    """Refuse a layer of which too much is not known: a cache or a state could hide in it."""
    own = {part: math.prod(shape) for part, shape in parts.shapes.items() if not part.startswith("expert_")}
    strange = {part: own[part] for part in own if "." in part and len(parts.shapes[part]) > 1}
    strange = {part: numbers for part, numbers in strange.items() if not part.startswith((LINEAR, NORM))}
    if strange and (not attends or sum(strange.values()) > STRANGE_SHARE * sum(own.values())):
        first = max(strange, key=lambda part: strange[part])
        raise Refused(
            f"{parts.where}: what {shown(first)} does is not known here, so its cache cannot be told; "
            "this architecture is not known"
        )


def counted_in(hidden: int, layers: Layers) -> int:
    """Parameters of these layers alone."""
    alone = parameters(Architecture(hidden_size=hidden, vocabulary=1, tied_embeddings=True, layers=(layers,)))
    return alone.dense + alone.routed_experts - hidden  # without the final norm


def _grouped(parts: Parts, given: Given) -> GroupedAttention:
    out = parts.width("o")
    norm = parts.numbers("q_norm")
    if parts.has("qkv"):
        head_dim = _head_dim(parts, given, out)
        heads, fused = out // head_dim, parts.width("qkv") // head_dim
        kv_heads, value_dim, gated = (fused - heads) // 2, head_dim, False
    elif parts.has("q", "k"):
        query, key = parts.width("q"), parts.width("k")
        gated = query == 2 * out
        head_dim = _head_dim(parts, given, query // 2 if gated else query)
        heads, kv_heads = (query // 2 if gated else query) // head_dim, key // head_dim
        value_dim = out // heads if heads else 0
    else:
        raise Refused(f"{parts.where}: its attention has no keys of its own; this architecture is not known here")
    for name, said, found in (("heads", given.heads, heads), ("key-value heads", given.kv_heads, kv_heads)):
        if found < 1 or (said is not None and said != found):
            raise Refused(f"{parts.where}: its tensors make {found} {name} of {head_dim}, and {said} were expected")
    qk_norm: QkNorm = "none" if not norm else "head" if norm == head_dim else "layer"
    indexer = _indexer(parts, given)
    return GroupedAttention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_head_dim=value_dim if value_dim != head_dim else None,
        window=given.window,
        qkv_bias=parts.has("qkv_bias") or parts.has("q_bias", "k_bias"),
        output_bias=parts.has("o_bias"),
        qk_norm=qk_norm if norm in (head_dim, heads * head_dim) else "none",
        gated=gated,
        sinks=parts.has("sinks"),
        values_from_keys=parts.has("k") and not parts.has("v"),
        indexer=indexer,
    )


def _head_dim(parts: Parts, given: Given, width: int) -> int:
    """Size of a head: said, or as long as the norm of a head, or from the number of heads."""
    norm = parts.numbers("q_norm")
    keys = parts.width("k") if parts.has("k") else 0
    if given.head_dim:
        found = given.head_dim
    elif given.heads and width % given.heads == 0:
        found = width // given.heads
    elif given.kv_heads and keys and keys % given.kv_heads == 0:
        found = keys // given.kv_heads
    elif norm and norm < width and norm == parts.numbers("k_norm") and norm != keys:
        found = norm
    else:
        raise Refused(
            f"{parts.where}: neither the number of attention heads nor the size of a head is known; "
            "give config.json with num_attention_heads and num_key_value_heads"
        )
    if found < 1 or width % found or keys % found:
        raise Refused(f"{parts.where}: heads of {found} do not divide queries of {width} and keys of {keys}")
    return found


def _latent(parts: Parts, given: Given) -> LatentAttention:
    """All sizes follow from the shapes: queries h(n+r), keys and values h(n+v), output hv."""
    rank = parts.numbers("kv_a_norm")
    compressed, out = parts.width("kv_a"), parts.width("o")
    if not 0 < rank < compressed:
        raise Refused(f"{parts.where}: a latent attention without its norm is not known here")
    rope = compressed - rank
    q_rank = parts.numbers("q_a_norm") or None
    query = parts.width("q_b", q_rank) if q_rank else parts.width("q")
    expanded = parts.width("kv_b", rank) if parts.has("kv_b") else parts.width("k_b", rank) + parts.width("v_b", rank)
    heads = given.heads or (query - expanded + out) // rope
    if heads < 1 or out % heads or expanded % heads or query != expanded - out + heads * rope:
        raise Refused(f"{parts.where}: the sizes of its latent attention contradict each other for {heads} heads")
    return LatentAttention(
        heads=heads,
        q_lora_rank=q_rank,
        kv_lora_rank=rank,
        rope_head_dim=rope,
        nope_head_dim=(expanded - out) // heads,
        value_head_dim=out // heads,
        output_gate=parts.has("z"),
        indexer=_indexer(parts, given),
    )


def _indexer(parts: Parts, given: Given) -> Indexer | None:
    if not parts.has("indexer_weights", "indexer_k"):
        return None
    if given.top_tokens is None:
        raise Refused(f"{parts.where}: it has an index, and how many tokens it keeps is not said (index_topk)")
    heads, head_dim = parts.width("indexer_weights"), parts.width("indexer_k")
    return Indexer(heads=heads, head_dim=head_dim, top_tokens=given.top_tokens)


def _linear(parts: Parts, given: Given) -> LinearAttention:
    if given.linear is None:
        raise Refused(
            f"{parts.where}: it keeps a state in place of a cache, and its heads are not said; give config.json with "
            "linear_num_key_heads, linear_num_value_heads, linear_key_head_dim and linear_value_head_dim"
        )
    return given.linear


def _dense(parts: Parts) -> Dense | None:
    if not parts.has("down"):
        return None
    size, inward = parts.width("down"), parts.width("up") + parts.width("gate") + parts.width("gate_up")
    if inward not in (size, 2 * size):
        raise Refused(f"{parts.where}: its feed-forward part widens to {inward} and narrows from {size}")
    return Dense(intermediate_size=size, gated=inward == 2 * size, bias=parts.has("down_bias"))


def _experts(parts: Parts, given: Given) -> Experts | None:
    if not parts.has("expert_down"):
        return None
    routed = parts.shapes["expert_down"][0]
    narrow = parts.shapes["expert_down"][1:]
    work = parts.width("latent_down") if parts.has("latent_down", "latent_up") else parts.hidden
    size = math.prod(narrow) // work
    inward = sum(parts.numbers(f"expert_{part}") for part in ("up", "gate", "gate_up")) // (routed * work)
    if size < 1 or inward not in (size, 2 * size):
        raise Refused(f"{parts.where}: its experts widen to {inward} and narrow from {size}")
    if given.per_token is None:
        raise Refused(f"{parts.where}: how many of its {routed} experts work on a token is not said; give config.json")
    shared = parts.width("shared_down")
    count = given.shared if given.shared and shared % given.shared == 0 else 1
    return Experts(
        routed=routed,
        per_token=given.per_token,
        intermediate_size=size,
        shared=count if shared else 0,
        shared_intermediate_size=shared // count if shared and shared // count != size else None,
        shared_gate=parts.has("shared_router"),
        latent_size=work if work != parts.hidden else None,
        gated=inward == 2 * size,
        bias=parts.has("expert_down_bias"),
        router_bias=parts.has("router_bias"),
    )
