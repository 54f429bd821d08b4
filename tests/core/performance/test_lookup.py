"""Which calibration holds, and how the band widens where nothing was measured."""

from __future__ import annotations

import pytest
from steps import the_factors
from worlds import a_profile, an_engine

from orchestrator.api.calibration import Calibration, CalibrationSpec, FittedOn, Range, Spread
from orchestrator.api.document import API_VERSION, Metadata
from orchestrator.core.performance.lookup import applied
from orchestrator.core.performance.runner import Applied

NEAR, FAR = Range(low=0.9, high=1.1), Range(low=0.5, high=2)
HERE = Spread(tpot=NEAR, ttft=NEAR, throughput=NEAR)
ELSEWHERE = Spread(tpot=FAR, ttft=FAR, throughput=FAR)


def a_calibration(name: str, **scope: str) -> Calibration:
    spec = CalibrationSpec(**scope, factors=the_factors(), spread=HERE, elsewhere=ELSEWHERE, fitted_on=FittedOn(rows=1))
    return Calibration(api_version=API_VERSION, kind="Calibration", metadata=Metadata(name=name), spec=spec)


EVERY = (
    a_calibration("anything"),
    a_calibration("lab", vendor="lab"),
    a_calibration("ours-lab", vendor="lab", engine="ours"),
    a_calibration("ours-npu", vendor="lab", engine="ours", chip="npu"),
    a_calibration("ours-npu-tiny", vendor="lab", engine="ours", chip="npu", model="tiny"),
    a_calibration("theirs", engine="theirs"),
)


@pytest.mark.parametrize(
    ("program", "chip", "vendor", "model", "found", "measured"),
    [
        pytest.param("ours", "npu", "lab", "tiny", "ours-npu-tiny", True, id="the model on the chip"),
        pytest.param("ours", "npu", "lab", "other", "ours-npu", True, id="another model on the chip"),
        pytest.param("ours", "gpu", "lab", "tiny", "ours-lab", False, id="the program on another chip"),
        pytest.param("new", "npu", "lab", "tiny", "lab", False, id="another program of the vendor's chips"),
        pytest.param("new", "npu", "far", "tiny", "anything", False, id="nothing that was measured"),
        pytest.param("theirs", "npu", "far", None, "theirs", False, id="a program anywhere"),
    ],
)
def test_the_most_specific_calibration_holds_and_where_it_was_not_measured_the_band_is_wider(  # noqa: PLR0917
    program: str,
    chip: str,
    vendor: str,
    model: str | None,
    found: str,
    measured: bool,  # noqa: FBT001  a table
) -> None:
    catalog = {one.metadata.name: one for one in EVERY}

    used = applied(catalog, an_engine(program=program), a_profile(chip, kind="npu", vendor=vendor), model)

    assert (used.calibration, used.measured, used.spread) == (found, measured, HERE if measured else ELSEWHERE)


def test_an_engine_for_processors_was_measured_on_this_kind_of_machine() -> None:
    used = applied({"theirs": EVERY[-1]}, an_engine(program="theirs"), a_profile("local"))

    assert (used.measured, used.spread) == (True, HERE)


def test_without_any_document_the_built_in_prior_holds_with_the_widest_band() -> None:
    assert applied({}, an_engine(), a_profile()) == Applied()
