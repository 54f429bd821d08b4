"""Families whose configurations have names of their own: the first Qwen, ChatGLM, Baichuan, TeleChat 3, Nemotron NAS.

Pure. Their keys are given the usual names, then the usual readers count them.
"""

from __future__ import annotations

from orchestrator.adapters.imports.blocks import AS_HEADS, Family, Row, attention, decoder, dense
from orchestrator.adapters.imports.dense import llama, uniform
from orchestrator.adapters.imports.fields import KV_HEADS, Fields
from orchestrator.api.architecture import Architecture, Dense, GroupedAttention
from runtimes.errors import Invalid, Refused

MULTIPLE = 256  # Nemotron NAS rounds feed-forward widths up to this
LARGEST_RATIO = 64


def _qwen(f: Fields) -> Architecture:
    f.only("no_bias", True)
    width = f.whole("intermediate_size")
    if width % 2:
        raise Invalid(f"{f.path('intermediate_size')} is {width}; in this family it is twice the width, so even")
    mixing = attention(f, kv_heads=f.whole("num_attention_heads"), head_dim=f.maybe("kv_channels"), qkv_bias=True)
    return decoder(f, [Row(mixing, Dense(intermediate_size=width // 2))] * f.layers(), tied=False)


def _chatglm(f: Fields) -> Architecture:
    if f.has("vision_config") or not f.has("padded_vocab_size"):
        raise Refused("of this family only text models with padded_vocab_size are known, ChatGLM 2 and after")
    f.only("rmsnorm", True)
    f.only("add_bias_linear", False)
    f.only("post_layer_norm", True)
    few = f.flag("multi_query_attention", default=False)
    mixing = attention(
        f,
        kv_heads=f.whole("multi_query_group_num") if few else f.whole("num_attention_heads"),
        head_dim=f.maybe("kv_channels"),
        qkv_bias=f.flag("add_qkv_bias", default=False),
    )
    g = f.assuming_quietly({"vocab_size": f.raw("padded_vocab_size")})
    row = Row(mixing, Dense(intermediate_size=f.whole("ffn_hidden_size")))
    return decoder(g, [row] * f.layers("num_layers"), tied=False)


def _baichuan(f: Fields) -> Architecture:
    return uniform(f.without(KV_HEADS).assuming_quietly(AS_HEADS))


def _exaone(f: Fields) -> Architecture:
    return uniform(f.assuming_quietly({"num_hidden_layers": f.raw("num_layers")}))


def _nas(f: Fields) -> Architecture:
    """Every block has its own attention and width, or none."""
    blocks = f.raw("block_configs")
    layers = f.layers()
    if not isinstance(blocks, list | tuple) or len(blocks) != layers:
        raise Invalid(f"{f.path('block_configs')} must be a list with one mapping for each of {layers} layers")
    f.only("attention_bias", False)
    f.only("mlp_bias", False)
    hidden, heads = f.whole("hidden_size"), f.whole("num_attention_heads")
    rows = []
    for i, block in enumerate(blocks):
        one = Fields({"block": block}, where=f"block_configs[{i}]", of=f).inner("block")
        mixing = _nas_attention(f, one.inner("attention"), heads)
        feed = _nas_feed(one.inner("ffn"), hidden)
        if mixing is None and feed is None:
            raise Refused(f"{one.path('attention')} and ffn are both absent in layer {i}; such a layer is not known")
        rows.append(Row(mixing, feed, norms=(mixing is not None) + (feed is not None)))
    return decoder(f, rows, tied=False)


def _nas_attention(f: Fields, a: Fields, heads: int) -> GroupedAttention | None:
    for key in ("replace_with_linear", "unshifted_sink"):
        a.only(key, False)
    if a.flag("no_op", default=False):
        return None
    window = a.maybe("window_length")
    share = a.whole("n_heads_in_group")
    if heads % share:
        raise Invalid(f"{a.path('n_heads_in_group')} {share} does not divide {heads} heads")
    return attention(f, kv_heads=heads // share, window=window)


def _nas_feed(a: Fields, hidden: int) -> Dense | None:
    a.only("replace_with_linear", False)
    if a.flag("no_op", default=False):
        return None
    if a.has("intermediate_size"):
        return dense(a)
    ratio = a.number("ffn_mult", default=0.0)
    if not 0 < ratio < LARGEST_RATIO:
        raise Invalid(f"{a.path('ffn_mult')} must be a number above 0 and below {LARGEST_RATIO}")
    width = int(2 * ratio * hidden / 3)
    return Dense(intermediate_size=-(-width // MULTIPLE) * MULTIPLE)


NAMED_FAMILIES = (
    Family("qwen", _qwen, ("qwen",), ("QWenLMHeadModel",)),
    Family(
        "chatglm", _chatglm, ("chatglm",), ("ChatGLMModel", "ChatGLMForConditionalGeneration", "ChatGLMForCausalLM")
    ),
    Family("baichuan", _baichuan, ("baichuan",), ("BaichuanForCausalLM", "BaiChuanForCausalLM")),
    Family("telechat3", llama, ("telechat3",), ("Telechat3ForCausalLM", "TeleChat3ForCausalLM")),
    Family("xverse", llama, ("xverse",), ("XverseForCausalLM",), assumes=AS_HEADS),
    Family("exaone", _exaone, ("exaone",), ("ExaoneForCausalLM",), assumes=AS_HEADS),
    Family("nemotron-nas", _nas, ("nemotron-nas", "deci"), ("DeciLMForCausalLM",)),
)
