"""A whole trace through gateway, replicas and teacher: who is asked, who is refused, and what is counted."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import APace, a_crew, a_scene, a_stage, limits, played

from orchestrator.core.simulation.escalation import escalated, shares
from orchestrator.core.simulation.pace import RankPace
from orchestrator.core.simulation.prefixes import BLOCK_TOKENS, Prefixes
from orchestrator.core.simulation.request import Asked
from orchestrator.core.simulation.run import play
from orchestrator.core.simulation.tally import Goal, Tally, distribution
from orchestrator.core.simulation.view import simulation_view

AT_ONCE = [Asked(0, 10, 2)] * 4


def student(*crews: object, **fields: object) -> Tally:
    return played(fields.pop("trace"), *crews, **fields).services[0].tiers["student"]  # type: ignore[arg-type]


def test_equal_replicas_take_turns() -> None:
    outcome = played(AT_ONCE, a_crew("a", "b"))

    assert {name: engine.busy_s for name, engine in outcome.services[0].engines.items()} == {
        "a": pytest.approx(0.4),
        "b": pytest.approx(0.4),
    }


@pytest.mark.parametrize(
    ("queue", "answered", "full"),
    [pytest.param(0, 2, 2, id="one slot each"), pytest.param(1, 4, 0, id="and one place to wait each")],
)
def test_a_request_that_all_replicas_refuse_is_refused(queue: int, answered: int, full: int) -> None:
    tally = student(a_crew("a", "b", pace=APace(slots=1), queue=queue), trace=AT_ONCE)

    assert (tally.asked, tally.answered, tally.full) == (4, answered, full)


def test_data_ranks_of_one_replica_read_and_decode_side_by_side() -> None:
    crew = a_crew("a", pace=RankPace(APace(slots=4, row_s=0.1), 2), ranks=2, queue=None)  # type: ignore[arg-type]

    tally = student(crew, trace=[Asked(0, 10, 2), Asked(0, 10, 2)])

    assert crew.engines == ("a/0", "a/1")
    assert crew.pace.slots == 2
    assert list(tally.ttft_s) == [pytest.approx(0.1)] * 2
    assert list(tally.tpot_s) == [pytest.approx(0.1 + 2 * 0.1)] * 2  # a step carries the sequences of both ranks


def test_a_full_replica_is_passed_over() -> None:
    small, large = a_crew("a", pace=APace(slots=1), queue=0), a_crew("b", pace=APace(slots=1), queue=2)

    assert student(small, large, trace=AT_ONCE).answered == 4


def test_the_way_to_the_site_and_back_takes_its_time() -> None:
    tally = student(a_crew(round_trip_s=0.5), trace=[Asked(0, 10, 3)])

    assert list(tally.ttft_s) == [pytest.approx(0.1 + 0.5)]
    assert list(tally.latency_s) == [pytest.approx(0.3 + 0.5)]
    assert list(tally.tpot_s) == [pytest.approx(0.1)]
    assert list(tally.queue_s) == [0]


def test_a_refusal_has_to_come_back_before_another_replica_is_asked() -> None:
    near, far = a_crew("a", pace=APace(slots=1), queue=0, round_trip_s=1.0), a_crew("b", pace=APace(slots=1), queue=9)

    tally = student(near, far, trace=[Asked(0, 10, 99), Asked(0, 10, 30), Asked(0.9, 10, 1)])

    # The third goes to `a`, which has the least outstanding: full at 1.4, known at 1.9, first token after b's first.
    assert tally.answered == 3


def test_what_is_longer_than_the_context_is_refused() -> None:
    tally = student(a_crew(limits=limits(context=12)), trace=[Asked(0, 10, 2), Asked(0, 10, 3)])

    assert (tally.answered, tally.too_long) == (1, 1)


def test_objectives_are_shares_of_all_that_asked() -> None:
    stages = {"student": a_stage(a_crew(pace=APace(slots=1), queue=1), goal=Goal(ttft_s=0.15, tpot_s=0.1000001))}

    tally = student(trace=[Asked(0, 10, 2), Asked(0, 10, 2), Asked(0, 10, 2)], stages=stages)

    assert (tally.asked, tally.answered, tally.met_ttft, tally.met_tpot, tally.met) == (3, 2, 1, 2, 1)


CASCADE = {
    "student": a_stage(a_crew("s", pace=APace(slots=4), queue=None)),
    "teacher": a_stage(a_crew("t", queue=None)),
}


def test_the_teacher_answers_after_the_student() -> None:
    outcome = played([Asked(0, 10, 3)], stages=CASCADE, share=1.0).services[0]

    assert outcome.escalated == 1
    assert list(outcome.tiers["teacher"].ttft_s) == [pytest.approx(0.1)]
    assert list(outcome.whole.ttft_s) == [pytest.approx(0.3 + 0.1)]
    assert list(outcome.whole.latency_s) == [pytest.approx(0.6)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 1 / 3, 0.7, 1.0])
def test_the_share_that_goes_to_the_teacher_is_exact_within_one_at_any_moment(share: float) -> None:
    picks, picked = escalated(share), 0
    following = next(picks, -1)
    for number in range(2000):
        if number == following:
            picked += 1
            following = next(picks)
        assert abs(picked - share * (number + 1)) <= 1 + 1e-9


def test_the_teacher_is_asked_as_often_as_planned() -> None:
    outcome = played([Asked(at / 2, 10, 2) for at in range(1001)], stages=CASCADE, share=0.25).services[0]

    assert abs(outcome.escalated - 1001 * 0.25) <= 1
    assert outcome.tiers["teacher"].answered == outcome.escalated
    assert outcome.whole.answered == 1001


def test_several_services_share_a_trace_by_their_weights() -> None:
    scenes = [
        a_scene(a_crew("a", queue=None), service="much", weight=3.0),
        a_scene(a_crew("b", queue=None), service="little"),
    ]

    outcome = play(scenes, [Asked(at, 10, 2) for at in range(4000)])

    much, little = (service.whole.asked for service in outcome.services)
    assert much + little == 4000
    assert much / 4000 == pytest.approx(0.75, abs=0.03)
    assert {shares((1.0, 0.0), number) for number in range(100)} == {0}


@pytest.mark.parametrize(
    ("room", "prompts", "known"),
    [
        pytest.param(0, [(1, 2), (1, 2)], [0, 0], id="no room"),
        pytest.param(9, [(1, 2), (1, 2, 3)], [0, 2], id="a beginning is known"),
        pytest.param(9, [(1, 2), (3, 2)], [0, 0], id="a block counts only after all before it"),
        pytest.param(2, [(1, 2), (3,), (1, 2)], [0, 0, 1], id="the end of the oldest goes first"),
        pytest.param(2, [(1,), (2,), (1,), (3,), (1,)], [0, 0, 1, 0, 1], id="what was used last stays"),
    ],
)
def test_prefixes_are_kept_by_last_use(room: int, prompts: list[tuple[int, ...]], known: list[int]) -> None:
    prefixes = Prefixes(room)

    seen = [prefixes.known_tokens(Asked(0, 4 * BLOCK_TOKENS, 1, blocks)) for blocks in prompts]

    assert seen == [blocks * BLOCK_TOKENS for blocks in known]


def test_the_last_token_of_a_prompt_is_always_read() -> None:
    prefixes = Prefixes(9)
    asked = Asked(0, BLOCK_TOKENS, 1, (1,))

    assert [prefixes.known_tokens(asked) for _ in range(2)] == [0, BLOCK_TOKENS - 1]


@pytest.mark.parametrize("shared", [False, True])
def test_replicas_find_what_others_read_only_when_they_share(*, shared: bool) -> None:
    crew = a_crew("a", "b", prefix_blocks=9, limits=limits(context=9999))

    tally = student(stages={"student": a_stage(crew, shared_prefixes=shared)}, trace=[Asked(0, 1024, 2, (1,))] * 2)

    assert tally.cached_tokens == (BLOCK_TOKENS if shared else 0)


def test_quantiles_are_times_that_were_seen() -> None:
    assert distribution(array("d", range(1, 101))) == {"mean": 50.5, "p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert distribution(array("d", [7])) == dict.fromkeys(("mean", "p50", "p95", "p99", "max"), 7)
    assert distribution(array("d")) is None


traces = st.lists(
    st.builds(Asked, st.floats(0, 30), st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=60
).map(sorted)
crews = st.builds(
    lambda mixed, slots, queue, rtt: a_crew(
        "a", "b", "c", pace=APace(slots=slots, mixed=mixed), queue=queue, round_trip_s=rtt
    ),
    st.booleans(),
    st.integers(1, 3),
    st.none() | st.integers(0, 4),
    st.sampled_from([0.0, 0.05]),
)


@settings(max_examples=100, deadline=None)
@given(trace=traces, crew=crews, share=st.floats(0, 1))
def test_every_request_and_token_is_accounted_for(trace: list[Asked], crew: object, share: float) -> None:
    """Promise 10: no request is lost without an answer or an error."""
    stages = {"student": a_stage(crew), "teacher": a_stage(a_crew("t", queue=None))}

    outcome = played(trace, stages=stages, share=share)

    service = outcome.services[0]
    front, teacher = service.tiers["student"], service.tiers["teacher"]
    assert front.asked == front.answered + front.refused == len(trace)
    assert teacher.asked == teacher.answered == service.escalated
    assert service.whole.answered == front.answered
    assert front.full or front.output_tokens == sum(asked.output_tokens for asked in trace)
    assert all(engine.held_tokens == 0 and not engine.waiting for engine in service.engines.values())


@settings(max_examples=50, deadline=None)
@given(trace=traces, crew=crews)
def test_the_same_trace_gives_the_same_outcome(trace: list[Asked], crew: object) -> None:
    """Promise 1: same inputs, same outcome."""
    one, two = (played(trace, crew).services[0].tiers["student"] for _ in range(2))

    assert one == two


@settings(max_examples=50, deadline=None)
@given(trace=traces)
def test_twice_the_replicas_make_no_request_wait_longer_in_the_mean(trace: list[Asked]) -> None:
    def mean_wait_s(*names: str) -> float:
        tally = student(
            a_crew(*names, pace=APace(slots=1), queue=None),
            trace=[at._replace(input_tokens=9, output_tokens=9) for at in trace],
        )
        return sum(tally.queue_s) / len(tally.queue_s)

    assert mean_wait_s("a", "b") <= mean_wait_s("a") + 1e-9


def test_a_replica_whose_ranks_all_work_is_busy_once() -> None:
    pace = RankPace(APace(slots=2), 2)
    crew = a_crew("a", pace=pace, ranks=2, queue=None)  # type: ignore[arg-type]

    view = simulation_view(play([a_scene(crew)], [Asked(0, 10, 3), Asked(0, 10, 3)]))

    (group,) = view["services"][0]["tiers"][0]["groups"]
    assert (group["slots"], group["busy"], group["running"]) == (2, 1, 2)
