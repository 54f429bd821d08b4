"""Families of dense decoders with grouped attention in every layer: Llama and what followed it.

Pure. Each reader honours the keys that the family's own code honours, with the defaults of its own class.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.adapters.imports.blocks import (
    AS_HEADS,
    Family,
    Row,
    attention,
    decoder,
    dense,
    every,
    none,
    windows,
)
from orchestrator.adapters.imports.fields import INHERITED, KV_HEADS, Fields
from orchestrator.api.architecture import Architecture, QkNorm

HEAD = {"head_dim": 128}  # where the family's class gives heads a width of their own
EIGHT = {KV_HEADS: 8}  # where all models of a family share it
THIRTY_TWO = {KV_HEADS: 32}  # of a class whose wrappers leave it out


def uniform(
    f: Fields,
    *,
    qkv_bias: bool = False,
    output_bias: bool = False,
    mlp_bias: bool = False,
    qk_norm: QkNorm = "none",
    gated: bool = True,
    norms: int = 2,
    other: int = 0,
    tied: bool = False,
    norm_bias: bool = False,
    head_bias: bool = False,
    slides: Callable[[int], bool] = none,
    window: int | None = None,
) -> Architecture:
    """A decoder whose layers differ in their window at most."""
    feed = dense(f, gated=gated, bias=mlp_bias)
    seen = windows(f, f.layers(), slides, window=window)
    by_window = {
        width: attention(f, window=width, qkv_bias=qkv_bias, output_bias=output_bias, qk_norm=qk_norm)
        for width in set(seen)
    }
    rows = [Row(by_window[width], feed, norms, other) for width in seen]
    return decoder(f, rows, tied=tied, norm_bias=norm_bias, head_bias=head_bias)


def llama(f: Fields) -> Architecture:
    """Llama, and the many that are built like it."""
    bias = f.flag("attention_bias", default=False)
    return uniform(f.assuming(AS_HEADS), qkv_bias=bias, output_bias=bias, mlp_bias=f.flag("mlp_bias", default=False))


def mistral(f: Fields) -> Architecture:
    """Mistral: every layer slides where a window is given; the class assumes 4096 where the key is absent."""
    return uniform(f.assuming(EIGHT), slides=every, window=4096)


def ministral3(f: Fields) -> Architecture:
    """Ministral 3: no window unless one is given."""
    return uniform(f.assuming({**HEAD, **EIGHT}), slides=every)


def qwen2(f: Fields) -> Architecture:
    """Qwen 2, 2.5 and 1.5: biases on queries, keys and values."""
    f = f.left_out(THIRTY_TWO)
    return uniform(f, qkv_bias=True, slides=upper_layers(f), window=4096)


def upper_layers(f: Fields) -> Callable[[int], bool]:
    """Qwen's rule: only where it says so, and only layers from `max_window_layers` on, slide."""
    if not f.flag("use_sliding_window", default=False) or f.has("layer_types"):
        return none
    first = f.whole("max_window_layers", least=0)
    return lambda i: i >= first


def qwen3(f: Fields) -> Architecture:
    """Qwen 3: norms on the heads of queries and keys in place of biases."""
    bias = f.flag("attention_bias", default=False)
    f = f.left_out(THIRTY_TWO).assuming(HEAD)
    return uniform(f, qkv_bias=bias, output_bias=bias, qk_norm="head", slides=upper_layers(f), window=4096)


def internlm2(f: Fields) -> Architecture:
    """InternLM 2."""
    bias = f.flag("bias", default=False)
    return uniform(f.assuming(AS_HEADS), qkv_bias=bias, output_bias=bias)


def _internlm3(f: Fields) -> Architecture:
    for key in ("bias", "qkv_bias"):
        f.only(key, False)
    return llama(f)


def _glm(f: Fields) -> Architecture:
    return uniform(f.assuming(HEAD), qkv_bias=f.flag("attention_bias", default=True))


