"""The part a tensor plays, from the name its checkpoint gives it.

Many libraries, few habits: a layer is `layers.N` or `h.N`, queries are `q_proj`, `wq` or part of `c_attn`. A name that
no habit explains keeps its own and is counted all the same. Pure. Called by `orchestrator.adapters.imports.tensors`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache

from orchestrator.adapters.imports.assemble import EMBEDDING, HEAD, Pieces
from orchestrator.adapters.imports.bounded import shown
from orchestrator.adapters.imports.layers import LINEAR, NORM, Shape
from orchestrator.adapters.imports.packed import Weight
from orchestrator.errors import Refused

MOST_EXPERTS = 1 << 14
MOST_BESIDE = 64

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|layer|block)\.(\d{1,4})\.")
_EXPERT = re.compile(r"(.{0,80}?\bexperts)\.(\d{1,5})\.(.+)")
_TOWER = re.compile(
    r"(?:model\.)?((?:visual|vision|vit|image|audio|speech|multi_modal|mm_|aligner|connector|projector|mlp1|talker|"
    r"token2wav|code2wav|resampler|embed_vision|embed_audio|perceiver)[a-z0-9_]*)\."
)
_DRAFT = re.compile(r"(?:model\.)?(mtp|mtp_layers|nextn)\.")
_OF_DRAFTS = ("eh_proj.weight", "enorm.weight", "hnorm.weight", "shared_head.norm.weight", "shared_head.head.weight")
_TABLE = re.compile(r"(?:.*\.)?(?:embed_tokens|wte|word_embeddings|tok_embeddings|embed_in|embedding|embeddings|embed)")
_HEAD = re.compile(r"(?:.*\.)?(?:lm_head|embed_out|output|output_layer|head)")
_HEAD_WEIGHT = re.compile(_HEAD.pattern + r"\.weight")

_ATTENTION = r"(?:.*\.)?(?:self_attn|self_attention|attention|attn|self_attn\.attention|attention\.self|mixer)\."
_INSIDE = r"(?:.*\.)?"
_FORWARD = r"(?:mlp|feed_forward|ffn|block_sparse_moe|moe|mixer)\."
_GATE, _UP, _DOWN = r"(?:gate_proj|w1|gate|linear_in_gate)", r"(?:up_proj|w3|up|v1)", r"(?:down_proj|w2|down)"
_PARTS = tuple(
    (re.compile(pattern), part)
    for pattern, part in (
        (_INSIDE + r"indexer\.weights_proj", "indexer_weights"),
        (_INSIDE + r"indexer\.wk", "indexer_k"),
        (_INSIDE + r"indexer\..*", ""),
        (r"(?:linear_attn|mamba|ssm)\..*|" + _INSIDE + r"(?:A_log|dt_bias|conv1d|in_proj_qkvz|in_proj_ba)", LINEAR),
        (_INSIDE + r"experts\.#?\.?(?:gate_proj|w1)", "expert_gate"),
        (_INSIDE + r"experts\.#?\.?(?:up_proj|w3|v1)", "expert_up"),
        (_INSIDE + r"experts\.#?\.?(?:down_proj|w2)", "expert_down"),
        (_INSIDE + r"experts\.#?\.?(?:gate_up_proj|gate_and_up_proj|w13)", "expert_gate_up"),
        (_INSIDE + r"shared_expert_gate", "shared_router"),
        (_INSIDE + r"shared_(?:experts?|mlp)\." + _GATE, "shared_gate"),
        (_INSIDE + r"shared_(?:experts?|mlp)\." + _UP, "shared_up"),
        (_INSIDE + r"shared_(?:experts?|mlp)\." + _DOWN, "shared_down"),
        (_INSIDE + r"shared_(?:experts?|mlp)\.(?:gate_up_proj|gate_and_up_proj)", "shared_gate_up"),
        (_INSIDE + r"(?:q_a_proj|wq_a)", "q_a"),
        (_INSIDE + r"(?:q_a_layernorm|q_a_norm)", "q_a_norm"),
        (_INSIDE + r"(?:q_b_proj|wq_b)", "q_b"),
        (_INSIDE + r"(?:kv_a_proj_with_mqa|wkv_a)", "kv_a"),
        (_INSIDE + r"(?:kv_a_layernorm|kv_a_norm|kv_norm)", "kv_a_norm"),
        (_INSIDE + r"(?:kv_b_proj|wkv_b)", "kv_b"),
        (_INSIDE + r"(?:q_proj|wq|query|query_proj)", "q"),
        (_INSIDE + r"(?:k_proj|wk|key|key_proj)", "k"),
        (_INSIDE + r"(?:v_proj|wv|value|value_proj)", "v"),
        (_INSIDE + r"(?:qkv_proj|query_key_value|Wqkv|c_attn|W_pack|wqkv|qkv)", "qkv"),
        (_INSIDE + r"o_proj|" + _ATTENTION + r"(?:wo|dense|out_proj|c_proj|proj|o)", "o"),
        (_INSIDE + r"(?:q_norm|q_layernorm|query_layernorm|query_norm)", "q_norm"),
        (_INSIDE + r"(?:k_norm|k_layernorm|key_layernorm|key_norm)", "k_norm"),
        (_INSIDE + r"(?:gate\.wg|router|router\.(?:layer|classifier|weight|gate)|moe_gate)", "router"),
        (_FORWARD + r"(?:gate_up_proj|gate_and_up_proj|gate_up|w12)", "gate_up"),
        (_FORWARD + _GATE, "gate"),
        (_FORWARD + _UP + "|" + _INSIDE + r"(?:fc1|fc_in|c_fc|dense_h_to_4h)", "up"),
        (_FORWARD + _DOWN + "|" + _INSIDE + r"(?:fc2|fc_out|dense_4h_to_h)|" + _FORWARD + r"c_proj", "down"),
    )
)


def pieces_of(found: Iterable[Weight], *, count: int | None) -> Pieces:
    """Weights by where they belong and the part they play.

    Args:
        found: the weights of a checkpoint.
        count: layers of the decoder, where that is said; tensors of further layers predict further tokens.

    Raises:
        Refused: two stacks of layers (an encoder beside the decoder), or experts of different shapes in one layer.
    """
    found = list(found)
    drafts = {matched[1] for name, _ in found if name.endswith(_OF_DRAFTS) and (matched := _LAYER.search(name))}
    pieces, stacks = Pieces(), set[str]()
    experts: dict[tuple[int, str], tuple[Shape, set[str]]] = {}
    for name, shape in found:
        if _DRAFT.match(name):
            pieces.drafts.add("mtp")
            continue
        tower = _TOWER.match(name)
        matched = None if tower else _LAYER.search(name)
        if tower:
            pieces.beside[tower[1]] = pieces.beside.get(tower[1], 0) + math.prod(shape)
            _few("parts beside the decoder", len(pieces.beside), MOST_BESIDE)
        elif matched is None:
            pieces.outside[_outside(name, shape, pieces)] = shape
        elif matched[1] in drafts or (count is not None and int(matched[1]) >= count):
            pieces.drafts.add(matched[1])
        else:
            index, inside = int(matched[1]), name[matched.end() :]
            stacks.add(name[: matched.start()])
            _into_layer(pieces.layers.setdefault(index, {}), experts, index, inside, shape)
    if len(stacks) > 1:
        names = " and ".join(shown(stack) for stack in sorted(stacks)[:2])
        raise Refused(f"it has several stacks of layers ({names}); only decoders are known here")
    for (index, part), (shape, indices) in experts.items():
        pieces.layers[index][part] = (len(indices), *shape)
    _named_by_width(pieces)
    return pieces


def parameters_of(found: Iterable[Weight], *, count: int, tied: bool) -> int:
    """Parameters of a checkpoint as they are counted: without draft layers and without a tied head's copy.

    Args:
        found: its weights.
        count: layers of the decoder.
        tied: whether head and embedding are one.
    """
    total = 0
    for name, shape in found:
        matched = None if _TOWER.match(name) else _LAYER.search(name)
        if matched is not None:
            counted = int(matched[1]) < count
        else:
            counted = not _DRAFT.match(name) and not (tied and _HEAD_WEIGHT.fullmatch(name))
        total += math.prod(shape) if counted else 0
    return total


def _into_layer(
    layer: dict[str, Shape],
    experts: dict[tuple[int, str], tuple[Shape, set[str]]],
    index: int,
    inside: str,
    shape: Shape,
) -> None:
    """Add one tensor of a layer; experts stored one by one are gathered by part."""
    matched = _EXPERT.fullmatch(inside)
    if matched is None:
        part = _part(inside)
        layer[inside if part in layer else part] = shape  # a second one of a part is counted under its own name
        return
    part = _part(f"{matched[1]}.#.{matched[3]}")
    first, indices = experts.setdefault((index, part), (shape, set()))
    indices.add(matched[2])
    _few("experts in a layer", len(indices), MOST_EXPERTS)
    if first != shape:
        raise Refused(f"layer {index}: {part} has {first} in one expert and {shape} in another; that is not known here")


def _few(what: str, count: int, most: int) -> None:
    if count > most:
        raise Refused(f"it has more than {most:,} {what}; that is not known here")


@lru_cache(maxsize=4096)
def _part(inside: str) -> str:
    """The part of a name inside a layer; experts' numbers have been taken out."""
    stem, _, ending = inside.rpartition(".")
    if ending not in ("weight", "bias"):  # stacked experts and learned scalars are named without an ending
        stem, ending = inside.removesuffix("_bias"), "bias" if inside.endswith("_bias") else "weight"
    for pattern, part in _PARTS:
        if pattern.fullmatch(stem):
            if not part:
                break
            known = f"{LINEAR}{stem}" if part == LINEAR else part
            return known if ending == "weight" else f"{known}_bias"
    return "sinks" if stem.endswith("sinks") else inside


def _outside(name: str, shape: Shape, pieces: Pieces) -> str:
    stem, _, ending = name.rpartition(".")
    if len(shape) == 2 and ending == "weight":  # noqa: PLR2004  rows and columns
        if EMBEDDING not in pieces.outside and _TABLE.fullmatch(stem):
            return EMBEDDING
        if HEAD not in pieces.outside and _HEAD.fullmatch(stem):
            return HEAD
    return "head_bias" if ending == "bias" and _HEAD.fullmatch(stem) else name


def _named_by_width(pieces: Pieces) -> None:
    """Parts that only shapes tell apart: norms as wide as the model, and a gate that is a router beside experts."""
    hidden = pieces.outside.get(EMBEDDING, (0, 0))[-1]
    for layer in pieces.layers.values():
        if "expert_down" in layer and "gate" in layer and "down" not in layer:
            layer["router"] = layer.pop("gate")
        if "gate_bias" in layer and "router" in layer:
            layer["router_bias"] = layer.pop("gate_bias")
        for name in [name for name, shape in layer.items() if shape == (hidden,) and re.search("norm|ln_", name)]:
            if name.endswith(".weight"):
                layer[NORM + name] = layer.pop(name)
