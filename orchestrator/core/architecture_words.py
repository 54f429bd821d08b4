"""An architecture in words: one line for each group of equal layers, and one for what stands around them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.api.architecture import (
    Architecture,
    CompressedAttention,
    Dense,
    Experts,
    GroupedAttention,
    Indexer,
    LatentAttention,
    Layers,
    LinearAttention,
)

FORMS = {"gated-delta-net": "gated delta net", "kda": "delta attention (KDA)", "lightning": "lightning attention"}


def in_words(a: Architecture) -> list[str]:
    """`58 layers: latent attention, 128 heads; 256 experts of 2048, 8 per token, 1 shared`, and so on."""
    lines = [f"{_many(layers.count, 'layer')}: {'; '.join(_layer(layers))}" for layers in a.layers]
    tied = "the head shares the embedding" if a.tied_embeddings else "a head of its own"
    around = [f"{a.hidden_size} wide, vocabulary {a.vocabulary}, {tied}"]
    around += [f"{part.name} of {part.parameters / 1e6:,.0f}M beside" for part in a.beside]
    if a.draft_layers:
        around.append(f"{_many(a.draft_layers, 'layer')} for drafting tokens, not counted")
    return [*lines, "; ".join(around)]


def _layer(layers: Layers) -> Iterator[str]:
    if layers.grouped is not None:
        yield ", ".join(_grouped(layers.grouped))
    if layers.latent is not None:
        yield ", ".join(_latent(layers.latent))
    if layers.compressed is not None:
        yield ", ".join(_compressed(layers.compressed))
    if layers.linear is not None:
        yield _linear(layers.linear)
    if layers.dense is not None:
        yield _dense(layers.dense)
    if layers.experts is not None:
        yield ", ".join(_experts(layers.experts))


def _grouped(g: GroupedAttention) -> Iterator[str]:
    if g.heads == g.kv_heads:
        yield f"multi-head attention, {_many(g.heads, 'head')} of {g.head_dim}"
    else:
        yield f"grouped attention, {g.heads} heads over {_many(g.kv_heads, 'key-value head')} of {g.head_dim}"
    if g.value_head_dim is not None:
        yield f"values of {g.value_head_dim}"
    if g.window is not None:
        yield f"window of {g.window}"
    if g.gated or g.head_gate:
        yield "gated output"
    if g.sinks:
        yield "sinks"
    if g.shared_kv:
        yield "keys serve as values"
    if g.reuses_cache:
        yield "reads the cache of an earlier layer"
    yield from _indexer(g.indexer)


def _latent(m: LatentAttention) -> Iterator[str]:
    yield f"latent attention, {_many(m.heads, 'head')}, {m.kv_lora_rank} + {m.rope_head_dim} numbers cached"
    if m.output_gate:
        yield "gated output"
    yield from _indexer(m.indexer)


def _compressed(c: CompressedAttention) -> Iterator[str]:
    yield f"compressed attention, {_many(c.heads, 'head')} of {c.head_dim}"
    if c.tokens_per_entry is None:
        yield f"window of {c.window}"
    else:
        yield f"one entry for {c.tokens_per_entry} tokens beside a window of {c.window}"
    yield from _indexer(c.indexer)


def _linear(s: LinearAttention) -> str:
    if s.form == "mamba2":
        return f"Mamba 2, {_many(s.value_heads, 'head')} of {s.value_dim}, state of {s.key_dim}"
    heads = f"{s.key_heads} key and {s.value_heads} value heads of {s.key_dim} x {s.value_dim}"
    return f"linear attention ({FORMS[s.form]}), {heads}"


def _indexer(indexer: Indexer | None) -> Iterator[str]:
    if indexer is not None:
        index = "the index of an earlier layer" if indexer.reused else "an index"
        yield f"{index} picks {indexer.top_tokens} tokens"


def _dense(dense: Dense) -> str:
    return f"dense, {dense.intermediate_size} wide" + ("" if dense.gated else ", not gated")


def _experts(experts: Experts) -> Iterator[str]:
    yield f"{experts.routed} experts of {experts.intermediate_size}"
    yield f"{experts.per_token} per token"
    if experts.shared:
        wide = f" of {experts.shared_intermediate_size}" if experts.shared_intermediate_size else ""
        yield f"{experts.shared} shared{wide}"
    if experts.latent_size is not None:
        yield f"working in {experts.latent_size}"
    if experts.dense is not None:
        yield f"a {_dense(experts.dense)} beside them"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
