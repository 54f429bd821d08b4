"""Early dense families whose projections and norms have biases: GPT-2, StarCoder 1, GPT-NeoX, BLOOM, OPT.

Pure. Each reader honours the keys that the family's own code honours, with the defaults of its own class. Positions
that are learned are counted beside the layers.
"""

from __future__ import annotations

from orchestrator.adapters.imports.blocks import Family, Row, attention, decoder
from orchestrator.adapters.imports.fields import Fields
from orchestrator.api.architecture import Architecture, Dense

MULTIPLE = 4  # how much wider a feed-forward part is where nothing is said
OFFSET = 2  # positions of OPT before the first token


def _plain(
    f: Fields,
    *,
    heads: int,
    kv_heads: int,
    layers: int,
    width: int | None,
    other: int = 0,
    tied: bool,
    bias: bool = True,
) -> Architecture:
    hidden = f.whole("hidden_size", "n_embd", "n_embed")
    g = f.assuming_quietly({"hidden_size": hidden})
    mixing = attention(g, heads=heads, kv_heads=kv_heads, qkv_bias=bias, output_bias=bias)
    feed = Dense(intermediate_size=width or MULTIPLE * hidden, gated=False, bias=True)
    return decoder(g, [Row(mixing, feed)] * layers, tied=tied, norm_bias=True, other=other)


def _gpt2(f: Fields) -> Architecture:
    f.only("add_cross_attention", False)
    return _learned(f, f.whole("n_head", "num_attention_heads"))


def _bigcode(f: Fields) -> Architecture:
    few = f.flag("multi_query", default=True)
    return _learned(f, 1 if few else f.whole("n_head", "num_attention_heads"))


def _learned(f: Fields, kv_heads: int) -> Architecture:
    return _plain(
        f,
        heads=f.whole("n_head", "num_attention_heads"),
        kv_heads=kv_heads,
        layers=f.layers("n_layer", "num_hidden_layers"),
        width=f.maybe("n_inner"),
        other=f.whole("n_positions", "max_position_embeddings") * f.whole("n_embd", "hidden_size"),
        tied=True,
    )


def _neox(f: Fields) -> Architecture:
    heads = f.whole("num_attention_heads")
    return _plain(
        f,
        heads=heads,
        kv_heads=heads,
        layers=f.layers(),
        width=f.whole("intermediate_size"),
        tied=False,
        bias=f.flag("attention_bias", default=True),
    )


def _bloom(f: Fields) -> Architecture:
    heads = f.whole("n_head", "num_attention_heads")
    norm = 2 * f.whole("hidden_size", "n_embed")  # behind the table
    layers = f.layers("n_layer", "num_hidden_layers")
    return _plain(f, heads=heads, kv_heads=heads, layers=layers, width=None, other=norm, tied=True)


def _opt(f: Fields) -> Architecture:
    hidden, heads = f.whole("hidden_size"), f.whole("num_attention_heads")
    f.only("word_embed_proj_dim", hidden)
    f.only("_remove_final_layer_norm", False)
    for key in ("do_layer_norm_before", "enable_bias", "layer_norm_elementwise_affine"):
        f.only(key, True)
    positions = f.whole("max_position_embeddings") + OFFSET
    return _plain(
        f,
        heads=heads,
        kv_heads=heads,
        layers=f.layers(),
        width=f.whole("ffn_dim"),
        other=positions * hidden,
        tied=True,
    )


EARLY_FAMILIES = (
    Family("gpt2", _gpt2, ("gpt2",), ("GPT2LMHeadModel",)),
    Family("gpt-bigcode", _bigcode, ("gpt_bigcode",), ("GPTBigCodeForCausalLM",)),
    Family("gpt-neox", _neox, ("gpt_neox",), ("GPTNeoXForCausalLM",)),
    Family("bloom", _bloom, ("bloom",), ("BloomForCausalLM",)),
    Family("opt", _opt, ("opt",), ("OPTForCausalLM",)),
)
