"""A replica's answer on its way to the client, chunk by chunk.

An event stream is passed on as it comes. Any other answer is held until it is complete or grows past `HOLD_BYTES`, so
that one that breaks becomes a plain 502. Nothing is sent twice and nothing is tried again here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from runtimes.gateway import answers, headers
from runtimes.gateway.metrics import Outcome

HOLD_BYTES = 2**20
_FIRST_ERROR = 400
_FIRST_SERVER_ERROR = 500


@dataclass(slots=True)
class Relayed:
    """An answer given to the client, and what it was."""

    response: web.StreamResponse
    outcome: Outcome


async def relay(
    request: web.Request,
    answer: aiohttp.ClientResponse,
    *,
    replica: str,
    request_id: str,
    idle_s: float,
) -> Relayed:
    """Pass `answer` on to the client of `request`.

    Args:
        request: the client's request.
        answer: the replica's answer, of which only the head was read; the caller closes it.
        replica: name of the replica, told to the client.
        request_id: told to the client.
        idle_s: a client that reads nothing for this long is given up.
    """
    is_stream = answer.content_type == "text/event-stream"
    response: web.StreamResponse | None = None
    held = b""
    while True:
        try:
            chunk = await answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return await _broken(request, response, error, answer=answer, last=held, request_id=request_id)
        if not chunk:
            break
        if response is None:
            held = held + chunk if held else chunk
            if not is_stream and len(held) <= HOLD_BYTES:
                continue
            response = web.StreamResponse(status=answer.status)
            response.headers.extend(headers.to_client(answer.headers, request_id, replica))
            await response.prepare(request)
            chunk = held
        held = chunk[-4:]
        try:
            async with asyncio.timeout(idle_s):
                await response.write(chunk)
        except TimeoutError:
            return _given_up(request, response)
    if response is None:
        known = headers.to_client(answer.headers, request_id, replica)
        response = web.Response(status=answer.status, body=held, headers=known)
    return Relayed(response, _outcome(answer.status))


def _outcome(status: int) -> Outcome:
    if status < _FIRST_ERROR:
        return Outcome.OK
    return Outcome.CLIENT_ERROR if status < _FIRST_SERVER_ERROR else Outcome.UPSTREAM_ERROR


def _given_up(request: web.Request, response: web.StreamResponse) -> Relayed:
    if request.transport is not None:
        request.transport.abort()
    return Relayed(response, Outcome.CANCELLED)


async def _broken(
    request: web.Request,
    response: web.StreamResponse | None,
    error: Exception,
    *,
    answer: aiohttp.ClientResponse,
    last: bytes,
    request_id: str,
) -> Relayed:
    silent = isinstance(error, TimeoutError)
    what = "sent nothing for too long" if silent else "broke the connection"
    message = f"the replica {what} before its answer was complete: send the request again"
    code = "upstream_silent" if silent else "upstream_broken"
    if response is None:
        known = {headers.REQUEST_ID: request_id}
        response = answers.error(504 if silent else 502, code, message, headers=known)
    elif answer.content_type == "text/event-stream" and "content-encoding" not in answer.headers:
        response.force_close()
        await response.write(answers.error_event(code, message, after=last))
    elif request.transport is not None:
        request.transport.close()  # without the last chunk, so that the client sees a cut answer
    return Relayed(response, Outcome.BROKEN)
