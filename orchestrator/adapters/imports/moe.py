"""Families of decoders with experts and grouped attention: Mixtral, Qwen MoE, GLM-4.5, Ling, gpt-oss and others.

Pure. Each reader honours the keys that the family's own code honours, with the defaults of its own class.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.adapters.imports.blocks import (
    AS_HEADS,
    Family,
    Row,
    attention,
    decoder,
    dense,
    every,
    experts,
    none,
    sparse_layers,
    windows,
)
from orchestrator.adapters.imports.dense import EIGHT, HEAD
from orchestrator.adapters.imports.fields import KV_HEADS, Fields
from orchestrator.api.architecture import Architecture, Dense, Experts, GroupedAttention
from runtimes.errors import Refused


def _rows(sparse: Sequence[bool], mixing: GroupedAttention, moe: Experts, feed: Dense | None) -> list[Row]:
    return [Row(mixing, moe if one else feed) for one in sparse]


def _feed(f: Fields, sparse: Sequence[bool]) -> Dense | None:
    return None if all(sparse) else dense(f)


def mixtral(f: Fields) -> Architecture:
    """Mixtral: experts in every layer, as wide as `intermediate_size`."""
    moe = experts(f, shared=0, intermediate_size=f.whole("intermediate_size"))
    rows = [Row(attention(f, window=width), moe) for width in windows(f, f.layers(), every)]
    return decoder(f, rows, tied=False)


def _phimoe(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    moe = experts(f, shared=0, intermediate_size=f.whole("intermediate_size"))
    rows = [
        Row(attention(f, window=width, qkv_bias=bias, output_bias=bias), moe) for width in windows(f, f.layers(), every)
    ]
    return decoder(f, rows, tied=False, norm_bias=True, head_bias=f.flag("lm_head_bias", default=False))


def stepped(f: Fields, layers: int) -> list[bool]:
    """Qwen's rule for which layers have experts."""
    step = f.maybe("decoder_sparse_step") or 1
    skipped = f.wholes("mlp_only_layers") or []
    return [i not in skipped and (i + 1) % step == 0 for i in range(layers)]


def _qwen2_moe(f: Fields) -> Architecture:
    layers = f.layers()
    sparse = stepped(f, layers)
    moe = experts(f, shared=1, shared_intermediate_size=f.whole("shared_expert_intermediate_size"), shared_gate=True)
    feed = _feed(f, sparse)
    bias = f.flag("qkv_bias", default=True)
    if not f.has("layer_types"):
        f.only("use_sliding_window", False)
    seen = windows(f.without("sliding_window"), layers, none)
    rows = [
        Row(attention(f, window=width, qkv_bias=bias), moe if one else feed)
        for width, one in zip(seen, sparse, strict=True)
    ]
    return decoder(f, rows, tied=False)


def qwen3_moe(f: Fields) -> Architecture:
    """Qwen 3 with experts: none shared, whatever an inherited key says."""
    f.has("shared_expert_intermediate_size")
    layers = f.layers()
    sparse = stepped(f, layers)
    f = f.left_out({KV_HEADS: 4})
    bias = f.flag("attention_bias", default=False)
    moe, feed = experts(f, shared=0), _feed(f, sparse)
    slide = every if f.flag("use_sliding_window", default=False) else none
    seen = windows(f, layers, slide, window=4096)
    rows = [
        Row(attention(f, window=width, qkv_bias=bias, output_bias=bias, qk_norm="head"), moe if one else feed)
        for width, one in zip(seen, sparse, strict=True)
    ]
    return decoder(f, rows, tied=False)


def glm4_moe(f: Fields) -> Architecture:
    """GLM-4.5 and on: a dense front, one shared expert."""
    return _glm4_moe(f, bias=False)


def glm4v_moe(f: Fields) -> Architecture:
    """The decoder of GLM-4.5V and 4.6V, which has biases and no norms on queries and keys."""
    f = f.without("use_qk_norm").left_out({**EIGHT, "first_k_dense_replace": 1})
    return _glm4_moe(f, bias=True)


def _glm4_moe(f: Fields, *, bias: bool) -> Architecture:
    sparse = sparse_layers(f, f.layers())
    mixing = attention(
        f,
        qkv_bias=f.flag("attention_bias", default=bias),
        qk_norm="head" if f.flag("use_qk_norm", default=False) else "none",
    )
    return decoder(f, _rows(sparse, mixing, experts(f, usual=1), _feed(f, sparse)), tied=False)


