"""The roofline: one computed by hand, and what must hold for any numbers."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import a_profile, a_speed, an_architecture, an_efficiency, an_engine

from orchestrator.api.architecture import Architecture
from orchestrator.api.quantization import Quantization
from orchestrator.core.performance.arithmetic import compute_fact
from orchestrator.core.performance.runner import Band, Prediction, Runner, Workload
from orchestrator.core.performance.step import attention_operations, predict
from orchestrator.core.world import Parallelism

BIG = {"hidden_size": 1024, "intermediate_size": 4096, "layers": 16, "heads": 16, "kv_heads": 8, "head_dim": 64}
LINK = {"node_link": {"name": "mesh", "bandwidth": {"value": "400GB/s", "status": "vendor"}, "group": 8}}


def a_runner(*, bandwidth: str = "100GB/s", tensor: int = 1) -> Runner:
    fact = {"value": bandwidth, "status": "vendor"}
    chip = a_profile("npu", kind="npu", bandwidth=fact, **LINK)
    return Runner(an_architecture(**BIG), "bf16", chip, an_engine("vllm"), Parallelism(tensor=tensor), 1)


def the(runner: Runner, *, tokens: tuple[int, int] = (100, 50), sequences: int = 1) -> Prediction:
    return predict(runner, Workload(*tokens), sequences=sequences, round_trip_s=0.0)


def test_a_decode_step_is_what_the_hand_computes() -> None:
    """Weights of 141,056 numbers and a cache of 24 tokens x 128 numbers, at 100 GB/s x 0.5, and 1 ms overhead."""
    exact = an_engine("vllm", speed=a_speed(an_efficiency(0.5, 0.5, 0.5), an_efficiency(1, 1, 1)))
    runner = Runner(an_architecture(), "bf16", a_profile("npu", kind="npu"), exact, Parallelism(), 1)
    per_layer = 64 * (4 + 2 * 2) * 16 + 4 * 16 * 64 + 3 * 64 * 128 + 2 * 64
    read = (2 * per_layer + 64 + 1000 * 64) * 2
    cache = (16 + 16 / 2) * 2 * 2 * 2 * 16 * 2
    step_s = (read + cache) / (100e9 * 0.5) + 1e-3

    band = predict(runner, Workload(16, 16), sequences=1, round_trip_s=0.25).tpot_s

    assert band == Band(*[pytest.approx(step_s, rel=1e-12)] * 3)


def test_a_step_of_many_sequences_is_limited_by_arithmetic() -> None:
    """Two operations per active number and sequence, at 1 GFLOPS x 0.5; the reading hides behind them."""
    peaks = {"bf16": {"value": "1GFLOPS", "status": "vendor"}}
    exact = an_engine("vllm", speed=a_speed(compute=an_efficiency(0.5, 0.5, 0.5)))
    runner = Runner(an_architecture(), "bf16", a_profile("npu", kind="npu", peaks=peaks), exact, Parallelism(), 1)
    active = 2 * (64 * (4 + 2 * 2) * 16 + 4 * 16 * 64 + 3 * 64 * 128 + 2 * 64) + 64 + 1000 * 64

    band = predict(runner, Workload(16, 16), sequences=8, round_trip_s=0.0).tpot_s

    assert band.mid == pytest.approx(2 * active * 8 / (1e9 * 0.5) + 1e-3, rel=1e-12)


@pytest.mark.parametrize("tied", [False, True], ids=["a head of its own", "a head tied to the embedding"])
def test_a_prompt_works_through_the_body_for_each_token_and_the_head_once(*, tied: bool) -> None:
    peaks = {"bf16": {"value": "1GFLOPS", "status": "vendor"}}
    exact = an_engine("vllm", speed=a_speed(compute=an_efficiency(0.5, 0.5, 0.5)))
    chip = a_profile("npu", kind="npu", peaks=peaks)
    runner = Runner(an_architecture(tied_embeddings=tied), "bf16", chip, exact, Parallelism(), 1)
    body = 2 * (64 * (4 + 2 * 2) * 16 + 4 * 16 * 64 + 3 * 64 * 128 + 2 * 64) + 64
    attention = 2 * 2 * 4 * (2 * 16) * 100 * 50
    operations = 2 * body * 100 + attention + 2 * 1000 * 64

    band = predict(runner, Workload(100, 16), sequences=1, round_trip_s=0.0).ttft_s

    assert band.mid == pytest.approx(operations / (1e9 * 0.5) + 1e-3, rel=1e-12)


def test_the_network_is_part_of_the_first_token_only() -> None:
    near = predict(a_runner(), Workload(100, 50), sequences=1, round_trip_s=0.0)

    far = predict(a_runner(), Workload(100, 50), sequences=1, round_trip_s=0.25)

    waits = Band(*(value + 0.25 for value in dataclasses.astuple(near.ttft_s)))
    assert far == dataclasses.replace(near, ttft_s=waits)


lengths = st.tuples(st.integers(1, 4000), st.integers(1, 2000))


@given(lengths, st.integers(1, 128), st.sampled_from([1, 2, 4, 8]))
def test_every_prediction_is_a_band_in_order(tokens: tuple[int, int], sequences: int, tensor: int) -> None:
    """Promise 4, of the formula: low, middle and high never cross."""
    prediction = the(a_runner(tensor=tensor), tokens=tokens, sequences=sequences)

    for band in (prediction.ttft_s, prediction.tpot_s, prediction.single_stream_tpot_s, prediction.requests_per_s):
        assert 0 < band.low <= band.mid <= band.high


@given(lengths, st.integers(1, 128), st.integers(1, 1000), st.integers(1, 1000))
def test_more_bandwidth_is_never_slower(tokens: tuple[int, int], sequences: int, one: int, more: int) -> None:
    slow = the(a_runner(bandwidth=f"{one}GB/s"), tokens=tokens, sequences=sequences)
    fast = the(a_runner(bandwidth=f"{one + more}GB/s"), tokens=tokens, sequences=sequences)

    assert fast.tpot_s.mid <= slow.tpot_s.mid
    assert fast.ttft_s.mid <= slow.ttft_s.mid
    assert fast.requests_per_s.mid >= slow.requests_per_s.mid


@given(lengths, st.integers(1, 15))
def test_while_reading_is_the_limit_more_sequences_never_carry_less(tokens: tuple[int, int], sequences: int) -> None:
    few = the(a_runner(), tokens=tokens, sequences=sequences)
    more = the(a_runner(), tokens=tokens, sequences=sequences + 1)

    assert more.requests_per_s.mid >= few.requests_per_s.mid
    assert more.tpot_s.mid >= few.tpot_s.mid


@given(lengths, st.integers(1, 4000))
def test_a_longer_context_is_slower_to_decode(tokens: tuple[int, int], longer: int) -> None:
    short = the(a_runner(), tokens=tokens)
    long = the(a_runner(), tokens=(tokens[0] + longer, tokens[1]))

    assert long.tpot_s.mid > short.tpot_s.mid


@pytest.mark.parametrize("tensor", [2, 4, 8])
def test_a_cut_over_chips_shortens_reading(tensor: int) -> None:
    whole, cut = the(a_runner()).tpot_s.mid, the(a_runner(tensor=tensor)).tpot_s.mid

    assert whole / tensor < cut < whole


MIXTURE = {"experts": {"routed": 8, "per_token": 2, "intermediate_size": 32}}
FAST = {"bandwidth": {"value": "400GB/s", "status": "vendor"}, "latency": {"value": "10us", "status": "vendor"}}


@pytest.mark.parametrize("expert", [True, False], ids=["experts over all chips", "experts once for each data rank"])
def test_a_step_over_two_nodes_is_what_the_hand_computes(*, expert: bool) -> None:
    """TP2 DP2, 8 sequences, so 4 on a rank: reading at 100 GB/s x 0.5, then the links at 400 GB/s x 0.7."""
    links = {"node_link": {"name": "mesh", "group": 8} | FAST, "network": {"name": "roce"} | FAST}
    half = an_efficiency(0.5, 0.5, 0.5)
    exact = an_engine("vllm", speed=a_speed(half, half))
    cut = Parallelism(tensor=2, data=2, expert=expert)
    runner = Runner(an_architecture(**MIXTURE), "bf16", a_profile("npu", kind="npu", **links), exact, cut, 2)
    dense = 2 * (64 * (4 + 2 * 2) * 16 + 4 * 16 * 64 + 2 * 64 + 8 * 64) + 64 + 1000 * 64
    touched = 2 * 8 * (1 - (1 - 2 / 8) ** (8 if expert else 4)) * 3 * 64 * 32
    read = (dense / 2 + touched / (4 if expert else 2)) * 2
    cache = 4 * (16 + 16 / 2) * 2 * 2 * 2 * 16 * 2 / 2
    reduced = 2 * 2 * (10e-6 + 2 * 1 / 2 * 4 * 64 * 2 / (400e9 * 0.7))
    sent = 2 * (2 * 10e-6 + 4 / 2 * 2 * 64 * 3 / 2 / (400e9 * 0.7)) if expert else 0
    step_s = (read + cache) / (100e9 * 0.5) + reduced + sent + 1e-3

    predicted = predict(runner, Workload(16, 16), sequences=8, round_trip_s=0.0)

    assert predicted.tpot_s.mid == pytest.approx(step_s, rel=1e-12)
    assert 1 / predicted.requests_per_s.mid == pytest.approx(predicted.ttft_s.mid / 2 + 16 * step_s / 8, rel=1e-12)


@pytest.mark.parametrize(
    ("layer", "pairs"),
    [
        pytest.param({"window": 10}, 2 * 32 * 10, id="a window"),
        pytest.param({"window": 10, "tokens_per_entry": 4}, 2 * 32 * (10 + 500 / 4), id="and entries"),
        pytest.param(
            {"window": 10, "tokens_per_entry": 4, "indexer": {"heads": 1, "head_dim": 8, "top_tokens": 20}},
            2 * 32 * (10 + 20), id="and the entries that an index picks",
        ),
    ],
)  # fmt: skip
def test_compressed_attention_reads_over_a_prompt(layer: dict[str, object], pairs: float) -> None:
    ranks = {"q_lora_rank": 16, "o_lora_rank": 16, "o_groups": 2}
    group = {"count": 3, "compressed": {"heads": 8, "head_dim": 32} | ranks | layer, "dense": {"intermediate_size": 8}}

    a = Architecture.model_validate({"hidden_size": 64, "vocabulary": 100, "layers": [group]})

    assert attention_operations(a, 1000) == 3 * 2 * 8 * 1000 * pairs


@pytest.mark.parametrize(
    ("quantization", "peaks", "dtype"),
    [
        pytest.param("w4a4", ("int8", "int4"), "int4", id="the narrowest that does"),
        pytest.param("w4a4", ("bf16", "int8"), "int8", id="the next wider"),
        pytest.param("w4a16", ("int8", "bf16"), "bf16", id="small weights alone"),
        pytest.param("w4a16", ("fp16",), "fp16", id="without bf16"),
        pytest.param("fp8", ("bf16", "int8"), None, id="no path"),
    ],
)
def test_arithmetic(quantization: Quantization, peaks: tuple[str, ...], dtype: str | None) -> None:
    facts = {one: {"value": "1TFLOPS", "status": "vendor"} for one in peaks}

    found = compute_fact(a_profile("npu", kind="npu", peaks=facts), quantization)

    assert (found and found[0]) == dtype
