"""What answers tell besides their text: probabilities, and several answers to one prompt."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient
from edge_servers import CHAT, PLAIN, events, serve, until
from hypothesis import given
from hypothesis import strategies as st

from runtimes.edge.engine import Engine
from runtimes.edge.probabilities import LEAST, chosen
from runtimes.edge.tokens import Vocabulary

LIKELY = 9 - math.log(math.exp(9) + 256)  # of the letter that the decoder wants, among 257 tokens


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=40), st.integers(0, 20))
def test_probabilities_are_those_of_a_softmax(scores: list[float], top: int) -> None:
    wide = np.array(scores, np.float64)
    expected = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
    told = chosen(np.array(scores, np.float32), 1, top)

    assert told.logprob == pytest.approx(expected[1], abs=1e-9)
    assert [token for token, _ in told.top] == sorted(range(len(scores)), key=lambda at: (-expected[at], at))[:top]


def test_what_cannot_be_has_the_least_probability() -> None:
    scores = np.array([0, -np.inf, np.inf], np.float32)
    told = [chosen(scores[:2], 1, 2), chosen(scores, 0, 1)]

    assert (told[0].logprob, told[1].logprob) == (LEAST, LEAST)
    assert told[0].top == ((0, 0.0), (1, LEAST))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_each_token_is_told_of_and_a_stream_tells_the_same(decoder: Any, vocabulary: Vocabulary, path: str) -> None:
    chat = "chat" in path
    body = CHAT | {"logprobs": True, "top_logprobs": 2} if chat else PLAIN | {"logprobs": 2}

    async def work(client: TestClient, _engine: Engine) -> None:
        choice = (await (await client.post(path, json=body)).json())["choices"][0]
        chunks = events(await (await client.post(path, json=body | {"stream": True})).text())[:-1]
        streamed = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]

        told = choice["logprobs"]
        if chat:
            text = choice["message"]["content"]
            assert "".join(bytes(one["bytes"]).decode() for one in told["content"]) == text
            assert all(one["top_logprobs"][0]["token"] == one["token"] for one in told["content"])
            assert {len(one["top_logprobs"]) for one in told["content"]} == {2}
            assert told["content"][0]["logprob"] == pytest.approx(LIKELY, abs=1e-6)
            assert [one for chunk in streamed for one in chunk["content"]] == told["content"]
        else:
            assert "".join(told["tokens"]) == choice["text"]
            assert told["text_offset"] == list(range(6))
            assert told["token_logprobs"] == pytest.approx([LIKELY] * 6, abs=1e-6)
            assert [len(top) for top in told["top_logprobs"]] == [2] * 6
            assert [one for chunk in streamed for one in chunk["text_offset"]] == told["text_offset"]

    serve(decoder, vocabulary, work)


def test_several_answers_are_told_apart_by_their_index(decoder: Any, vocabulary: Vocabulary) -> None:
    body = CHAT | {"n": 3, "temperature": 1.5, "seed": 5, "logprobs": True}

    async def work(client: TestClient, _engine: Engine) -> None:
        alone = [
            (await (await client.post("/v1/chat/completions", json=body | {"n": 1, "seed": 5 + n})).json())["choices"][
                0
            ]
            for n in range(3)
        ]
        whole = await (await client.post("/v1/chat/completions", json=body)).json()
        options = {"stream": True, "stream_options": {"include_usage": True}}
        *chunks, usage, done = events(await (await client.post("/v1/chat/completions", json=body | options)).text())

        assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
        assert [choice["message"] for choice in whole["choices"]] == [choice["message"] for choice in alone]
        assert len({choice["message"]["content"] for choice in whole["choices"]}) > 1
        assert whole["usage"]["completion_tokens"] == usage["usage"]["completion_tokens"] == 18
        for choice in whole["choices"]:
            parts = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == choice["index"]]
            assert "".join(part["delta"].get("content", "") for part in parts) == choice["message"]["content"]
            assert [part["finish_reason"] for part in parts][-2:] == [None, "length"]
        assert done == "[DONE]"

    serve(decoder, vocabulary, work)


def test_several_answers_read_their_prompt_about_once(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        before = decoder.read_tokens
        body = PLAIN | {"prompt": "x" * 80, "n": 3}
        assert len((await (await client.post("/v1/completions", json=body)).json())["choices"]) == 3
        assert decoder.read_tokens - before < 80 + 2 * decoder.chunk_tokens + 4

    serve(decoder, vocabulary, work)


def test_the_best_of_several_tries_is_the_likeliest(decoder: Any, vocabulary: Vocabulary) -> None:
    body = PLAIN | {"temperature": 2, "seed": 1, "logprobs": 0}

    async def work(client: TestClient, _engine: Engine) -> None:
        made = (await (await client.post("/v1/completions", json=body | {"n": 6})).json())["choices"]
        given = await (await client.post("/v1/completions", json=body | {"n": 2, "best_of": 6})).json()

        made.sort(key=lambda choice: -sum(choice["logprobs"]["token_logprobs"]) / len(choice["logprobs"]["tokens"]))
        assert [choice["text"] for choice in given["choices"]] == [choice["text"] for choice in made[:2]]
        assert given["usage"]["completion_tokens"] == sum(len(choice["logprobs"]["tokens"]) for choice in made)

    serve(decoder, vocabulary, work)


def test_without_room_for_all_answers_none_is_begun(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, engine: Engine) -> None:
        decoder.gate.clear()
        response = await client.post("/v1/completions", json=PLAIN | {"n": 8})

        assert response.status == 429
        decoder.gate.set()
        assert json.loads(await response.text())["error"]["code"] == "queue_full"
        await until(lambda: engine.running + engine.waiting == 0)
        assert (await client.post("/v1/completions", json=PLAIN)).status == 200

    serve(decoder, vocabulary, work, queue=2)
