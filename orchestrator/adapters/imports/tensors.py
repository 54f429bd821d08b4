"""An architecture that no reader knows, from the tensors of its weights and the usual numbers of its configuration.

Counts are exact by construction: what no dimension explains is counted as `other`. What shapes cannot say (heads, how
many experts work on a token, windows) must be in the configuration under a usual name; nothing is guessed. Called by
`orchestrator.adapters.imports.card` where the family is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.adapters.imports.assemble import assemble
from orchestrator.adapters.imports.fields import Fields, shown
from orchestrator.adapters.imports.layers import Given
from orchestrator.adapters.imports.packed import Weight
from orchestrator.adapters.imports.parts import pieces_of
from orchestrator.api.architecture import MOST_LAYERS, Architecture, LinearAttention
from orchestrator.errors import Refused

DECODERS = ("text_config", "llm_config", "language_config", "thinker_config")
LONGEST_CONTEXT = 2**40
SLIDING = ("sliding_attention", "local", "local_attention", "chunked_attention")
FULL = ("full_attention", "attention", "global", "global_attention", "linear_attention")


def architecture_of(weights: list[Weight], config: Mapping[str, Any]) -> Architecture:
    """The architecture that these weights make.

    Args:
        weights: at their true shapes.
        config: the configuration beside them; may be empty.

    Raises:
        Invalid: a number of the configuration is out of bounds, or layers are missing.
        Refused: something that shapes do not say and the configuration does not either; the sentence names it.
    """
    said = _decoder(Fields(config))
    count = said.maybe("num_hidden_layers", "n_layer", "num_layers", "n_layers", most=MOST_LAYERS)
    pieces = pieces_of(weights, count=count)
    try:
        tied = said.flag("tie_word_embeddings", default=False)
    except Refused:  # wrapper and decoder disagree
        tied = "head" not in pieces.outside
    if tied:
        pieces.outside.pop("head", None)  # a copy of the embedding that some checkpoints store
    given = _Given(said, count or len(pieces.layers))
    return assemble(pieces, given.of, count=count)


def _decoder(fields: Fields) -> Fields:
    """The part of a wrapper's configuration that speaks of its decoder."""
    for key in DECODERS:
        inner = fields.part(key)
        if inner is not None:
            return _decoder(inner)
    return fields


class _Given:
    """What a configuration says of its layers under the usual names."""

    def __init__(self, said: Fields, layers: int) -> None:
        self._windows = _windows(said, layers)
        self._common = Given(
            heads=said.maybe("num_attention_heads", "n_head", "num_heads", "n_heads"),
            kv_heads=said.maybe("num_key_value_heads", "num_kv_heads", "n_kv_heads", "num_query_groups"),
            head_dim=said.maybe("head_dim", "attention_head_dim", "kv_channels", "head_size"),
            per_token=said.maybe(
                "num_experts_per_tok",
                "num_experts_per_token",
                "moe_topk",
                "moe_top_k",
                "moe_k",
                "num_selected_experts",
                "top_k_experts",
                "router_topk",
            ),
            shared=said.maybe("n_shared_experts", "num_shared_experts", "num_shared_expert", least=0),
            top_tokens=said.maybe("index_topk"),
            linear=_linear(said),
        )

    def of(self, layer: int) -> Given:
        """What is known of one layer."""
        window = self._windows[layer] if layer < len(self._windows) else None
        c = self._common
        return Given(c.heads, c.kv_heads, c.head_dim, window, c.per_token, c.shared, c.top_tokens, c.linear)


def _windows(said: Fields, layers: int) -> list[int | None]:
    """How far each layer looks back.

    Raises:
        Refused: there is a window, and which layers have it is not said; or layers share a cache.
    """
    for key in ("num_kv_shared_layers", "cla_share_factor"):
        if said.maybe(key, least=0):
            raise Refused(f"{said.path(key)} says that layers share a cache; which ones is not known here")
    window = said.maybe("sliding_window", "sliding_window_size", "window_size", "attention_chunk_size", least=0)
    types = said.raw("layer_types")
    if not isinstance(types, list) or len(types) < layers:
        context = said.maybe("max_position_embeddings", most=LONGEST_CONTEXT)
        if window and said.raw("use_sliding_window") is not False and (context is None or window < context):
            raise Refused(f"sliding_window is {window}, and layer_types does not say which layers look back no further")
        return [None] * layers
    for kind in types[:layers]:
        if kind not in (*SLIDING, *FULL):
            raise Refused(f"layer_types has {shown(kind)}; known are {', '.join((*SLIDING, *FULL))}")
    if window is None and any(kind in SLIDING for kind in types[:layers]):
        raise Refused("layer_types has layers that slide, and sliding_window does not say how far they look back")
    return [window or None if kind in SLIDING else None for kind in types[:layers]]


def _linear(said: Fields) -> LinearAttention | None:
    """The state of gated linear attention under Qwen's names; None where they are not all there."""
    key_heads, value_heads = said.maybe("linear_num_key_heads"), said.maybe("linear_num_value_heads")
    key_dim, value_dim = said.maybe("linear_key_head_dim"), said.maybe("linear_value_head_dim")
    if key_heads is None or value_heads is None or key_dim is None or value_dim is None:
        return None
    return LinearAttention(
        form="gated-delta-net",
        key_heads=key_heads,
        value_heads=value_heads,
        key_dim=key_dim,
        value_dim=value_dim,
        convolution=said.maybe("linear_conv_kernel_dim", least=0) or 0,
    )
