"""Parameter counts from a model's dimensions. Pure; called by `orchestrator.core.memory` and `performance`.

Counted: embeddings, attention, feed-forward parts, routers, norms, head, and what stands beside the decoder. Not
counted, as the organisations do not either: layers that predict several tokens, router correction biases, quantization
scales.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.api.architecture import (
    Architecture,
    CompressedAttention,
    Dense,
    Experts,
    GroupedAttention,
    LatentAttention,
    Layers,
    LinearAttention,
)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of a model by how they are stored, cut and read."""

    embedding: int  # the input table: looked up, not read whole
    head: int  # the output projection; shares the table when embeddings are tied, and is still read whole
    dense: int  # attention, dense feed-forward, shared experts, routers, norms: read for every token
    routed_experts: int  # all routed experts of all layers
    active_experts: int  # of them, those that work on one token
    beside: int  # a vision tower and the like
    tied: bool

    @property
    def total(self) -> int:
        """All parameters as stored, a tied head once."""
        return self.embedding + (0 if self.tied else self.head) + self.dense + self.routed_experts + self.beside

    @property
    def body(self) -> int:
        """Parameters that work on one token between the embedding and the head."""
        return self.dense + self.active_experts

    @property
    def active(self) -> int:
        """Parameters that work on one token, embedding and head included."""
        return self.embedding + (0 if self.tied else self.head) + self.body


def parameters(a: Architecture) -> Parameters:
    """Count the parameters of an architecture."""
    norm = a.hidden_size * (2 if a.norm_bias else 1)
    dense = norm + a.other
    routed = active = 0
    for layers in a.layers:
        per_layer = layers.norms * norm + layers.other + mixing(a, layers)
        if layers.dense is not None:
            per_layer += _dense(a.hidden_size, layers.dense)
        if layers.experts is not None:
            expert = expert_parameters(a, layers.experts)
            per_layer += _around_experts(a.hidden_size, layers.experts)
            routed += layers.count * layers.experts.routed * expert
            active += layers.count * layers.experts.per_token * expert
        dense += layers.count * per_layer
    table = a.vocabulary * a.hidden_size
    head = table + (a.vocabulary if a.head_bias else 0)
    return Parameters(table, head, dense, routed, active, sum(part.parameters for part in a.beside), a.tied_embeddings)


def mixing(a: Architecture, layers: Layers) -> int:
    """Parameters of the attention of one layer."""
    if layers.grouped is not None:
        return _grouped(a.hidden_size, layers.grouped)
    if layers.latent is not None:
        return _latent(a.hidden_size, layers.latent)
    if layers.compressed is not None:
        return _compressed(a.hidden_size, layers.compressed)
    if layers.linear is not None:
        return _linear(a.hidden_size, layers.linear)
    return 0


def expert_parameters(a: Architecture, experts: Experts) -> int:
    """Parameters of one routed expert of one layer."""
    return _matrices(experts.latent_size or a.hidden_size, experts.intermediate_size, experts.gated, experts.bias)


def _matrices(hidden: int, intermediate: int, gated: bool, bias: bool) -> int:  # noqa: FBT001  as the card names them
    inward = 2 if gated else 1
    return (inward + 1) * hidden * intermediate + (inward * intermediate + hidden if bias else 0)


def _dense(hidden: int, dense: Dense) -> int:
    return _matrices(hidden, dense.intermediate_size, dense.gated, dense.bias)


def _around_experts(hidden: int, experts: Experts) -> int:
    """Router, shared experts and what else every token passes in a layer of experts."""
    shared = experts.shared_intermediate_size or experts.intermediate_size
    count = experts.routed * (hidden + (1 if experts.router_bias else 0))
    count += experts.shared * _matrices(hidden, shared, experts.gated, experts.bias)
    count += hidden if experts.shared_gate else 0
    count += 2 * hidden * experts.latent_size if experts.latent_size else 0
    return count + (_dense(hidden, experts.dense) if experts.dense else 0)


