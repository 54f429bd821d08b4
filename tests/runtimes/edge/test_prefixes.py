"""Beginnings of prompts that were seen before are copied, and never change an answer."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from edge_engines import an_ask, answer, run, running

from runtimes.edge.prefixes import Prefixes
from runtimes.edge.scheduler import Move
from runtimes.edge.tokens import Vocabulary
from runtimes.errors import HeadwaterError

A, B, C = tuple(range(10, 18)), tuple(range(20, 28)), tuple(range(30, 38))  # two pieces of four tokens each


def read(prefixes: Prefixes, row: int, prompt: tuple[int, ...]) -> tuple[int, list[Move]]:
    reused, moves = prefixes.seat(row, prompt)
    prefixes.read(row, prompt, len(prompt))
    return reused, moves


def test_a_prompt_seen_before_leaves_at_least_two_tokens_to_read() -> None:
    prefixes = Prefixes(rows=2, piece_tokens=4)

    first, again, longer = (read(prefixes, 0, prompt) for prompt in (A, (*A, 1), (*A, 1, 2)))

    assert (first, again, longer) == ((0, []), (4, []), (8, []))


def test_a_beginning_is_copied_from_the_row_that_has_it() -> None:
    prefixes = Prefixes(rows=3, piece_tokens=4)
    read(prefixes, 0, (*A, *B))

    assert read(prefixes, 1, (*A, *C)) == (8, [Move(0, 1, 8)])


def test_what_a_row_would_lose_is_kept_in_a_free_one_that_is_missed_least() -> None:
    prefixes = Prefixes(rows=3, piece_tokens=4)
    read(prefixes, 0, A)

    assert read(prefixes, 0, B) == (0, [Move(0, 1, 8)])
    assert read(prefixes, 0, C) == (0, [Move(0, 2, 8)])
    assert read(prefixes, 0, A) == (4, [Move(0, 2, 8), Move(1, 0, 4)])


def test_a_row_in_which_something_else_is_read_no_longer_has_what_it_had() -> None:
    prefixes = Prefixes(rows=1, piece_tokens=4)
    read(prefixes, 0, A)
    prefixes.seat(0, B)  # and its reading fails

    assert read(prefixes, 0, A) == (0, [])


def test_a_request_that_takes_another_row_takes_its_prompt_along() -> None:
    prefixes = Prefixes(rows=2, piece_tokens=4)
    read(prefixes, 1, A)
    prefixes.moved(Move(1, 0, 11))

    assert prefixes.held == [A, A]


def test_only_what_is_new_is_read(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            before = decoder.read_tokens
            first = engine.submit(an_ask(vocabulary, "a long beginning, then one", tokens=3))
            await answer(first)
            second = engine.submit(an_ask(vocabulary, "a long beginning, then two", tokens=3))
            await answer(second)

            assert (first.reused_tokens, second.reused_tokens) == (0, 20)
            assert decoder.read_tokens - before == 26 + 6

    run(work())


@pytest.mark.parametrize("seed", range(12))
def test_whatever_was_asked_before_and_beside_an_answer_is_that_of_the_request_alone(
    seed: int, decoder: Any, vocabulary: Vocabulary
) -> None:
    rng = random.Random(seed)
    beginnings = ["", "you are a bot. ", "you are a bot. be brief. ", "another system prompt, a longer one. "]
    texts = [rng.choice(beginnings) + rng.choice("xyz") * rng.randint(1, 12) for _ in range(24)]

    async def work() -> None:
        fresh = type(decoder)
        alone = []
        for text in texts:
            async with running(fresh(vocabulary, 1), vocabulary) as engine:
                alone.append(await answer(engine.submit(an_ask(vocabulary, text, tokens=6))))
        async with running(decoder, vocabulary, queue=40) as engine:
            asked = []
            for text in texts:
                generation = engine.submit(an_ask(vocabulary, text, tokens=6))
                match rng.random():
                    case chance if chance < 0.2:
                        leaver = engine.submit(an_ask(vocabulary, text + "?", tokens=30))
                        await asyncio.sleep(rng.random() / 500)
                        leaver.cancel()
                    case chance if chance < 0.3:
                        with pytest.raises(HeadwaterError, match="could not continue"):
                            await answer(engine.submit(an_ask(vocabulary, text + "!", tokens=3)))
                    case chance if chance < 0.6:
                        await asyncio.sleep(rng.random() / 500)
                asked.append(generation)

            assert await asyncio.gather(*map(answer, asked)) == alone

    run(work())
