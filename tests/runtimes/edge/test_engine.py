"""The engine over a decoder without weights: batching, leaving, failing, draining."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from edge_engines import an_ask, answer, run, running, until

from runtimes.edge.generation import Full, TooLong
from runtimes.edge.tokens import Vocabulary
from runtimes.errors import HeadwaterError, Invalid, Unavailable


def test_neighbours_that_come_and_go_change_nothing(decoder: Any, vocabulary: Vocabulary) -> None:
    texts = [f"prompt number {n} " + "x" * n for n in range(9)]

    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            alone = [
                await answer(engine.submit(an_ask(vocabulary, text, tokens=9 + n))) for n, text in enumerate(texts)
            ]
            leavers = [engine.submit(an_ask(vocabulary, f"leaver {n}", tokens=60)) for n in range(3)]
            await leavers[0].read()
            together = [engine.submit(an_ask(vocabulary, text, tokens=9 + n)) for n, text in enumerate(texts)]
            for leaver in leavers:
                leaver.cancel()

            assert await asyncio.gather(*map(answer, together)) == alone
            assert decoder.largest_batch == 3

    run(work())


def test_an_answer_ends_at_its_limit_or_at_the_context(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            assert len(await answer(engine.submit(an_ask(vocabulary, "ab", tokens=7)))) == 7
            assert len(await answer(engine.submit(an_ask(vocabulary, "ab", tokens=None)))) == 98

    run(work())


def test_a_stop_string_ends_the_answer_and_is_not_shown(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            whole = await answer(engine.submit(an_ask(vocabulary, "abc")))
            generation = engine.submit(an_ask(vocabulary, "abc", stops=(whole[5:8],)))

            assert await answer(generation) == whole[: whole.find(whole[5:8])]

    run(work())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_engine_thread_dies_nobody_waits_in_vain(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            decoder.gate.clear()
            asked = [engine.submit(an_ask(vocabulary, f"request {n}", tokens=90)) for n in range(5)]
            engine._batching.decode = None
            decoder.gate.set()

            for generation in asked:
                with pytest.raises(Unavailable, match="stopping"):
                    await answer(generation)
            assert engine.draining
            with pytest.raises(Unavailable):
                engine.submit(an_ask(vocabulary, "next"))

    run(work())


def test_one_that_leaves_frees_its_slot(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            decoder.gate.clear()
            held = [engine.submit(an_ask(vocabulary, "held", tokens=90)) for _ in range(3)]
            waiting = engine.submit(an_ask(vocabulary, "next", tokens=1))
            unwanted = engine.submit(an_ask(vocabulary, "unwanted"))
            held[1].cancel()
            unwanted.cancel()
            decoder.gate.set()

            assert len(await answer(waiting)) == 1
            held[0].cancel()
            held[2].cancel()
            await until(lambda: engine.running + engine.waiting == 0)

    run(work())


@pytest.mark.parametrize(
    ("prompt", "tokens", "sentence"),
    [
        pytest.param(
            "x" * 90, 11, "prompt has 90 tokens and the answer may take 11.* 100 tokens", id="too long with the answer"
        ),
        pytest.param("x" * 100, None, "prompt has 100 tokens and the answer may take 1;", id="no room at all"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(
    decoder: Any, vocabulary: Vocabulary, prompt: str, tokens: int | None, sentence: str
) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            with pytest.raises(TooLong, match=sentence):
                engine.submit(an_ask(vocabulary, prompt, tokens=tokens))

    run(work())


def test_an_empty_prompt_is_refused(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            with pytest.raises(Invalid, match="prompt is empty"):
                engine.submit(an_ask(vocabulary, ""))

    run(work())


def test_a_full_queue_turns_away_and_says_when_to_come_back(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary, queue=2) as engine:
            decoder.gate.clear()
            accepted = [engine.submit(an_ask(vocabulary, f"a{n}")) for n in range(5)]

            # Some of the five are still on their way to a slot; the sentence counts what the replica takes.
            with pytest.raises(Full, match="All 3 slots are busy and 2 more requests wait already") as caught:
                engine.submit(an_ask(vocabulary, "one more"))

            assert 1 <= caught.value.retry_in_s <= 60
            decoder.gate.set()
            assert all(await asyncio.gather(*map(answer, accepted)))

    run(work())


def test_a_fault_in_one_request_ends_that_one_alone(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            alone = await answer(engine.submit(an_ask(vocabulary, "good")))
            good = engine.submit(an_ask(vocabulary, "good"))
            bad = engine.submit(an_ask(vocabulary, "bad!"))

            assert await answer(good) == alone
            with pytest.raises(HeadwaterError, match="ValueError"):
                await answer(bad)

    run(work())


def test_a_failed_step_ends_those_in_it_and_the_engine_goes_on(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            decoder.gate.clear()
            caught = [engine.submit(an_ask(vocabulary, f"a{n}")) for n in range(2)]
            for generation in caught[:1]:
                await generation.read()
            decoder.failing = True
            decoder.gate.set()

            outcomes = await asyncio.gather(*map(answer, caught), return_exceptions=True)
            assert any(isinstance(outcome, Unavailable) for outcome in outcomes)
            assert len(await answer(engine.submit(an_ask(vocabulary, "next")))) == 20

    run(work())


def test_draining_finishes_what_was_accepted_and_takes_nothing_new(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            decoder.gate.clear()
            accepted = [engine.submit(an_ask(vocabulary, f"a{n}")) for n in range(5)]
            engine.drain()

            with pytest.raises(Unavailable, match="draining"):
                engine.submit(an_ask(vocabulary, "late"))
            decoder.gate.set()
            assert [len(text) for text in await asyncio.gather(*map(answer, accepted))] == [20] * 5
            await until(lambda: engine.running + engine.waiting == 0)

    run(work())


def test_stopping_tells_everyone(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            decoder.gate.clear()
            accepted = [engine.submit(an_ask(vocabulary, f"a{n}", tokens=90)) for n in range(5)]
            stopping = asyncio.get_running_loop().run_in_executor(None, engine.stop, 10.0)
            await until(lambda: engine.draining)
            decoder.gate.set()
            await stopping

            outcomes = await asyncio.gather(*map(answer, accepted), return_exceptions=True)
            assert all(isinstance(outcome, Unavailable) for outcome in outcomes)

    run(work())


def test_a_model_that_cannot_generate_is_never_ready(decoder: Any, vocabulary: Vocabulary) -> None:
    decoder.failing = True

    async def work() -> None:
        with pytest.raises(HeadwaterError, match="cannot generate"):
            async with running(decoder, vocabulary):
                pass

    run(work())


def test_an_idle_engine_still_moves(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            await until(lambda: engine.silent_s < 0.1)
            await until(lambda: engine.silent_s > 0.5)
            await until(lambda: engine.silent_s < 0.1)

    run(work())
