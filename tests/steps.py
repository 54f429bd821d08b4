"""Factors and runners whose times a hand can compute."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worlds import a_profile, an_architecture, an_engine

from orchestrator.api.architecture import Architecture
from orchestrator.api.calibration import Factors, Range, Spread
from orchestrator.core.performance.prior import PRIOR
from orchestrator.core.performance.runner import Applied, Runner
from orchestrator.core.world import Parallelism

NOTHING = dict.fromkeys(("exchange", "layer", "expert_layer", "step", "sequence", "first"), 1e-12)
WHOLE = {name: 1.0 for name in Factors.model_fields if name not in NOTHING}
EXACT = Spread(tpot=Range(low=1, high=1), ttft=Range(low=1, high=1), throughput=Range(low=1, high=1))


def the_factors(**changed: float) -> Factors:
    """Everything at its peak and nothing beside it, but for what is named."""
    return PRIOR.model_copy(update=WHOLE | NOTHING | changed)


def a_runner(
    *,
    factors: Factors | None = None,
    spread: Spread = EXACT,
    program: str = "vLLM",
    chip: dict[str, Any] | None = None,
    dims: dict[str, Any] | None = None,
    layers: list[dict[str, Any]] | None = None,
    cut: Parallelism | None = None,
    **fields: Any,
) -> Runner:
    """A dense model of two layers on a chip of 100 GB/s and 10 TFLOPS."""
    applied = replace(Applied(), factors=factors or the_factors(), spread=spread)
    profile = a_profile("npu", kind="npu", **(chip or {}))
    engine = an_engine("vllm", program=program)
    a = an_architecture(**(dims or {}))
    if layers is not None:
        a = Architecture.model_validate(a.model_dump() | {"layers": layers})
    return Runner(a, "bf16", profile, engine, cut or Parallelism(), 1, applied=applied, **fields)