def glm4(f: Fields) -> Architecture:
    """GLM-4-0414: norms before and behind both parts of a layer."""
    f = f.assuming({**HEAD, KV_HEADS: 2})
    return uniform(f, qkv_bias=f.flag("attention_bias", default=True), norms=4)


def _ernie(f: Fields) -> Architecture:
    f.only("use_bias", False)
    return uniform(f, tied=True)


def _phi(f: Fields) -> Architecture:
    f.only("qk_layernorm", False)
    return uniform(
        f, qkv_bias=True, output_bias=True, mlp_bias=True, gated=False, norms=1, norm_bias=True, head_bias=True
    )


def phi3(f: Fields) -> Architecture:
    """Phi 3 and 4."""
    return uniform(f.assuming(AS_HEADS), slides=every)


def _smollm3(f: Fields) -> Architecture:
    if not f.has("layer_types"):
        f.only("use_sliding_window", False)
    bias = f.flag("attention_bias", default=False)
    return uniform(f, qkv_bias=bias, output_bias=bias, mlp_bias=f.flag("mlp_bias", default=False), tied=True)


def _starcoder2(f: Fields) -> Architecture:
    bias = f.flag("use_bias", default=True)
    if not f.has(INHERITED):
        f.notes.append(f"{INHERITED} is absent; assumed true, as the class does; the published 15B stores a head too")
    return uniform(
        f,
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=bias,
        gated=False,
        norm_bias=True,
        tied=True,
        slides=every,
    )


def _stablelm(f: Fields) -> Architecture:
    return uniform(
        f,
        qkv_bias=f.flag("use_qkv_bias", default=False),
        qk_norm="layer" if f.flag("qk_layernorm", default=False) else "none",
        norms=1 if f.flag("use_parallel_residual", default=False) else 2,
        norm_bias=True,
    )


