"""A verdict on a run: inside the band or how far outside, and when the numbers are not the server's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.performance.runner import Band
from orchestrator.core.verification.comparison import Comparison, Verdict, compare, judge
from orchestrator.core.verification.expected import Expected
from orchestrator.core.verification.measured import Measured, Spread

TTFT, TPOT, ANSWER, OUTPUT = Band(0.1, 0.2, 0.4), Band(0.01, 0.02, 0.04), Band(0.2, 0.4, 0.8), Band(50, 100, 200)


def a_spread(mean: float, count: int = 20) -> Spread:
    return Spread(count, mean, mean, mean, mean)


def a_measured(ttft_s: float = 0.2, tpot_s: float = 0.02, count: int = 20, **fields: Any) -> Measured:
    return Measured(
        **{
            "sent": count,
            "requests": count,
            "answered": count,
            "faults": {},
            "examples": {},
            "window_s": 10.0,
            "ttft_s": a_spread(ttft_s, count),
            "tpot_s": a_spread(tpot_s, count),
            "latency_s": a_spread(0.4, count),
            "input_tokens": 50.0,
            "output_tokens": 11.0,
            "requests_per_s": 2.0,
            "output_per_s": 100.0,
            "running": 1.0,
            "lag_p99_s": 0.001,
            "pieces_counted": False,
        }
        | fields
    )


def an_expected(output: Band | None = OUTPUT, *, carried: bool = True) -> Expected:
    return Expected(TTFT, TPOT, ANSWER, output, 1.0, carried)


def verdicts(measured: Measured, expected: Expected | None = None) -> dict[str, tuple[str, float]]:
    found = compare(measured, expected or an_expected())
    return {one.metric: (one.verdict.value, round(one.beyond, 3)) for one in found}


def test_all_metrics_are_compared_by_their_means() -> None:
    assert verdicts(a_measured()) == {
        "time to first token": ("inside", 0.0),
        "time per output token": ("inside", 0.0),
        "whole answer": ("inside", 0.0),
        "output tokens": ("inside", 0.0),
    }


@pytest.mark.parametrize(
    ("measured", "metric", "found"),
    [
        pytest.param(a_measured(ttft_s=0.4), "time to first token", ("inside", 0.0), id="the edge is inside"),
        pytest.param(a_measured(ttft_s=0.6), "time to first token", ("worse", 0.5), id="slower by half"),
        pytest.param(a_measured(tpot_s=0.005), "time per output token", ("better", 0.5), id="twice as fast"),
        pytest.param(a_measured(output_per_s=25.0), "output tokens", ("worse", 0.5), id="half as many"),
        pytest.param(a_measured(output_per_s=300.0), "output tokens", ("better", 0.5), id="half as many again"),
    ],
)
def test_outside_the_band_says_how_far_and_which_way(measured: Measured, metric: str, found: tuple[str, float]) -> None:
    assert verdicts(measured)[metric] == found


def test_few_answers_are_not_compared() -> None:
    assert verdicts(a_measured(count=4)) == {}


def test_where_the_load_piles_up_only_pace_and_throughput_are_compared() -> None:
    assert set(verdicts(a_measured(), an_expected(None, carried=False))) == {"time per output token"}


def test_what_was_not_measured_is_not_compared() -> None:
    assert "time per output token" not in verdicts(replace(a_measured(), tpot_s=None))


def judged(measured: Measured, *, planned: bool = True, others: float = 0.0) -> tuple[str, str]:
    comparisons: tuple[Comparison, ...] | None = compare(measured, an_expected()) if planned else None
    verdict, notes = judge(measured, comparisons, others=others)
    return verdict.value, "; ".join(notes)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        pytest.param(a_measured(), Verdict.INSIDE, id="all inside"),
        pytest.param(a_measured(tpot_s=0.005), Verdict.BETTER, id="one better"),
        pytest.param(a_measured(tpot_s=0.005, ttft_s=0.9), Verdict.WORSE, id="worse outweighs better"),
        pytest.param(a_measured(ttft_s=0.9, lag_p99_s=0.3), Verdict.UNCLEAR, id="worse with a late client"),
        pytest.param(a_measured(lag_p99_s=0.3), Verdict.INSIDE, id="inside with a late client"),
        pytest.param(a_measured(count=3), Verdict.UNCLEAR, id="too few"),
        pytest.param(a_measured(count=0, requests=5), Verdict.FAILED, id="no answer"),
        pytest.param(a_measured(count=0), Verdict.FAILED, id="no request"),
    ],
)
def test_one_verdict_is_said_of_a_run(measured: Measured, verdict: Verdict) -> None:
    assert judged(measured)[0] == verdict


def test_a_busy_machine_excuses_only_what_is_worse() -> None:
    assert judged(a_measured(ttft_s=0.9), others=0.5)[0] == "unclear"
    assert judged(a_measured(ttft_s=0.9), others=0.1)[0] == "worse"
    verdict, notes = judged(a_measured(), others=0.5)
    assert verdict == "inside"
    assert "50% of this machine's CPUs" in notes


def test_failures_are_told_and_more_than_one_in_a_hundred_is_a_failed_run() -> None:
    faults = {"faults": {"refused": 2}, "examples": {"refused": "429 full"}}
    some, few = a_measured(requests=22, **faults), a_measured(count=1000, requests=1002, **faults)

    assert judged(some) == ("failed", "2 of 22 requests failed (refused), the first with: 429 full")
    assert judged(few)[0] == "inside"
    assert "429 full" in judged(few)[1]


def test_without_a_plan_numbers_are_only_measured() -> None:
    assert judged(a_measured(), planned=False) == ("measured", "")


def test_notes_say_what_could_not_be_seen() -> None:
    assert "pieces of its answers" in judged(a_measured(pieces_counted=True))[1]
    assert "one piece" in judged(replace(a_measured(), tpot_s=None))[1]
    assert "300 ms late" in judged(a_measured(lag_p99_s=0.3))[1]
    assert "at least 5" in judged(a_measured(count=3))[1]
