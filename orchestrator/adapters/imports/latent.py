"""Families with latent attention: DeepSeek V2 to V4, Kimi K2, GLM-4.7-Flash, GLM-5 and others.

Pure. Each reader honours the keys that the family's own code honours, with the defaults of its own class.
"""

from __future__ import annotations

from orchestrator.adapters.imports.blocks import (
    Family,
    Row,
    decoder,
    dense,
    experts,
    indexer,
    latent,
    reused,
    sparse_layers,
)
from orchestrator.adapters.imports.fields import Fields
from orchestrator.api.architecture import (
    Architecture,
    CompressedAttention,
    Dense,
    Experts,
    Indexer,
    LatentAttention,
)
from runtimes.errors import Refused

INDEXED, SHARED = "full", "shared"
WINDOW_ONLY, FINE, COARSE = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
RATES = {0: WINDOW_ONLY, 4: FINE, 128: COARSE}


def _deepseek(f: Fields, *, front: int | None = None, usual: int | None = None) -> Architecture:
    f.only("ep_size", 1)
    sparse = sparse_layers(f, f.layers(), front=front)
    bias = f.flag("attention_bias", default=False)
    if bias:
        f.only("q_lora_rank", f.maybe("q_lora_rank"))
    mixing = latent(f, qkv_bias=bias)
    return decoder(f, _rows(f, sparse, [mixing] * len(sparse), usual=usual), tied=False)


def _rows(
    f: Fields, sparse: list[bool], mixing: list[LatentAttention], *, usual: int | None = 1, other: int = 0
) -> list[Row]:
    moe = experts(f, usual=usual) if any(sparse) else None
    feed = None if all(sparse) else dense(f)
    return [Row(mix, moe if one else feed, other=other) for mix, one in zip(mixing, sparse, strict=True)]


def deepseek_v2(f: Fields) -> Architecture:
    """DeepSeek V2 and V2-Lite."""
    return _deepseek(f, usual=2)


def deepseek_v3(f: Fields) -> Architecture:
    """DeepSeek V3, V3.1, R1, Kimi K2 and Moonlight, which differ in their dense front and shared experts."""
    return _deepseek(f.left_out({"q_lora_rank": 1536, "n_shared_experts": 1, "first_k_dense_replace": 3}))


def deepseek_v32(f: Fields) -> Architecture:
    """DeepSeek V3.2: an index in every layer."""
    sparse = sparse_layers(f, f.layers(), front=3)
    f.only("attention_bias", False)
    mixing = latent(f, indexer=indexer(f))
    return decoder(f, _rows(f, sparse, [mixing] * len(sparse)), tied=False)


def glm_dsa(f: Fields) -> Architecture:
    """GLM-5 and on: some layers take over the index of the layer before."""
    layers = f.layers()
    f.only("attention_bias", False)
    sparse = sparse_layers(f, layers, front=3)
    return decoder(f, _rows(f, sparse, _indexed(f, layers)), tied=False)


def _indexed(f: Fields, layers: int) -> list[LatentAttention]:
    index = indexer(f)
    own, taken = latent(f, indexer=index), latent(f, indexer=reused(index))
    return [own if kind == INDEXED else taken for kind in _indexer_types(f, layers, step=1, first=2)]


def _indexer_types(f: Fields, layers: int, *, step: int, first: int) -> list[str]:
    """Which layers have an index of their own; step and first layer after the front are what the class assumes."""
    listed = f.choices("indexer_types", (INDEXED, SHARED), length=layers)
    if listed is not None:
        return listed
    if isinstance(f.raw("index_topk_pattern"), str):
        pattern = f.text("index_topk_pattern") or ""
        if len(pattern) != layers or set(pattern) - set("FS"):
            raise Refused(f"{f.path('index_topk_pattern')} must have one F or S for each of {layers} layers")
        return [INDEXED if one == "F" else SHARED for one in pattern]
    if f.has("index_topk_pattern"):
        return f.choices("index_topk_pattern", (INDEXED, SHARED), length=layers) or []
    step = f.maybe("index_topk_freq") or step
    given = f.maybe("index_skip_topk_offset", least=0)
    first = first if given is None else given
    return [INDEXED if max(i - first + 1, 0) % step == 0 else SHARED for i in range(layers)]


def _glm_lite(f: Fields) -> Architecture:
    return _deepseek(f, front=1, usual=1)


def _hy_v4(f: Fields) -> Architecture:
    layers = f.layers()
    hidden = f.whole("hidden_size")
    f.only("attention_bias", False)
    streams = f.whole("hc_mult", default=4, most=64)
    sparse = sparse_layers(f, layers, front=1)
    more = {"output_gate": True, "sinks": True}
    index = indexer(f)
    own, taken = latent(f, indexer=index, **more), latent(f, indexer=reused(index), **more)
    mixing = [own if kind == INDEXED else taken for kind in _indexer_types(f, layers, step=4, first=2)]
    per_layer = 2 * (2 * streams * (streams * hidden + 1) + 2)
    return decoder(f, _rows(f, sparse, mixing, other=per_layer), tied=False, other=streams * (streams * hidden + 1) + 1)