def _cohere(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    norm: QkNorm = "layer" if f.flag("use_qk_norm", default=False) else "none"
    return uniform(f, qkv_bias=bias, output_bias=bias, qk_norm=norm, norms=1, tied=True)


def _cohere2(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    step = f.maybe("sliding_window_pattern", "_sliding_window_pattern") or 4
    return uniform(
        f,
        qkv_bias=bias,
        output_bias=bias,
        norms=1,
        tied=True,
        slides=lambda i: (i + 1) % step != 0,
        window=4096,
    )


def _olmo2(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    return uniform(f, qkv_bias=bias, output_bias=bias, qk_norm="layer")


def _olmo3(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    return uniform(f, qkv_bias=bias, output_bias=bias, qk_norm="layer", slides=lambda i: (i + 1) % 4 != 0, window=4096)


def exaone4(f: Fields) -> Architecture:
    """EXAONE 4."""
    f.only("sliding_window_pattern", 4, "LLLG", 0)
    return uniform(f, qk_norm="head", slides=lambda i: (i + 1) % 4 != 0, window=4096)


def _nemotron(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    return uniform(
        f,
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=f.flag("mlp_bias", default=False),
        gated=False,
        norm_bias=True,
    )


def _seed(f: Fields) -> Architecture:
    return uniform(
        f,
        qkv_bias=f.flag("attention_bias", default=True),
        output_bias=f.flag("attention_out_bias", default=False),
        mlp_bias=f.flag("mlp_bias", default=False),
    )


def _arcee(f: Fields) -> Architecture:
    bias = f.flag("attention_bias", default=False)
    return uniform(f, qkv_bias=bias, output_bias=bias, mlp_bias=f.flag("mlp_bias", default=False), gated=False)


def _apertus(f: Fields) -> Architecture:
    f.only("hidden_act", "xielu")
    f.only("qk_norm", True)
    bias = f.flag("attention_bias", default=False)
    return uniform(f, qkv_bias=bias, output_bias=bias, qk_norm="head", gated=False, other=2)


def _hunyuan(f: Fields) -> Architecture:
    f.only("use_qk_norm", True)
    f.only("use_cla", False)
    f.has("cla_share_factor")  # of no effect without it
    bias = f.flag("attention_bias", default=False)
    return uniform(f, qkv_bias=bias, output_bias=bias, qk_norm="head")


def _minicpm(f: Fields) -> Architecture:
    f.only("num_experts", 0)
    f.only("attention_bias", False)
    return uniform(f, tied=True)


DENSE_FAMILIES = (
    Family("llama", llama, ("llama", "Yi"), ("LlamaForCausalLM", "LLaMAForCausalLM", "YiForCausalLM")),
    Family("mistral", mistral, ("mistral",), ("MistralForCausalLM",)),
    Family("ministral", mistral, ("ministral",), ("MinistralForCausalLM",)),
    Family("ministral3", ministral3, ("ministral3",), ("Ministral3ForCausalLM",)),
    Family("qwen2", qwen2, ("qwen2",), ("Qwen2ForCausalLM",)),
    Family("qwen3", qwen3, ("qwen3",), ("Qwen3ForCausalLM",)),
    Family("mimo", qwen2, ("mimo",), ("MiMoForCausalLM",)),
    Family("internlm2", internlm2, ("internlm2",), ("InternLM2ForCausalLM",)),
    Family("internlm3", _internlm3, ("internlm3",), ("InternLM3ForCausalLM",), assumes={**HEAD, KV_HEADS: 2}),
    Family("glm", _glm, ("glm",), ("GlmForCausalLM",)),
    Family("glm4", glm4, ("glm4",), ("Glm4ForCausalLM",)),
    Family(
        "ernie4.5",
        _ernie,
        ("ernie4_5",),
        ("Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM"),
        assumes={**HEAD, KV_HEADS: 2},
    ),
    Family("phi", _phi, ("phi",), ("PhiForCausalLM",), assumes=AS_HEADS),
    Family("phi3", phi3, ("phi3",), ("Phi3ForCausalLM",)),
    Family("smollm3", _smollm3, ("smollm3",), ("SmolLM3ForCausalLM",), assumes={KV_HEADS: 4}),
    Family("starcoder2", _starcoder2, ("starcoder2",), ("Starcoder2ForCausalLM",)),
    Family("stablelm", _stablelm, ("stablelm", "stablelm_epoch"), ("StableLmForCausalLM", "StableLMEpochForCausalLM")),
    Family("cohere", _cohere, ("cohere",), ("CohereForCausalLM",), assumes=AS_HEADS),
    Family("cohere2", _cohere2, ("cohere2",), ("Cohere2ForCausalLM",), assumes=AS_HEADS),
    Family("olmo2", _olmo2, ("olmo2",), ("Olmo2ForCausalLM",), assumes=AS_HEADS),
    Family("olmo3", _olmo3, ("olmo3",), ("Olmo3ForCausalLM",), assumes=AS_HEADS),
    Family("granite", llama, ("granite",), ("GraniteForCausalLM",)),
    Family("exaone4", exaone4, ("exaone4",), ("Exaone4ForCausalLM",)),
    Family("nemotron", _nemotron, ("nemotron",), ("NemotronForCausalLM",), assumes=AS_HEADS),
    Family("seed-oss", _seed, ("seed_oss",), ("SeedOssForCausalLM",), assumes={**HEAD, **EIGHT}),
    Family("arcee", _arcee, ("arcee",), ("ArceeForCausalLM",), assumes=AS_HEADS),
    Family("apertus", _apertus, ("apertus",), ("ApertusForCausalLM",), assumes=AS_HEADS),
    Family(
        "hunyuan-v1-dense",
        _hunyuan,
        ("hunyuan_v1_dense",),
        ("HunYuanDenseV1ForCausalLM", "HunyuanV1DenseForCausalLM"),
        assumes=AS_HEADS,
    ),
    Family("minicpm", _minicpm, ("minicpm",), ("MiniCPMForCausalLM",), assumes=AS_HEADS),
)
