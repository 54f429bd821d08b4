"""Factors from a user's rows: what enough rows teach, and what too few do not."""

from __future__ import annotations

from dataclasses import replace

from measured_rows import a_row, the_catalog

from orchestrator.core.performance.case import Case
from orchestrator.core.performance.prior import PRIOR
from orchestrator.core.performance.weighed import figures
from orchestrator.core.rows.mapping import cases
from orchestrator.core.validation.calibrating import LEAST_ROWS, calibrated, calibration_view

SLOW = PRIOR.model_copy(update={"weights": PRIOR.weights / 2, "compute": PRIOR.compute / 2, "step": 3 * PRIOR.step})
SOURCES = {"qwen3-8b-1": "a page", "qwen3-8b-64": "a page"}


def rows_of_a_slow_engine(models: tuple[str, ...], batches: tuple[int, ...], engine: str = "vLLM") -> tuple[Case, ...]:
    """Rows whose times are what factors give that are nothing like the prior."""
    rows = [
        a_row(
            id=f"{model}-{batch}", model=model, engine=engine, concurrency=str(batch), num_prompts="1000", tpot_ms="900"
        )
        for model in models
        for batch in batches
    ]
    mapped, skipped = cases(rows, the_catalog())
    assert not skipped
    found = []
    for case in mapped:
        true = figures(case, SLOW)
        found.append(replace(case, tpot_s=true.tpot_s, ttft_s=true.ttft_s, output_per_s=true.output_per_s))
    return tuple(found)


def test_rows_teach_what_an_engine_on_a_chip_reaches_and_hold_for_models_not_seen() -> None:
    rows = rows_of_a_slow_engine(("qwen3-8b", "qwen3-14b", "qwen3-32b"), (1, 4, 16, 64))

    view = calibration_view(calibrated(rows, (), SOURCES), [])

    (group,) = view["groups"]
    assert (group["engine"], group["chip"], group["rows"]) == ("vLLM", "nvidia-h100-sxm", 12)
    assert group["models"] == ["qwen3-14b", "qwen3-32b", "qwen3-8b"]
    assert group["before"]["mape"] > 0.25
    assert group["after"]["mape"] < 0.12
    assert group["heldOut"]["mape"] < 0.2


def test_a_document_says_where_its_rows_were_published_and_for_what_it_holds() -> None:
    documents = calibrated(rows_of_a_slow_engine(("qwen3-8b",), (1, 4, 8, 16, 64)), (), SOURCES).documents

    assert [document.spec.model for document in documents] == [None, "qwen3-8b"]
    for spec in (document.spec for document in documents):
        assert (spec.engine, spec.vendor, spec.chip) == ("vLLM", "NVIDIA", "nvidia-h100-sxm")
        assert spec.sources == ("a page",)
        assert (spec.fitted_on.rows, spec.fitted_on.models) == (5, ("qwen3-8b",))


def test_a_model_that_a_document_was_for_gets_a_new_one_however_few_its_rows() -> None:
    first = calibrated(rows_of_a_slow_engine(("qwen3-8b",), (1, 4, 8, 16, 64)), (), {}).documents
    two = rows_of_a_slow_engine(("qwen3-8b", "qwen3-14b"), (1, 2))
    more = rows_of_a_slow_engine(("qwen3-32b",), (1, 2, 4, 8))

    found = calibrated([*two, *more], first, {}).documents

    assert [document.spec.model for document in found] == [None, "qwen3-32b", "qwen3-8b"]


def test_fewer_rows_than_a_fit_needs_are_counted_and_not_fitted() -> None:
    few = rows_of_a_slow_engine(("qwen3-8b",), tuple(range(1, LEAST_ROWS)), engine="SGLang")
    enough = rows_of_a_slow_engine(("qwen3-14b",), tuple(range(1, LEAST_ROWS + 1)))

    both = calibrated([*few, *enough], (), {})

    assert [one.documents[0].spec.engine for one in both.fitted] == ["vLLM"]
    assert both.too_few == ((("SGLang", "nvidia-h100-sxm"), LEAST_ROWS - 1),)
    assert calibrated(few, (), {}).documents == ()
    assert calibrated((), (), {}).too_few == ()


def test_a_calibration_that_is_there_is_where_the_fit_begins() -> None:
    first = calibrated(rows_of_a_slow_engine(("qwen3-8b", "qwen3-14b"), (1, 4, 16, 64)), (), {}).documents
    few = rows_of_a_slow_engine(("qwen3-32b",), (1, 2, 4, 8, 16))

    (alone,) = calibrated(few, (), {}).fitted
    (after,) = calibrated(few, first, {}).fitted

    assert after.held_out[0].mape < alone.held_out[0].mape / 2
