"""The dimensions of a model: what its layers are made of, so that everything else can be computed from them.

A model is a list of groups of equal layers. A layer mixes tokens (one kind of attention, or none) and then transforms
each of them (a dense feed-forward part or experts, or neither). Parameters, cache and work are counted from this in
`orchestrator.core.architecture`; nothing that can be counted is stored.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from orchestrator.api.document import Part

MOST_LAYERS = 1000
QkNorm = Literal["none", "head", "layer"]


class Indexer(Part):
    """The small index of sparse attention: scans every token, keeps `top_tokens` for attention proper."""

    heads: int = Field(gt=0, description="heads that score tokens")
    head_dim: int = Field(gt=0, description="width of a head and of a token's key")
    top_tokens: int = Field(gt=0, description="tokens that attention then reads")
    key: Literal["fp8", "bf16"] = Field(default="fp8", description="how a key is kept; fp8 has one fp32 scale per 128")
    reused: bool = Field(default=False, description="takes what the index of an earlier layer picked; has none itself")


class GroupedAttention(Part):
    """Attention whose query heads share fewer key-value heads (as many of both: plain multi-head attention)."""

    heads: int = Field(gt=0, description="query heads")
    kv_heads: int = Field(gt=0, description="key-value heads; the query heads are a multiple of them")
    head_dim: int = Field(gt=0, description="width of a head")
    value_head_dim: int | None = Field(default=None, gt=0, description="when it is not headDim")
    query_rank: int | None = Field(default=None, gt=0, description="queries pass a narrower projection and a norm")
    window: int | None = Field(default=None, gt=0, description="tokens it looks back at; its cache stops growing there")
    qkv_bias: bool = Field(default=False, description="queries, keys and values have a bias")
    output_bias: bool = Field(default=False, description="the output projection has a bias")
    qk_norm: QkNorm = Field(default="none", description="head: one norm for all heads; layer: as wide as all of them")
    gated: bool = Field(default=False, description="the query projection makes an output gate of the same width too")
    head_gate: bool = Field(default=False, description="a projection makes one output gate for each head")
    sinks: bool = Field(default=False, description="one learned sink for each head")
    shared_kv: bool = Field(default=False, description="values are the keys: one projection and one cache for both")
    values_from_keys: bool = Field(default=False, description="one projection makes both, but each has its own cache")
    reuses_cache: bool = Field(
        default=False, description="reads the cache of an earlier layer; has no keys, values or cache itself"
    )
    indexer: Indexer | None = Field(default=None, description="picks the tokens to read; absent: all are read")

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> GroupedAttention:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kvHeads {self.kv_heads}")
        return self


class LatentAttention(Part):
    """Multi-head latent attention: one compressed key-value vector per token, shared by all heads."""

    heads: int = Field(gt=0, description="heads that share the compressed vector")
    q_lora_rank: int | None = Field(default=None, gt=0, description="absent: queries are projected at once")
    kv_lora_rank: int = Field(gt=0, description="width of the compressed vector that is cached")
    rope_head_dim: int = Field(gt=0, description="part of a head that carries the position; cached once for all heads")
    nope_head_dim: int = Field(gt=0, description="part of a head that carries none")
    value_head_dim: int = Field(gt=0, description="width of a head's value")
    qkv_bias: bool = Field(default=False, description="the compressing and the output projections have a bias")
    output_gate: bool = Field(default=False, description="a projection as wide as all value heads gates the output")
    head_gate: bool = Field(default=False, description="a projection makes one output gate for each head")
    sinks: bool = Field(default=False, description="one learned sink for each head")
    indexer: Indexer | None = Field(default=None, description="picks the tokens to read; absent: all are read")


class CompressedAttention(Part):
    """Attention over entries that each stand for several tokens, one key-value vector each, beside a short window."""

    heads: int = Field(gt=0, description="query heads")
    head_dim: int = Field(gt=0, description="width of a head, and of an entry")
    q_lora_rank: int = Field(gt=0, description="rank of the query projection")
    o_lora_rank: int = Field(gt=0, description="rank of the output projection in each group")
    o_groups: int = Field(gt=0, description="groups of the output projection")
    window: int = Field(gt=0, description="tokens kept uncompressed")
    tokens_per_entry: int | None = Field(default=None, gt=1, description="absent: the window alone")
    overlaps: bool = Field(default=False, description="each entry is made from two windows of tokens")
    indexer: Indexer | None = Field(default=None, description="picks the entries to read; absent: all are read")


class LinearAttention(Part):
    """Attention with a state of fixed size per sequence in place of a cache that grows."""

    form: Literal["gated-delta-net", "kda", "lightning", "mamba2"] = Field(description="how the state is updated")
    key_heads: int = Field(gt=0, description="of mamba2: groups")
    value_heads: int = Field(gt=0, description="heads that each keep a state")
    key_dim: int = Field(gt=0, description="of mamba2: the state size")
    value_dim: int = Field(gt=0, description="width of a value")
    convolution: int = Field(default=0, ge=0, description="tokens the short convolution sees; 0 without one")
    gate_rank: int | None = Field(default=None, gt=0, description="rank of the output gate; absent: full width")
    full_decay: bool = Field(default=False, description="of kda: the decay is projected at once, not through keyDim")
    qk_norm: bool = Field(default=False, description="of lightning: one norm each for queries and keys of all heads")
    normed: bool = Field(default=True, description="of mamba2: its output passes a norm as wide as all values")


class Dense(Part):
    """A feed-forward part that every token passes."""

    intermediate_size: int = Field(gt=0, description="width inside")
    gated: bool = Field(default=True, description="three matrices; otherwise two")
    bias: bool = Field(default=False, description="the matrices have a bias")


class Experts(Part):
    """Experts of which a router picks a few for each token."""

    routed: int = Field(gt=0, description="experts that the router chooses from")
    per_token: int = Field(gt=0, description="experts it chooses for each token")
    intermediate_size: int = Field(gt=0, description="width inside one expert")
    shared: int = Field(default=0, ge=0, description="experts every token passes")
    shared_intermediate_size: int | None = Field(default=None, gt=0, description="of each, when not intermediateSize")
    shared_gate: bool = Field(default=False, description="one learned gate weighs the shared experts")
    latent_size: int | None = Field(default=None, gt=0, description="experts work in this width, between projections")
    gated: bool = Field(default=True, description="three matrices; otherwise two")
    bias: bool = Field(default=False, description="the experts' matrices have a bias")
    router_bias: bool = Field(default=False, description="a bias that is part of the router's projection")
    dense: Dense | None = Field(default=None, description="a dense part beside the experts in the same layer")

    @model_validator(mode="after")
    def _fewer_chosen_than_there_are(self) -> Experts:
        if self.per_token > self.routed:
            raise ValueError(f"perToken {self.per_token} is more than the {self.routed} routed experts")
        return self


class Layers(Part):
    """A number of equal layers. Their order in the model is not kept: no count depends on it."""

    count: int = Field(gt=0, le=MOST_LAYERS, description="how many there are")
    grouped: GroupedAttention | None = Field(default=None, description="they mix tokens by grouped attention")
    latent: LatentAttention | None = Field(default=None, description="they mix tokens by latent attention")
    compressed: CompressedAttention | None = Field(default=None, description="they mix tokens by compressed attention")
    linear: LinearAttention | None = Field(default=None, description="they mix tokens by linear attention")
    dense: Dense | None = Field(default=None, description="then each token passes this part")
    experts: Experts | None = Field(default=None, description="then each token passes a few of these")
    norms: int = Field(default=2, ge=0, le=8, description="norms as wide as the model in each layer")
    other: int = Field(default=0, ge=0, description="further parameters in each layer, such as learned scales")

    @model_validator(mode="after")
    def _one_of_each(self) -> Layers:
        mixing = [part for part in (self.grouped, self.latent, self.compressed, self.linear) if part is not None]
        if len(mixing) > 1:
            raise ValueError("give one of grouped, latent, compressed and linear")
        if self.dense is not None and self.experts is not None:
            raise ValueError("give dense or experts; a dense part beside experts is experts.dense")
        if not mixing and self.dense is None and self.experts is None:
            raise ValueError("give an attention (grouped, latent, compressed, linear), a dense or an experts part")
        return self


class Component(Part):
    """A part beside the decoder, such as a vision tower, with its parameters as they were counted."""

    name: str = Field(min_length=1, max_length=120, description="what it is")
    parameters: int = Field(ge=0, description="as they were counted")
    sources: tuple[str, ...] = Field(default=(), description="where it was read or counted")


class Architecture(Part):
    """The decoder of a model, and what stands beside it."""

    hidden_size: int = Field(gt=0, description="width of the model")
    vocabulary: int = Field(gt=0, description="rows of the embedding table, padding included")
    tied_embeddings: bool = Field(default=False, description="the head is the embedding table")
    norm_bias: bool = Field(default=False, description="norms have a bias")
    head_bias: bool = Field(default=False, description="the head has a bias")
    layers: tuple[Layers, ...] = Field(min_length=1, max_length=MOST_LAYERS, description="groups of equal layers")
    other: int = Field(default=0, ge=0, description="further parameters outside the layers")
    beside: tuple[Component, ...] = Field(default=(), description="parts beside the decoder, such as a vision tower")
    draft_layers: int = Field(default=0, ge=0, description="layers that predict several tokens; not counted")
