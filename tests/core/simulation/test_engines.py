"""What engines do to requests in virtual time, reckoned by hand, and what holds for any trace."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import APace, one_replica

from orchestrator.core.simulation.request import Asked

EDGE = APace(slots=2)
VLLM = APace(slots=2, mixed=True)


@pytest.mark.parametrize(
    ("trace", "seen"),
    [
        pytest.param([Asked(0, 10, 3)], [(0, 0.1, 0.3)], id="a prompt, then a step for each further token"),
        pytest.param([Asked(0, 10, 1)], [(0, 0.1, 0.1)], id="one token comes with the prompt"),
        pytest.param([Asked(5, 25, 2)], [(5, 5.25, 5.35)], id="pieces of a prompt follow each other"),
        pytest.param(
            [Asked(0, 10, 11), Asked(0.15, 20, 2)],
            [(0, 0.1, 1.3), (0.2, 0.5, 0.6)],
            id="a seat is taken after a step, and pieces take turns with steps",
        ),
        pytest.param(
            [Asked(0, 10, 2), Asked(0, 10, 2), Asked(0, 10, 2)],
            [(0, 0.1, 0.2), (0.2, 0.3, 0.4), (0.4, 0.5, 0.6)],
            id="who ends in the step after another's first token leaves before the next is seated",
        ),
        pytest.param(
            [Asked(0, 10, 4), Asked(0, 20, 4), Asked(0, 10, 2)],
            [(0, 0.1, 0.6), (0.2, 0.5, 0.9), (0.6, 0.7, 0.8)],
            id="the third waits for a slot",
        ),
        pytest.param(
            [Asked(0, 10, 3), Asked(0.01, 40, 1)],
            [(0, 0.1, 0.4), (0.2, 0.7, 0.7)],
            id="somebody ends while a prompt is read",
        ),
    ],
)
def test_an_edge_engine_seats_first_token_and_end(trace: list[Asked], seen: list[tuple[float, float, float]]) -> None:
    assert one_replica(trace, EDGE) == seen


@pytest.mark.parametrize(
    ("trace", "seen"),
    [
        pytest.param([Asked(0, 10, 3)], [(0, 0.1, 0.3)], id="a prompt, then a step for each further token"),
        pytest.param(
            [Asked(0, 10, 2), Asked(0, 10, 2)],
            [(0, 0.1, 0.29), (0.1, 0.3, 0.4)],
            id="a step that decodes one has room for nine of ten prompt tokens",
        ),
        pytest.param(
            [Asked(0, 10, 4), Asked(0.15, 25, 2)],
            [(0, 0.1, 0.58), (0.2, 0.65, 0.75)],
            id="a long prompt rides with several steps",
        ),
        pytest.param(
            [Asked(0, 10, 3), Asked(0, 3, 2), Asked(0.01, 3, 2)],
            [(0, 0.1, 0.33), (0.1, 0.23, 0.33), (0.33, 0.36, 0.46)],
            id="the third waits for a slot",
        ),
    ],
)
def test_a_mixed_engine_seats_first_token_and_end(trace: list[Asked], seen: list[tuple[float, float, float]]) -> None:
    assert one_replica(trace, VLLM) == seen


def test_prompts_that_wait_together_are_read_in_one_step() -> None:
    trace = [Asked(0, 10, 2), Asked(0.01, 4, 2), Asked(0.02, 5, 2)]

    seen = one_replica(trace, APace(slots=3, mixed=True))

    assert seen == [(0, 0.1, 0.29), (0.1, 0.29, 0.39), (0.1, 0.29, 0.39)]


def test_who_finds_no_slot_and_no_place_to_wait_is_turned_away() -> None:
    trace = [Asked(0, 10, 50) for _ in range(4)]

    assert len(one_replica(trace, EDGE, queue=1)) == 3
    assert len(one_replica(trace, EDGE, queue=None)) == 4


requests = st.lists(
    st.builds(Asked, st.floats(0, 20), st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=40
).map(sorted)
paces = st.builds(
    APace, slots=st.integers(1, 4), mixed=st.booleans(), token_s=st.floats(1e-4, 0.1), step=st.floats(1e-3, 0.5)
)


@settings(max_examples=150, deadline=None)
@given(trace=requests, pace=paces, chunk=st.integers(5, 30))
def test_every_request_ends_once_in_order_of_its_stages_and_slots_are_never_exceeded(
    trace: list[Asked], pace: APace, chunk: int
) -> None:
    seen = one_replica(trace, pace, chunk=chunk, queue=None)

    assert len(seen) == len(trace)
    assert all(at.at_s - 1e-6 <= seat <= first <= end for at, (seat, first, end) in zip(trace, seen, strict=True))
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(seen))  # first come, first seated
    changes = sorted([(seat, 1) for seat, _, _ in seen] + [(end, -1) for _, _, end in seen])
    running = 0
    for _, change in changes:
        running += change
        assert running <= pace.slots


@settings(max_examples=100, deadline=None)
@given(trace=requests, pace=paces, chunk=st.integers(5, 30))
def test_no_answer_is_faster_than_alone(trace: list[Asked], pace: APace, chunk: int) -> None:
    for asked, (seat, first, end) in zip(trace, one_replica(trace, pace, chunk=chunk, queue=None), strict=True):
        assert first - seat >= pace.token_s * asked.input_tokens - 1e-5
        assert end - first >= pace.step * (asked.output_tokens - 1) - 1e-5


@pytest.mark.parametrize("mixed", [False, True])
def test_a_step_costs_what_the_sequences_in_it_hold(*, mixed: bool) -> None:
    pace = APace(slots=2, mixed=mixed, step=0.0, held_s=0.001)

    ((_, first, end),) = one_replica([Asked(0, 100, 201)], pace, chunk=100)

    held_s = sum(0.001 * (100 + step) for step in range(200))  # reckoned at once, from the middle of the stretch
    assert end - first == pytest.approx(held_s, rel=0.01)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_long_prompt_takes_what_it_takes_alone(*, mixed: bool) -> None:
    pace = APace(mixed=mixed, square_s=0.001)

    assert one_replica([Asked(0, 35, 2)], pace) == [(0, pytest.approx(0.35 + 1.225), pytest.approx(0.45 + 1.225))]
