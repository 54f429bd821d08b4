"""Requests go out by their schedule whatever the server does, and what was measured is never lost."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import islice, repeat
from typing import Any

import pytest
from openai_server import Behaviour, Door, answers, refuses, serving

from orchestrator.adapters.load_test import drive as module
from orchestrator.adapters.load_test.client import Endpoint, Request
from orchestrator.adapters.load_test.drive import Driven, arrivals, drive
from orchestrator.core.verification.measured import Fault, measure


def at(*times_s: float) -> list[Request]:
    return [Request(at_s, "hello", 2) for at_s in times_s]


def one_by_one(each_s: float) -> Behaviour:
    """A server that has room for one request at a time."""
    room = asyncio.Semaphore(1)

    async def answer(door: Door, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        async with room:
            await answers(first_s=each_s)(door, body, writer)

    return answer


def test_open_loop_sends_on_time_while_the_server_stalls_and_counts_the_wait() -> None:
    with serving(one_by_one(0.3)) as door:
        samples = drive(Endpoint(door.url, "m"), at(0, 0.01, 0.02, 0.03)).samples

    assert [one.due_s for one in samples] == [0, 0.01, 0.02, 0.03]
    assert all(one.sent_s >= one.due_s for one in samples)
    assert samples[-1].sent_s < 0.3, "it waited for an answer"
    assert samples[-1].ttft_s >= 4 * 0.3 - 0.03


def test_a_client_without_room_says_that_it_was_late_and_counts_from_the_schedule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_OPEN", 1)
    with serving(answers(first_s=0.2)) as door:
        driven = drive(Endpoint(door.url, "m"), at(0, 0, 0))
    measured = measure(driven.samples, driven.drift_s)

    assert driven.samples[-1].sent_s >= 0.4
    assert driven.samples[-1].ttft_s >= 0.6
    assert measured.lag_p99_s >= 0.3
    assert measured.late


def test_closed_loop_has_so_many_open_and_no_more() -> None:
    with serving(answers(first_s=0.05)) as door:
        samples = drive(Endpoint(door.url, "m"), at(*[9.0] * 12), at_once=4).samples

    assert len(samples) == 12
    assert door.most_open == 4
    assert all(one.due_s == one.sent_s or one.sent_s - one.due_s < 0.1 for one in samples)


@pytest.mark.parametrize("at_once", [None, 2])
def test_no_request_is_sent_after_the_time_and_all_are_answered(at_once: int | None) -> None:
    endless = (Request(0.02 * number, "hello", 2) for number in range(10**9))
    with serving(answers(first_s=0.1)) as door:
        samples = drive(Endpoint(door.url, "m"), endless, at_once=at_once, for_s=0.5).samples

    assert samples
    assert max(one.due_s for one in samples) < 0.5
    assert all(one.fault is None for one in samples)
    assert len(samples) == len(door.bodies)


def test_a_closed_loop_sends_the_least_even_if_it_takes_longer_unless_one_fails() -> None:
    asking = repeat(Request(0, "hello", 2))
    with serving(answers(first_s=0.05)) as door:
        samples = drive(Endpoint(door.url, "m"), asking, at_once=2, for_s=0.01, least=7).samples
    with serving(refuses(429, "full")) as door:
        refused = drive(Endpoint(door.url, "m"), asking, at_once=2, for_s=0.01, least=7).samples

    assert len(samples) in (7, 8)
    assert len(refused) == 2


def test_a_closed_loop_does_not_flood_a_server_that_refuses() -> None:
    with serving(refuses(429, "full")) as door:
        samples = drive(Endpoint(door.url, "m"), repeat(Request(0, "hello", 2)), at_once=2, for_s=0.5).samples

    assert {one.fault for one in samples} == {Fault.REFUSED}
    assert len(door.bodies) <= 10


def test_ctrl_c_keeps_what_was_measured() -> None:
    def stop_later(driven: Driven) -> Iterator[Request]:
        yield from at(0, 0, 0)
        threading.Thread(target=interrupt, args=(driven,)).start()
        yield from at(*[1e6] * 2)

    def interrupt(driven: Driven) -> None:
        until_s = time.monotonic() + 20
        while len(driven.samples) < 3 and time.monotonic() < until_s:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    seen: list[Driven] = []
    original = module.Driven

    def remembered() -> Driven:
        seen.append(original())
        return seen[-1]

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with serving(answers()) as door, pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "Driven", remembered)
            driven = drive(Endpoint(door.url, "m"), (one for _ in [0] for one in stop_later(seen[0])))
    finally:
        signal.signal(signal.SIGINT, before)

    assert driven.interrupted
    assert [one.fault for one in driven.samples] == [None] * 3


def test_progress_is_shown_while_nothing_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.005)
    shown: list[int] = []
    with serving(answers(first_s=0.5)) as door:
        drive(Endpoint(door.url, "m"), at(0), seen=lambda driven, _: shown.append(driven.open))

    assert 1 in shown


def test_arrivals_come_at_their_rate_and_the_same_each_time() -> None:
    times_s = list(islice(arrivals(4.0, seed=7), 4000))

    assert times_s[0] == 0
    assert times_s == sorted(times_s)
    assert times_s[-1] == pytest.approx(1000, rel=0.05)
    assert times_s == list(islice(arrivals(4.0, seed=7), 4000))
    assert times_s != list(islice(arrivals(4.0, seed=8), 4000))
