"""The OpenAI server over a decoder without weights."""

from __future__ import annotations

import asyncio
import io
import json
import re
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from edge_servers import CHAT, PLAIN, changed, events, serve, until

from runtimes.edge import replies, server
from runtimes.edge.engine import Engine
from runtimes.edge.metrics import EdgeMetrics
from runtimes.edge.server import EdgeServer
from runtimes.edge.tokens import Vocabulary
from runtimes.edge.wishes import ChatWish


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_stream_says_what_the_whole_answer_says(decoder: Any, vocabulary: Vocabulary, path: str) -> None:
    body = CHAT if "chat" in path else PLAIN

    async def work(client: TestClient, _engine: Engine) -> None:
        whole = await (await client.post(path, json=body)).json()
        options = {"stream": True, "stream_options": {"include_usage": True}}
        streamed = events(await (await client.post(path, json=body | options)).text())

        choice = whole["choices"][0]
        text = choice["message"]["content"] if "chat" in path else choice["text"]
        told = [e["choices"][0] for e in streamed[:-2]]
        assert whole["usage"]["completion_tokens"] == len(text) == 6
        assert "".join(c["delta"].get("content", "") if "chat" in path else c["text"] for c in told) == text
        assert [c["finish_reason"] for c in told][-2:] == [None, "length"]
        reused = [answer["usage"].pop("prompt_tokens_details")["cached_tokens"] for answer in (whole, streamed[-2])]
        assert (reused[0], reused[1] > 0) == (0, "chat" in path)
        assert (streamed[-2]["usage"], streamed[-1]) == (whole["usage"], "[DONE]")
        assert {e["id"] for e in streamed[:-1]} == {streamed[0]["id"]}

    serve(decoder, vocabulary, work)


@pytest.mark.parametrize(
    ("body", "status", "param", "sentence"),
    [
        pytest.param("{", 400, None, "not JSON", id="not JSON"),
        pytest.param("[1]", 400, None, "body must be an object", id="not an object"),
        pytest.param("[" * 5000, 400, None, "not JSON", id="nested too deeply"),
        pytest.param('{"model":"tiny","prompt":"\\ud800"}', 400, None, "not JSON", id="half a character"),
        pytest.param(changed(model=...), 400, "model", "required", id="no model"),
        pytest.param(changed(model="other"), 404, "model", "'other' does not exist", id="another model"),
        pytest.param(changed(prompt=...), 400, "prompt", "required", id="no prompt"),
        pytest.param(changed(prompt=3), 400, "prompt", "must be a string", id="a number as prompt"),
        pytest.param(changed(prompt=["a", "b"]), 400, "prompt", "list of one string", id="two prompts"),
        pytest.param(changed(prompt=[1, 999]), 400, "prompt", "token 999 does not exist", id="an unknown token"),
        pytest.param(changed(prompt=[]), 400, None, "prompt is empty", id="no token"),
        pytest.param(changed(prompt="x" * 95), 400, None, "95 tokens .* 6; .* 100", id="too long"),
        pytest.param(changed(temperature="hot"), 400, "temperature", "must be a number", id="temperature as text"),
        pytest.param(changed(temperature=9), 400, "temperature", "must be at most 2", id="too hot"),
        pytest.param(changed(max_tokens=True), 400, "max_tokens", "must be an integer", id="a truth as number"),
        pytest.param(changed(max_tokens=0), 400, "max_tokens", "must be at least 1", id="no tokens"),
        pytest.param(changed(top_p=0), 400, "top_p", "must be more than 0", id="an empty nucleus"),
        pytest.param(changed(n=9), 400, "n", "at most 8", id="too many answers"),
        pytest.param(changed(stop=list("abcde")), 400, "stop", "at most 4", id="five stop strings"),
        pytest.param(changed(stop=""), 400, "stop", "1 to 256", id="an empty stop string"),
        pytest.param(changed(stream_options={}), 400, "stream_options", "set stream", id="options without stream"),
        pytest.param(changed(logprobs=True), 400, "logprobs", "integer", id="a truth as count"),
        pytest.param(changed(best_of=1, n=2), 400, "best_of", "at least n", id="fewer tries than answers"),
        pytest.param(changed(best_of=2, stream=True), 400, "best_of", "streamed", id="the best as it comes"),
        pytest.param(changed(tools=[{}]), 400, "tools", "not supported", id="tools"),
        pytest.param(changed(response_format="json"), 400, "response_format", "json_object", id="a text as format"),
        pytest.param(changed(suffix="x"), 400, "suffix", "not supported", id="suffix"),
        pytest.param(changed(bogus=1), 400, "bogus", "not a parameter", id="an unknown field"),
    ],
)
def test_a_bad_body_gets_one_sentence_that_names_the_field(
    decoder: Any, vocabulary: Vocabulary, *, body: Any, status: int, param: str | None, sentence: str
) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        response = await client.post("/v1/completions", data=text)
        error = (await response.json())["error"]

        assert (response.status, error["param"]) == (status, param)
        assert error["type"] == "invalid_request_error"
        assert re.search(sentence, error["message"])
        assert "\n" not in error["message"]

    serve(decoder, vocabulary, work)


