"""What a replica needs in memory, per chip. Pure.

Weights by quantization, key-value cache by attention kind, activations, and what the engine keeps for itself. A built
artifact's measured needs replace the estimate. Whether it fits is decided in `orchestrator.core.fit`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.model import Architecture
from orchestrator.core.architecture import parameters
from orchestrator.core.world import Parallelism
from runtimes.contract import Needs

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes per parameter of one quantization, scales included."""

    body: float
    embedding: float
    head: float
    kv: float  # bytes per cached number


STORAGE: Mapping[str, Storage] = {
    "fp32": Storage(4, 4, 4, 4),
    "bf16": Storage(2, 2, 2, 2),
    "fp16": Storage(2, 2, 2, 2),
    "fp8": Storage(1 + 4 / 16384, 2, 2, 2),  # one fp32 scale per block of 128 x 128; tables stay wide
    "w8a8": Storage(1, 2, 2, 2),  # per-channel scales are too few to count
    "int8": Storage(
        1 + 4 / 32, 4, 1 + 4 / 32, 4
    ),  # the edge build: blocks of 32 with an fp32 scale, fp32 table and cache
    "int4": Storage(0.5 + 4 / 32, 4, 0.5 + 4 / 32, 4),
}

EDGE_RUNTIME_BYTES = 192 * MIB  # Python, ONNX Runtime and the server before any weight, measured
ENGINE_RESERVE = 0.08  # share of a chip's memory an accelerator engine leaves alone (its utilisation setting is 0.92)
ENGINE_BUFFER_BYTES = 4 * GIB  # graphs and communication buffers; AIConfigurator reserves 3.5 GB + 0.4 GB
BATCHED_TOKENS = 4096  # prompt tokens in one step
ACTIVATION_NUMBERS = 12  # live activations per token, in hidden sizes, while a layer runs


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes one chip must hold for one replica (for a CPU: the machine)."""

    weights: int
    kv_cache: int
    activations: int
    engine: int
    measured: bool  # weights and engine come from a built artifact

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.activations + self.engine


def kv_bytes_per_token(a: Architecture, bytes_per_number: float) -> int:
    """Cache of one token, all layers, before any split over chips."""
    if a.latent is not None:
        per_layer = (a.latent.kv_lora_rank + a.latent.rope_head_dim) * bytes_per_number
        if a.indexer is not None:  # an fp8 key with one fp32 scale per 128
            per_layer += a.indexer.head_dim + 4 * a.indexer.head_dim / 128
        return round(a.layers * per_layer)
    return round(2 * a.layers * (a.kv_heads or 0) * a.head_dim * bytes_per_number)


def weight_bytes(a: Architecture, quantization: str) -> int:
    """All weights as stored."""
    p, s = parameters(a), STORAGE[quantization]
    head = 0 if p.tied and s.head == s.embedding else p.head
    return round((p.dense + p.routed_experts) * s.body + p.embedding * s.embedding + head * s.head)


def edge_memory(
    a: Architecture, quantization: str, needs: Needs | None, *, sequences: int, context_tokens: int
) -> Memory:
    """Memory of a student replica on a CPU: measured when the artifact is built, estimated before."""
    per_token = needs.kv_bytes_per_token if needs else kv_bytes_per_token(a, STORAGE[quantization].kv)
    kv_cache = sequences * context_tokens * per_token
    logits = (sequences + 1) * a.vocabulary * 4
    activations = BATCHED_TOKENS // 8 * a.hidden_size * ACTIVATION_NUMBERS * 4 + logits
    if needs:
        weights = min(needs.weights_bytes, needs.resident_bytes)
        return Memory(weights, kv_cache, activations, needs.resident_bytes - weights, measured=True)
    return Memory(weight_bytes(a, quantization), kv_cache, activations, EDGE_RUNTIME_BYTES, measured=False)


def chip_memory(a: Architecture, quantization: str, cut: Parallelism, *, sequences: int, context_tokens: int) -> Memory:
    """Memory of the fullest chip of an accelerator replica.

    Routed experts are spread over every chip with expert parallelism, else over the tensor group. The rest is split by
    tensor and pipeline and repeated per data rank. A latent cache is repeated on every tensor rank.
    """
    p, s = parameters(a), STORAGE[quantization]
    experts = p.routed_experts * s.body / (cut.chips if cut.expert else cut.tensor * cut.pipeline)
    tables = p.embedding * s.embedding + (0 if p.tied else p.head * s.head)
    rest = (p.dense * s.body + tables) / (cut.tensor * cut.pipeline)
    split = 1 if a.latent is not None else min(cut.tensor, a.kv_heads or 1)
    per_rank = math.ceil(sequences / cut.data)
    kv_cache = per_rank * context_tokens * kv_bytes_per_token(a, s.kv) / (split * cut.pipeline)
    activations = BATCHED_TOKENS * a.hidden_size * ACTIVATION_NUMBERS * 2
    return Memory(round(experts + rest), round(kv_cache), activations, ENGINE_BUFFER_BYTES, measured=False)


def usable_bytes(profile: HardwareProfile) -> int:
    """What a replica may use of one chip, or of one machine when the profile is a CPU."""
    reserve = 0.0 if profile.spec.kind == "cpu" else ENGINE_RESERVE
    return int(profile.spec.memory.value * (1 - reserve))