def _minicpm3(f: Fields) -> Architecture:
    f.only("attention_bias", False)
    f.only("mlp_bias", False)
    hidden_rope = {"v_head_dim": f.whole("hidden_size") // f.whole("num_attention_heads")}
    g = f if f.has("v_head_dim") else f.without("v_head_dim").assuming(hidden_rope)
    return decoder(g, [Row(latent(g), dense(g))] * g.layers(), tied=True)


def _longcat(f: Fields) -> Architecture:
    f.only("attention_bias", False)
    f.only("router_bias", False)
    f.only("zero_expert_type", "identity")
    layers = f.layers("num_layers", "num_hidden_layers")
    mixing = latent(f)
    feed = Dense(intermediate_size=f.whole("ffn_hidden_size"))
    moe = Experts(
        routed=f.whole("n_routed_experts"),
        per_token=f.whole("moe_topk"),
        intermediate_size=f.whole("expert_ffn_hidden_size"),
        dense=feed,
    )
    empty = f.whole("zero_expert_num", least=0) * f.whole("hidden_size")
    return decoder(f, [Row(mixing, moe, other=empty), Row(mixing, feed)] * layers, tied=False)


def deepseek_v4(f: Fields) -> Architecture:
    """DeepSeek V4: compressed attention and hyper-connections, experts in every layer."""
    hidden = f.whole("hidden_size")
    f.only("attention_bias", False)
    f.only("mlp_bias", False)
    f.only("num_key_value_heads", 1)
    streams = f.whole("hc_mult", default=4, most=64)
    mixes = streams * (streams + 2)
    per_layer = 2 * (mixes * (streams * hidden + 1) + 3)
    moe = experts(f, usual=1)
    rows = [Row(mixing, moe, other=per_layer) for mixing in _compressed(f, f.layers())]
    return decoder(f, rows, tied=False, other=streams * (streams * hidden + 1) + 1)


def _compressed(f: Fields, layers: int) -> list[CompressedAttention]:
    rates = f.part("compress_rates") or Fields({})
    fine = f.maybe("compress_rate_csa") or rates.maybe(FINE) or 4
    coarse = f.maybe("compress_rate_hca") or rates.maybe(COARSE) or 128
    index = Indexer(
        heads=f.whole("index_n_heads"),
        head_dim=f.whole("index_head_dim"),
        top_tokens=f.whole("index_topk"),
        key="bf16",
    )
    shape = {
        "heads": f.whole("num_attention_heads"),
        "head_dim": f.whole("head_dim"),
        "q_lora_rank": f.whole("q_lora_rank"),
        "o_lora_rank": f.whole("o_lora_rank"),
        "o_groups": f.whole("o_groups"),
        "window": f.whole("sliding_window"),
    }
    kinds = {
        WINDOW_ONLY: CompressedAttention(**shape),
        FINE: CompressedAttention(**shape, tokens_per_entry=fine, overlaps=True, indexer=index),
        COARSE: CompressedAttention(**shape, tokens_per_entry=coarse),
    }
    return [kinds[kind] for kind in _schedule(f, layers)]


def _schedule(f: Fields, layers: int) -> list[str]:
    listed = f.choices("layer_types", tuple(RATES.values()), length=layers)
    if listed is not None:
        return listed
    ratios = f.wholes("compress_ratios", length=layers)
    if ratios is None:
        raise Refused("the configuration has neither compress_ratios nor layer_types; give one entry for each layer")
    for ratio in ratios:
        if ratio not in RATES:
            raise Refused(f"compress_ratios has {ratio}; known are {', '.join(str(rate) for rate in RATES)}")
    return [RATES[ratio] for ratio in ratios]


LATENT_FAMILIES = (
    Family("deepseek-v2", deepseek_v2, ("deepseek_v2",), ("DeepseekV2ForCausalLM",)),
    Family("deepseek-v3", deepseek_v3, ("deepseek_v3",), ("DeepseekV3ForCausalLM",)),
    Family("kimi-k2", deepseek_v3, ("kimi_k2",), ("KimiK2ForCausalLM", "DeepseekV3ForCausalLM")),
    Family("deepseek-v32", deepseek_v32, ("deepseek_v32",), ("DeepseekV32ForCausalLM",)),
    Family("deepseek-v4", deepseek_v4, ("deepseek_v4", "deepseek_ref"), ("DeepseekV4ForCausalLM",)),
    Family("glm4-moe-lite", _glm_lite, ("glm4_moe_lite",), ("Glm4MoeLiteForCausalLM",)),
    Family("glm-moe-dsa", glm_dsa, ("glm_moe_dsa",), ("GlmMoeDsaForCausalLM",)),
    Family("minicpm3", _minicpm3, ("minicpm3",), ("MiniCPM3ForCausalLM",)),
    Family("longcat-flash", _longcat, ("longcat_flash",), ("LongcatFlashForCausalLM",)),
    Family("hy-v4", _hy_v4, ("hy_v4",), ("HYV4ForCausalLM",)),
)