def test_a_prompt_beyond_the_context_has_the_code_that_clients_look_for(decoder: Any, vocabulary: Vocabulary) -> None:
    long = "x" * 150

    async def work(client: TestClient, _engine: Engine) -> None:
        chat = CHAT | {"messages": [{"role": "user", "content": long}]}
        for path, body in (("/v1/completions", changed(prompt=long)), ("/v1/chat/completions", chat)):
            response = await client.post(path, json=body)

            assert response.status == 400
            assert (await response.json())["error"]["code"] == "context_length_exceeded"

    serve(decoder, vocabulary, work)


def without_limit(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in (body | fields).items() if name != "max_tokens"}


@pytest.mark.parametrize(
    ("path", "body", "tokens"),
    [
        pytest.param("/v1/completions", without_limit(PLAIN), 16, id="completions end after 16 tokens"),
        pytest.param("/v1/completions", without_limit(PLAIN, prompt="x" * 95), 5, id="or at the context"),
        pytest.param("/v1/chat/completions", without_limit(CHAT), 20, id="chat ends at its cap"),
    ],
)
def test_without_max_tokens(
    decoder: Any, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, *, path: str, body: Any, tokens: int
) -> None:
    monkeypatch.setattr(ChatWish, "usual_tokens", 20)

    async def work(client: TestClient, _engine: Engine) -> None:
        answer = await (await client.post(path, json=body)).json()

        assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (tokens, "length")

    serve(decoder, vocabulary, work)