def ernie_moe(f: Fields) -> Architecture:
    """ERNIE 4.5 with experts: their own names for everything."""
    layers = f.layers()
    f.only("use_bias", False)
    first = f.whole("moe_layer_start_index", least=0)
    last = f.whole("moe_layer_end_index", default=-1, least=-1)
    step = f.maybe("moe_layer_interval") or 1
    sparse = [first <= i <= (layers - 1 if last < 0 else last) and (i + 1) % step == 0 for i in range(layers)]
    moe = Experts(
        routed=f.whole("moe_num_experts"),
        per_token=f.whole("moe_k"),
        intermediate_size=f.whole("moe_intermediate_size"),
        shared=f.whole("moe_num_shared_experts", least=0),
    )
    return decoder(f, _rows(sparse, attention(f), moe, _feed(f, sparse)), tied=True)


def bailing_moe(f: Fields) -> Architecture:
    """Ling 1 and 1.5: shared experts, in some models a dense front."""
    sparse = sparse_layers(f, f.layers(), front=0)
    mixing = attention(
        f,
        qkv_bias=f.flag("use_qkv_bias", default=False),
        output_bias=f.flag("use_bias", default=False),
        qk_norm="head" if f.flag("use_qk_norm", default=False) else "none",
    )
    moe = experts(f, shared_intermediate_size=f.maybe("moe_shared_expert_intermediate_size"))
    return decoder(f, _rows(sparse, mixing, moe, _feed(f, sparse)), tied=False)


def bailing_moe_v2(f: Fields) -> Architecture:
    """Ling 2.0, whose class assumes norms on queries and keys; how many dense layers are in front must be said."""
    f = f.assuming({"use_qk_norm": True, **HEAD})
    f.whole("first_k_dense_replace", least=0)
    return bailing_moe(f)


def _gpt_oss(f: Fields) -> Architecture:
    f = f.assuming({"head_dim": 64})
    bias = f.flag("attention_bias", default=True)
    moe = experts(f, shared=0, intermediate_size=f.whole("intermediate_size"), bias=True, router_bias=True)
    seen = windows(f, f.layers(), lambda i: i % 2 == 0, window=128)
    rows = [Row(attention(f, window=width, qkv_bias=bias, output_bias=bias, sinks=True), moe) for width in seen]
    return decoder(f, rows, tied=False)


