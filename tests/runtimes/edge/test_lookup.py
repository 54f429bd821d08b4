"""Guesses from what was there before: they make an answer come sooner and never another one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from edge_engines import an_ask, answer, run, running
from hypothesis import given
from hypothesis import strategies as st

from runtimes.edge.lookup import GUESS_TOKENS, PAUSE_TOKENS, Lookup
from runtimes.edge.sampler import Sampling
from runtimes.edge.tokens import Vocabulary


def test_what_followed_the_same_run_is_guessed() -> None:
    assert Lookup([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3]).guess(10) == [4, 5, 6, 7]
    assert Lookup([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3]).guess(2) == [4, 5]
    assert Lookup([1, 2, 3, 9, 9, 1, 2, 3, 8, 8, 1, 2, 3]).guess(1) == [8]  # the latest counts


@pytest.mark.parametrize("prompt", [[], [1, 2], [1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 2, 3]])
def test_nothing_is_guessed_where_nothing_like_it_was_there(prompt: list[int]) -> None:
    assert Lookup(prompt).guess(10) == []


def test_guesses_that_do_not_pay_pause() -> None:
    known = Lookup([1, 2, 3, 4, 1, 2, 3])
    for _ in range(4):
        assert known.guess(4)
        known.checked(right=0, cost_steps=2.0)
    assert known.guess(4) == []
    for token in [7] * (PAUSE_TOKENS - 7) + [1, 2, 3, 4, 1, 2, 3]:
        known.push(token)

    assert known.guess(4)


def test_guesses_that_pay_go_on() -> None:
    known = Lookup([1, 2, 3, 4, 1, 2, 3])
    for _ in range(100):
        known.checked(right=2, cost_steps=2.0)

    assert known.guess(4)


@given(st.lists(st.integers(0, 3), max_size=80), st.integers(0, 9))
def test_a_guess_is_what_followed_the_present_run_somewhere(tokens: list[int], most: int) -> None:
    guess = Lookup(tokens).guess(most)

    assert len(guess) <= min(most, GUESS_TOKENS)
    if guess:
        told = [*tokens[-3:], *guess]
        assert any(tokens[at : at + len(told)] == told for at in range(len(tokens)))


def circling(decoder: Any, letters: int) -> Any:
    """A decoder that says the alphabet's first letters again and again, mostly."""
    said = decoder._letters[:letters]

    def scores(row: int) -> np.ndarray:
        found = np.zeros(257, np.float32)
        held = decoder.rows[row]
        found[said[(said.index(held[-1]) + 1) % letters] if held[-1] in said else said[0]] = 12.0
        found[said[sum(held) % letters]] += 3.0
        return found

    decoder._scores = scores
    return decoder


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(temperature=1.0, seed=5)])
def test_answers_with_guesses_are_those_without(decoder: Any, vocabulary: Vocabulary, sampling: Sampling) -> None:
    async def work() -> None:
        told = []
        for guessing in (True, False):
            async with running(circling(decoder, 5), vocabulary) as engine:
                assert engine._batching._alike
                engine._batching._alike = guessing
                decoder.checks = 0
                ask = an_ask(vocabulary, "abc", tokens=90)
                told.append(await answer(engine.submit(type(ask)(ask.prompt, 90, sampling))))
                assert bool(decoder.checks) == guessing

        assert told[0] == told[1]
        assert len(told[0]) > 40

    run(work())


def test_guesses_stop_at_the_limit_and_at_the_end_of_the_context(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(circling(decoder, 5), vocabulary) as engine:
            for tokens in range(40, 50):
                assert len(await answer(engine.submit(an_ask(vocabulary, "abcde", tokens=tokens)))) == tokens
            assert len(await answer(engine.submit(an_ask(vocabulary, "abcde", tokens=None)))) == 95

    run(work())


def test_the_next_turn_of_a_conversation_finds_the_answer_in_the_caches(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work() -> None:
        async with running(decoder, vocabulary) as engine:
            said = await answer(engine.submit(an_ask(vocabulary, "question one. ", tokens=30)))
            following = engine.submit(an_ask(vocabulary, "question one. " + said + " question two.", tokens=3))
            await answer(following)

            assert following.reused_tokens == 40  # whole pieces of the 43 tokens that the row held

    run(work())
