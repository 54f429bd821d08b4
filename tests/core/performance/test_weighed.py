"""Measured loads as sums of steps: small ones computed by hand, and what more load must do."""

from __future__ import annotations

from typing import Any

import pytest
from steps import a_runner, the_factors

from orchestrator.core.performance.case import Case
from orchestrator.core.performance.roofline import clock
from orchestrator.core.performance.runner import Runner, Workload
from orchestrator.core.performance.serving import predict
from orchestrator.core.performance.weighed import CONVERSATION, figures

WORK = Workload(100, 50)
FACTORS = the_factors(mixing=0.5, first=0.25)


def a_case(runner: Runner | None = None, **fields: Any) -> Case:
    boring: dict[str, Any] = {"load": "closed", "workload": WORK, "concurrency": 8}
    return Case("1", "tiny", "tiny", "ok", runner or a_runner(factors=FACTORS), **(boring | fields))


@pytest.mark.parametrize("program", ["vLLM", "SGLang"])
def test_so_many_clients_at_all_times_see_what_is_predicted_for_a_full_replica(program: str) -> None:
    runner = a_runner(factors=FACTORS, program=program)

    seen, predicted = figures(a_case(runner), FACTORS), predict(runner, WORK, sequences=8, round_trip_s=0.0)

    assert seen.tpot_s == pytest.approx(predicted.tpot_s.mid)
    assert seen.output_per_s == pytest.approx(8 * 50 / (0.25 + 8 / predicted.requests_per_s.mid))


def test_a_step_alone_is_the_step() -> None:
    step_s = clock(a_runner(factors=FACTORS)).step_s(8, 100)

    seen = figures(a_case(load="step"), FACTORS)

    assert seen.tpot_s == pytest.approx(step_s)


def test_prompts_alone_share_steps_up_to_a_chunk() -> None:
    step_s = clock(a_runner()).step_s(0, 0, 800, 50)

    seen = figures(a_case(load="prefill"), the_factors())

    assert seen.total_per_s == pytest.approx(800 / step_s, rel=1e-4)


def test_one_request_at_a_time_meets_nobody() -> None:
    step_s = clock(a_runner()).step_s

    seen = figures(a_case(load="burst", concurrency=1, prompts=1), the_factors())

    assert seen.tpot_s == pytest.approx(step_s(1, 125))
    assert seen.output_per_s == pytest.approx(50 / (step_s(0.5, 125, 100, 50) - step_s(0.5, 125) + 50 * step_s(1, 125)))


def test_a_burst_in_waves_takes_as_much_longer() -> None:
    once = figures(a_case(load="burst", concurrency=8, prompts=8), the_factors())
    often = figures(a_case(load="burst", concurrency=8, prompts=80), the_factors())

    assert often.output_per_s == pytest.approx(once.output_per_s, rel=1e-2)
    assert often.ttft_s > 4 * once.ttft_s


def test_answers_of_different_lengths_leave_the_engine_half_empty_and_short_ones_wait_longer() -> None:
    runner = a_runner(program="SGLang")
    equal = figures(a_case(runner, load="burst", concurrency=64, prompts=64), the_factors())
    varied = figures(a_case(runner, load="burst", concurrency=64, prompts=64, varied=True), the_factors())

    assert varied.output_per_s < equal.output_per_s
    assert varied.tpot_s > equal.tpot_s


def test_a_conversation_has_the_mean_length_it_says() -> None:
    assert sum(share for share, _ in CONVERSATION) == pytest.approx(1)
    assert sum(share * length for share, length in CONVERSATION) == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("load", ["closed", "burst"])
def test_more_at_once_is_slower_for_each_and_faster_for_all(load: str) -> None:
    few, many = (figures(a_case(load=load, concurrency=n, prompts=n), FACTORS) for n in (4, 64))

    assert many.tpot_s > few.tpot_s
    assert many.output_per_s > few.output_per_s
    assert many.total_per_s == pytest.approx(3 * many.output_per_s)
