"""Families with state-space layers or short convolutions: Nemotron-H, Mamba 2, Falcon-H1, Granite 4, LFM 2.

Pure. Each reader honours the keys that the family's own code honours, with the defaults of its own class.
"""

from __future__ import annotations

import math

from orchestrator.adapters.imports.blocks import AS_HEADS, FULL, LINEAR, Family, Row, attention, decoder, dense, experts
from orchestrator.adapters.imports.dense import EIGHT
from orchestrator.adapters.imports.fields import INHERITED, Fields
from orchestrator.api.architecture import MOST_LAYERS, Architecture, Dense, Experts, LinearAttention
from runtimes.errors import Invalid

MAMBA, MOE, MLP, CONVOLUTION = "mamba", "moe", "mlp", "conv"
LETTERS = {"M": MAMBA, "E": MOE, "*": FULL, "-": MLP}
OLD_NAMES = {"attention": FULL, LINEAR: MAMBA}


def _nemotron_h(f: Fields) -> Architecture:
    for key in ("attention_bias", "mlp_bias", "use_bias", "mamba_proj_bias", INHERITED):
        f.only(key, False)
    f.only("use_conv_bias", True)
    f.only("mlp_hidden_act", "relu2")
    kinds = _blocks(f)
    rows: dict[str, Row] = {}
    if MAMBA in kinds:
        rows[MAMBA] = Row(
            LinearAttention(
                form="mamba2",
                key_heads=f.whole("n_groups", "mamba_n_groups"),
                value_heads=f.whole("mamba_num_heads"),
                key_dim=f.whole("ssm_state_size"),
                value_dim=f.whole("mamba_head_dim"),
                convolution=f.whole("conv_kernel", "mamba_d_conv"),
            ),
            None,
            norms=1,
        )
    if FULL in kinds:
        rows[FULL] = Row(attention(f, head_dim=f.whole("head_dim", "attention_head_dim")), None, norms=1)
    if MLP in kinds:
        rows[MLP] = Row(None, dense(f, gated=False), norms=1)
    if MOE in kinds:
        moe = experts(
            f,
            shared=1,
            shared_intermediate_size=f.whole("moe_shared_expert_intermediate_size"),
            latent_size=f.maybe("moe_latent_size"),
            gated=False,
        )
        rows[MOE] = Row(None, moe, norms=1)
    return decoder(f, [rows[kind] for kind in kinds], tied=False)


def _blocks(f: Fields) -> list[str]:
    """What each block is: one letter each, or a list of names."""
    if f.has("hybrid_override_pattern"):
        pattern = f.text("hybrid_override_pattern") or ""
        if not 0 < len(pattern) <= MOST_LAYERS or set(pattern) - set(LETTERS):
            raise Invalid(f"{f.path('hybrid_override_pattern')} must have one of {' '.join(LETTERS)} for each layer")
        return [LETTERS[letter] for letter in pattern]
    key = "layers_block_type" if f.has("layers_block_type") else "layer_types"
    listed = f.choices(key, (*LETTERS.values(), *OLD_NAMES), length=None)
    if not listed:
        raise Invalid("the configuration has neither hybrid_override_pattern nor layers_block_type; give one of them")
    return [OLD_NAMES.get(name, name) for name in listed]


def _mamba2(f: Fields) -> Architecture:
    f.only("use_bias", False)
    f.only("use_conv_bias", True)
    heads, dim = f.whole("num_heads"), f.whole("head_dim")
    mixing = LinearAttention(
        form="mamba2",
        key_heads=f.whole("n_groups"),
        value_heads=heads,
        key_dim=f.whole("state_size"),
        value_dim=dim,
        convolution=f.whole("conv_kernel"),
    )
    return decoder(f, [Row(mixing, None, norms=1)] * f.layers(), tied=False)


def _falcon_h1(f: Fields) -> Architecture:
    for key in ("mlp_bias", "mamba_proj_bias", "projectors_bias"):
        f.only(key, False)
    f.only("mamba_conv_bias", True)
    layers = f.layers()
    bias = f.flag("attention_bias", default=False)
    mixed = _granite_mamba(f, normed=f.flag("mamba_rms_norm", default=False))
    rows = [
        Row(mixed, None, norms=0),
        Row(attention(f, qkv_bias=bias, output_bias=bias), dense(f)),
    ]
    return decoder(f, rows * layers, tied=False)


