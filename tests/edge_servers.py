"""An OpenAI server over a decoder without weights, and how tests read its answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from runtimes.edge.chat import ChatTemplate
from runtimes.edge.engine import Engine
from runtimes.edge.generating import Served
from runtimes.edge.generation import deliver
from runtimes.edge.grammar import Grammars
from runtimes.edge.metrics import EdgeMetrics
from runtimes.edge.server import EdgeServer
from runtimes.edge.tokens import Vocabulary

TEMPLATE = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}"
CHAT: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hiya"}],
    "temperature": 0,
    "max_tokens": 6,
}
PLAIN: dict[str, Any] = {"model": "tiny", "prompt": "hi", "temperature": 0, "max_tokens": 6}

Work = Callable[[TestClient, Engine], Awaitable[None]]


def serve(decoder: Any, vocabulary: Vocabulary, work: Work, *, queue: int = 8, template: str | None = TEMPLATE) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        post = partial(loop.call_soon_threadsafe, deliver)
        engine = Engine(decoder, vocabulary, eos=[256], queue=queue, post=post)
        await loop.run_in_executor(None, engine.start)
        edge = EdgeServer(EdgeMetrics())
        chat = ChatTemplate(template, bos_token="", eos_token="") if template else None
        edge.open_for(Served(engine, vocabulary, chat, Grammars(vocabulary, [256]), ("tiny", "smol"), made_s=5))
        async with TestClient(TestServer(edge.app(), handler_cancellation=True)) as client:
            try:
                await work(client, engine)
            finally:
                decoder.gate.set()
                await loop.run_in_executor(None, engine.stop, 10.0)

    asyncio.run(run())


async def until(true: Callable[[], bool]) -> None:
    """Wait, for at most ten seconds."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 the engine thread has no event to wait for
            await asyncio.sleep(0.002)


def events(text: str) -> list[Any]:
    parts = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [part if part == "[DONE]" else json.loads(part) for part in parts]


def changed(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in (PLAIN | fields).items() if value is not ...}
