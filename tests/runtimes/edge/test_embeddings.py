"""Embeddings over HTTP, with an encoder without weights behind them."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer

from runtimes.edge.embeddings import EncoderServed
from runtimes.edge.encoding import Encoding
from runtimes.edge.metrics import EdgeMetrics
from runtimes.edge.server import EdgeServer
from runtimes.edge.tokens import Vocabulary

PATH = "/v1/embeddings"


class Sums:
    """Gives [length, first token, last token] of a text; `gate` holds every batch until it is set."""

    context_tokens = 10
    vocabulary = 257
    width = 3

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reading = threading.Event()

    def embed(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        if texts[0] != [0]:  # the first text warms up
            self.batches.append([len(text) for text in texts])
            self.reading.set()
            assert self.gate.wait(20)
        if any(256 in text for text in texts):
            raise ValueError("fatal token")
        return np.array([[len(text), text[0], text[-1]] for text in texts], np.float32)


Work = Callable[[TestClient, Encoding, Sums], Awaitable[None]]


def serve(vocabulary: Vocabulary, work: Work, *, slots: int = 1, queue: int = 8) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        sums = Sums()
        engine = Encoding(sums, slots=slots, queue=queue, post=partial(loop.call_soon_threadsafe))
        await loop.run_in_executor(None, engine.start)
        edge = EdgeServer(EdgeMetrics())
        edge.open_for(EncoderServed(engine, vocabulary, ("tiny", "mini"), made_s=5))
        async with TestClient(TestServer(edge.app(), handler_cancellation=True)) as client:
            try:
                await work(client, engine, sums)
            finally:
                sums.gate.set()
                await loop.run_in_executor(None, engine.stop, 10.0)

    asyncio.run(run())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 the engine thread has no event to wait for
            await asyncio.sleep(0.002)


async def ask(client: TestClient, given: Any, **more: Any) -> tuple[int, Any]:
    response = await client.post(PATH, json={"model": "tiny", "input": given} | more)
    return response.status, await response.json()


def test_texts_and_tokens_get_their_vectors_in_order_with_usage(vocabulary):
    async def work(client, _engine, _sums):
        status, many = await ask(client, ["abc", "a", "ab"])
        assert status == 200
        assert [(one["index"], one["embedding"][0]) for one in many["data"]] == [(0, 3), (1, 1), (2, 2)]
        assert many["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
        assert (many["object"], many["model"]) == ("list", "tiny")
        assert (await ask(client, "abc"))[1]["data"][0] == many["data"][0]
        assert (await ask(client, [7, 8]))[1]["data"][0]["embedding"] == [2, 7, 8]
        assert [one["embedding"] for one in (await ask(client, [[7, 8], [9]]))[1]["data"]] == [[2, 7, 8], [1, 9, 9]]

    serve(vocabulary, work)


def test_base64_and_fewer_dimensions_are_as_openai_writes_them(vocabulary):
    async def work(client, _engine, _sums):
        raw = (await ask(client, [[3, 4]], encoding_format="base64"))[1]["data"][0]["embedding"]
        assert np.frombuffer(base64.b64decode(raw), "<f4").tolist() == [2, 3, 4]
        short = (await ask(client, [[1, 1]], dimensions=2))[1]["data"][0]["embedding"]
        assert short == pytest.approx([2 / 5**0.5, 1 / 5**0.5])

    serve(vocabulary, work)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"input": "abcdefghijkl"}, 400, "input 0 has 12 tokens; this model reads at most 10"),
        ({"input": ["a", ""]}, 400, "input 1 is empty"),
        ({"input": []}, 400, "input must be a string, a list of strings"),
        ({"input": [1, "a"]}, 400, "input must be a string, a list of strings"),
        ({"input": [300]}, 400, "token 300 does not exist"),
        ({}, 400, "input is required"),
        ({"input": "a", "dimensions": 4}, 400, "dimensions is 4; this model has 3"),
        ({"input": "a", "dimensions": 0}, 400, "dimensions must be at least 1"),
        ({"input": "a", "encoding_format": "hex"}, 400, "encoding_format must be 'float' or 'base64'"),
        ({"input": "a", "truncate": True}, 400, "truncate is not known here"),
        ({"input": "a", "model": "gpt"}, 404, "The model 'gpt' does not exist here"),
        ({"input": [256]}, 500, "failed on this input: ValueError"),
    ],
)
def test_what_cannot_be_read_gets_one_sentence(vocabulary, body, status, sentence):
    async def work(client, _engine, _sums):
        response = await client.post(PATH, json={"model": "tiny"} | body)
        assert (response.status, sentence in (await response.json())["error"]["message"]) == (status, True)
        assert (await ask(client, "ab"))[0] == 200  # and the engine goes on

    serve(vocabulary, work)


def test_an_encoder_generates_no_text_and_says_so(vocabulary):
    async def work(client, _engine, _sums):
        response = await client.post("/v1/completions", json={"model": "tiny", "prompt": "a"})
        assert response.status == 400
        assert "makes embeddings and generates no text" in (await response.json())["error"]["message"]
        assert (await client.get("/readyz")).status == 200
        assert (await (await client.get("/v1/models")).json())["data"][0]["id"] == "tiny"

    serve(vocabulary, work)


def test_texts_of_like_length_are_read_together_and_requests_take_turns(vocabulary):
    async def work(client, _engine, sums):
        sums.gate.clear()
        first = asyncio.ensure_future(ask(client, "abc"))
        await until(sums.reading.is_set)
        many = asyncio.ensure_future(ask(client, ["a", "abcdefgh"] * 20))
        await until(lambda: _engine.waiting == 1)
        single = asyncio.ensure_future(ask(client, "ab"))
        await until(lambda: _engine.waiting == 2)
        sums.gate.set()
        assert [(await one)[0] for one in (first, many, single)] == [200, 200, 200]
        assert sums.batches[1] == [1] * 20 + [2] + [8] * 11
        assert sum(len(batch) for batch in sums.batches) == 42

    serve(vocabulary, work, slots=4)


def test_a_full_queue_turns_away_and_who_leaves_makes_room(vocabulary):
    async def work(client, engine, sums):
        sums.gate.clear()
        first = asyncio.ensure_future(ask(client, "abc"))
        await until(sums.reading.is_set)
        second = asyncio.ensure_future(ask(client, "ab"))
        await until(lambda: engine.waiting == 1)
        response = await client.post(PATH, json={"model": "tiny", "input": "a"})
        assert response.status == 429
        assert int(response.headers["Retry-After"]) >= 1
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await until(lambda: engine.waiting == 0)
        sums.gate.set()
        assert (await first)[0] == 200
        await until(lambda: engine.running + engine.waiting == 0)
        assert sums.batches == [[3]]  # the text of the one who left was never read
        assert (await ask(client, "a"))[0] == 200

    serve(vocabulary, work, slots=1, queue=1)


def test_a_draining_encoder_finishes_what_it_has(vocabulary):
    async def work(client, engine, sums):
        sums.gate.clear()
        first = asyncio.ensure_future(ask(client, ["abc", "a"]))
        await until(sums.reading.is_set)
        engine.drain()
        assert (await ask(client, "a"))[0] == 503
        assert (await client.get("/readyz")).status == 503
        sums.gate.set()
        assert (await first)[0] == 200

    serve(vocabulary, work)
