"""Prompts have the length that was wanted, by the server's own count, and no two begin alike unless they are to."""

from __future__ import annotations

import asyncio
import statistics
from itertools import repeat
from typing import Any

import pytest
from openai_server import Behaviour, Door, answers, refuses, says, serving

from orchestrator.adapters.load_test.client import Endpoint
from orchestrator.adapters.load_test.drive import drive
from orchestrator.adapters.load_test.prompts import GUESS, Language, Prompts, Wanted, warm_up
from runtimes.errors import HeadwaterError, Refused, Unavailable


def took(behaviour: Behaviour, wanted: Wanted) -> tuple[Endpoint, Prompts]:
    with serving(behaviour) as door:
        return warm_up(Endpoint(door.url, "m"), wanted, 10.0)


@pytest.mark.parametrize("language", ["english", "chinese"])
@pytest.mark.parametrize("tokens", [40, 300, 5000])
@pytest.mark.parametrize("template", [4, 31])
def test_prompts_have_the_wanted_length_as_the_server_counts(language: Language, tokens: int, template: int) -> None:
    wanted = Wanted(tokens, 2, (language,))
    with serving(answers(template=template)) as door:
        endpoint, prompts = warm_up(Endpoint(door.url, "m"), wanted, 10.0)
        samples = drive(endpoint, prompts.requests(iter([0.0] * 6)), at_once=2).samples

    assert statistics.mean(one.prompt_tokens or 0 for one in samples) == pytest.approx(tokens, rel=0.02, abs=1.5)


def test_prompts_differ_from_their_beginning_on_and_alternate_in_language() -> None:
    prompts = Prompts(Wanted(200, 2))
    texts = [prompts.take() for _ in range(40)]

    assert len({text[:7] for text in texts}) == 40
    assert [text.isascii() for text in texts] == [False, True] * 20


def test_the_same_seed_gives_the_same_prompts() -> None:
    first, again, other = (Prompts(Wanted(200, 2, seed=seed)).take() for seed in (1, 1, 2))

    assert first == again != other


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_shared_beginning_is_as_long_as_was_wanted(share: float) -> None:
    prompts = Prompts(Wanted(400, 2, ("english",), shared=share))
    first, second = prompts.take(), prompts.take()
    common = next((at for at, pair in enumerate(zip(first, second, strict=False)) if len(set(pair)) > 1), len(first))

    assert common >= share * prompts.characters["english"]
    assert share == 1 or common <= share * prompts.characters["english"] + 7


def test_a_server_that_does_not_count_gets_prompts_by_guess() -> None:
    _, prompts = took(answers(counts=False), Wanted(120, 2, ("english",)))

    assert not prompts.counted
    assert prompts.characters["english"] == round(100 * GUESS["english"])


def test_the_wish_for_full_answers_is_dropped_where_it_is_not_understood() -> None:
    async def strict(door: Door, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        behaviour = refuses(400, "'ignore_eos' is not a parameter") if "ignore_eos" in body else answers()
        await behaviour(door, body, writer)

    assert took(strict, Wanted(50, 2))[0].extras == {}
    assert took(answers(), Wanted(50, 2))[0].extras == {"ignore_eos": True}


def test_a_server_that_is_busy_once_is_asked_again() -> None:
    async def once(door: Door, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        await (refuses(429, "full") if len(door.bodies) == 1 else answers())(door, body, writer)

    assert took(once, Wanted(50, 2))[1].counted


@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        pytest.param(
            refuses(503, "no replica of 'm' is ready"), Unavailable, "no replica of 'm' is ready", id="not yet"
        ),
        pytest.param(refuses(401, "wrong key"), Refused, "401 wrong key", id="key"),
        pytest.param(refuses(400, "context is 50 tokens"), Refused, "context is 50 tokens", id="too long"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi"), Refused, "no event", id="another server"),
        pytest.param(says(b""), Unavailable, "does not answer as 'm'", id="hangs up"),
    ],
)
def test_a_server_that_does_not_answer_is_an_error_with_its_own_words(
    behaviour: Behaviour, error: type[HeadwaterError], said: str
) -> None:
    with pytest.raises(error, match=said):
        took(behaviour, Wanted(50, 2))


def test_counts_that_make_no_sense_do_no_harm() -> None:
    async def random_counts(door: Door, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        await answers(template=10_000 if len(door.bodies) % 2 else 5)(door, body, writer)

    with serving(random_counts) as door:
        endpoint, prompts = warm_up(Endpoint(door.url, "m"), Wanted(100, 2), 10.0)
        drive(endpoint, prompts.requests(repeat(0.0, 4)), at_once=1)

    assert all(1 <= count <= 100_000 for count in prompts.characters.values())
    assert max(len(body["messages"][0]["content"]) for body in door.bodies) <= 100_000
