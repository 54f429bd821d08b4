"""Penalties, bias, min-p and places in the queue: from a body to the engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient
from edge_servers import PLAIN, changed, serve

from runtimes.edge.complaints import BadField, read
from runtimes.edge.engine import Engine
from runtimes.edge.generation import Ask
from runtimes.edge.sampler import Sampler, Sampling
from runtimes.edge.tokens import Vocabulary
from runtimes.edge.wishes import CompletionWish

BIAS = "logit_bias must be an object of at most 1024 token numbers, each with a number from -100 to 100."


def row(*scores: float) -> np.ndarray:
    return np.array(scores, np.float32)


def picks(sampling: Sampling, scores: np.ndarray, times: int, prompt: tuple[int, ...] = ()) -> list[int]:
    sampler = Sampler(sampling, prompt)
    return [sampler.pick(scores) for _ in range(times)]


@pytest.mark.parametrize(
    ("sampling", "scores", "prompt", "tokens"),
    [
        pytest.param(Sampling(0, presence_penalty=1.0), row(5, 4.5, 1), (), [0, 1, 0], id="presence counts once"),
        pytest.param(Sampling(0, frequency_penalty=1.0), row(5, 3.5, 1), (), [0, 0, 1, 0], id="frequency each time"),
        pytest.param(Sampling(0, presence_penalty=-2), row(5, 5, 6), (), [2, 2], id="below 0 it invites"),
        pytest.param(Sampling(0, presence_penalty=2), row(5, 4), (0,), [0, 1], id="the prompt is not counted"),
        pytest.param(Sampling(0, repetition_penalty=2), row(5, 4), (0,), [1, 0], id="but for repetition"),
        pytest.param(Sampling(0, repetition_penalty=2), row(-2, -3), (0,), [1, 0], id="scores below 0 are multiplied"),
        pytest.param(Sampling(0, repetition_penalty=5e-324), row(5, 0), (0,), [0, 0], id="the smallest penalty"),
        pytest.param(Sampling(0, logit_bias=((1, 3.0),)), row(5, 4), (), [1, 1], id="bias is added"),
        pytest.param(Sampling(top_k=1, logit_bias=((0, -100.0),)), row(5, 4), (), [1, 1], id="or taken off"),
        pytest.param(Sampling(min_p=0.5), row(5, 4, 4), (), [0] * 99, id="min-p leaves what is likely enough"),
        pytest.param(Sampling(min_p=1.0, top_p=0.9), row(5, 4.99), (), [0] * 99, id="also within a nucleus"),
        pytest.param(Sampling(min_p=1.0, top_k=2), row(5, 4.99), (), [0] * 99, id="and within the likeliest"),
    ],
)
def test_what_the_knobs_choose(
    sampling: Sampling, scores: np.ndarray, prompt: tuple[int, ...], tokens: list[int]
) -> None:
    before = scores.copy()

    assert picks(sampling, scores, len(tokens), prompt) == tokens
    assert np.array_equal(scores, before)


def test_min_p_counts_after_heat() -> None:
    scores = row(1, 0)  # e^-1 is less than 0.5; e^-0.5 is more

    assert set(picks(Sampling(min_p=0.5, seed=1), scores, 99)) == {0}
    assert set(picks(Sampling(min_p=0.5, seed=1, temperature=2.0), scores, 99)) == {0, 1}


def test_plain_greedy_requests_need_no_pick_of_their_own() -> None:
    assert Sampler(Sampling(temperature=0, min_p=0.3, seed=4)).greedy
    assert not Sampler(Sampling(temperature=0, presence_penalty=0.1)).greedy
    assert not Sampler(Sampling(temperature=0, logit_bias=((1, 1.0),))).greedy


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"presence_penalty": 2.1}, "presence_penalty", "presence_penalty must be at most 2."),
        ({"frequency_penalty": -3}, "frequency_penalty", "frequency_penalty must be at least -2."),
        ({"repetition_penalty": 0}, "repetition_penalty", "repetition_penalty must be more than 0."),
        ({"repetition_penalty": "1"}, "repetition_penalty", "repetition_penalty must be a number."),
        ({"min_p": -0.1}, "min_p", "min_p must be at least 0."),
        ({"logit_bias": {"x": 1}}, "logit_bias", BIAS),
        ({"logit_bias": {"٣": 1}}, "logit_bias", BIAS),
        ({"logit_bias": {"03": 1}}, "logit_bias", BIAS),
        ({"logit_bias": {"[3": "1"}}, "logit_bias", BIAS),
        ({"logit_bias": {"3": 101}}, "logit_bias", BIAS),
        ({"logit_bias": {str(n): 1 for n in range(1025)}}, "logit_bias", BIAS),
        ({"logit_bias": [3]}, "logit_bias", BIAS),
        ({"priority": 101}, "priority", "priority must be at most 100."),
        ({"priority": 0.5}, "priority", "priority must be an integer."),
        ({"timeout_s": 0}, "timeout_s", "timeout_s must be more than 0."),
        ({"timeout_s": 3601}, "timeout_s", "timeout_s must be at most 3600."),
        ({"user": 3}, "user", "user must be a string."),
    ],
)
def test_a_knob_out_of_range_is_named_with_its_limit(fields: dict[str, Any], param: str, sentence: str) -> None:
    with pytest.raises(BadField) as caught:
        read(CompletionWish, json.dumps(PLAIN | fields).encode())

    assert (caught.value.param, str(caught.value)) == (param, sentence)


def test_a_bias_for_a_token_that_does_not_exist_is_refused(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        response = await client.post("/v1/completions", json=changed(logit_bias={"257": 1, "3": 1}))
        error = (await response.json())["error"]

        assert (response.status, error["param"]) == (400, "logit_bias")
        assert error["message"] == "logit_bias: token 257 does not exist; the vocabulary has 257."

    serve(decoder, vocabulary, work)


def test_penalties_and_bias_reach_the_answer_and_neighbours_change_nothing(
    decoder: Any, vocabulary: Vocabulary
) -> None:
    wanted, other = (vocabulary.encode(letter, special=False)[0] for letter in "QZ")
    biased = changed(logit_bias={str(wanted): 100, str(other): 99.5}, presence_penalty=1)

    async def work(client: TestClient, _engine: Engine) -> None:
        async def text(body: dict[str, Any]) -> str:
            told: str = (await (await client.post("/v1/completions", json=body)).json())["choices"][0]["text"]
            return told

        alone = await text(biased)
        plain = await text(PLAIN)

        assert alone == "QZQQQQ"
        assert await asyncio.gather(text(PLAIN), text(biased), text(PLAIN)) == [plain, alone, plain]

    serve(decoder, vocabulary, work)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, (0, "", None)),
        ({"priority": -5, "user": "ann", "timeout_s": 30}, (-5, "ann", 30.0)),
        ({"user": "ann", "safety_identifier": "bob"}, (0, "bob", None)),
    ],
)
def test_priority_client_and_time_reach_the_engine(
    decoder: Any, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, *, fields: Any, place: Any
) -> None:
    asked: list[Ask] = []

    async def work(client: TestClient, engine: Engine) -> None:
        submit = engine.submit
        monkeypatch.setattr(engine, "submit", lambda ask: (asked.append(ask), submit(ask))[1])

        assert (await client.post("/v1/completions", json=changed(**fields))).status == 200
        assert [(ask.priority, ask.client, ask.timeout_s) for ask in asked] == [place]

    serve(decoder, vocabulary, work)
