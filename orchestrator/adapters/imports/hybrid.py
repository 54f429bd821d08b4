"""Families that mix full attention with linear attention: Qwen 3.5, Kimi Linear and K3, Ling 3.

Pure. Each reader honours the keys that the family's own code honours, with the defaults of its own class.
"""

from __future__ import annotations

from orchestrator.adapters.imports.blocks import (
    FULL,
    LINEAR,
    Family,
    Mixing,
    Row,
    attention,
    decoder,
    dense,
    experts,
    latent,
    sparse_layers,
)
from orchestrator.adapters.imports.fields import INHERITED, KV_HEADS, Fields
from orchestrator.adapters.imports.moe import stepped
from orchestrator.api.architecture import Architecture, Experts, LinearAttention
from runtimes.errors import Invalid, Refused

V25 = "BailingMoeV2_5ForCausalLM"
DELTA = {"linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "head_dim": 256}
DELTA_HEADS = {"linear_num_key_heads": 16, "linear_num_value_heads": 32}  # of what wrappers leave out
NEXT = {**DELTA, **DELTA_HEADS, KV_HEADS: 2, "shared_expert_intermediate_size": 512}  # the family has one size


def _delta_net(f: Fields) -> LinearAttention:
    keys, values = f.whole("linear_num_key_heads"), f.whole("linear_num_value_heads")
    if values % keys:
        raise Invalid(
            f"{f.path('linear_num_value_heads')} {values} is not a multiple of {f.path('linear_num_key_heads')} {keys}"
        )
    return LinearAttention(
        form="gated-delta-net",
        key_heads=keys,
        value_heads=values,
        key_dim=f.whole("linear_key_head_dim"),
        value_dim=f.whole("linear_value_head_dim"),
        convolution=f.whole("linear_conv_kernel_dim"),
    )


def _qwen_mixing(f: Fields, layers: int) -> list[Mixing]:
    f.only("attn_output_gate", True)
    bias = f.flag("attention_bias", default=False)
    full = attention(f, gated=True, qk_norm="head", qkv_bias=bias, output_bias=bias)
    linear = _delta_net(f)
    listed = f.choices("layer_types", (FULL, LINEAR), length=layers)
    step = f.maybe("full_attention_interval") or 4
    types = listed or [LINEAR if (i + 1) % step else FULL for i in range(layers)]
    return [full if kind == FULL else linear for kind in types]


def _shared_gated(f: Fields) -> Experts:
    width = f.whole("shared_expert_intermediate_size")
    return experts(f, shared=1, shared_intermediate_size=width, shared_gate=True)


def _qwen3_next(f: Fields) -> Architecture:
    layers = f.layers()
    sparse = stepped(f, layers)
    moe = _shared_gated(f)
    feed = None if all(sparse) else dense(f)
    mixing = _qwen_mixing(f, layers)
    rows = [Row(mix, moe if one else feed) for mix, one in zip(mixing, sparse, strict=True)]
    return decoder(f, rows, tied=False)


def qwen3_5(f: Fields) -> Architecture:
    """The decoder of Qwen 3.5: gated delta nets, full attention in every fourth layer."""
    f = f.assuming(DELTA).left_out({**DELTA_HEADS, KV_HEADS: 4})
    return decoder(f, [Row(mix, dense(f)) for mix in _qwen_mixing(f, f.layers())], tied=False)


def qwen3_5_moe(f: Fields) -> Architecture:
    """The decoder of Qwen 3.5 with experts."""
    f = f.assuming(DELTA).left_out({**DELTA_HEADS, KV_HEADS: 2, "shared_expert_intermediate_size": 512})
    moe = _shared_gated(f)
    return decoder(f, [Row(mix, moe) for mix in _qwen_mixing(f, f.layers())], tied=False)


def kimi_linear(f: Fields) -> Architecture:
    """Kimi Linear and the decoder of Kimi K3: delta attention with latent attention in between."""
    layers = f.layers()
    f.only("attention_bias", False)
    f.only(INHERITED, False)
    sparse = sparse_layers(f, layers, front=1)
    width = f.maybe("routed_expert_hidden_size")
    moe = experts(f, usual=1, latent_size=width)
    feed = None if all(sparse) else dense(f)
    full = latent(f, output_gate=f.flag("mla_use_output_gate", default=False))
    linear, kinds = _delta_attention(f, layers)
    hidden = f.whole("hidden_size")
    residual = 4 * hidden if f.has("attn_res_block_size") else 0
    normed = width if width and f.flag("latent_moe_use_norm", default=False) else 0
    rows = [
        Row(linear if kind == LINEAR else full, moe if one else feed, other=residual + (normed if one else 0))
        for kind, one in zip(kinds, sparse, strict=True)
    ]
    return decoder(f, rows, tied=False, other=residual // 2)


def _delta_attention(f: Fields, layers: int) -> tuple[LinearAttention, list[str]]:
    inner = f.part("linear_attn_config")
    g = Fields({}) if inner is None else inner
    heads = g.maybe("num_heads") or f.whole("linear_num_heads")
    dim = g.maybe("head_dim") or f.whole("linear_head_dim")
    linear = LinearAttention(
        form="kda",
        key_heads=heads,
        value_heads=heads,
        key_dim=dim,
        value_dim=dim,
        convolution=g.maybe("short_conv_kernel_size") or f.whole("linear_conv_kernel_dim", default=4),
        gate_rank=None if g.flag("use_full_rank_gate", default=False) else dim,
    )
    listed = f.choices("layer_types", (FULL, LINEAR), length=layers)
    if listed is not None:
        return linear, listed
    full, delta = g.wholes("full_attn_layers", least=1), g.wholes("kda_layers", least=1)
    if full is None or delta is None or sorted(full + delta) != list(range(1, layers + 1)):
        raise Invalid(
            f"{f.path('linear_attn_config')} must name each of {layers} layers once, counted from 1, in"
            " full_attn_layers or kda_layers"
        )
    return linear, [FULL if i + 1 in set(full) else LINEAR for i in range(layers)]


def _bailing_hybrid(f: Fields) -> Architecture:
    f.only("attention_bias", False)
    f.only(INHERITED, False)
    f.only("no_kda_lora", True)
    f.only("gated_attention_proj_granularity_type", "head_wise")
    if not (f.has("kda_safe_gate") or f.has("kda_lower_bound")):
        raise Refused(
            "the configuration has no kda_safe_gate; of this family only models with delta attention are known"
        )
    # the public class keeps the width of linear heads apart, and makes head_dim that of the rotated part
    heads = f.whole("linear_num_heads", "num_attention_heads")
    dim = f.whole("linear_head_dim", "head_dim", default=128)
    linear = LinearAttention(
        form="kda",
        key_heads=heads,
        value_heads=heads,
        key_dim=dim,
        value_dim=dim,
        convolution=f.whole("linear_conv_kernel_dim", "short_conv_kernel_size", default=4),
        full_decay=True,
    )
    return _bailing(f, linear, latent(f.assuming_quietly({"q_lora_rank": None}), head_gate=True))


def _bailing_v25(f: Fields) -> Architecture:
    """Ling 2.5 and 2.6: lightning attention, and latent attention where a group closes."""
    for key in ("kda_safe_gate", "kda_lower_bound", "no_kda_lora", "short_conv_kernel_size"):
        if f.has(key):
            raise Refused(f"{f.path(key)} is a key of Ling 3, which has another class than {V25}; one of them is wrong")
    for key in ("use_bias", "use_qkv_bias"):
        f.only(key, False)
    heads, dim = f.whole("num_attention_heads"), f.whole("head_dim")
    linear = _lightning(heads, dim, normed=f.flag("use_qk_norm", default=True))
    return _bailing(f, linear, latent(f), rest=FULL)


def _lightning(heads: int, dim: int, *, normed: bool) -> LinearAttention:
    return LinearAttention(
        form="lightning", key_heads=heads, value_heads=heads, key_dim=dim, value_dim=dim, qk_norm=normed
    )


def _bailing_linear(f: Fields) -> Architecture:
    """Ring with lightning attention: a full layer closes each group."""
    f.only("use_bias", False)
    f.only("use_qkv_bias", False)
    norm = f.flag("use_qk_norm", default=True)
    full = attention(f.assuming({"head_dim": 128}), qk_norm="head" if norm else "none")
    return _bailing(f, _lightning(full.heads, full.head_dim, normed=norm), full)


def _bailing(f: Fields, linear: LinearAttention, full: Mixing, *, rest: str | None = None) -> Architecture:
    """Layers in groups of which the last is full; `rest` is what an unfinished group holds, where that is known."""
    layers, step = f.layers(), f.maybe("layer_group_size")
    types = f.choices("layer_types", (FULL, LINEAR), length=layers)
    if types is None:
        step = f.whole("layer_group_size")
        if layers % step and rest is None:
            raise Refused(
                f"{f.path('layer_group_size')} {step} does not divide {layers} layers; what an unfinished group holds"
                " is not known"
            )
        whole = layers // step * step
        types = [(LINEAR if (i + 1) % step else FULL) if i < whole else rest or FULL for i in range(layers)]
    sparse = sparse_layers(f, layers)
    moe = experts(f, usual=1, shared_intermediate_size=f.maybe("moe_shared_expert_intermediate_size"))
    feed = None if all(sparse) else dense(f)
    rows = [
        Row(full if kind == FULL else linear, moe if one else feed) for kind, one in zip(types, sparse, strict=True)
    ]
    return decoder(f, rows, tied=False)


HYBRID_FAMILIES = (
    Family("qwen3-next", _qwen3_next, ("qwen3_next",), ("Qwen3NextForCausalLM",), assumes=NEXT),
    Family("qwen3.5-text", qwen3_5, ("qwen3_5_text",), ("Qwen3_5ForCausalLM",)),
    Family("qwen3.5-moe-text", qwen3_5_moe, ("qwen3_5_moe_text",), ("Qwen3_5MoeForCausalLM",)),
    Family("kimi-linear", kimi_linear, ("kimi_linear",), ("KimiLinearForCausalLM",)),
    Family(
        "bailing-hybrid",
        _bailing_hybrid,
        ("bailing_hybrid",),
        ("BailingHybridForCausalLM", "BailingMoeV3ForCausalLM"),
    ),
    Family("bailing-moe-v2.5", _bailing_v25, ("bailing_hybrid", "bailing_moe_v2_5"), (V25,)),
    Family(
        "bailing-moe-linear",
        _bailing_linear,
        ("bailing_moe_linear",),
        ("BailingMoeLinearV2ForCausalLM", "BailingMoeLinearForCausalLM"),
    ),
)
