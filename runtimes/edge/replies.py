"""Sends the answers to one request to its client, whole or as server-sent events, and counts them.

Shapes are in `runtimes.edge.answers`. Called by `runtimes.edge.generating`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from runtimes.edge import answers
from runtimes.edge.answers import Envelope, Said, Telling, Usage
from runtimes.edge.calls import Call, CallReader
from runtimes.edge.generation import Generation, Piece
from runtimes.edge.metrics import EdgeMetrics, Outcome
from runtimes.edge.probabilities import Chosen
from runtimes.errors import HeadwaterError

T = TypeVar("T")
STALLED_S = 120.0  # a client that takes nothing for so long is given up


class Reader:
    """Reads one answer and times it."""

    def __init__(
        self,
        generation: Generation,
        metrics: EdgeMetrics,
        *,
        telling: Telling | None = None,
        calls: CallReader | None = None,
    ) -> None:
        """Get ready.

        Args:
            generation: what is read.
            metrics: where it is counted.
            telling: writes what is told of the tokens; None where nothing is.
            calls: finds calls of tools in the text; None where there are none.
        """
        self.telling = telling
        self.tokens = 0
        self._calls = calls
        self._generation = generation
        self._metrics = metrics
        self._first_s: float | None = None
        self._last_s = 0.0

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt."""
        return len(self._generation.ask.prompt)

    @property
    def reused_tokens(self) -> int:
        """Tokens of the prompt that were in the caches."""
        return self._generation.reused_tokens

    async def piece(self) -> Piece:
        """What has come since the last call.

        Raises:
            HeadwaterError: the engine gave up on this request.
        """
        piece = await self._generation.read()
        if piece.error is not None:
            raise piece.error
        if self._first_s is None:
            self._first_s = piece.at_s
            self._metrics.first_token(piece.at_s - self._generation.asked_s, self._generation.reused_tokens)
        self.tokens += piece.tokens
        self._last_s = piece.at_s
        return piece

    def parted(self, piece: Piece) -> tuple[str, list[Call]]:
        """Text and calls of a piece."""
        if self._calls is None:
            return piece.text, []
        text, calls = self._calls.push(piece.text)
        if piece.finish is not None:
            rest, last = self._calls.close()
            return text + rest, calls + last
        return text, calls

    def close(self) -> None:
        """Nobody reads any more: the engine may have the slot back."""
        self._generation.cancel()
        self._metrics.generated(self.tokens, self._last_s - (self._first_s or 0.0))


async def whole(readers: Sequence[Reader], envelope: Envelope, *, count: int) -> web.Response:
    """The likeliest `count` of the answers in one message, when all are complete."""
    made = await _together([_said(reader) for reader in readers])
    if count < len(made):
        made = sorted(made, key=lambda one: one[1], reverse=True)[:count]
    return web.json_response(envelope.whole([said for said, _ in made], _usage(readers)))


async def stream(
    request: web.Request, readers: Sequence[Reader], envelope: Envelope, *, with_usage: bool
) -> tuple[web.StreamResponse, Outcome]:
    """The answers as they come.

    A fault before the first token still gets its own status; a later one ends the stream.
    """
    first = await readers[0].piece()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    send = partial(_send, request, response)
    pieces = [first, *[None] * (len(readers) - 1)]
    outcome = Outcome.ANSWERED
    try:
        endings = await _together(
            [_stream_one(reader, index, envelope, send, pieces[index]) for index, reader in enumerate(readers)]
        )
    except HeadwaterError as exc:
        outcome = Outcome.FAILED
        out = answers.event(answers.fault(exc).body())
    else:
        out = b"".join(endings) + (envelope.usage(_usage(readers)) if with_usage else b"") + answers.DONE
    await send(out)
    await response.write_eof()
    return response, outcome


async def _stream_one(
    reader: Reader, index: int, envelope: Envelope, send: Callable[[bytes], Awaitable[None]], piece: Piece | None
) -> bytes:
    """Send one of the answers; its end is returned, so that it leaves together with what follows."""
    before, after = envelope.chunk_parts(index)
    out = envelope.opening(index) if envelope.chat else b""
    called = 0
    while True:
        if piece is None:
            piece = await reader.piece()
        text, calls = reader.parted(piece)
        if reader.telling is not None and (text or piece.chosen):
            out += envelope.chunk(index, text, reader.telling.of(piece.chosen))
        elif text:
            out += before + json.dumps(text).encode() + after
        for call in calls:
            out += envelope.call_chunk(index, called, call)
            called += 1
        if piece.finish is not None:
            return out + envelope.closing(index, piece.finish, called=called > 0)
        if out:
            await send(out)
        out, piece = b"", None


async def _said(reader: Reader) -> tuple[Said, float]:
    """One answer, and the mean log probability of its tokens where they are told of."""
    text, calls, told = "", list[Call](), list[Chosen]()
    while True:
        piece = await reader.piece()
        more, called = reader.parted(piece)
        text += more
        calls += called
        told += piece.chosen
        if piece.finish is not None:
            mean = sum(one.logprob for one in told) / max(1, len(told))
            logprobs = None if reader.telling is None else reader.telling.of(told)
            return Said(text, piece.finish, calls, logprobs), mean


def _usage(readers: Sequence[Reader]) -> Usage:
    """Token counts of all answers to one prompt."""
    made = sum(reader.tokens for reader in readers)
    return Usage(readers[0].prompt_tokens, made, readers[0].reused_tokens)


async def _together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results of all; the first fault ends the others."""
    if len(work) == 1:
        return [await work[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as exc:
        raise exc.exceptions[0] from None
    return [task.result() for task in tasks]


async def _send(request: web.Request, response: web.StreamResponse, content: bytes) -> None:
    try:
        async with asyncio.timeout(STALLED_S):
            await response.write(content)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError("The client reads nothing.") from None
