"""Who is next: the more important, then whose client had least, then who came first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.edge.generation import Ask, Generation
from runtimes.edge.queueing import Waiting


def asks(client: str = "", *, priority: int = 0, tokens: int = 10) -> Generation:
    return Generation(Ask((1,) * tokens, 10, priority=priority, client=client), 10, asked_s=0.0)


def served(waiting: Waiting, *, tokens: int = 10) -> Generation:
    """The next one, served in full."""
    generation = waiting.take()
    assert generation is not None
    waiting.read(generation, len(generation.ask.prompt))
    for _ in range(tokens):
        waiting.generated(generation)
    waiting.left(generation)
    return generation


def test_one_client_is_served_in_order_of_arrival() -> None:
    waiting, asked = Waiting(), [asks() for _ in range(4)]
    for generation in asked:
        waiting.add(generation)

    assert [served(waiting) for _ in asked] == asked
    assert waiting.take() is None


def test_a_client_with_many_requests_does_not_delay_one_with_few() -> None:
    waiting, many, few = Waiting(), [asks("many") for _ in range(6)], [asks("few") for _ in range(2)]
    for generation in [*many, *few]:
        waiting.add(generation)

    assert [served(waiting).ask.client for _ in range(5)] == ["many", "few", "many", "few", "many"]


def test_long_answers_count_more_than_short_ones() -> None:
    waiting = Waiting()
    for _ in range(6):
        waiting.add(asks("long"))
        waiting.add(asks("short"))

    order = []
    for _ in range(8):
        generation = waiting.take()
        assert generation is not None
        for _ in range(30 if generation.ask.client == "long" else 10):
            waiting.generated(generation)
        order.append(generation.ask.client)

    assert order.count("short") == 6


def test_who_comes_back_has_saved_up_nothing() -> None:
    waiting = Waiting()
    waiting.add(asks("rare"))
    served(waiting)
    for _ in range(5):
        waiting.add(asks("steady"))
    for _ in range(3):
        served(waiting)
    for _ in range(3):
        waiting.add(asks("rare"))

    assert [served(waiting).ask.client for _ in range(4)] == ["steady", "rare", "steady", "rare"]


def test_the_important_go_first_whatever_their_client_had() -> None:
    waiting = Waiting()
    for priority in (5, 0, -3, 0):
        waiting.add(asks("one" if priority else "other", priority=priority))

    assert [served(waiting).ask.priority for _ in range(4)] == [-3, 0, 0, 5]


def test_the_newest_of_the_least_important_would_be_given_up_first() -> None:
    waiting, older, newer = Waiting(), asks(priority=2), asks(priority=2)
    for generation in (asks(), older, newer, asks(priority=1)):
        waiting.add(generation)

    assert waiting.least() is newer
    assert waiting.drop(lambda waits: waits is newer) == [newer]
    assert waiting.least() is older


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 1), st.booleans()), max_size=30))
def test_nothing_is_kept_of_clients_that_have_nothing_here(steps: list[tuple[str, int, bool]]) -> None:
    waiting, running = Waiting(), []
    for client, priority, taken in steps:
        waiting.add(asks(client, priority=priority))
        if taken and (generation := waiting.take()) is not None:
            running.append(generation)
    for generation in running:
        waiting.left(generation)
    waiting.drop(lambda _: True)

    assert (len(waiting), waiting._had, +waiting._here) == (0, {}, {})


@pytest.mark.parametrize("clients", [1, 3])
def test_shares_stay_within_one_request_of_each_other(clients: int) -> None:
    waiting = Waiting()
    for number in range(clients):
        for _ in range(30):
            waiting.add(asks(str(number), tokens=5 + number))
    had = [0] * clients
    for _ in range(20 * clients):
        generation = served(waiting, tokens=4)
        had[int(generation.ask.client)] += len(generation.ask.prompt) + 8

    assert max(had) - min(had) <= 5 + clients + 8
