"""Families with experts that slide in some layers: Llama 4, MiMo V2, Step 3, 3.5 and 3.7, K-EXAONE.

Pure. Each reader honours the keys that the family's own code honours, with the defaults of its own class.
"""

from __future__ import annotations

from orchestrator.adapters.imports.blocks import (
    FULL,
    SLIDING,
    Family,
    Row,
    attention,
    decoder,
    dense,
    experts,
    sparse_layers,
    windows,
)
from orchestrator.adapters.imports.fields import Fields, shown
from orchestrator.api.architecture import MOST_LAYERS, Architecture, Dense, Experts, GroupedAttention
from runtimes.errors import Invalid

NARROW_NUMBERS = 4 * MOST_LAYERS  # characters of a list of layers written as text


def llama4_text(f: Fields) -> Architecture:
    """The decoder of Llama 4: chunks in three layers of four, one shared expert."""
    layers = f.layers()
    f = f.assuming({"head_dim": 128, "num_key_value_heads": 8, "vocab_size": 202048})
    bias = f.flag("attention_bias", default=False)
    f.flag("use_qk_norm", default=True)  # a norm without weights
    step = f.maybe("interleave_moe_layer_step") or 1
    listed = f.wholes("moe_layers")
    sparse = [i in listed if listed is not None else (i + 1) % step == 0 for i in range(layers)]
    rotates = f.wholes("no_rope_layers", length=layers, most=1) if f.raw("no_rope_layers") else None
    every = f.maybe("no_rope_layer_interval") or 4
    seen = windows(
        f,
        layers,
        lambda i: bool(rotates[i]) if rotates else (i + 1) % every != 0,
        window=8192,
        key="attention_chunk_size",
    )
    width = f.whole("intermediate_size")
    moe = experts(f, shared=1, intermediate_size=width)
    feed = Dense(intermediate_size=f.whole("intermediate_size_mlp", default=16384)) if not all(sparse) else None
    rows = [
        Row(attention(f, window=window, qkv_bias=bias, output_bias=bias), moe if one else feed)
        for window, one in zip(seen, sparse, strict=True)
    ]
    return decoder(f, rows, tied=False)


def _mimo_v2(f: Fields) -> Architecture:
    layers = f.layers()
    f = f.assuming({"head_dim": 192, "v_head_dim": 128})
    sparse = sparse_layers(f, layers, front=1)
    moe = experts(f, usual=0)
    feed = None if all(sparse) else dense(f)
    kinds = _mimo_kinds(f, layers)
    mixing = {True: _mimo_attention(f, slides=True), False: _mimo_attention(f, slides=False)}
    rows = [Row(mixing[slides], moe if one else feed) for slides, one in zip(kinds, sparse, strict=True)]
    return decoder(f, rows, tied=False)


def _mimo_kinds(f: Fields, layers: int) -> list[bool]:
    listed = f.choices("layer_types", (FULL, SLIDING), length=layers)
    if listed is not None:
        return [kind == SLIDING for kind in listed]
    pattern = f.wholes("hybrid_layer_pattern", length=layers, most=1)
    if pattern is not None:
        return [bool(one) for one in pattern]
    return [i > 0 and (i + 1) % 6 != 0 for i in range(layers)]


def _mimo_attention(f: Fields, *, slides: bool) -> GroupedAttention:
    bias = f.flag("attention_bias", default=False)
    if not slides:
        return attention(
            f,
            value_head_dim=f.whole("v_head_dim"),
            qkv_bias=bias,
            sinks=f.flag("add_full_attention_sink_bias", default=False),
        )
    return attention(
        f,
        heads=f.maybe("swa_num_attention_heads") or f.whole("num_attention_heads"),
        kv_heads=f.maybe("swa_num_key_value_heads") or 2 * f.whole("num_key_value_heads"),  # twice in the public class
        head_dim=f.maybe("swa_head_dim", "head_dim"),
        value_head_dim=f.maybe("swa_v_head_dim", "v_head_dim"),
        window=f.whole("sliding_window", "sliding_window_size", default=128),
        qkv_bias=bias,
        sinks=f.flag("add_swa_attention_sink_bias", default=True),
    )


