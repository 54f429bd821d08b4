"""What is assumed of a program on a chip when no calibration says better. Pure.

The catalog ships a fitted document that holds everywhere; this stands in for it in tests and before any fit.
"""

from __future__ import annotations

from orchestrator.api.calibration import Factors, Range, Spread

PRIOR = Factors.model_validate(
    {
        "weights": 0.75,
        "experts": 0.6,
        "cache": 0.6,
        "compute": 0.6,
        "expertCompute": 0.4,
        "narrow": 0.8,
        "attention": 0.4,
        "link": 0.5,
        "exchange": "12us",
        "layer": "30us",
        "expertLayer": "30us",
        "step": "2ms",
        "sequence": "10us",
        "mixing": 1.0,
        "first": "20ms",
        "queue": 1.0,
    }
)
UNMEASURED = Spread(tpot=Range(low=0.5, high=2.5), ttft=Range(low=0.4, high=3), throughput=Range(low=0.4, high=2))
