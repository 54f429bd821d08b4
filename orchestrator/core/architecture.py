"""Parameter counts from a model's dimensions. Pure; called by `orchestrator.core.memory` and `performance`.

Counted: embeddings, attention, feed-forward, routers, norms, head. Not counted, as the organisations do not either:
multi-token-prediction layers, router correction biases, quantization scales.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.api.model import Architecture, LatentAttention


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of a decoder by how they are stored, cut and read."""

    embedding: int  # the input table: looked up, not read whole
    head: int  # the output projection; shares the table when embeddings are tied, and is still read whole
    dense: int  # attention, dense feed-forward, shared experts, routers, norms: read for every token
    routed_experts: int  # all routed experts of all layers
    expert: int  # one routed expert of one layer
    moe_layers: int
    tied: bool

    @property
    def total(self) -> int:
        """All parameters as stored, a tied head once."""
        return self.embedding + (0 if self.tied else self.head) + self.dense + self.routed_experts

    def body(self, experts_per_token: int) -> int:
        """Parameters that work on one token between the embedding and the head."""
        return self.dense + self.moe_layers * experts_per_token * self.expert


def parameters(a: Architecture) -> Parameters:
    """Count the parameters of an architecture."""
    table = a.vocabulary * a.hidden_size
    norms = 2 * a.hidden_size
    dense_ffn = 3 * a.hidden_size * a.intermediate_size
    moe_layers = a.layers - a.experts.first_dense_layers if a.experts else 0
    dense = a.layers * (_attention(a) + norms) + (a.layers - moe_layers) * dense_ffn + a.hidden_size
    expert = routed = 0
    if a.experts:
        expert = 3 * a.hidden_size * a.experts.intermediate_size
        routed = moe_layers * a.experts.routed * expert
        dense += moe_layers * (a.experts.shared * expert + a.experts.routed * a.hidden_size)
    return Parameters(table, table, dense, routed, expert, moe_layers, a.tied_embeddings)


def _attention(a: Architecture) -> int:
    """Parameters of one attention layer."""
    if a.latent is not None:
        return _latent_attention(a, a.latent)
    kv_heads = a.kv_heads or 0
    width = (a.heads + 2 * kv_heads) * a.head_dim
    count = a.hidden_size * width + a.heads * a.head_dim * a.hidden_size
    count += width if a.qkv_bias else 0
    if a.qk_norm == "head":
        count += 2 * a.head_dim
    elif a.qk_norm == "layer":
        count += (a.heads + kv_heads) * a.head_dim
    return count


def _latent_attention(a: Architecture, m: LatentAttention) -> int:
    query = a.hidden_size * m.q_lora_rank + m.q_lora_rank
    query += m.q_lora_rank * a.heads * (m.nope_head_dim + m.rope_head_dim)
    latent = a.hidden_size * (m.kv_lora_rank + m.rope_head_dim) + m.kv_lora_rank
    latent += m.kv_lora_rank * a.heads * (m.nope_head_dim + m.value_head_dim)
    count = query + latent + a.heads * m.value_head_dim * a.hidden_size
    if a.indexer is not None:
        count += m.q_lora_rank * a.indexer.heads * a.indexer.head_dim + a.hidden_size * a.indexer.head_dim
        count += 2 * a.indexer.head_dim + a.hidden_size * a.indexer.heads
    return count
