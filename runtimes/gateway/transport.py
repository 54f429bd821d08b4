"""One request to one replica, and what became of it; the gateway's HTTP client.

Trying again and choosing replicas is `runtimes.gateway.proxy`; passing the answer on is `runtimes.gateway.relay`.
"""

from __future__ import annotations

import asyncio
import io
from enum import StrEnum
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDict

CONNECT_S = 2.0
IDLE_S = 120.0
_FIRST_ANSWER = 200  # below it are promises and upgrades, which nobody asked for
_KEEPALIVE_S = 15.0  # shorter than servers keep idle connections, so that they seldom close one just as it is used
_COPY_BELOW_BYTES = 2**20  # larger bodies are sent piece by piece, other requests run in between


class Failure(StrEnum):
    """Why a replica gave no answer."""

    REFUSED = "refused"  # no connection: the request never reached it
    LOST = "lost"  # it had the request, and the connection broke or spoke no HTTP before an answer began
    SILENT = "silent"  # it had the request, and sent nothing for the idle time


class Transport:
    """Connections to all replicas, kept open between requests. Use as an async context manager, on one event loop."""

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        """`idle_s` seconds without a byte end a request."""
        self.idle_s = idle_s
        self._timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=idle_s)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection."""
        await self._session.close()

    async def post(self, url: str, headers: CIMultiDict[str], body: bytes) -> aiohttp.ClientResponse | Failure:
        """Send a request and wait for the head of the answer.

        The caller closes the answer. Cancelling closes the connection at once.
        """
        content = body if len(body) < _COPY_BELOW_BYTES else io.BytesIO(body)
        try:
            answer = await self._session.post(url, data=content, headers=headers, allow_redirects=False)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return Failure.REFUSED
        except TimeoutError:
            return Failure.SILENT
        except (aiohttp.ClientError, OSError):
            return Failure.LOST
        if answer.status < _FIRST_ANSWER:
            answer.close()
            return Failure.LOST
        _break_with_connection(answer)
        return answer


def _break_with_connection(answer: aiohttp.ClientResponse) -> None:
    """Make sure that reading a body fails when its connection closes early.

    aiohttp closes the connection when a body turns to garbage, but does not tell the reader, which waits forever.
    """
    body = answer.content
    if body.is_eof() or answer.connection is None or answer.connection.protocol is None:
        return

    def tell(_: object) -> None:
        if not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError("the connection closed before the answer was complete"))

    closed = answer.connection.protocol.closed
    if closed is None:
        tell(None)
        return

    def forget() -> None:
        closed.remove_done_callback(tell)

    closed.add_done_callback(tell)
    body.on_eof(forget)
    # The connection outlives this answer; how it ends later interests nobody and must not be logged as unseen.
    closed.remove_done_callback(_see)
    closed.add_done_callback(_see)


def _see(closed: asyncio.Future[None]) -> None:
    if not closed.cancelled():
        closed.exception()
