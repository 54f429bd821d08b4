"""Gemma's families: tied heads, windows in most layers, and from the fourth on experts and embeddings for each layer.

Pure. Each reader honours the keys that the family's own code honours, with the defaults of its own class.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.adapters.imports.blocks import FULL, SLIDING, Family, Row, attention, decoder, dense, experts
from orchestrator.adapters.imports.dense import uniform
from orchestrator.adapters.imports.fields import KV_HEADS, Fields
from orchestrator.api.architecture import Architecture, Component, Dense, Experts, GroupedAttention
from runtimes.errors import Refused

CONTEXT = 131072
LONGEST_INDEX = 5
WIDTHS = {"head_dim": 256, "global_head_dim": 512}  # of all sizes of the fourth
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}


def _gemma(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    return uniform(f, qkv_bias=bias, output_bias=bias, tied=True)


def _gemma2(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    f.whole("head_dim")  # the class has a number of one size here, never the quotient
    return uniform(
        f,
        qkv_bias=bias,
        output_bias=bias,
        norms=4,
        tied=True,
        slides=lambda i: i % 2 == 0,
        window=4096,
    )


def gemma3_text(f: Fields) -> Architecture:
    """The decoder of Gemma 3, whose configuration leaves out what equals its class."""
    f = f.left_out({**HEADS, "vocab_size": 262208, "max_position_embeddings": CONTEXT})
    bias = f.flag("attention_bias", default=False)
    step = f.maybe("sliding_window_pattern", "_sliding_window_pattern") or 6
    f.whole("head_dim")  # the class has a number of one size here, never the quotient
    return uniform(
        f,
        qkv_bias=bias,
        output_bias=bias,
        qk_norm="head",
        norms=4,
        tied=True,
        slides=lambda i: (i + 1) % step != 0,
        window=4096,
    )


def gemma4_text(f: Fields) -> Architecture:
    """The decoder of Gemma 4: full layers have wider heads and may make values from keys."""
    f.only("attention_bias", False)
    f = _globals(f).assuming(WIDTHS).left_out({**HEADS, "hidden_size_per_layer_input": 256})
    layers, hidden = f.layers(), f.whole("hidden_size")
    listed = f.choices("layer_types", (FULL, SLIDING), length=layers)
    types = listed or [SLIDING if (i + 1) % 6 else FULL for i in range(layers)]
    types[-1] = FULL
    shared = f.maybe("num_kv_shared_layers", least=0, most=layers - 1) or 0
    if not f.given("hidden_size_per_layer_input"):
        f.whole("hidden_size_per_layer_input", least=0)
    per_layer = f.maybe("hidden_size_per_layer_input", least=0) or 0
    plain = [_feed(f, double=i >= layers - shared) for i in range(layers)]
    feeds: Sequence[Dense | Experts] = plain
    with_experts = f.flag("enable_moe_block", default=False)
    norms = 4 + (3 if with_experts else 0) + (1 if per_layer else 0)
    other = 2 * hidden * per_layer
    if with_experts:
        chosen = f.assuming_quietly({"num_experts_per_tok": f.whole("top_k_experts")})
        feeds = [experts(chosen, shared=0, dense=feed) for feed in plain]
        other += hidden + f.whole("num_experts")
    rows = [
        Row(_attention(f, kind, reuses=i >= layers - shared), feed, norms, other)
        for i, (kind, feed) in enumerate(zip(types, feeds, strict=True))
    ]
    if not per_layer:
        return decoder(f, rows, tied=True)
    width = layers * per_layer
    table = f.whole("vocab_size_per_layer_input", default=262144) * width
    return decoder(
        f,
        rows,
        tied=True,
        beside=(Component(name="embeddings for each layer", parameters=table),),
        other=hidden * width + per_layer,
    )


def _globals(f: Fields) -> Fields:
    """What the public class saves as `per_layer_config`, under the keys that it reads: the shape of full layers."""
    saved = f.part("per_layer_config")
    if saved is None:
        return f
    listed = f.choices("layer_types", (FULL, SLIDING), length=f.layers()) or []
    parts, full = saved.parts(), [i for i, kind in enumerate(listed) if kind == FULL]
    shapes = {(one.maybe("head_dim"), one.maybe(KV_HEADS)) for one in parts}
    width, few = next(iter(shapes)) if len(shapes) == 1 else (None, None)
    alike = width is not None and all(set(one.names()) <= {"head_dim", KV_HEADS} for one in parts)
    numbered = sorted(int(name) for name in saved.names() if name.isdecimal() and len(name) < LONGEST_INDEX)
    repeated = f.maybe("global_head_dim") in {None, width} and f.maybe("num_global_key_value_heads") in {None, few}
    if not (alike and repeated and numbered == full and (few is None or f.flag("attention_k_eq_v", default=False))):
        raise Refused(f"{f.path('per_layer_config')} says more than one shape for all full layers; that is not known")
    return f.assuming_quietly({"global_head_dim": width, "num_global_key_value_heads": few})


def _feed(f: Fields, *, double: bool) -> Dense:
    wide = double and f.flag("use_double_wide_mlp", default=False)
    return Dense(intermediate_size=f.whole("intermediate_size") * (2 if wide else 1)) if wide else dense(f)


def _attention(f: Fields, kind: str, *, reuses: bool) -> GroupedAttention:
    if kind == SLIDING:
        return attention(
            f,
            window=f.whole("sliding_window", default=512),
            qk_norm="head",
            reuses_cache=reuses,
        )
    from_keys = f.flag("attention_k_eq_v", default=False)
    kv_heads = f.maybe("num_global_key_value_heads") if from_keys else None
    return attention(
        f,
        kv_heads=kv_heads,
        head_dim=f.whole("global_head_dim"),
        qk_norm="head",
        values_from_keys=from_keys,
        reuses_cache=reuses,
    )


GEMMA_FAMILIES = (
    Family("gemma", _gemma, ("gemma",), ("GemmaForCausalLM",), assumes={"head_dim": 256}),
    Family("gemma2", _gemma2, ("gemma2",), ("Gemma2ForCausalLM",)),
    Family("gemma3-text", gemma3_text, ("gemma3_text",), ("Gemma3ForCausalLM",), context=CONTEXT),
    Family("gemma4-text", gemma4_text, ("gemma4_text",), ("Gemma4ForCausalLM",)),
)
