"""What a prediction is about and what it says. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.api.architecture import Architecture
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.quantization import Quantization
from orchestrator.core.world import Parallelism
from runtimes.contract import Needs


@dataclass(frozen=True, slots=True)
class Band:
    """A prediction: 10th percentile, middle, 90th percentile."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one replica will do at its number of sequences."""

    ttft_s: Band  # prompt of the declared length, no queue, network round trip included
    tpot_s: Band  # all sequences busy
    single_stream_tpot_s: Band  # one sequence alone
    requests_per_s: Band  # of the declared lengths, all sequences busy


@dataclass(frozen=True, slots=True)
class Workload:
    """What one request is like."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Runner:
    """Everything the step formula needs about one way to run a model."""

    architecture: Architecture
    quantization: Quantization
    profile: HardwareProfile
    engine: Engine
    cut: Parallelism
    nodes: int
    needs: Needs | None = None  # measured, of a built edge artifact
