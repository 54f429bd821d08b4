"""A replica that is drained is not ended while anyone still waits for an answer's last byte."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp.test_utils import TestServer

from runtimes.edge.metrics import EdgeMetrics
from runtimes.edge.server import EdgeServer

HALF = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


def test_a_request_counts_as_unanswered_until_it_is_answered_or_its_client_leaves() -> None:
    async def counts() -> list[int]:
        edge = EdgeServer(EdgeMetrics())
        seen = []
        async with TestServer(edge.app(), handler_cancellation=True) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(HALF)
            await until(lambda: edge.unanswered == 1)
            seen.append(edge.unanswered)
            writer.write(b'"model": "x", "prompt": "' + b"a" * 72 + b'"}')
            await reader.readline()
            await until(lambda: edge.unanswered == 0)
            seen.append(edge.unanswered)
            writer.write(HALF)
            await until(lambda: edge.unanswered == 1)
            writer.close()
            await until(lambda: edge.unanswered == 0)
            seen.append(edge.unanswered)
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        return seen

    assert asyncio.run(counts()) == [1, 0, 0]


async def until(true: object) -> None:
    """Fails by the test's own time limit."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 what is awaited is a plain number of the server
            await asyncio.sleep(0)
