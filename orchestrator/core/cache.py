"""What a sequence keeps in memory while it runs: keys and values, the keys of an index, states of fixed size. Pure.

Three kinds are told apart, because they grow differently: what every further token adds, what an index of sparse
attention adds beside it, and what a sequence holds from its first token on (linear attention, a window that slides).
Called by `orchestrator.core.memory`, `performance`, `model_view` and `sizing_view`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.api.architecture import Architecture, Indexer, Layers, LinearAttention

STATE_BYTES = 4  # linear attention keeps its state in fp32
CONVOLUTION_BYTES = 2
INDEX_SCALE_TOKENS = 128  # numbers of an fp8 key that share one fp32 scale


@dataclass(frozen=True, slots=True)
class Kept:
    """What one layer of a group keeps for one sequence."""

    count: int  # layers like this
    numbers_per_token: float  # cached for each token, in the cache's type
    index_bytes_per_token: float
    window: int | None  # tokens after which the cache stops growing
    state_bytes: int  # whatever the length
    parts: int  # over how many tensor ranks it can be divided
    attended: int | None = None  # tokens that attention reads at most; the index picks them


def kept(a: Architecture) -> Iterator[Kept]:
    """What each group of layers keeps; a compressed layer has several: window, entries and their index."""
    for layers in a.layers:
        yield from _kept(layers)


def _kept(layers: Layers) -> Iterator[Kept]:
    n = layers.count
    if (g := layers.grouped) is not None and not g.reuses_cache:
        numbers = g.kv_heads * (g.head_dim + (0 if g.shared_kv else g.value_head_dim or g.head_dim))
        yield Kept(n, numbers, _index(g.indexer), g.window, 0, g.kv_heads, _top(g.indexer))
    elif (m := layers.latent) is not None:
        yield Kept(n, m.kv_lora_rank + m.rope_head_dim, _index(m.indexer), None, 0, 1, _top(m.indexer))
    elif (c := layers.compressed) is not None:
        yield Kept(n, c.head_dim, 0, c.window, 0, 1)
        if c.tokens_per_entry is not None:
            top = c.indexer.top_tokens * c.tokens_per_entry if c.indexer else None
            yield Kept(n, c.head_dim / c.tokens_per_entry, 0, None, 0, 1, top)
        if c.tokens_per_entry is not None and c.indexer is not None:  # scanned whole, in the type of the entries
            yield Kept(n, c.indexer.head_dim / c.tokens_per_entry, 0, None, 0, 1)
    elif (s := layers.linear) is not None:
        yield Kept(n, 0, 0, None, _state(s) + _convolution(s), s.value_heads)


def _index(indexer: Indexer | None) -> float:
    if indexer is None or indexer.reused:
        return 0
    return indexer.head_dim * 2 if indexer.key == "bf16" else indexer.head_dim * (1 + 4 / INDEX_SCALE_TOKENS)


def _top(indexer: Indexer | None) -> int | None:
    return indexer.top_tokens if indexer else None


def _state(s: LinearAttention) -> int:
    return s.value_heads * s.key_dim * s.value_dim * STATE_BYTES


def _convolution(s: LinearAttention) -> int:
    mixed = 2 * s.key_heads * s.key_dim + s.value_heads * s.value_dim
    return mixed * max(0, s.convolution - 1) * CONVOLUTION_BYTES


def kv_bytes_per_token(a: Architecture, bytes_per_number: float) -> int:
    """Keys and values that every further token adds, all layers, before any split over chips; without an index.

    Windows do not count, because they are soon full; where every layer has one, it is what a token adds until then.
    """
    growing = [k for k in kept(a) if k.window is None and k.numbers_per_token] or list(kept(a))
    return round(sum(k.count * k.numbers_per_token for k in growing) * bytes_per_number)


def index_bytes_per_token(a: Architecture) -> int:
    """Keys that an index of sparse attention adds for every token, all layers."""
    return round(sum(k.count * k.index_bytes_per_token for k in kept(a)))


def state_bytes_per_sequence(a: Architecture, bytes_per_number: float = 2) -> int:
    """States of linear attention in fp32, and windows that are full; short convolutions are not in it."""
    states = sum(layers.count * _state(layers.linear) for layers in a.layers if layers.linear)
    windows = sum(k.count * k.numbers_per_token * k.window for k in kept(a) if k.window is not None)
    return round(states + windows * bytes_per_number)


def sequence_bytes(
    a: Architecture,
    tokens: float,
    bytes_per_number: float,
    *,
    tensor: int = 1,
    read: bool = False,
    slides: bool = True,
) -> float:
    """Bytes that one tensor rank holds for one sequence of this length, all layers.

    Args:
        a: the architecture.
        tokens: length of the sequence.
        bytes_per_number: of the cache's type.
        tensor: ranks that divide heads among them; what has one head for all is repeated on each.
        read: count what one decode step reads, where sparse attention leaves most of the cache alone.
        slides: the engine gives back what a window has left behind; the edge engine keeps it.
    """
    total = 0.0
    for k in kept(a):
        seen = min(tokens, k.window) if k.window and slides else tokens
        attended = min(seen, k.attended) if read and k.attended else seen
        per_layer = attended * k.numbers_per_token * bytes_per_number + k.state_bytes
        total += k.count * (per_layer / min(tensor, k.parts) + tokens * k.index_bytes_per_token)
    return total
