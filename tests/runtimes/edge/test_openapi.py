"""Everything that the server's own description allows, and much that it does not, gets an answer and never a 5xx."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import requests
import schemathesis
from aiohttp.test_utils import TestServer
from edge_servers import TEMPLATE
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from speech_scene import Parrot, said, sound

from runtimes.edge.chat import ChatTemplate
from runtimes.edge.embeddings import EncoderServed
from runtimes.edge.encoding import Encoding
from runtimes.edge.engine import Engine
from runtimes.edge.generating import Served
from runtimes.edge.generation import deliver
from runtimes.edge.grammar import Grammars
from runtimes.edge.hearing import Hearing
from runtimes.edge.metrics import EdgeMetrics
from runtimes.edge.openapi import document
from runtimes.edge.reranking import ClassifierServed
from runtimes.edge.server import EdgeServer
from runtimes.edge.tokens import Vocabulary
from runtimes.edge.transcriptions import SpeechServed

SPEECH = "/v1/audio/transcriptions"


class Ones:
    """Every text is the same."""

    context_tokens, vocabulary = 10, 257

    def __init__(self, width: int) -> None:
        self.width = width

    def embed(self, texts: Any) -> np.ndarray:
        return np.ones((len(texts), self.width), np.float32)


@pytest.fixture
def listening() -> Iterator[Callable[[Callable[[], Coroutine[Any, Any, Any]]], str]]:
    """Starts a server on a thread of its own; gives its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    left: list[Any] = []

    def start(make: Callable[[], Coroutine[Any, Any, Any]]) -> str:
        async def work() -> str:
            engine, served = await make()
            edge = EdgeServer(EdgeMetrics())
            edge.open_for(served)
            server = TestServer(edge.app(), handler_cancellation=True)
            await server.start_server()
            left.extend([server, engine])
            return str(server.make_url("")).rstrip("/")

        return asyncio.run_coroutine_threadsafe(work(), loop).result(30)

    yield start
    server, engine = left
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(30)
    engine.stop(10.0)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def fuzz(url: str, examples: int, **fields: Any) -> None:
    """Ask everything; `fields` are put into the forms, where no chance would write a sound file."""
    description = requests.get(url + "/openapi.json", timeout=10).json()
    schema = schemathesis.openapi.from_dict(description)
    seen: set[int] = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and operation.method.upper() == "GET":
                continue

            @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                if isinstance(case.body, dict) and "file" in case.body:
                    case.body |= fields
                response = case.call(base_url=url, timeout=30)
                late = isinstance(case.body, dict) and case.body.get("timeout_s") is not None
                assert response.status_code < 500 or (late and response.status_code == 504), response.text[:500]
                if response.status_code >= 400:
                    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
                seen.add(response.status_code)

            ask()
    assert {200, 400} <= seen


def test_a_generating_server_has_an_answer_to_everything(listening: Any, decoder: Any, vocabulary: Vocabulary) -> None:
    decoder._fatal = -1  # no letter is fatal here

    async def make() -> Any:
        loop = asyncio.get_running_loop()
        post = partial(loop.call_soon_threadsafe, deliver)
        engine = Engine(decoder, vocabulary, eos=[256], queue=8, post=post)
        await loop.run_in_executor(None, engine.start)
        chat = ChatTemplate(TEMPLATE, bos_token="", eos_token="")
        return engine, Served(engine, vocabulary, chat, Grammars(vocabulary, [256]), ("tiny",), made_s=5)

    url = listening(make)
    fuzz(url, examples=25)
    form = {"Content-Type": "multipart/form-data; boundary=x"}  # found so: a header of a part that is none
    broken = requests.post(url + SPEECH, data=b"--x\r\n[]--\r\n\r\ny\r\n--x--", headers=form, timeout=10)
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("labels", [(), ("good", "bad", "neither"), ("fits",)])
def test_a_reading_server_has_an_answer_to_everything(
    listening: Any, vocabulary: Vocabulary, labels: tuple[str, ...]
) -> None:
    async def make() -> Any:
        loop = asyncio.get_running_loop()
        engine = Encoding(Ones(len(labels) or 3), slots=1, queue=8, post=loop.call_soon_threadsafe)
        await loop.run_in_executor(None, engine.start)
        names = ("tiny",)
        if labels:
            return engine, ClassifierServed(engine, vocabulary, labels, names, made_s=5)
        return engine, EncoderServed(engine, vocabulary, names, made_s=5)

    fuzz(listening(make), examples=15)


def test_a_hearing_server_has_an_answer_to_everything(listening: Any, vocabulary: Vocabulary) -> None:
    async def make() -> Any:
        loop = asyncio.get_running_loop()
        parrot = Parrot(said("hi", 0, 1))
        engine = Hearing(parrot, vocabulary.decode, slots=2, queue=4, post=loop.call_soon_threadsafe)
        await loop.run_in_executor(None, engine.start)
        return engine, SpeechServed(engine, vocabulary, ("ear",), made_s=5)

    fuzz(listening(make), examples=15, file=sound(1))


def test_the_description_names_every_route() -> None:
    served = {
        route.resource.canonical
        for route in EdgeServer(EdgeMetrics()).app().router.routes()
        if route.resource is not None
    }

    assert set(document(())["paths"]) == served
