"""What a plan rests on: facts nobody verified, objectives held by the middle alone, and measurements of speed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.api.calibration import Calibration
from orchestrator.api.kinds import Catalog
from orchestrator.core.configurations import Option
from orchestrator.core.performance.lookup import applied


def grounds(options: Sequence[Option], catalog: Catalog) -> dict[str, Any]:
    """What all of these ways rest on."""
    kinds = {(o.configuration.engine, o.configuration.profile, o.configuration.model) for o in options}
    return {
        "unverified": sorted({fact for option in options for fact in option.unverified}),
        "atRisk": sorted({risk for option in options for risk in option.at_risk}),
        "speed": [_speed(*kind, catalog) for kind in sorted(kinds)],
    }


def _speed(engine: str, profile: str, model: str, catalog: Catalog) -> dict[str, Any]:
    """Which calibration says how fast it is, whether it was measured there, and how far off it was."""
    known = engine in catalog.engines and profile in catalog.profiles
    used = applied(catalog.calibrations, catalog.engines[engine], catalog.profiles[profile], model) if known else None
    name = used.calibration if used else ""
    view: dict[str, Any] = {"engine": engine, "profile": profile, "calibration": name}
    view["measured"] = used is not None and used.measured
    return view | (_fit(catalog.calibrations[name]) if name else {"rows": 0, "errors": {}})


def _fit(calibration: Calibration) -> dict[str, Any]:
    """Rows of the fit, and mean absolute errors by metric; of models held out where that was tried."""
    fit = calibration.spec.fitted_on
    return {"rows": fit.rows, "errors": {one.metric: round(one.mape, 4) for one in fit.held_out or fit.fitted}}