def test_one_model_is_found_by_its_name(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        found = await (await client.get("/v1/models/tiny")).json()
        other = await (await client.get("/v1/models/smol")).json()
        missing = await client.get("/v1/models/org/other")

        assert [found] == (await (await client.get("/v1/models")).json())["data"]
        assert other == found | {"id": "smol"}
        assert (missing.status, (await missing.json())["error"]["code"]) == (404, "model_not_found")

    serve(decoder, vocabulary, work)


def test_a_body_that_cannot_be_unpacked_is_the_clients_fault(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        response = await client.post("/v1/completions", data=b"no gzip", headers={"Content-Encoding": "gzip"})

        assert response.status == 400
        assert (await response.json())["error"]["code"] == "invalid_body"

    serve(decoder, vocabulary, work)


def test_a_body_that_never_ends_is_not_waited_for(
    decoder: Any, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_S", 0.05)

    async def work(client: TestClient, _engine: Engine) -> None:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")

        assert b" 408 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()

    serve(decoder, vocabulary, work)


def test_a_client_that_reads_nothing_is_given_up(
    decoder: Any, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "STALLED_S", 0.05)

    async def never(_self: object, _content: bytes) -> None:
        await asyncio.Event().wait()

    async def work(client: TestClient, engine: Engine) -> None:
        monkeypatch.setattr(web.StreamResponse, "write", never)
        with pytest.raises(aiohttp.ClientError):
            await (await client.post("/v1/completions", json=changed(stream=True, max_tokens=90))).read()
        monkeypatch.undo()
        await until(lambda: engine.running == 0)

        assert 'outcome="left"} 1.0' in await (await client.get("/metrics")).text()

    serve(decoder, vocabulary, work)


def test_a_mistake_of_our_own_gets_the_usual_shape(
    decoder: Any, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(client: TestClient, engine: Engine) -> None:
        monkeypatch.setattr(engine, "submit", None)
        response = await client.post("/v1/completions", json=PLAIN)

        assert response.status == 500
        assert (await response.json())["error"]["type"] == "server_error"
        assert 'outcome="failed"} 1.0' in await (await client.get("/metrics")).text()

    serve(decoder, vocabulary, work)


def test_an_answer_can_be_sent_back_as_history(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        answer = await (await client.post("/v1/chat/completions", json=CHAT)).json()
        of_another_engine = {"role": "assistant", "content": "x", "tool_calls": [], "reasoning_content": None}
        history = [*CHAT["messages"], answer["choices"][0]["message"], of_another_engine]

        assert (await client.post("/v1/chat/completions", json=CHAT | {"messages": history})).status == 200

    serve(decoder, vocabulary, work)


def test_harmless_parameters_are_ignored(decoder: Any, vocabulary: Vocabulary) -> None:
    extras = {"user": "u", "store": True, "metadata": {"a": "b"}, "frequency_penalty": 0, "tools": [], "n": 1}

    async def work(client: TestClient, _engine: Engine) -> None:
        assert (await client.post("/v1/chat/completions", json=CHAT | extras)).status == 200

    serve(decoder, vocabulary, work)


def test_both_names_are_answered_and_content_parts_are_joined(decoder: Any, vocabulary: Vocabulary) -> None:
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "iya"}]

    async def work(client: TestClient, _engine: Engine) -> None:
        plain = await (await client.post("/v1/chat/completions", json=CHAT)).json()
        other = CHAT | {"model": "smol", "messages": [{"role": "user", "content": parts}]}
        joined = await (await client.post("/v1/chat/completions", json=other)).json()

        assert plain["choices"] == joined["choices"]
        assert joined["model"] == "smol"
        assert [card["id"] for card in (await (await client.get("/v1/models")).json())["data"]] == ["tiny"]

    serve(decoder, vocabulary, work)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/completions", 405),
        ("POST", "/readyz", 405),
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/models", 405),
    ],
)
def test_other_paths_and_methods_get_the_same_shape(
    decoder: Any, vocabulary: Vocabulary, method: str, path: str, status: int
) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        response = await client.request(method, path)

        assert response.status == status
        assert (await response.json())["error"]["type"] == "invalid_request_error"

    serve(decoder, vocabulary, work)


def test_a_body_over_the_limit_is_413(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        response = await client.post("/v1/completions", data=io.BytesIO(b"x" * ((1 << 20) + 1)))

        assert response.status == 413
        assert (await response.json())["error"]["code"] == "body_too_large"

    serve(decoder, vocabulary, work)


def test_without_a_template_chat_is_refused(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        response = await client.post("/v1/chat/completions", json=CHAT)

        assert response.status == 400
        assert "/v1/completions" in (await response.json())["error"]["message"]

    serve(decoder, vocabulary, work, template=None)


def test_a_full_queue_is_429_and_a_draining_server_503(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, engine: Engine) -> None:
        decoder.gate.clear()
        accepted = [asyncio.create_task(client.post("/v1/completions", json=PLAIN)) for _ in range(4)]
        await until(lambda: engine.running + engine.waiting == 4)
        full = await client.post("/v1/completions", json=PLAIN)
        engine.drain()
        draining = await client.post("/v1/completions", json=PLAIN)
        not_ready = await client.get("/readyz")
        decoder.gate.set()

        assert (full.status, draining.status, not_ready.status) == (429, 503, 503)
        assert int(full.headers["Retry-After"]) >= 1
        assert int(draining.headers["Retry-After"]) >= 1
        assert [answer.status for answer in await asyncio.gather(*accepted)] == [200] * 4
        assert 'outcome="turned_away"} 2.0' in await (await client.get("/metrics")).text()

    serve(decoder, vocabulary, work, queue=1)


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "whole"])
def test_a_client_that_leaves_frees_its_slot(decoder: Any, vocabulary: Vocabulary, *, stream: bool) -> None:
    async def work(client: TestClient, engine: Engine) -> None:
        decoder.gate.clear()
        asking = asyncio.create_task(client.post("/v1/completions", json=changed(max_tokens=90, stream=stream)))
        await until(lambda: engine.running == 1)
        if stream:
            (await asking).close()
        else:
            asking.cancel()
        page = ""
        async with asyncio.timeout(10):
            while 'outcome="left"} 1.0' not in page:
                page = await (await client.get("/metrics")).text()
        decoder.gate.set()
        await until(lambda: engine.running == 0)

        assert 'outcome="answered"} 0.0' in page

    serve(decoder, vocabulary, work)


def test_a_fault_after_the_first_token_ends_the_stream_with_an_error(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, engine: Engine) -> None:
        decoder.gate.clear()
        response = await client.post("/v1/completions", json=changed(stream=True))
        decoder.failing = True
        decoder.gate.set()
        told = events(await response.text())

        assert told[-1]["error"]["code"] == "unavailable"
        assert engine.running == 0

    serve(decoder, vocabulary, work)


def test_before_the_model_is_loaded_it_says_so() -> None:
    async def run() -> None:
        edge = EdgeServer(EdgeMetrics())
        async with TestClient(TestServer(edge.app())) as client:
            ready, live = await client.get("/readyz"), await client.get("/healthz")
            asked = await client.post("/v1/completions", json=PLAIN)
            model = await client.get("/v1/models/tiny")

            assert (ready.status, live.status, asked.status, model.status) == (503, 200, 503, 503)
            assert "Retry-After" in asked.headers

    asyncio.run(run())
