"""What a load makes of a prediction: how many run together, who waits, and how replicas share."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import a_catalog, a_profile, an_artifact

from orchestrator.core.performance.runner import Runner, Workload
from orchestrator.core.performance.serving import predict
from orchestrator.core.runners import runner_of
from orchestrator.core.verification.expected import Load, Way, expect
from orchestrator.core.world import Configuration, Parallelism, PoolId

WORK = Workload(64, 32)


def a_runner(profile: str = "npu") -> Runner:
    catalog = a_catalog(a_profile("fast", kind="npu", memory="64GiB", bandwidth={"value": "1TB/s", "status": "vendor"}))
    return runner_of(a_configuration(profile=profile), catalog, {})


def a_configuration(**fields: Any) -> Configuration:
    return Configuration(
        **{
            "model": "tiny",
            "quantization": "bf16",
            "engine": "vllm",
            "profile": "npu",
            "pool": PoolId("lab", 0),
            "parallelism": Parallelism(),
            "nodes": 1,
            "context_tokens": 256,
            "sequences": 8,
        }
        | fields
    )


def a_way(replicas: int = 1, slots: int = 8, **fields: Any) -> Way:
    return Way(**{"runner": a_runner(), "replicas": replicas, "slots": slots} | fields)


def test_the_runner_is_that_of_the_plan() -> None:
    runner = a_runner()

    assert (runner.quantization, runner.profile.metadata.name, runner.engine.metadata.name) == ("bf16", "npu", "vllm")
    assert runner.needs is None


def test_an_edge_runner_has_what_its_artifact_needs() -> None:
    artifact = an_artifact()
    edge = a_configuration(quantization="int4", engine="edge", profile="box")

    assert runner_of(edge, a_catalog(), {("tiny", "int4"): artifact}).needs == artifact.manifest.needs
    assert runner_of(edge, a_catalog(), {}).needs is None


def test_alone_is_what_is_predicted_for_one() -> None:
    alone, one = expect([a_way()], WORK, Load(at_once=1)), predict(a_runner(), WORK, sequences=1, round_trip_s=0)

    assert (alone.running, alone.ttft_s, alone.tpot_s) == (1, one.ttft_s, one.tpot_s)
    assert alone.output_per_s is not None
    assert alone.output_per_s.mid == pytest.approx(32 * one.requests_per_s.mid)
    assert alone.answer_s.mid == pytest.approx(one.ttft_s.mid + 31 * one.tpot_s.mid)


def test_a_trickle_is_as_good_as_alone() -> None:
    trickle, alone = (expect([a_way()], WORK, load) for load in (Load(rate_per_s=1e-6), Load(at_once=1)))

    assert trickle.running == pytest.approx(1, abs=1e-5)
    assert trickle.tpot_s.mid == pytest.approx(alone.tpot_s.mid, rel=1e-3)
    assert trickle.output_per_s is None
    assert trickle.carried


def test_open_loop_meets_itself_and_by_littles_law_the_others() -> None:
    way, most = a_way(), predict(a_runner(), WORK, sequences=8, round_trip_s=0).requests_per_s.mid
    rate = most / 3
    expected = expect([way], WORK, Load(rate_per_s=rate))

    assert 1 < expected.running < 8
    assert rate * 31 * expected.tpot_s.mid < expected.running - 1 <= rate * expected.answer_s.mid * 1.0001
    assert expected.tpot_s.mid >= expect([way], WORK, Load(at_once=1)).tpot_s.mid


def test_more_load_is_never_faster() -> None:
    way = a_way()
    rates = [expect([way], WORK, Load(rate_per_s=rate)) for rate in (1, 100, 200, 400, 800)]
    sizes = [expect([way], WORK, Load(at_once=count)) for count in (1, 2, 5, 8, 16, 64)]

    for series in (rates, sizes):
        assert [one.answer_s.mid for one in series] == sorted(one.answer_s.mid for one in series)
        assert [one.running for one in series] == sorted(one.running for one in series)
        assert all(one.running <= 8 for one in series)


def test_a_load_beyond_what_is_carried_is_known() -> None:
    most = predict(a_runner(), WORK, sequences=8, round_trip_s=0).requests_per_s.mid

    assert expect([a_way()], WORK, Load(rate_per_s=0.9 * most)).carried
    assert not expect([a_way()], WORK, Load(rate_per_s=1.1 * most)).carried
    assert expect([a_way(replicas=2)], WORK, Load(rate_per_s=1.1 * most)).carried


def test_more_at_once_than_run_wait_for_those_before() -> None:
    full, double = (expect([a_way()], WORK, Load(at_once=count)) for count in (8, 16))

    assert double.tpot_s == full.tpot_s
    assert double.output_per_s == full.output_per_s
    assert full.answer_s.mid < double.ttft_s.mid < full.answer_s.mid + full.ttft_s.mid


def test_replicas_share_a_load() -> None:
    two, one = expect([a_way(replicas=2)], WORK, Load(at_once=8)), expect([a_way()], WORK, Load(at_once=4))

    assert (two.running, two.tpot_s, two.ttft_s) == (4, one.tpot_s, one.ttft_s)
    assert two.output_per_s is not None
    assert one.output_per_s is not None
    assert two.output_per_s.mid == pytest.approx(2 * one.output_per_s.mid)


def test_replicas_that_are_not_alike_share_by_what_they_carry() -> None:
    slow, fast = a_way(), a_way(runner=a_runner("fast"))
    both = expect([slow, fast], WORK, Load(rate_per_s=1e-6))
    each = [expect([way], WORK, Load(rate_per_s=1e-6)).tpot_s.mid for way in (slow, fast)]

    assert min(each) < both.tpot_s.mid < sum(each) / 2


def test_the_way_to_the_replica_is_part_of_the_first_token() -> None:
    near, far = (expect([a_way(round_trip_s=rtt)], WORK, Load(at_once=1)) for rtt in (0.0, 0.05))

    assert far.ttft_s.low == pytest.approx(near.ttft_s.low + 0.05)


def test_a_replica_whose_prompts_others_read_is_as_it_was_predicted_whatever_runs() -> None:
    whole = predict(a_runner(), WORK, sequences=8, round_trip_s=0)
    few, many = (expect([a_way(whole=whole)], WORK, Load(at_once=count)) for count in (2, 8))

    assert few.ttft_s == many.ttft_s == whole.ttft_s
    assert few.tpot_s == many.tpot_s == whole.tpot_s