def _olmoe(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    moe = experts(f, shared=0, intermediate_size=f.whole("intermediate_size"))
    mixing = attention(f, qkv_bias=bias, output_bias=bias, qk_norm="layer")
    return decoder(f, [Row(mixing, moe)] * f.layers(), tied=False)


def _granitemoe(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    width = f.maybe("shared_intermediate_size", least=0) or None
    moe = experts(
        f,
        shared=1 if width else 0,
        shared_intermediate_size=width,
        intermediate_size=f.whole("intermediate_size"),
    )
    return decoder(f, [Row(attention(f, qkv_bias=bias, output_bias=bias), moe)] * f.layers(), tied=False)


def _dots1(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    layers = f.layers()
    sparse = sparse_layers(f, layers)
    moe, feed = experts(f), _feed(f, sparse)
    first = f.maybe("max_window_layers", least=0)
    seen = windows(f, layers, lambda i: first is not None and i >= first)
    rows = [
        Row(attention(f, window=width, qkv_bias=bias, output_bias=bias, qk_norm="head"), moe if one else feed)
        for width, one in zip(seen, sparse, strict=True)
    ]
    return decoder(f, rows, tied=False)


def _hunyuan_moe(f: Fields) -> Architecture:
    f.only("use_qk_norm", True)
    f.only("use_cla", False)
    f.has("cla_share_factor")  # of no effect without it
    f.only("use_mla", False)
    layers = f.layers()
    bias = f.flag("attention_bias", default=False)
    width = _same(f, "moe_intermediate_size", layers) or f.whole("intermediate_size")
    f.only("use_mixed_mlp_moe", True)
    if width != f.whole("intermediate_size"):
        raise Refused(
            f"{f.path('moe_intermediate_size')} {width} is not intermediate_size; implementations differ in which of"
            " them the experts have"
        )
    moe = Experts(
        routed=f.whole("num_experts"),
        per_token=_same(f, "moe_topk", layers) or f.whole("num_experts_per_tok"),
        intermediate_size=width,
        shared=1,
        shared_intermediate_size=f.whole("intermediate_size") * (_same(f, "num_shared_expert", layers) or 1),
    )
    return decoder(f, [Row(attention(f, qkv_bias=bias, output_bias=bias, qk_norm="head"), moe)] * layers, tied=False)


def _same(f: Fields, key: str, layers: int) -> int | None:
    """A number given once, or as a list with the same number for every layer."""
    if not isinstance(f.raw(key), list | tuple):
        return f.maybe(key)
    numbers = set(f.wholes(key, length=layers, least=1) or [])
    if len(numbers) != 1:
        raise Refused(f"{f.path(key)} differs between layers; of this family only equal layers are known")
    return numbers.pop()


def _solar_open(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    row = Row(attention(f, qkv_bias=bias), experts(f, usual=1))
    return decoder(f, [row] * f.layers(), tied=False)


def _hy_v3(f: Fields) -> Architecture:
    sparse = sparse_layers(f, f.layers(), front=1)
    bias = f.flag("attention_bias", default=False)
    f.only("mlp_bias", False)
    mixing = attention(f, qkv_bias=bias, output_bias=bias, qk_norm="head")
    return decoder(f, _rows(sparse, mixing, experts(f, usual=1), _feed(f, sparse)), tied=False)


def _deepseek_moe(f: Fields) -> Architecture:
    sparse = sparse_layers(f, f.layers())
    bias = f.flag("attention_bias", default=False)
    mixing = attention(f, qkv_bias=bias, output_bias=bias)
    return decoder(f, _rows(sparse, mixing, experts(f), _feed(f, sparse)), tied=False)


MOE_FAMILIES = (
    Family("mixtral", mixtral, ("mixtral",), ("MixtralForCausalLM",), assumes=EIGHT),
    Family("phimoe", _phimoe, ("phimoe",), ("PhiMoEForCausalLM", "PhimoeForCausalLM"), assumes=EIGHT),
    Family("qwen2-moe", _qwen2_moe, ("qwen2_moe",), ("Qwen2MoeForCausalLM",)),
    Family("qwen3-moe", qwen3_moe, ("qwen3_moe",), ("Qwen3MoeForCausalLM",)),
    Family("glm4-moe", glm4_moe, ("glm4_moe",), ("Glm4MoeForCausalLM",), assumes=EIGHT),
    Family("ernie4.5-moe", ernie_moe, ("ernie4_5_moe",), ("Ernie4_5_MoeForCausalLM", "Ernie4_5_MoEForCausalLM")),
    Family("bailing-moe", bailing_moe, ("bailing_moe",), ("BailingMoeForCausalLM",)),
    Family("bailing-moe-v2", bailing_moe_v2, ("bailing_moe_v2", "bailing_moe"), ("BailingMoeV2ForCausalLM",)),
    Family("gpt-oss", _gpt_oss, ("gpt_oss",), ("GptOssForCausalLM",), assumes=EIGHT),
    Family("olmoe", _olmoe, ("olmoe",), ("OlmoeForCausalLM",), assumes=AS_HEADS),
    Family(
        "granitemoe",
        _granitemoe,
        ("granitemoe", "granitemoeshared"),
        ("GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"),
        assumes=AS_HEADS,
    ),
    Family("dots1", _dots1, ("dots1",), ("Dots1ForCausalLM",)),
    Family(
        "hunyuan-v1-moe",
        _hunyuan_moe,
        ("hunyuan_v1_moe",),
        ("HunYuanMoEV1ForCausalLM", "HunYuanMoeV1ForCausalLM"),
        assumes=AS_HEADS,
    ),
    Family("solar-open", _solar_open, ("solar_open",), ("SolarOpenForCausalLM",), assumes={**HEAD, **EIGHT}),
    Family("hy-v3", _hy_v3, ("hy_v3",), ("HYV3ForCausalLM",), assumes={**HEAD, **EIGHT}),
    Family("deepseek-moe", _deepseek_moe, ("deepseek",), ("DeepseekForCausalLM",), assumes=AS_HEADS),
)
