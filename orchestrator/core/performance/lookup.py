"""Which calibration holds for a program on a chip, and how far to trust it. Pure.

The most specific document that matches is used: one for the model before one for the chip, before one for the program,
before one for the vendor, before the one for everything. Where the program was not measured on the chip, the band is
the wider one that the document states for what it covers without rows.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.api.calibration import Calibration
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.core.performance.runner import Applied


def applied(
    calibrations: Mapping[str, Calibration], engine: Engine, profile: HardwareProfile, model: str | None = None
) -> Applied:
    """The factors that hold, and the spread to expect; the built-in prior where no document matches.

    Args:
        calibrations: by name.
        engine: whose program runs.
        profile: the chip.
        model: name of the model, for documents that hold for one alone.
    """
    found = best(calibrations, engine.spec.program, profile, model)
    if found is None:
        return Applied()
    spec = found.spec
    measured = spec.engine is not None and (spec.chip is not None or profile.spec.kind == "cpu")
    return Applied(spec.factors, spec.spread if measured else spec.elsewhere, found.metadata.name, measured)


def best(
    calibrations: Mapping[str, Calibration], program: str, profile: HardwareProfile, model: str | None = None
) -> Calibration | None:
    """The most specific document that matches; of equally specific ones the first by name."""
    vendor, chip = profile.spec.vendor, profile.metadata.name
    matching = [
        one
        for one in calibrations.values()
        if one.spec.engine in (None, program)
        and one.spec.chip in (None, chip)
        and one.spec.model in (None, model)
        and one.spec.vendor in (None, vendor)
    ]
    return min(matching, key=_general, default=None)


def _general(one: Calibration) -> tuple[bool, bool, bool, bool, str]:
    spec = one.spec
    return spec.model is None, spec.chip is None, spec.engine is None, spec.vendor is None, one.metadata.name
