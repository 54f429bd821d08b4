"""Predictions against measurements as plain values: errors, bands, totals and reasons."""

from __future__ import annotations

import pytest
from measured_rows import a_row, the_catalog

from orchestrator.core.fitting.score import Scored
from orchestrator.core.performance.case import Case
from orchestrator.core.rows.mapping import cases
from orchestrator.core.rows.row import Skipped
from orchestrator.core.validation.comparison import predicted, reasons_view, validation_view, with_factors


def some_cases() -> tuple[Case, ...]:
    rows = [
        a_row(id="a"),
        a_row(id="b", device="nvidia-h20", quality="vendor"),
        a_row(id="c", tpot_ms="", ttft_ms=""),
        a_row(id="d", device="ascend-910b3", out_tps_total="", ttft_ms="", tpot_ms="40"),
    ]
    mapped, skipped = cases(rows, the_catalog())
    assert not skipped
    return mapped


def test_a_case_is_predicted_in_every_figure_it_has() -> None:
    found: dict[str, list[str]] = {}
    for one in predicted(some_cases()):
        found.setdefault(one.case.row, []).append(one.metric)

    assert {row: sorted(metrics) for row, metrics in found.items()} == {
        "a": ["pace", "throughput", "tpot", "ttft"],
        "b": ["pace", "throughput", "tpot", "ttft"],
        "c": ["pace", "throughput"],
        "d": ["pace", "tpot"],
    }


def test_a_prediction_lies_in_its_band() -> None:
    assert all(0 < one.low <= one.predicted <= one.high for one in predicted(some_cases()))


def test_without_a_calibration_the_prior_holds() -> None:
    (case,) = with_factors(some_cases()[:1], {})

    assert (case.runner.applied.calibration, case.runner.applied.measured) == ("", False)


def test_scores_are_by_chip_and_engine_and_in_all() -> None:
    case_a, case_b, *_ = some_cases()
    scored = [
        Scored(case_a, "pace", 10, 12, 9, 13),
        Scored(case_a, "ttft", 4, 2, 1, 3),
        Scored(case_b, "pace", 10, 9, 8, 9.5),
    ]
    view = validation_view(scored, [Skipped("z", "ok", "no reason")])

    assert (view["rows"], view["mapped"], view["mappedShare"]) == (3, 2, 0.6667)
    assert [(one["chip"], one["engine"], one["rows"]) for one in view["scores"]] == [
        ("nvidia-h100-sxm", "vllm", 1),
        ("nvidia-h20", "vllm", 1),
    ]
    assert view["scores"][0]["pace"] == {"rows": 1, "mape": 0.2, "median": 0.2, "bias": 0.2, "coverage": 1.0}
    assert view["scores"][0]["ttft"] == {"rows": 1, "mape": 0.5, "median": 0.5, "bias": -0.5, "coverage": 0.0}
    assert view["scores"][1]["ttft"] is None
    assert [one["of"] for one in view["totals"]] == ["quality ok", "quality vendor", "chips of NVIDIA", "all"]
    assert view["totals"][-1]["pace"] == pytest.approx(
        {"rows": 2, "mape": 0.15, "median": 0.15, "bias": 0.05, "coverage": 0.5}
    )


def test_every_row_says_what_it_was_mapped_to() -> None:
    view = validation_view(predicted(some_cases()[:1]), [])

    (row,) = view["results"]
    assert {name: row[name] for name in ("row", "model", "chip", "engine", "parallelism", "quantization", "load")} == {
        "row": "a", "model": "qwen3-8b", "chip": "nvidia-h100-sxm", "engine": "vllm", "parallelism": "TP1 on 1 node",
        "quantization": "bf16", "load": "closed",
    }  # fmt: skip
    assert set(row["figures"]) == {"pace", "tpot", "throughput", "ttft"}
    assert set(row["figures"]["tpot"]) == {"measured", "p10", "p50", "p90", "error", "inside"}


def test_nothing_mapped_is_an_answer_too() -> None:
    view = validation_view([], [Skipped("1", "ok", "x"), Skipped("2", "ok", "y"), Skipped("3", "ok", "y")])

    assert (view["mapped"], view["scores"], view["totals"]) == (0, [], [])
    assert view["reasons"] == reasons_view([Skipped("2", "ok", "y"), Skipped("3", "ok", "y"), Skipped("1", "ok", "x")])
    assert view["reasons"] == [{"reason": "y", "rows": 2}, {"reason": "x", "rows": 1}]