def _granite_mamba(f: Fields, *, normed: bool) -> LinearAttention:
    heads = f.whole("mamba_n_heads")
    inner = f.maybe("mamba_d_ssm") or f.whole("mamba_expand", default=2) * f.whole("hidden_size")
    if inner % heads:
        raise Invalid(f"{f.path('mamba_n_heads')} {heads} does not divide the {inner} channels of the state space")
    return LinearAttention(
        form="mamba2",
        key_heads=f.whole("mamba_n_groups", default=1),
        value_heads=heads,
        key_dim=f.whole("mamba_d_state"),
        value_dim=inner // heads,
        convolution=f.whole("mamba_d_conv", default=4),
        normed=normed,
    )


def _granite_hybrid(f: Fields) -> Architecture:
    f.only("mamba_conv_bias", True)
    f.only("mamba_proj_bias", False)
    layers = f.layers()
    bias = f.flag("attention_bias", default=False)
    key = "layers_block_type" if f.has("layers_block_type") else "layer_types"
    listed = f.choices(key, (MAMBA, LINEAR, "attention", FULL), length=layers) or [MAMBA] * layers
    full = attention(f, qkv_bias=bias, output_bias=bias)
    mixed = _granite_mamba(f, normed=True)
    shared = Dense(intermediate_size=f.whole("shared_intermediate_size"))
    routed = f.whole("num_local_experts", least=0)
    feed = experts(f, shared=0, intermediate_size=f.whole("intermediate_size"), dense=shared) if routed else shared
    return decoder(f, [Row(mixed if kind in {MAMBA, LINEAR} else full, feed) for kind in listed], tied=False)


def _lfm2(f: Fields) -> Architecture:
    feed = Dense(intermediate_size=_lfm2_width(f))
    return decoder(f, [_lfm2_row(f, kind, feed) for kind in _lfm2_kinds(f)], tied=_tied(f))


def _lfm2_moe(f: Fields) -> Architecture:
    front = f.whole("num_dense_layers", default=2, least=0)
    moe, feed = experts(f, shared=0), dense(f)
    rows = [_lfm2_row(f, kind, feed if i < front else moe) for i, kind in enumerate(_lfm2_kinds(f))]
    return decoder(f, rows, tied=_tied(f))


def _tied(f: Fields) -> bool:
    return f.flag("tie_embedding", default=True)


def _lfm2_kinds(f: Fields) -> list[str]:
    layers = f.layers()
    listed = f.choices("layer_types", (FULL, CONVOLUTION), length=layers)
    if listed is not None:
        return listed
    full = f.wholes("full_attn_idxs")
    if full is None:
        raise Invalid("the configuration has neither layer_types nor full_attn_idxs; give one of them")
    return [FULL if i in full else CONVOLUTION for i in range(layers)]


def _lfm2_row(f: Fields, kind: str, feed: Dense | Experts) -> Row:
    f.only("conv_bias", False)
    if kind == FULL:
        return Row(attention(f, qk_norm="head"), feed)
    hidden = f.whole("hidden_size")
    return Row(None, feed, other=4 * hidden * hidden + hidden * f.whole("conv_L_cache", default=3))


def _lfm2_width(f: Fields) -> int:
    width = f.whole("block_ff_dim", "intermediate_size")
    if not f.flag("block_auto_adjust_ff_dim", default=True):
        return width
    step = f.whole("block_multiple_of", default=256)
    return step * math.ceil(int(f.number("block_ffn_dim_multiplier", default=1.0) * (2 * width // 3)) / step)


STATE_SPACE_FAMILIES = (
    Family("nemotron-h", _nemotron_h, ("nemotron_h",), ("NemotronHForCausalLM",)),
    Family("mamba2", _mamba2, ("mamba2",), ("Mamba2ForCausalLM",)),
    Family("falcon-h1", _falcon_h1, ("falcon_h1",), ("FalconH1ForCausalLM",)),
    Family(
        "granitemoehybrid", _granite_hybrid, ("granitemoehybrid",), ("GraniteMoeHybridForCausalLM",), assumes=AS_HEADS
    ),
    Family("lfm2", _lfm2, ("lfm2",), ("Lfm2ForCausalLM",), assumes=EIGHT),
    Family("lfm2-moe", _lfm2_moe, ("lfm2_moe",), ("Lfm2MoeForCausalLM",), assumes=EIGHT),
)
