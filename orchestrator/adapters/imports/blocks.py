"""What readers of families share: a family, attention of the usual kinds, experts, layers in a row, the whole decoder.

Pure. What differs between families stands in their own files beside this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orchestrator.adapters.imports.fields import KV_HEADS, Fields
from orchestrator.api.architecture import (
    Architecture,
    Component,
    CompressedAttention,
    Dense,
    Experts,
    GroupedAttention,
    Indexer,
    LatentAttention,
    Layers,
    LinearAttention,
)
from orchestrator.api.model import Modality
from runtimes.errors import Invalid, Refused

Mixing = GroupedAttention | LatentAttention | CompressedAttention | LinearAttention
FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"
DENSE, SPARSE = "dense", "sparse"
AS_HEADS: dict[str, Any] = {KV_HEADS: None}  # where the class takes an absent number of key-value heads as heads
DRAFT_KEYS = ("num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers", "num_mtp_modules")


@dataclass(frozen=True, slots=True)
class Family:
    """Models that one reader understands, and how their configurations call themselves."""

    name: str
    read: Callable[[Fields], Architecture]
    types: tuple[str, ...]  # of `model_type`
    classes: tuple[str, ...]  # of `architectures`
    inputs: tuple[Modality, ...] = ("text",)
    context: int | None = None  # what the class assumes where the configuration does not say
    assumes: Mapping[str, Any] = field(default_factory=dict)  # numbers that all its models share; noted where absent


class Row(NamedTuple):
    """One layer."""

    mixing: Mixing | None
    forward: Dense | Experts | None
    norms: int = 2
    other: int = 0


def stacked(rows: Iterable[Row]) -> tuple[Layers, ...]:
    """Equal layers counted together."""
    return tuple(_layers(row, count) for row, count in Counter(rows).items())


def _layers(row: Row, count: int) -> Layers:
    mixing, forward = row.mixing, row.forward
    return Layers(
        count=count,
        grouped=mixing if isinstance(mixing, GroupedAttention) else None,
        latent=mixing if isinstance(mixing, LatentAttention) else None,
        compressed=mixing if isinstance(mixing, CompressedAttention) else None,
        linear=mixing if isinstance(mixing, LinearAttention) else None,
        dense=forward if isinstance(forward, Dense) else None,
        experts=forward if isinstance(forward, Experts) else None,
        norms=row.norms,
        other=row.other,
    )


def decoder(
    f: Fields, rows: Iterable[Row], *, tied: bool, beside: tuple[Component, ...] = (), **more: Any
) -> Architecture:
    """The whole model.

    Args:
        f: its configuration.
        rows: its layers.
        tied: what the family's class assumes where the configuration does not say whether head and table are one.
        beside: towers and the like.
        more: further fields of `Architecture`.
    """
    drafts = f.maybe(*DRAFT_KEYS, least=0) or 0
    if drafts:
        are = "layer that predicts several tokens is" if drafts == 1 else "layers that predict several tokens are"
        f.notes.append(f"{drafts} {are} not counted; safetensors totals on hubs include what of them is stored")
    return Architecture(
        hidden_size=f.whole("hidden_size"),
        vocabulary=f.whole("vocab_size"),
        tied_embeddings=f.flag("tie_word_embeddings", default=tied),
        layers=stacked(rows),
        beside=beside,
        draft_layers=drafts,
        **more,
    )


def attention(f: Fields, *, heads: int | None = None, kv_heads: int | None = None, **more: Any) -> GroupedAttention:
    """Attention; null for the key-value heads is as many as heads, absent is not."""
    heads = f.whole("num_attention_heads") if heads is None else heads
    if kv_heads is None:
        kv_heads = heads if f.given(KV_HEADS) and not f.has(KV_HEADS) else f.whole(KV_HEADS)
    if heads % kv_heads:
        raise Invalid(
            f"{f.path('num_attention_heads')} {heads} is not a multiple of {f.path('num_key_value_heads')} {kv_heads}"
        )
    more.setdefault("head_dim", None)
    head_dim = more.pop("head_dim") or head_dim_of(f, heads)
    return GroupedAttention(heads=heads, kv_heads=kv_heads, head_dim=head_dim, **more)


def head_dim_of(f: Fields, heads: int) -> int:
    """Width of one head: given, or the model's width divided by its heads."""
    found = f.maybe("head_dim")
    if found is not None:
        return found
    hidden = f.whole("hidden_size")
    if hidden % heads:
        raise Invalid(f"{f.path('hidden_size')} {hidden} is not a multiple of {heads} heads, and there is no head_dim")
    return hidden // heads


