"""An edge engine that runs, and how tests ask it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from runtimes.edge.engine import Engine
from runtimes.edge.generation import Ask, Batch, Generation, deliver
from runtimes.edge.sampler import Sampling
from runtimes.edge.tokens import Vocabulary
from runtimes.edge.wishes import CHAT_TOKENS

GREEDY = Sampling(temperature=0)


@asynccontextmanager
async def running(decoder: Any, vocabulary: Vocabulary, *, queue: int = 20) -> AsyncIterator[Engine]:
    loop = asyncio.get_running_loop()

    def post(batch: Batch) -> None:
        loop.call_soon_threadsafe(deliver, batch)

    engine = Engine(decoder, vocabulary, eos=[256], queue=queue, post=post)
    await loop.run_in_executor(None, engine.start)
    try:
        yield engine
    finally:
        decoder.gate.set()
        await loop.run_in_executor(None, engine.stop, 10.0)


def an_ask(vocabulary: Vocabulary, text: str, *, tokens: int | None = 20, stops: tuple[str, ...] = ()) -> Ask:
    prompt = tuple(vocabulary.encode(text, special=False))
    return Ask(prompt, tokens or CHAT_TOKENS, GREEDY, stops, shorten=tokens is None)


async def answer(generation: Generation) -> str:
    text = ""
    while True:
        piece = await generation.read()
        text += piece.text
        if piece.error is not None:
            raise piece.error
        if piece.finish is not None:
            return text


async def until(true: Callable[[], bool]) -> None:
    """Wait, for at most ten seconds."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 the engine thread has no event to wait for
            await asyncio.sleep(0.002)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)
