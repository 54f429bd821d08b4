"""`Model`: a card with architecture, licence, lineage and where weights come from.

Dimensions are stored, totals are not: `orchestrator.core.architecture` computes them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from orchestrator.api.document import Metadata, Name, Part


class LatentAttention(Part):
    """Multi-head latent attention: one compressed key-value vector per token, shared by all heads."""

    q_lora_rank: int = Field(gt=0)
    kv_lora_rank: int = Field(gt=0)
    rope_head_dim: int = Field(gt=0)
    nope_head_dim: int = Field(gt=0)
    value_head_dim: int = Field(gt=0)


class SparseIndexer(Part):
    """The small index of sparse attention: scans every token, keeps `top_tokens` for attention proper."""

    heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    top_tokens: int = Field(gt=0)


class Experts(Part):
    """The mixture-of-experts part of the feed-forward layers."""

    routed: int = Field(gt=0)
    per_token: int = Field(gt=0)
    shared: int = Field(ge=0)
    intermediate_size: int = Field(gt=0)
    first_dense_layers: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fewer_chosen_than_there_are(self) -> Experts:
        if self.per_token > self.routed:
            raise ValueError(f"perToken {self.per_token} is more than the {self.routed} routed experts")
        return self


class Architecture(Part):
    """The dimensions of a decoder."""

    layers: int = Field(gt=0, le=1000)
    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int | None = Field(default=None, gt=0, description="absent with latent attention")
    head_dim: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    tied_embeddings: bool = False
    qkv_bias: bool = False
    qk_norm: Literal["none", "head", "layer"] = "none"
    latent: LatentAttention | None = None
    indexer: SparseIndexer | None = None
    experts: Experts | None = None

    @model_validator(mode="after")
    def _one_kind_of_attention(self) -> Architecture:
        if (self.kv_heads is None) == (self.latent is None):
            raise ValueError("give either kvHeads (grouped-query attention) or latent (latent attention)")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kvHeads {self.kv_heads}")
        return self


class Licence(Part):
    """The licence of the weights."""

    spdx: str = Field(min_length=1, max_length=64, description="SPDX id, or a LicenseRef-… for other texts")
    status: Literal["verified", "secondary", "unverified"]
    note: str = ""
    sources: tuple[str, ...] = ()


class Release(Part):
    """A quantized checkpoint somebody published."""

    quantization: str
    name: str = Field(description="hub name of the checkpoint")
    sources: tuple[str, ...] = ()


class PublishedCounts(Part):
    """Parameter counts as the organisation states them, to hold the computed ones against."""

    total: int = Field(gt=0)
    active: int | None = Field(default=None, gt=0)


class ModelSpec(Part):
    """The card."""

    family: Name
    organisation: str
    modality: Literal["text"] = "text"
    licence: Licence
    hub: str = Field(default="", description="name on the hub, such as Qwen/Qwen3-0.6B")
    source: str = Field(default="", description="where the edge build takes weights: package://, hf://, a path")
    architecture: Architecture
    context: int = Field(gt=0, description="longest context in tokens")
    native: Literal["bf16", "fp16", "fp8"]
    published: PublishedCounts
    teachers: tuple[str, ...] = Field(default=(), description="models this one was distilled from")
    releases: tuple[Release, ...] = ()
    sources: tuple[str, ...] = ()


class Model(Part):
    """A model as the catalog knows it."""

    api_version: Literal["headwater.dev/v1alpha1"]
    kind: Literal["Model"]
    metadata: Metadata
    spec: ModelSpec
