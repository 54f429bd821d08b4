"""How long one step of the engine takes: a roofline of reading, computing and exchanging, and what is beside. Pure.

The amounts are of `orchestrator.core.performance.terms`; here they meet the chip's peaks and the factors of a
calibration. The formula takes numbers or numpy arrays alike, so that predicting and fitting share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.api.calibration import Factors
from orchestrator.core.performance.compiling import compile_terms
from orchestrator.core.performance.runner import Runner
from orchestrator.core.performance.terms import Terms, Work

SHARPNESS = 4  # how sharply the larger of reading and computing wins; 1 would add them, infinity take the larger


class Peaks(NamedTuple):
    """What `rates` needs of many `Terms`, as arrays."""

    bandwidth: Any
    peak: Any
    expert_peak: Any
    attention_peak: Any
    narrow: Any
    expert_narrow: Any
    link: Any
    network: Any


class Reached(NamedTuple):
    """`Factors` as arrays, in the same order."""

    weights: Any
    experts: Any
    cache: Any
    compute: Any
    expert_compute: Any
    narrow: Any
    attention: Any
    link: Any
    exchange: Any
    layer: Any
    expert_layer: Any
    step: Any
    sequence: Any
    mixing: Any
    first: Any
    queue: Any


class Rates(NamedTuple):
    """Seconds for one of each amount of `Work`."""

    weight_byte: float
    weight_operation: float
    expert_byte: float
    expert_operation: float
    cache_byte: float
    decode_operation: float
    attention_operation: float
    link_byte: float
    network_byte: float
    exchange: float
    layer: float
    expert_layer: float
    step: float
    sequence: float


def rates(at: Terms | Peaks, f: Factors | Reached) -> Rates:
    """What a chip and a program reach together; arrays where peaks or factors are arrays."""
    dense, experts = f.narrow**at.narrow, f.narrow**at.expert_narrow
    return Rates(
        1 / (at.bandwidth * f.weights * dense),
        1 / (at.peak * f.compute * dense),
        1 / (at.bandwidth * f.experts * experts),
        1 / (at.expert_peak * f.expert_compute * experts),
        1 / (at.bandwidth * f.cache),
        1 / (at.attention_peak * f.compute),
        1 / (at.attention_peak * f.attention),
        1 / (at.link * f.link),
        1 / at.network,
        f.exchange,
        f.layer,
        f.expert_layer,
        f.step,
        f.sequence,
    )


def seconds(w: Work, r: Rates) -> Any:
    """Seconds of a step with these amounts; an array where amounts or rates are arrays."""
    p, root = SHARPNESS, 1 / SHARPNESS
    busy = (
        ((w.weight_bytes * r.weight_byte) ** p + (w.weight_operations * r.weight_operation) ** p) ** root
        + ((w.expert_bytes * r.expert_byte) ** p + (w.expert_operations * r.expert_operation) ** p) ** root
        + ((w.cache_bytes * r.cache_byte) ** p + (w.cache_operations * r.decode_operation) ** p) ** root
        + w.attention_operations * r.attention_operation
        + w.layers * r.layer
        + w.expert_layers * r.expert_layer
        + w.steps * r.step
        + w.sequences * r.sequence
    )
    exchanging = w.link_bytes * r.link_byte + w.network_bytes * r.network_byte + w.exchanges * r.exchange + w.waited_s
    together = (busy**p + exchanging**p) ** root
    return busy + exchanging + w.overlapped * (together - busy - exchanging)


@dataclass(frozen=True, slots=True)
class Clock:
    """Times of the steps of one runner in the middle of its band."""

    terms: Terms
    rates: Rates

    def step_s(self, sequences: float, context: float, prompt: float = 0, seen: float = 0) -> float:
        """Seconds of one step; arguments as of `Terms.work`, on one data rank and one stage of a pipeline."""
        return float(seconds(self.terms.work(sequences, context, prompt, seen), self.rates))


def clock(runner: Runner) -> Clock:
    """Compile a runner. Raises ValueError when the chip's bandwidth is unknown."""
    terms = compile_terms(runner)
    return Clock(terms, rates(terms, runner.applied.factors))