def _grouped(hidden: int, g: GroupedAttention) -> int:
    value_dim = g.value_head_dim or g.head_dim
    queries, keys, values = g.heads * g.head_dim, g.kv_heads * g.head_dim, g.kv_heads * value_dim
    width = queries * (2 if g.gated else 1)
    width += 0 if g.reuses_cache else keys
    width += 0 if g.reuses_cache or g.shared_kv or g.values_from_keys else values
    count = hidden * width + g.heads * value_dim * hidden
    count += width if g.qkv_bias else 0
    if g.query_rank is not None:
        count += g.query_rank * (hidden + 1 + queries) - hidden * queries
    count += hidden if g.output_bias else 0
    if g.qk_norm != "none":
        query_norm, key_norm = (g.head_dim, g.head_dim) if g.qk_norm == "head" else (queries, keys)
        count += query_norm + (0 if g.reuses_cache else key_norm)
    count += hidden * g.heads if g.head_gate else 0
    count += g.heads if g.sinks else 0
    if g.indexer is not None and not g.indexer.reused:
        count += (hidden * (g.indexer.heads + 1) + 2) * g.indexer.head_dim
    return count


def _latent(hidden: int, m: LatentAttention) -> int:
    query_width = m.heads * (m.nope_head_dim + m.rope_head_dim)
    if m.q_lora_rank is None:
        count = hidden * query_width
    else:
        count = hidden * m.q_lora_rank + m.q_lora_rank + m.q_lora_rank * query_width
        count += m.q_lora_rank if m.qkv_bias else 0
    count += hidden * (m.kv_lora_rank + m.rope_head_dim) + m.kv_lora_rank
    count += m.kv_lora_rank + m.rope_head_dim + hidden if m.qkv_bias else 0
    count += m.kv_lora_rank * m.heads * (m.nope_head_dim + m.value_head_dim)
    count += m.heads * m.value_head_dim * hidden * (2 if m.output_gate else 1)
    count += hidden * m.heads if m.head_gate else 0
    count += m.heads if m.sinks else 0
    if m.indexer is not None and not m.indexer.reused:
        count += (m.q_lora_rank or hidden) * m.indexer.heads * m.indexer.head_dim
        count += hidden * m.indexer.head_dim + 2 * m.indexer.head_dim + hidden * m.indexer.heads
    return count


def _compressed(hidden: int, c: CompressedAttention) -> int:
    width = c.heads * c.head_dim
    count = hidden * c.q_lora_rank + c.q_lora_rank + c.q_lora_rank * width
    count += hidden * c.head_dim + c.head_dim + c.heads
    count += width * c.o_lora_rank + c.o_groups * c.o_lora_rank * hidden
    if c.tokens_per_entry is not None:
        count += _compressor(hidden, c, c.head_dim)
    if c.indexer is not None:
        count += c.q_lora_rank * c.indexer.heads * c.indexer.head_dim + hidden * c.indexer.heads
        count += _compressor(hidden, c, c.indexer.head_dim)
    return count


def _compressor(hidden: int, c: CompressedAttention, dim: int) -> int:
    """Makes one entry of `dim` from several tokens: two projections, a learned position for each token, a norm."""
    width = dim * (2 if c.overlaps else 1)
    return 2 * hidden * width + (c.tokens_per_entry or 0) * width + dim


def _linear(hidden: int, s: LinearAttention) -> int:
    keys, values = s.key_heads * s.key_dim, s.value_heads * s.value_dim
    if s.form == "mamba2":  # gate, input, the two state maps and the step; then decay, step bias and skip of each head
        mixed = values + 2 * keys
        count = hidden * (values + mixed + s.value_heads) + mixed * (s.convolution + 1) + 3 * s.value_heads
        return count + values * hidden + (values if s.normed else 0)
    mixed = 2 * keys + values
    gate = hidden * values if s.gate_rank is None else s.gate_rank * (hidden + values)
    count = hidden * mixed + mixed * s.convolution + gate + values * hidden
    if s.form == "lightning":
        return count + values + (2 * s.key_dim if s.qk_norm else 0)
    if s.form == "kda":
        decay = (hidden * keys if s.full_decay else s.key_dim * (hidden + keys)) + keys
        return count + decay + hidden * s.value_heads + s.value_heads + s.value_dim
    return count + hidden * 2 * s.value_heads + 2 * s.value_heads + s.value_dim
