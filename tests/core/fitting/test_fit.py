"""Fitting to rows that the model itself made: what went in comes out, and what is claimed was held out."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from steps import a_runner

from orchestrator.api.calibration import Factors, Range
from orchestrator.core.fitting.fit import cross_validate, fit
from orchestrator.core.fitting.scopes import Scope, scopes_of, weights_of
from orchestrator.core.fitting.score import Scored, range_of, scores
from orchestrator.core.fitting.solve import BOUNDS
from orchestrator.core.fitting.table import NAMES
from orchestrator.core.performance.case import Case
from orchestrator.core.performance.prior import PRIOR
from orchestrator.core.performance.runner import Runner, Workload
from orchestrator.core.performance.weighed import figures

BIG = {"hidden_size": 4096, "intermediate_size": 11008, "heads": 32, "kv_heads": 8, "head_dim": 128}
CHIP = {
    "bandwidth": {"value": "2TB/s", "status": "vendor"},
    "peaks": {"bf16": {"value": "400TFLOPS", "status": "vendor"}},
}


def a_big(layers: int, program: str = "vLLM") -> Runner:
    wide = {"intermediate_size": 4096 * (1 + layers // 8 % 5)}
    return a_runner(dims=BIG | wide | {"layers": layers}, chip=CHIP, program=program, factors=PRIOR)


def rows(
    truth: Factors, program: str = "vLLM", models: tuple[int, ...] = (16, 32, 64), noise: float = 0.0
) -> list[Case]:
    """Rows of several models at several loads, measured as these factors have it."""
    chance = random.Random(program)
    found = []
    for layers in models:
        for running in (1, 4, 16, 64, 256):
            for tokens in ((128, 512), (4000, 200)):
                name = f"layers-{layers}"
                case = Case(
                    f"{program} {layers} {running} {tokens}", name, name, "ok", a_big(layers, program), "closed",
                    Workload(*tokens), running,
                )  # fmt: skip
                seen = figures(case, truth)
                off = chance.lognormvariate(0, noise) if noise else 1.0
                found.append(
                    replace(case, tpot_s=seen.tpot_s * off, ttft_s=seen.ttft_s, output_per_s=seen.output_per_s)
                )
    return found


def test_factors_that_rows_were_made_with_are_found_again() -> None:
    truth = PRIOR.model_copy(update={"weights": 0.5, "compute": 0.35, "layer": 90e-6})

    document = next(one for one in fit(rows(truth, models=tuple(range(8, 80, 8)))) if one.spec.chip == "npu")

    found = document.spec.factors
    assert found.weights == pytest.approx(0.5, rel=0.1)
    assert found.compute == pytest.approx(0.35, rel=0.1)
    pace = next(score for score in document.spec.fitted_on.held_out if score.metric == "pace")
    assert pace.mape < 0.05


def test_each_program_gets_its_own_and_what_nobody_measured_gets_the_wider_band() -> None:
    slow = PRIOR.model_copy(update={"weights": 0.3})
    documents = {
        one.metadata.name: one.spec for one in fit([*rows(PRIOR), *rows(slow, "Slow")]) if one.spec.model is None
    }

    assert sorted(documents) == ["anything", "lab", "slow-lab", "slow-npu", "vllm-lab", "vllm-npu"]
    assert (
        documents["slow-npu"].factors.weights < documents["lab"].factors.weights < documents["vllm-npu"].factors.weights
    )
    for spec in documents.values():
        for metric in ("tpot", "ttft", "throughput"):
            here, there = getattr(spec.spread, metric), getattr(spec.elsewhere, metric)
            assert there.low <= here.low < 1 < here.high <= there.high
    assert documents["lab"].elsewhere.tpot.high > 1.1 * documents["slow-npu"].spread.tpot.high


def test_few_rows_hardly_move_a_document_that_is_there() -> None:
    parents = fit(rows(PRIOR))
    wild = [replace(row, tpot_s=3 * (row.tpot_s or 1), ttft_s=None, output_per_s=None) for row in rows(PRIOR)[:1]]

    [before] = [one for one in parents if one.spec.chip == "npu" and one.spec.model is None]
    [after] = [one for one in fit(wild, parents) if one.spec.chip == "npu" and one.spec.model is None]

    assert after.spec.factors.weights == pytest.approx(before.spec.factors.weights, rel=0.5)
    assert all(BOUNDS[name][0] <= getattr(after.spec.factors, name) <= BOUNDS[name][1] for name in NAMES)


def test_each_model_is_predicted_without_its_rows_and_the_band_covers_most() -> None:
    scored = cross_validate(rows(PRIOR, models=(8, 16, 32, 64), noise=0.2))
    [tpot] = [score for score in scores(scored) if score.metric == "tpot"]

    assert tpot.rows == 40
    assert tpot.mape < 0.3
    assert tpot.coverage >= 0.7


def test_the_order_of_rows_changes_nothing() -> None:
    some = rows(PRIOR, models=(16, 32), noise=0.1)

    there, back = fit(some), fit(some[::-1])

    for one, other in zip(there, back, strict=True):
        assert one.metadata == other.metadata
        for name in NAMES:
            assert getattr(one.spec.factors, name) == pytest.approx(getattr(other.spec.factors, name), rel=1e-2)


def test_without_rows_there_is_nothing_to_fit() -> None:
    with pytest.raises(ValueError, match="no measured rows"):
        fit([])


def test_scores_are_what_the_hand_computes() -> None:
    case = rows(PRIOR, models=(16,))[0]
    two = [Scored(case, "tpot", 1.0, 1.5, 0.9, 2.0), Scored(case, "tpot", 2.0, 1.8, 1.9, 2.5)]

    [score] = scores(two)

    assert (score.rows, score.mape, score.median, score.bias, score.coverage) == (2, 0.3, 0.3, 0.2, 1.0)


def test_a_spread_of_few_groups_stays_near_the_wider_one() -> None:
    wide = Range(low=0.25, high=4)
    exact = {f"group {n}": [1.0] * 100 for n in range(40)}

    assert range_of({}, wide) == Range(low=0.25, high=4)
    assert range_of({"one": [1.0] * 1000}, wide).high > 3
    assert range_of(exact, wide).high < 1.6


def test_scopes_are_nested_and_rows_of_one_model_share_their_weight() -> None:
    some = rows(PRIOR, models=(16, 32))
    lab = Scope("lab")

    chip = Scope("lab", "vLLM", "npu")
    models = tuple(Scope("lab", "vLLM", "npu", f"layers-{layers}") for layers in (16, 32))
    assert scopes_of(some) == (Scope(), lab, Scope("lab", "vLLM"), chip, *models)
    assert scopes_of(some[:3]) == (Scope(), lab, Scope("lab", "vLLM"), chip)
    assert weights_of(some) == [pytest.approx(10**-0.5)] * 20
