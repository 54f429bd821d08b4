"""MiniMax's families: 01 and M1 with lightning attention, M2 with plain attention, M3 with an index that picks blocks.

Pure. Each reader honours the keys that the family's own code honours, with the defaults of its own class.
"""

from __future__ import annotations

from orchestrator.adapters.imports.blocks import FULL, LINEAR, Family, Row, attention, decoder, experts, sparse_layers
from orchestrator.adapters.imports.dense import EIGHT, HEAD
from orchestrator.adapters.imports.fields import KV_HEADS, Fields
from orchestrator.api.architecture import Architecture, Dense, Indexer, LinearAttention
from runtimes.errors import Refused


def _minimax(f: Fields) -> Architecture:
    f.only("shared_intermediate_size", 0)
    layers = f.layers()
    full = attention(f)
    linear = LinearAttention(
        form="lightning",
        key_heads=full.heads,
        value_heads=full.heads,
        key_dim=full.head_dim,
        value_dim=full.head_dim,
    )
    listed = f.choices("layer_types", (FULL, LINEAR), length=layers)
    numbered = f.wholes("attn_type_list", length=layers, most=1)
    if listed is None and numbered is None:
        raise Refused("the configuration has neither attn_type_list nor layer_types; give one entry for each layer")
    types = listed or [FULL if one else LINEAR for one in numbered or ()]
    moe = experts(f, shared=0, intermediate_size=f.whole("intermediate_size"))
    return decoder(f, [Row(full if kind == FULL else linear, moe) for kind in types], tied=False)


def _minimax_m2(f: Fields) -> Architecture:
    f.only("qk_norm_type", "per_layer")
    f.only("shared_intermediate_size", 0)
    if 0 in (f.wholes("attn_type_list", length=f.layers(), most=1) or []):
        raise Refused(f"{f.path('attn_type_list')} names layers with linear attention; this family has none")
    norm = f.flag("use_qk_norm", default=True)
    moe = experts(f, shared=0, intermediate_size=f.whole("intermediate_size"))
    mixing = attention(f, qk_norm="layer" if norm else "none")
    return decoder(f, [Row(mixing, moe)] * f.layers(), tied=False)


def minimax_m3(f: Fields) -> Architecture:
    """MiniMax M3: an index picks blocks of tokens in most layers; a dense front."""
    layers = f.layers()
    f = f.assuming({**HEAD, KV_HEADS: 4})
    f.only("qk_norm_type", "per_head")
    f.only("use_qk_norm", True)
    f.only("attention_output_gate", False)
    sparse = sparse_layers(f, layers)
    moe = experts(
        f,
        usual=1,
        intermediate_size=f.maybe("moe_intermediate_size") or f.whole("intermediate_size"),
        shared_intermediate_size=f.maybe("shared_intermediate_size"),
    )
    feed = None if all(sparse) else Dense(intermediate_size=f.whole("dense_intermediate_size"))
    rows = [
        Row(attention(f, qk_norm="head", indexer=index), moe if one else feed)
        for index, one in zip(_block_indexers(f, layers), sparse, strict=True)
    ]
    return decoder(f, rows, tied=False)


def _block_indexers(f: Fields, layers: int) -> list[Indexer | None]:
    inner = f.part("sparse_attention_config")
    g, prefix = (inner, "sparse_") if inner is not None else (f, "index_")
    types = f.choices("layer_types", (FULL, "minimax_m3_sparse"), length=layers)
    if types is not None:
        indexed = [kind != FULL for kind in types]
    elif inner is not None and inner.flag("use_sparse_attention", default=True):
        indexed = [bool(one) for one in inner.wholes("sparse_attention_freq", length=layers, most=1) or [0] * layers]
    else:
        indexed = [False] * layers
    if not any(indexed):
        return [None] * layers
    if inner is not None and not inner.has("sparse_index_dim"):
        g, prefix = f, "index_"
    old = prefix == "sparse_"
    index = Indexer(
        heads=g.whole("sparse_num_index_heads" if old else "index_n_heads"),
        head_dim=g.whole("sparse_index_dim" if old else "index_head_dim"),
        top_tokens=g.whole("sparse_block_size" if old else "index_block_size")
        * g.whole("sparse_topk_blocks" if old else "index_topk_blocks"),
        key="bf16",
    )
    return [index if one else None for one in indexed]


MINIMAX_FAMILIES = (
    Family(
        "minimax-01",
        _minimax,
        ("minimax", "minimax_text_01", "minimax_m1"),
        ("MiniMaxForCausalLM", "MiniMaxText01ForCausalLM", "MiniMaxM1ForCausalLM"),
        assumes=EIGHT,
    ),
    Family("minimax-m2", _minimax_m2, ("minimax_m2",), ("MiniMaxM2ForCausalLM",), assumes={**HEAD, **EIGHT}),
    Family("minimax-m3", minimax_m3, ("minimax_m3", "minimax_m3_vl_text"), ("MiniMaxM3ForCausalLM",)),
)