def step3p5(f: Fields) -> Architecture:
    """The decoder of Step 3.5 and 3.7: a gate for each head, more heads where the layer slides."""
    layers = f.layers()
    f = f.assuming({"head_dim": 128})
    f.only("attention_bias", False)
    f.only("mlp_bias", False)
    f.only("use_head_wise_attn_gate", True)
    f.only("use_qk_norm", True)
    sparse = _step_sparse(f, layers)
    other = f.part("attention_other_setting") or Fields({})
    narrow = other.maybe("num_attention_groups", "num_key_value_heads")
    kv_heads = f.whole("num_attention_groups", "num_key_value_heads")
    sliding_heads = f.maybe("num_sliding_attention_heads") or other.maybe("num_attention_heads")
    other.only("head_dim", f.whole("head_dim"))
    seen = windows(f, layers, lambda _: False)
    types = f.choices("layer_types", (FULL, SLIDING), length=layers) or [FULL] * layers
    moe = Experts(
        routed=f.whole("n_routed_experts", "moe_num_experts", "num_experts"),
        per_token=f.whole("num_experts_per_tok", "moe_top_k"),
        intermediate_size=f.whole("moe_intermediate_size"),
        shared=1,
        shared_intermediate_size=f.whole("share_expert_dim", "share_expert_dims"),
    )
    feed = None if all(sparse) else dense(f)
    rows = [
        Row(
            attention(
                f,
                heads=sliding_heads if kind == SLIDING else None,
                kv_heads=narrow if kind == SLIDING and narrow else kv_heads,
                window=window,
                qk_norm="head",
                head_gate=True,
            ),
            moe if one else feed,
        )
        for window, kind, one in zip(seen, types, sparse, strict=True)
    ]
    return decoder(f, rows, tied=False)


def _step_sparse(f: Fields, layers: int) -> list[bool]:
    if f.has("mlp_layer_types") or f.has("first_k_dense_replace"):
        return sparse_layers(f, layers)
    return layers_listed(f, "moe_layers_enum", layers) or [i >= 3 for i in range(layers)]  # noqa: PLR2004  its class


def layers_listed(f: Fields, key: str, layers: int) -> list[bool] | None:
    """Layers named by index, in a list or in a text with commas."""
    if not isinstance(f.raw(key), str):
        named = f.wholes(key)
        return None if named is None else [i in set(named) for i in range(layers)]
    text = f.text(key) or ""
    words = [word.strip() for word in text[:NARROW_NUMBERS].split(",")]
    if len(text) > NARROW_NUMBERS or not all(word.isascii() and word.isdigit() for word in words):
        raise Invalid(f"{f.path(key)} is {shown(text)}; write numbers of layers with commas between them")
    return [str(i) in set(words) for i in range(layers)]


def _exaone_moe(f: Fields) -> Architecture:
    layers = f.layers()
    sparse = sparse_layers(f, layers, front=1)
    moe = experts(f, usual=1)
    feed = None if all(sparse) else dense(f)
    f.only("sliding_window_pattern", 4, "LLLG", 0)
    seen = windows(f, layers, lambda i: (i + 1) % 4 != 0, window=4096)
    rows = [
        Row(attention(f, window=window, qk_norm="head"), moe if one else feed)
        for window, one in zip(seen, sparse, strict=True)
    ]
    return decoder(f, rows, tied=False)


def _step3_text(f: Fields) -> Architecture:
    layers = f.layers()
    sparse = layers_listed(f, "moe_layers_enum", layers) or [i > 0 for i in range(layers)]
    head_dim = f.whole("head_dim")
    mixing = attention(f, kv_heads=1, head_dim=head_dim, query_rank=f.maybe("share_q_dim") or head_dim)
    moe = Experts(
        routed=f.whole("moe_num_experts"),
        per_token=f.whole("moe_top_k"),
        intermediate_size=f.whole("moe_intermediate_size"),
        shared=1,
        shared_intermediate_size=f.whole("share_expert_dim"),
    )
    feed = None if all(sparse) else dense(f)
    return decoder(f, [Row(mixing, moe if one else feed) for one in sparse], tied=False)


WINDOWED_FAMILIES = (
    Family("llama4-text", llama4_text, ("llama4_text",), ("Llama4ForCausalLM",)),
    Family("mimo-v2-flash", _mimo_v2, ("mimo_v2_flash",), ("MiMoV2FlashForCausalLM",)),
    Family("step3.5", step3p5, ("step3p5",), ("Step3p5ForCausalLM",)),
    Family("step3-text", _step3_text, ("step3_text",), ("Step3TextForCausalLM",)),
    Family("exaone-moe", _exaone_moe, ("exaone_moe",), ("ExaoneMoEForCausalLM", "ExaoneMoeForCausalLM")),
)
