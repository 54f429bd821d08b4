"""What a replica needs in memory, per chip. Pure.

Weights by quantization, what sequences keep by kind of attention, activations, buffers, and what the engine keeps for
itself. A built artifact's measured needs replace the estimate. What one sequence keeps is `orchestrator.core.cache`;
whether it all fits is decided in `orchestrator.core.fit`. Called by `orchestrator.core.configurations` and `sizing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.api.architecture import Architecture
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.quantization import Quantization
from orchestrator.api.site import Pool
from orchestrator.core.architecture import Parameters, parameters
from orchestrator.core.cache import sequence_bytes
from orchestrator.core.world import Parallelism
from runtimes.contract import Needs

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes per parameter of one quantization, scales included; tables stay wide unless said otherwise."""

    body: float
    experts: float | None = None  # of routed experts, when not as the body
    embedding: float = 2
    head: float = 2
    kv: float = 2  # bytes per cached number
    dense: float | None = None  # of the body of a model without experts, when not as `body`

    def of(self, p: Parameters) -> float:
        """Bytes per parameter of the body of this model."""
        return self.body if p.routed_experts or self.dense is None else self.dense

    copies_tied: bool = False  # a head that is tied to the table is stored beside it all the same


_FP8 = 1 + 4 / 16384  # one fp32 scale per block of 128 x 128
_INT4 = 0.5 + 2.5 / 128  # groups of 128 with an fp16 scale and a 4-bit zero
_FP4 = 0.5 + 1 / 32  # groups of 32 with an 8-bit scale
_EDGE4, _EDGE8 = 0.5 + 4 / 32, 1 + 4 / 32  # blocks of 32 with an fp32 scale

STORAGE: Mapping[Quantization, Storage] = {
    "fp32": Storage(4, embedding=4, head=4, kv=4),
    "bf16": Storage(2),
    "fp16": Storage(2),
    "fp8": Storage(_FP8),
    "mxfp8": Storage(1 + 1 / 32),
    "w8a8": Storage(1),  # scales per channel are too few to count
    "w8a16": Storage(1),
    "w4a16": Storage(_INT4),
    "w4a8": Storage(1, experts=_INT4, dense=_INT4),
    "w4a4": Storage(_INT4),
    "int4-experts": Storage(2, experts=0.5 + 2 / 32),
    "mxfp4-experts": Storage(2, experts=_FP4),
    "mxfp4-experts-fp8": Storage(_FP8, experts=_FP4),
    "mxfp4": Storage(_FP4),
    "nvfp4": Storage(0.5 + 1 / 16),  # groups of 16 with an fp8 scale
    "w2a16": Storage(0.25 + 2 / 64),
    "gguf-q4": Storage(0.606, embedding=0.606, head=0.82),  # Q4_K_M: 4.85 bits, the head in Q6_K
    "gguf-q8": Storage(34 / 32, embedding=34 / 32, head=34 / 32),
    "int8": Storage(_EDGE8, embedding=4, head=_EDGE8, kv=4, copies_tied=True),  # the edge build: fp32 table and cache
    "int4": Storage(_EDGE4, embedding=4, head=_EDGE4, kv=4, copies_tied=True),
}