def latent(f: Fields, **more: Any) -> LatentAttention:
    """Multi-head latent attention under DeepSeek's names. No rank of queries is null; absent says nothing."""
    if not f.given("q_lora_rank"):
        raise Invalid(f"the configuration has no {f.path('q_lora_rank')}; give a whole number, or null for none")
    return LatentAttention(
        heads=f.whole("num_attention_heads"),
        q_lora_rank=f.maybe("q_lora_rank"),
        kv_lora_rank=f.whole("kv_lora_rank"),
        rope_head_dim=f.whole("qk_rope_head_dim"),
        nope_head_dim=f.whole("qk_nope_head_dim"),
        value_head_dim=f.whole("v_head_dim"),
        **more,
    )


def reused(index: Indexer) -> Indexer:
    """The same index in a layer that takes what an earlier layer picked."""
    return index.model_copy(update={"reused": True})


def indexer(f: Fields) -> Indexer:
    """The index of sparse attention under DeepSeek's names."""
    return Indexer(heads=f.whole("index_n_heads"), head_dim=f.whole("index_head_dim"), top_tokens=f.whole("index_topk"))


def experts(f: Fields, *, shared: int | None = None, usual: int | None = None, **more: Any) -> Experts:
    """Experts under the usual names.

    Args:
        f: the configuration.
        shared: how many every token passes, where the family says it otherwise.
        usual: how many of them all models of the family have; without it an absent key is refused.
        more: further fields of `Experts`.
    """
    routed = f.whole("n_routed_experts", "num_experts", "num_local_experts")
    per_token = f.whole("num_experts_per_tok", "num_experts_per_token")
    if per_token > routed:
        raise Invalid(f"{f.path('num_experts_per_tok')} is {per_token}, more than the {routed} experts there are")
    if shared is None:
        shared = _shared(f, usual)
    more.setdefault("intermediate_size", None)
    width = more.pop("intermediate_size") or f.whole("moe_intermediate_size")
    return Experts(routed=routed, per_token=per_token, intermediate_size=width, shared=shared, **more)


def _shared(f: Fields, usual: int | None) -> int:
    keys = ("n_shared_experts", "num_shared_experts")
    if any(f.given(key) for key in keys):
        return f.maybe(*keys, least=0) or 0
    return f.whole(*keys, default=usual, least=0)


def dense(f: Fields, **more: Any) -> Dense:
    """A dense feed-forward part under the usual name."""
    return Dense(intermediate_size=f.whole("intermediate_size"), **more)


def windows(
    f: Fields, layers: int, slides: Callable[[int], bool], *, window: int | None = None, key: str = "sliding_window"
) -> list[int | None]:
    """How far each layer looks back: None for all the way.

    Args:
        f: the configuration.
        layers: how many there are.
        slides: the family's own rule by index, where `layer_types` does not say.
        window: what the family's class assumes where the key is absent.
        key: name of the window.
    """
    width = f.maybe(key) if f.given(key) else window
    context = f.maybe("max_position_embeddings", most=2**40)
    if width is not None and context is not None and width >= context:
        f.notes.append(f"{f.path(key)} {width} is not below the longest context; counted as full attention")
        width = None
    types = f.choices("layer_types", (FULL, SLIDING, "chunked_attention"), length=layers)
    if types is not None and f.given(key) and not f.has(key) and set(types) - {FULL}:
        raise Refused(f"layer_types has layers that slide, and {f.path(key)} is null; write how far they look back")
    seen = [width if (slides(i) if types is None else types[i] != FULL) else None for i in range(layers)]
    if any(seen) and not f.given(key):
        f.notes.append(f"{f.path(key)} is absent; assumed {width}, as the family's own class does")
    return seen


def every(_: int) -> bool:
    """All layers."""
    return True


def none(_: int) -> bool:
    """No layer."""
    return False


def sparse_layers(f: Fields, layers: int, *, front: int | None = None) -> list[bool]:
    """Which layers have experts: as listed, or all behind a dense front.

    Args:
        f: the configuration.
        layers: how many there are.
        front: what the family's class assumes for `first_k_dense_replace`; without it the key must be there.
    """
    listed = f.choices("mlp_layer_types", (DENSE, SPARSE), length=layers)
    if listed is not None:
        return [kind == SPARSE for kind in listed]
    if isinstance(f.raw("moe_layer_freq"), list | tuple):
        return [bool(one) for one in f.wholes("moe_layer_freq", length=layers, most=1) or ()]
    first = f.whole("first_k_dense_replace", default=front, least=0)
    f.only("moe_layer_freq", 1)  # implementations differ in whether they follow another
    return [i >= first for i in range(layers)]
