"""What a prediction is about and what it says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.api.architecture import Architecture
from orchestrator.api.calibration import Factors, Spread
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.quantization import Quantization
from orchestrator.core.performance.prior import PRIOR, UNMEASURED
from orchestrator.core.world import Parallelism
from runtimes.contract import Needs

Role = Literal["aggregated", "prefill", "decode"]


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
    cached_share: float = 0.0  # of the prompt, found in the cache of an earlier one


@dataclass(frozen=True, slots=True)
class Applied:
    """Factors that hold for a program on a chip, and how far measurements lie from what they give."""

    factors: Factors = PRIOR
    spread: Spread = UNMEASURED
    calibration: str = ""  # name of the document; empty: the built-in prior
    measured: bool = False  # this program was measured on this chip


@dataclass(frozen=True, slots=True)
class Speculation:
    """A draft that guesses tokens, which one step of the model then verifies together."""

    accepted: float = 0.0  # tokens a step yields beyond the first
    guessed: int = 0  # tokens a step verifies beyond the first


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
    applied: Applied = Applied()
    role: Role = "aggregated"
    cache_bytes: float | None = None  # bytes of one cached number; None: as the quantization has it
    speculation: Speculation = Speculation()