EDGE_RUNTIME_BYTES = 192 * MIB  # Python, ONNX Runtime and the server before any weight, measured
ENGINE_RESERVE = 0.08  # share of a chip's memory an accelerator engine leaves alone (its utilisation setting is 0.92)
GRAPH_BYTES = 7 * GIB // 2  # captured graphs and the runtime; AIConfigurator reserves 3.5 GB
COMMUNICATION_BYTES = GIB // 2  # buffers between chips; AIConfigurator reserves 0.4 GB, HCCL 2 x 200 MB
BOARD_BYTES = 256 * MIB  # runtime of a single-chip board; judged from the memory RKLLM reports beyond weights
BATCHED_TOKENS = 4096  # prompt tokens in one step
BOARD_TOKENS = 512  # the same on a CPU or a board
ACTIVATION_NUMBERS = 12  # live activations per token, in hidden sizes, while a layer runs


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes one chip must hold for one replica (for a CPU: the machine)."""

    weights: int
    kv_cache: int  # and states of linear attention
    activations: int
    buffers: int  # captured graphs, communication
    engine: int  # the program itself
    measured: bool  # weights and engine come from a built artifact

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.activations + self.buffers + self.engine


def weight_bytes(a: Architecture, quantization: Quantization) -> int:
    """All weights as stored; what stands beside the decoder stays in 16 bits."""
    p, s = parameters(a), STORAGE[quantization]
    return round(p.dense * s.of(p) + _experts_bytes(p, s) + _ends_bytes(p, s))


def _experts_bytes(p: Parameters, s: Storage) -> float:
    return p.routed_experts * (s.body if s.experts is None else s.experts)


def _ends_bytes(p: Parameters, s: Storage, *, apart: bool = False) -> float:
    """What stands before the layers and after them; `apart`, in two pipeline stages, the larger of both."""
    before, head = p.embedding * s.embedding, p.head * s.head
    beside = p.beside * max(2, min(s.body, 4))
    if apart:
        return max(before + beside, head)
    tables = max(before, head) if p.tied and not s.copies_tied else before + head
    return tables + beside


def edge_memory(
    a: Architecture, quantization: Quantization, needs: Needs | None, *, sequences: int, context_tokens: int
) -> Memory:
    """Memory of a student replica on a CPU: measured when the artifact is built, estimated before."""
    if needs:
        kv_cache = sequences * context_tokens * needs.kv_bytes_per_token
    else:
        kv_cache = math.ceil(sequences * sequence_bytes(a, context_tokens, STORAGE[quantization].kv, slides=False))
    logits = (sequences + 1) * a.vocabulary * 4
    activations = BOARD_TOKENS * a.hidden_size * ACTIVATION_NUMBERS * 4 + logits
    if needs:
        weights = min(needs.weights_bytes, needs.resident_bytes)
        return Memory(weights, kv_cache, activations, 0, needs.resident_bytes - weights, measured=True)
    return Memory(weight_bytes(a, quantization), kv_cache, activations, 0, EDGE_RUNTIME_BYTES, measured=False)


def chip_memory(
    a: Architecture,
    quantization: Quantization,
    cut: Parallelism,
    *,
    sequences: int,
    context_tokens: int,
    reserved_bytes: int = 0,
    board: bool = False,
) -> Memory:
    """Memory of the fullest chip of an accelerator replica.

    Routed experts are spread over every chip with expert parallelism, else over the tensor group. The rest is split by
    tensor and repeated per data rank. Pipeline stages share the layers; the fullest has one more where they do not
    divide, and the tables of one end. A latent cache is repeated on every tensor rank.

    Args:
        a: the architecture.
        quantization: how the weights are stored.
        cut: how the replica is cut.
        sequences: that run together, spread over the data ranks.
        context_tokens: longest prompt and answer of each.
        reserved_bytes: what the engine leaves alone of the chip; captured graphs lie there as far as they have room.
        board: the chip is an edge board, whose runtime captures no large graphs.
    """
    p, s = parameters(a), STORAGE[quantization]
    layers = sum(group.count for group in a.layers)
    stage = math.ceil(layers / cut.pipeline) / layers
    experts = stage * _experts_bytes(p, s) / (cut.tensor * (cut.data if cut.expert else 1))
    rest = (stage * p.dense * s.of(p) + _ends_bytes(p, s, apart=cut.pipeline > 1)) / cut.tensor
    per_rank = math.ceil(sequences / cut.data)
    kv_cache = per_rank * stage * sequence_bytes(a, context_tokens, s.kv, tensor=cut.tensor)
    activations = (BOARD_TOKENS if board else BATCHED_TOKENS) * a.hidden_size * ACTIVATION_NUMBERS * 2
    graphs = BOARD_BYTES if board else max(0, GRAPH_BYTES - reserved_bytes)
    buffers = graphs + (COMMUNICATION_BYTES if cut.chips > 1 and not board else 0)
    return Memory(math.ceil(experts + rest), math.ceil(kv_cache), activations, buffers, 0, measured=False)


def whole_bytes(profile: HardwareProfile, pool: Pool | None = None) -> int | None:
    """Memory of one chip (or slice, or machine): what the pool's nodes report, else what the profile says.

    None when neither knows.
    """
    if pool is not None and (pool.slice or pool.memory):
        return int(pool.slice or pool.memory or 0)
    fact = profile.spec.allocatable or profile.spec.memory
    return None if fact.value is None else int(fact.value)


def reserved_bytes(profile: HardwareProfile, pool: Pool | None = None) -> int:
    """What an engine leaves alone of one chip."""
    return (whole_bytes(profile, pool) or 0) - usable_bytes(profile, pool)


def usable_bytes(profile: HardwareProfile, pool: Pool | None = None) -> int:
    """What a replica may use of one chip, or of one machine when the profile is a CPU; 0 when nobody knows."""
    reserve = 0.0 if profile.spec.kind == "cpu" else ENGINE_RESERVE
    return int((whole_bytes(profile, pool) or 0) * (1 - reserve))
