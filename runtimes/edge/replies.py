"""Sends one answer to one client, whole or as server-sent events, and counts it.

Shapes are in `runtimes.edge.answers`. Called by `runtimes.edge.server`.
"""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from runtimes.edge import answers
from runtimes.edge.answers import Envelope, Usage
from runtimes.edge.generation import Finish, Generation, Piece
from runtimes.edge.metrics import EdgeMetrics, Outcome
from runtimes.errors import HeadwaterError

STALLED_S = 120.0  # a client that takes nothing for so long is given up


class Reader:
    """Reads a generation and times it."""

    def __init__(self, generation: Generation, metrics: EdgeMetrics) -> None:
        self.outcome = Outcome.ANSWERED  # unless it breaks off
        self._generation = generation
        self._metrics = metrics
        self._tokens = 0
        self._first_s: float | None = None
        self._last_s = 0.0

    @property
    def usage(self) -> Usage:
        """Token counts so far."""
        generation = self._generation
        return Usage(len(generation.ask.prompt), self._tokens, generation.reused_tokens)

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
        self._tokens += piece.tokens
        self._last_s = piece.at_s
        return piece

    def close(self) -> None:
        """Nobody reads any more: the engine may have the slot back."""
        self._generation.cancel()
        self._metrics.generated(self._tokens, self._last_s - (self._first_s or 0.0))


async def whole(reader: Reader, envelope: Envelope) -> web.Response:
    """The answer in one message, when it is complete."""
    text: list[str] = []
    while True:
        piece = await reader.piece()
        text.append(piece.text)
        if piece.finish is not None:
            return web.json_response(envelope.whole("".join(text), piece.finish, reader.usage))


async def stream(request: web.Request, reader: Reader, envelope: Envelope, *, with_usage: bool) -> web.StreamResponse:
    """The answer as it comes. A fault before the first token still gets its own status; a later one ends the stream."""
    piece = await reader.piece()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    before, after = envelope.chunk_parts()
    out = envelope.opening() if envelope.chat else b""
    try:
        while True:
            if piece.text:
                out += before + json.dumps(piece.text).encode() + after
            if piece.finish is not None:
                break
            if out:
                await _send(request, response, out)
            piece = await reader.piece()
            out = b""
    except HeadwaterError as exc:
        reader.outcome = Outcome.FAILED
        out = answers.event(answers.fault(exc).body())
    else:
        out += _ending(envelope, piece.finish, reader.usage if with_usage else None)
    await _send(request, response, out)
    await response.write_eof()
    return response


async def _send(request: web.Request, response: web.StreamResponse, content: bytes) -> None:
    try:
        async with asyncio.timeout(STALLED_S):
            await response.write(content)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError("The client reads nothing.") from None


def _ending(envelope: Envelope, finish: Finish, usage: Usage | None) -> bytes:
    return envelope.closing(finish) + (envelope.usage(usage) if usage is not None else b"") + answers.DONE
