"""More than the engine can do: who waits, who is turned away, whose time is over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from edge_engines import an_ask, answer, run, running, until

from runtimes.edge.generation import Expired, Full
from runtimes.edge.tokens import Vocabulary


def test_the_more_important_takes_the_place_of_the_less_important(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary, queue=2) as engine:
            decoder.gate.clear()
            asked = [engine.submit(an_ask(vocabulary, f"a{n}", tokens=4)) for n in range(3)]
            asked += [
                engine.submit(replace(an_ask(vocabulary, f"b{n}", tokens=4), priority=priority))
                for n, priority in enumerate((1, 3))
            ]
            important = engine.submit(replace(an_ask(vocabulary, "c", tokens=4), priority=-1))
            with pytest.raises(Full):
                engine.submit(replace(an_ask(vocabulary, "d"), priority=1))
            decoder.gate.set()

            with pytest.raises(Full, match="2 more requests wait already"):
                await answer(asked.pop())
            assert [len(text) for text in await asyncio.gather(*map(answer, [*asked, important]))] == [4] * 5

    run(work())


def test_a_client_with_many_requests_does_not_keep_another_waiting(decoder: Any, vocabulary: Vocabulary) -> None:
    ends: list[str] = []

    async def work() -> None:
        async with running(decoder, vocabulary, queue=40) as engine:
            decoder.gate.clear()

            async def ask(client: str) -> None:
                await answer(engine.submit(replace(an_ask(vocabulary, "text", tokens=5), client=client)))
                ends.append(client)

            many = [asyncio.create_task(ask("many")) for _ in range(20)]
            await asyncio.sleep(0)
            few = asyncio.create_task(ask("few"))
            await asyncio.sleep(0)
            decoder.gate.set()
            await asyncio.gather(few, *many)

    run(work())
    assert ends.index("few") <= 6


def test_time_that_is_over_ends_a_request_that_waits_and_one_that_runs(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            decoder.gate.clear()
            runs = engine.submit(replace(an_ask(vocabulary, "runs", tokens=90), timeout_s=0.05))
            await until(lambda: engine.running == 1)
            held = [engine.submit(an_ask(vocabulary, f"a{n}", tokens=90)) for n in range(2)]
            engine._pace_s = 0.01  # so that it is taken in
            waits = engine.submit(replace(an_ask(vocabulary, "waits"), timeout_s=0.05))
            await until(lambda: waits.expired(engine._beat_s + engine.silent_s))
            decoder.gate.set()

            for late in (runs, waits):
                with pytest.raises(Expired, match="over"):
                    await answer(late)
            for generation in held:
                assert len(await answer(generation)) == 90

    run(work())


def test_what_would_wait_longer_than_its_time_is_turned_away_with_the_numbers(
    decoder: Any, vocabulary: Vocabulary
) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            engine._pace_s = 30.0
            decoder.gate.clear()
            held = [engine.submit(an_ask(vocabulary, f"a{n}", tokens=9)) for n in range(3)]
            with pytest.raises(Full, match=r"free in about 10\.0 s; the request gives 2 s"):
                engine.submit(replace(an_ask(vocabulary, "hurried"), timeout_s=2.0))
            patient = engine.submit(replace(an_ask(vocabulary, "patient", tokens=3), timeout_s=20.0))
            decoder.gate.set()
            assert [len(text) for text in await asyncio.gather(*map(answer, [*held, patient]))] == [9, 9, 9, 3]

    run(work())
