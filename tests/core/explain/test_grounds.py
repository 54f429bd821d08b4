"""What a plan rests on is told: facts, objectives held by the middle, and who measured the speed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from plans import plan_alone
from worlds import a_calibration, a_catalog, a_profile, a_service, a_site, a_tier, a_world

from orchestrator.api.calibration import Calibration
from orchestrator.core.explain.grounds import grounds
from orchestrator.core.placement.result import Placed


def a_score(mape: float) -> dict[str, Any]:
    return {"metric": "tpot", "rows": 9, "mape": mape, "median": mape, "bias": 0, "coverage": 0.8}


FIT = {"rows": 9, "fitted": [a_score(0.1)], "heldOut": [a_score(0.2)]}


@pytest.mark.parametrize(
    ("calibration", "told"),
    [
        pytest.param(
            a_calibration("lab", vendor="other"),
            {"calibration": "", "measured": False, "rows": 0, "errors": {}},
            id="nobody",
        ),
        pytest.param(
            a_calibration("lab", vendor="lab", fitted_on=FIT),
            {"calibration": "lab", "measured": False, "rows": 9, "errors": {"tpot": 0.2}},
            id="on other programs",
        ),
        pytest.param(
            a_calibration("lab", engine="edge", fitted_on=FIT),
            {"calibration": "lab", "measured": True, "rows": 9, "errors": {"tpot": 0.2}},
            id="this program on a CPU",
        ),
    ],
)
def test_who_measured_the_speed(calibration: Calibration, told: dict[str, Any]) -> None:
    catalog = replace(a_catalog(), calibrations={"lab": calibration})
    (tier,) = plan_alone([a_service()], catalog, a_world()).tiers
    assert isinstance(tier, Placed)

    (speed,) = grounds([group.option for group in tier.groups], catalog)["speed"]

    assert speed == {"engine": "edge", "profile": "box"} | told


def test_facts_that_nobody_verified_and_objectives_at_risk_are_told_once() -> None:
    guessed = a_profile(bandwidth={"value": "10GB/s", "status": "unverified"})
    catalog, world = a_catalog(guessed), a_world(a_site())
    (tier,) = plan_alone([a_service()], catalog, world).tiers
    assert isinstance(tier, Placed)
    most = tier.groups[0].option.prediction.single_stream_tpot_s
    service = a_service(student=a_tier(slo={"tpot": f"{(most.mid + most.high) / 2 * 1e6:.3f}us"}))
    (tier,) = plan_alone([service], catalog, world).tiers
    assert isinstance(tier, Placed)

    told = grounds([tier.groups[0].option] * 2, catalog)

    assert told["unverified"] == ["box bandwidth"]
    assert len(told["atRisk"]) == 1
    assert told["atRisk"][0].startswith("per token at most")
