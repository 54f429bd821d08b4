"""Numbers of a run: what is counted, from when, and what says nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from orchestrator.core.verification.measured import Fault, Sample, measure, percentile, share_met, spread


def a_sample(
    due_s: float = 0.0, *, ttft_s: float = 0.1, tpot_s: float = 0.02, tokens: int = 11, **fields: Any
) -> Sample:
    """Sent when it was due, answered in pieces of one token."""
    first_s = due_s + ttft_s
    return Sample(
        **{
            "due_s": due_s,
            "sent_s": due_s,
            "first_s": first_s,
            "last_s": first_s + (tokens - 1) * tpot_s,
            "pieces": tokens,
            "prompt_tokens": 50,
            "output_tokens": tokens,
        }
        | fields
    )


def a_failure(due_s: float = 0.0, fault: Fault = Fault.REFUSED, said: str = "429 full") -> Sample:
    return Sample(due_s=due_s, sent_s=due_s, fault=fault, said=said)


def test_a_latency_counts_from_when_the_request_was_due() -> None:
    late = a_sample(1.0, sent_s=1.5, first_s=2.0, last_s=3.0, tokens=11)

    assert (late.ttft_s, late.latency_s, late.tpot_s) == (1.0, 2.0, 0.1)


@pytest.mark.parametrize(
    ("sample", "tpot_s"),
    [
        pytest.param(a_sample(tokens=2, tpot_s=0.5), 0.5, id="two tokens"),
        pytest.param(a_sample(tokens=1), None, id="one token"),
        pytest.param(a_sample(tokens=11, pieces=1), None, id="one piece"),
        pytest.param(
            a_sample(tokens=5, tpot_s=0.1, output_tokens=9), 0.05, id="two tokens a piece, as the server says"
        ),
        pytest.param(a_sample(tokens=5, tpot_s=0.1, output_tokens=None), 0.1, id="pieces where it does not"),
    ],
)
def test_the_pace_is_over_the_tokens_after_the_first(sample: Sample, tpot_s: float | None) -> None:
    assert sample.tpot_s == (None if tpot_s is None else pytest.approx(tpot_s))


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 2.5), (0.95, 3.85), (1.0, 4.0)], ids=["least", "median", "p95", "most"]
)
def test_percentiles_lie_between_neighbours(share: float, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == pytest.approx(value)


def test_nothing_has_no_spread_and_one_value_is_all_of_it() -> None:
    one = spread([3.0])

    assert spread([]) is None
    assert one is not None
    assert (one.count, one.mean, one.p50, one.p95, one.p99) == (1, 3.0, 3.0, 3.0, 3.0)


def test_a_steady_run_gives_back_its_rates_and_by_littles_law_its_requests_inside() -> None:
    """Ten a second, each 0.5 s inside: 5 at all times."""
    measured = measure(a_sample(0.1 * number, ttft_s=0.1, tpot_s=0.04) for number in range(1000))

    assert measured.requests_per_s == pytest.approx(10, rel=0.01)
    assert measured.output_per_s == pytest.approx(110, rel=0.01)
    assert measured.running == pytest.approx(5, rel=0.01)
    assert (measured.input_tokens, measured.output_tokens) == (50, 11)
    assert measured.ttft_s is not None
    assert measured.ttft_s.mean == pytest.approx(0.1)
    assert measured.tpot_s is not None
    assert measured.tpot_s.p95 == pytest.approx(0.04)


def test_failures_are_counted_by_kind_with_what_the_first_met_and_are_in_no_mean() -> None:
    samples = [a_sample(), a_failure(1), a_failure(2, said="other"), a_failure(3, Fault.TIMEOUT, "no end")]
    measured = measure(samples)

    assert (measured.requests, measured.answered) == (4, 1)
    assert measured.faults == {"refused": 2, "timeout": 1}
    assert measured.examples == {"refused": "429 full", "timeout": "no end"}
    assert measured.ttft_s is not None
    assert measured.ttft_s.count == 1


@pytest.mark.parametrize("samples", [[], [a_failure()]], ids=["no request", "no answer"])
def test_a_run_without_answers_has_no_numbers(samples: list[Sample]) -> None:
    measured = measure(samples)

    assert (measured.answered, measured.ttft_s, measured.tpot_s, measured.output_tokens) == (0, None, None, None)
    assert (measured.output_per_s, measured.running) == (0, 0)
    assert not any(isinstance(value, float) and math.isnan(value) for value in (measured.window_s, measured.lag_p99_s))


def test_the_first_wave_is_not_counted_but_what_it_does_later_is() -> None:
    """Two at once, 1 s each: the two that begin together are slow, the rest are not, and two run at all times."""
    wave = [a_sample(0, ttft_s=0.9, tpot_s=0.01) for _ in range(2)]
    steady = [a_sample(1.0 + number // 2, ttft_s=0.1, tpot_s=0.09) for number in range(20)]
    measured = measure([*wave, *steady], first_wave=2)

    assert (measured.sent, measured.requests) == (22, 20)
    assert measured.ttft_s is not None
    assert measured.ttft_s.mean == pytest.approx(0.1)
    assert measured.running == pytest.approx(2)
    assert measured.output_per_s == pytest.approx(22, rel=0.12)
    assert measure(wave, first_wave=2).requests == 2, "all there is"


@pytest.mark.parametrize(
    ("sent_s", "drift_s", "late"),
    [
        pytest.param(0.005, [], False, id="5 ms behind"),
        pytest.param(0.5, [], True, id="half a second behind"),
        pytest.param(0.0, [0.5] * 10, True, id="its own clock stood still"),
        pytest.param(0.0, [0.5, *[0.0] * 999], False, id="once in a thousand ticks"),
    ],
)
def test_a_client_that_is_late_is_known(sent_s: float, drift_s: list[float], *, late: bool) -> None:
    assert measure([a_sample(sent_s=sent_s, first_s=1.0)] * 10, drift_s).late is late


def test_an_objective_is_met_by_those_that_were_answered_in_time() -> None:
    samples = [a_sample(ttft_s=0.1), a_sample(ttft_s=0.6), a_failure(), a_sample(ttft_s=0.5)]

    assert share_met(samples, "ttft_s", 0.5) == 0.5
    assert share_met(samples, "tpot_s", 0.021) == 0.75
    assert share_met([], "ttft_s", 0.5) == 0
