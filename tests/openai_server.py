"""A small server that speaks the OpenAI protocol as well or as badly as it is told: bytes on a socket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
Behaviour = Callable[["Door", dict[str, Any], asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Door:
    """What a server was asked, and when it wrote the first and last piece of each answer."""

    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    wrote: list[tuple[float, float]] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def event(content: str | None = None, **fields: Any) -> bytes:
    """One event with a piece of text, or with other fields."""
    body = {"choices": [{"index": 0, "delta": {"content": content}}]} if content is not None else {}
    return b"data: " + json.dumps(body | fields).encode() + b"\n\n"


def usage(prompt: Any, completion: Any) -> bytes:
    return event(choices=[], usage={"prompt_tokens": prompt, "completion_tokens": completion})


def answers(
    *, first_s: float = 0.0, each_s: float = 0.0, tokens: int | None = None, template: int = 10, counts: bool = True
) -> Behaviour:
    """A good answer: so long until the first token, then so long for each; four characters a token, and a template."""

    async def answer(door: Door, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        count = tokens or body["max_tokens"]
        writer.write(HEAD)
        await asyncio.sleep(first_s)
        began_s = time.perf_counter()
        for number in range(count):
            writer.write(event(f"w{number} "))
            await writer.drain()
            if number < count - 1:
                await asyncio.sleep(each_s)
        door.wrote.append((began_s, time.perf_counter()))
        writer.write(event(choices=[{"delta": {}, "finish_reason": "length"}]))
        if counts:
            writer.write(usage(template + -(-len(body["messages"][0]["content"]) // 4), count))
        writer.write(b"data: [DONE]\n\n")

    return answer


def says(content: bytes, then_s: float = 0.0) -> Behaviour:
    """The same bytes for everyone, and the connection left open for a while."""

    async def say(_door: Door, _body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        await asyncio.sleep(then_s)

    return say


def repeats(head: bytes, again: bytes) -> Behaviour:
    """Without end."""

    async def repeat(_door: Door, _body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(again)
            await writer.drain()

    return repeat


def refuses(status: int, message: str, *headers: str) -> Behaviour:
    body = json.dumps({"error": {"message": message}})
    lines = [f"HTTP/1.1 {status} No", f"Content-Length: {len(body)}", "Connection: close", *headers, "", body]
    return says("\r\n".join(lines).encode())


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[Door]:
    """A server in a thread of its own."""
    door, loop = Door(), asyncio.new_event_loop()
    serves: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serves.add(task)
        door.open += 1
        door.most_open = max(door.most_open, door.open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = next(int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-len"))
            door.headers.append(head)
            door.bodies.append(json.loads(await reader.readexactly(size)))
            await behaviour(door, door.bodies[-1], writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            door.open -= 1
            serves.discard(task)
            writer.close()

    async def stop() -> None:
        server.close()
        for task in serves:
            task.cancel()
        await asyncio.gather(*serves)
        await asyncio.sleep(0)  # transports say goodbye

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    door.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
