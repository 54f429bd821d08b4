"""What requests see: computed by hand once, and what must hold for any load, band and role."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import a_runner, the_factors
from worlds import a_profile, an_engine

from orchestrator.api.calibration import Range, Spread
from orchestrator.core.performance.pace import pace
from orchestrator.core.performance.roofline import clock
from orchestrator.core.performance.runner import Band, Runner, Speculation, Workload
from orchestrator.core.performance.serving import lanes, predict, predictor, transfer_s
from orchestrator.core.world import Parallelism

WIDE = Spread(tpot=Range(low=0.5, high=2), ttft=Range(low=0.8, high=3), throughput=Range(low=0.4, high=1.5))
WORK = Workload(100, 50)


def test_prompts_of_others_ride_along_and_every_answer_waits_for_its_share_of_them() -> None:
    runner = a_runner(factors=the_factors(mixing=0.5, first=0.25))
    step_s = clock(runner).step_s
    decode, mixed = step_s(8, 125), step_s(8, 125, 100, 50)

    p = predict(runner, WORK, sequences=8, round_trip_s=0.0)

    assert p.tpot_s.mid == pytest.approx(decode + 0.5 * 7 * (mixed - decode) / 50)
    assert p.ttft_s.mid == pytest.approx(0.25 + mixed + decode / 2)
    assert p.single_stream_tpot_s.mid == pytest.approx(step_s(1, 125))
    assert 1 / p.requests_per_s.mid == pytest.approx((8 * (mixed - decode) + 51 * decode) / 8)


def test_an_engine_that_reads_prompts_first_stops_decoding_for_them() -> None:
    runner = a_runner(program="SGLang")
    step_s = clock(runner).step_s
    decode, prompt = step_s(8, 125), step_s(0, 0, 100, 50)

    p = predict(runner, WORK, sequences=8, round_trip_s=0.0)

    assert p.tpot_s.mid == pytest.approx(decode + 0.5 * 7 * prompt / 50)
    assert 1 / p.requests_per_s.mid == pytest.approx((8 * prompt + 50 * decode) / 8)


def test_a_cached_share_of_the_prompt_is_not_read_again() -> None:
    whole = predict(a_runner(), Workload(4000, 50), sequences=8, round_trip_s=0.0)
    half = predict(a_runner(), Workload(4000, 50, cached_share=0.5), sequences=8, round_trip_s=0.0)

    assert half.ttft_s.mid < whole.ttft_s.mid
    assert half.requests_per_s.mid > whole.requests_per_s.mid


def test_accepted_guesses_yield_more_tokens_a_step_and_guessing_costs() -> None:
    deep = {"layers": 60}
    plain, lucky, useless = (
        predictor(a_runner(dims=deep, speculation=guess)).predict(WORK, sequences=1)
        for guess in (Speculation(), Speculation(accepted=1.0, guessed=2), Speculation(accepted=0.0, guessed=2))
    )

    assert lucky.tpot_s.mid < plain.tpot_s.mid < useless.tpot_s.mid


def test_a_role_does_its_half_alone() -> None:
    network = {"network": {"name": "roce", "bandwidth": {"value": "1GB/s", "status": "vendor"}}}
    reads = predictor(a_runner(role="prefill", chip=network)).predict(WORK, sequences=8)
    decodes = predictor(runner := a_runner(role="decode", chip=network)).predict(WORK, sequences=8)
    step_s = clock(runner).step_s

    assert reads.tpot_s == Band(0, 0, 0)
    assert reads.requests_per_s.mid == pytest.approx(1 / step_s(0, 0, 100, 50))
    assert decodes.tpot_s.mid == pytest.approx(step_s(8, 125))
    assert decodes.requests_per_s.mid == pytest.approx(8 / (50 * step_s(8, 125)))
    assert transfer_s(runner, 100) == pytest.approx(100 * 2 * 2 * 2 * 16 * 2 / 1e9)
    assert decodes.ttft_s.mid == pytest.approx(transfer_s(runner, 100) + step_s(8, 125))


def test_the_network_is_part_of_the_first_token_only() -> None:
    near = predict(a_runner(), WORK, sequences=1, round_trip_s=0.0)

    far = predict(a_runner(), WORK, sequences=1, round_trip_s=0.25)

    waits = Band(*(value + 0.25 for value in dataclasses.astuple(near.ttft_s)))
    assert far == dataclasses.replace(near, ttft_s=waits)


def test_a_pipeline_reads_all_weights_for_each_token_and_carries_a_batch_in_each_stage() -> None:
    long = Workload(2048, 50)  # a prompt a step, so that each request enters alone
    whole = predictor(a_runner()).predict(long, sequences=4)
    staged = predictor(a_runner(cut=Parallelism(pipeline=2))).predict(long, sequences=8)

    assert staged.tpot_s.mid == pytest.approx(whole.tpot_s.mid)
    assert staged.requests_per_s.mid == pytest.approx(2 * whole.requests_per_s.mid)


@pytest.mark.parametrize(
    ("tokens", "sequences", "batches"),
    [
        pytest.param(100, 8, 1, id="short prompts enter together and stay together"),
        pytest.param(1024, 6, 3, id="two prompts a step"),
        pytest.param(2048, 6, 4, id="no more than stages"),
    ],
)
def test_stages_carry_batches_of_requests_that_entered_together(tokens: int, sequences: int, batches: float) -> None:
    runner = a_runner(cut=Parallelism(pipeline=4))

    assert lanes(runner, Workload(tokens, 50), sequences) == batches


lengths = st.tuples(st.integers(1, 40000), st.integers(1, 2000))


def chip(bandwidth: int) -> Runner:
    return a_runner(spread=WIDE, chip={"bandwidth": {"value": f"{bandwidth}GB/s", "status": "vendor"}})


@given(lengths, st.integers(1, 512), st.sampled_from(["vLLM", "SGLang"]), st.sampled_from([1, 2, 4]))
def test_every_prediction_is_a_band_in_order(
    tokens: tuple[int, int], sequences: int, program: str, tensor: int
) -> None:
    """Promise 4, of the formula: low, middle and high never cross."""
    runner = a_runner(spread=WIDE, program=program, cut=Parallelism(tensor=tensor))

    p = predict(runner, Workload(*tokens), sequences=sequences, round_trip_s=0.0)

    for band in (p.ttft_s, p.tpot_s, p.single_stream_tpot_s, p.requests_per_s):
        assert 0 < band.low < band.mid < band.high


@given(lengths, st.integers(1, 128), st.integers(1, 1000), st.integers(1, 1000))
def test_more_bandwidth_is_never_slower(tokens: tuple[int, int], sequences: int, one: int, more: int) -> None:
    slow = predict(chip(one), Workload(*tokens), sequences=sequences, round_trip_s=0.0)
    fast = predict(chip(one + more), Workload(*tokens), sequences=sequences, round_trip_s=0.0)

    assert fast.tpot_s.mid <= slow.tpot_s.mid * (1 + 1e-9)
    assert fast.ttft_s.mid <= slow.ttft_s.mid * (1 + 1e-9)
    assert fast.requests_per_s.mid >= slow.requests_per_s.mid * (1 - 1e-9)


@given(lengths, st.integers(1, 4000))
def test_a_longer_context_is_slower_to_decode(tokens: tuple[int, int], longer: int) -> None:
    short, long = (
        predict(a_runner(), Workload(tokens[0] + more, tokens[1]), sequences=1, round_trip_s=0.0)
        for more in (0, longer)
    )

    assert long.tpot_s.mid > short.tpot_s.mid


def test_an_edge_engine_reads_a_prompt_whole_and_alone() -> None:
    box = a_profile("box")
    runner = Runner(a_runner().architecture, "int4", box, an_engine(), Parallelism(), 1)
    paced = pace(runner, 4)

    assert (paced.slots, paced.mixed) == (4, False)
    assert paced.prefill_s(20000) == clock(runner).step_s(0, 0, 20000, 10000)


def test_a_pace_is_of_the_whole_replica() -> None:
    one, two = pace(a_runner(), 4), pace(a_runner(cut=Parallelism(data=2)), 8)

    assert two.mixed
    assert two.step_s(8, 100) == pytest.approx(one.step_s(4, 100))
    assert two.mixed_step_s(8, 100, 64) == pytest.approx(one.mixed_step_s(4, 100, 32))
    assert one.prefill_s(1000, cached=900) < one.prefill_s(1000)
