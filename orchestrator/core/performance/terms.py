"""What one way to run a model has to read, compute and exchange in a step of the engine. Pure.

`Terms.work` gives the amounts of any step in a few microseconds; an architecture becomes terms in
`orchestrator.core.performance.compiling`, and how long amounts take is `orchestrator.core.performance.roofline`. All
amounts are of the busiest chip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Work(NamedTuple):
    """Amounts of one step on the busiest chip."""

    weight_bytes: float  # that every token passes
    weight_operations: float
    expert_bytes: float
    expert_operations: float
    cache_bytes: float  # read by decoding sequences
    cache_operations: float
    attention_operations: float  # of prompts
    link_bytes: float  # exchanged within a node
    network_bytes: float  # exchanged between nodes
    exchanges: float  # with the rounds each takes
    waited_s: float  # latency of the links
    layers: float
    expert_layers: float
    steps: float
    sequences: float
    overlapped: float  # 1 where exchanges go on while the chip computes, else 0


@dataclass(frozen=True, slots=True)
class Cached:
    """What equal layers read of the cache for one sequence."""

    per_token: float  # bytes, all such layers, this rank
    index_per_token: float
    fixed: float  # bytes whatever the length
    window: float
    attended: float
    operations_per_token: float  # of one query over one cached token, all such layers, this rank


@dataclass(frozen=True, slots=True)
class Routed:
    """Equal layers with experts."""

    count: int
    routed: int
    per_token: int
    bytes: float  # of one expert
    operations: float  # of one token in one expert


@dataclass(frozen=True, slots=True)
class Attended:
    """What equal layers compute when prompts attend."""

    operations: float  # of one token over one token it sees, all such layers, this rank
    fixed: float  # of one token whatever it sees
    window: float  # tokens it sees at most


@dataclass(frozen=True, slots=True)
class Terms:
    """One way to run a model, compiled."""

    bandwidth: float  # bytes/s of one chip
    peak: float  # operations/s in layers that all tokens pass
    expert_peak: float
    attention_peak: float
    narrow: float  # 1 where layers that all tokens pass are computed in a type narrower than 16 bits, else 0
    expert_narrow: float
    link: float  # bytes/s of one chip, one direction; infinite where unknown
    network: float
    layers: float  # in layers of usual length
    expert_layers: int
    tensor: int
    data: int
    pipeline: int
    weight_bytes: float
    weight_operations: float  # per token
    head_bytes: float
    head_operations: float  # per token that gets an answer token
    spread: int  # chips over which experts are dealt out
    cached: tuple[Cached, ...]
    routed: tuple[Routed, ...]
    attended: tuple[Attended, ...]
    exchanges: float  # per step, with the rounds each takes
    waited_s: float  # per step
    link_bytes: float  # per token
    network_bytes: float  # per token
    verified: int  # tokens of one sequence in one step
    overlapped: float  # 1 where halves of a batch take turns in computing and exchanging, else 0

    def work(self, sequences: float, context: float, prompt: float = 0, seen: float = 0) -> Work:
        """Amounts of one step.

        Args:
            sequences: that decode, on one data rank.
            context: tokens in the cache of each.
            prompt: prompt tokens in the same step, on one data rank.
            seen: tokens that each of them sees on average.
        """
        tokens = sequences * self.verified + prompt
        answered = sequences * self.verified + (1 if prompt else 0)
        expert_bytes = expert_operations = 0.0
        everywhere = tokens * self.data
        for r in self.routed:
            chosen = r.per_token / r.routed
            touched = r.routed * (1 - (1 - chosen) ** everywhere)
            expert_bytes += r.count * touched * r.bytes / self.spread
            expert_operations += r.count * everywhere * r.per_token * r.operations / self.spread
        cache_bytes = cache_operations = 0.0
        if sequences:
            for c in self.cached:
                read = min(context, c.window, c.attended)
                cache_bytes += read * c.per_token + context * c.index_per_token + c.fixed
                cache_operations += read * c.operations_per_token
        attention = 0.0
        if prompt:
            for a in self.attended:
                attention += min(seen, a.window) * a.operations + a.fixed
        return Work(
            self.weight_bytes + self.head_bytes,
            tokens * self.weight_operations + answered * self.head_operations,
            expert_bytes,
            expert_operations,
            sequences * cache_bytes,
            sequences * self.verified * cache_operations,
            prompt * attention,
            tokens * self.link_bytes,
            tokens * self.network_bytes,
            self.exchanges,
            self.waited_s,
            self.layers,
            self.expert_layers,
            1,
            sequences,
            self.overlapped,
        )
