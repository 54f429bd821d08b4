"""A gateway on real loopback sockets, and replicas that behave well or badly.

`lab.replica("a", "good")` starts a fake replica; `lab.route(assistant=[...])` pushes the table; `lab.ask(...)` is a
client.
When a test ends, every request must have left the gateway and its counts must be zero.
"""

import asyncio
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runtimes.gateway.run import Gateway, GatewaySettings

TOKEN = "the-admin-token"
CHAT = "/v1/chat/completions"


async def good(request: web.Request, fake: "Fake") -> web.StreamResponse:
    body = json.loads(fake.bodies[-1])
    if not body.get("stream"):
        message = {"role": "assistant", "content": f"hello from {fake.name}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "c-1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
        return web.json_response(
            answer, headers={"X-Engine": "fake", "X-Request-Id": "mine", "Keep-Alive": "timeout=9"}
        )
    response = await begin_stream(request)
    for word in ("one ", "two"):
        delta = {"index": 0, "delta": {"content": word}}
        event = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
        await response.write(f"data: {json.dumps(event)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response


async def begin_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


async def resetting(request: web.Request, _: "Fake") -> web.StreamResponse:
    request.transport.abort()
    raise ConnectionResetError


async def half_closed(request: web.Request, fake: "Fake") -> web.StreamResponse:
    request.transport.write_eof()
    await asyncio.wait_for(fake.released.wait(), 10)
    raise ConnectionResetError


async def garbage(request: web.Request, _: "Fake") -> web.StreamResponse:
    request.transport.write(b"\x00\xffSSH-2.0-not-http\r\n\r\n")
    request.transport.close()
    raise ConnectionResetError


async def draining(_: web.Request, __: "Fake") -> web.StreamResponse:
    return web.Response(status=503, text="draining")


async def bad_gateway(_: web.Request, __: "Fake") -> web.StreamResponse:
    return web.Response(status=502, text="draining")


async def full(_: web.Request, fake: "Fake") -> web.StreamResponse:
    headers = {"Retry-After": fake.retry_after} if fake.retry_after else {}
    return web.json_response({"error": {"message": f"{fake.name} is full"}}, status=429, headers=headers)


async def dying_in_stream(request: web.Request, _: "Fake") -> web.StreamResponse:
    response = await begin_stream(request)
    await response.write(b'data: {"half": 1}\n\ndata: {"cut')
    request.transport.close()
    raise ConnectionResetError


async def dying_in_answer(request: web.Request, _: "Fake") -> web.StreamResponse:
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    request.transport.close()
    raise ConnectionResetError


async def dying_in_large_answer(request: web.Request, _: "Fake") -> web.StreamResponse:
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 2_000_000)
    request.transport.close()
    raise ConnectionResetError


async def slow(request: web.Request, fake: "Fake") -> web.StreamResponse:
    try:
        await asyncio.wait_for(fake.released.wait(), 10)
    except asyncio.CancelledError:
        fake.cancelled.set()
        raise
    return await good(request, fake)


async def slow_stream(request: web.Request, fake: "Fake") -> web.StreamResponse:
    response = await begin_stream(request)
    await response.write(b"data: first\n\n")
    try:
        await asyncio.wait_for(fake.released.wait(), 10)
    except asyncio.CancelledError:
        fake.cancelled.set()
        raise
    await response.write(b"data: last\n\n")
    return response


async def endless(request: web.Request, fake: "Fake") -> web.StreamResponse:
    response = await begin_stream(request)
    try:
        while True:
            await response.write(b"data: more\n\n" * 10_000)
    except (asyncio.CancelledError, ConnectionError):
        fake.cancelled.set()
        raise


async def dying_between_events(request: web.Request, _: "Fake") -> web.StreamResponse:
    response = await begin_stream(request)
    await response.write(b'data: {"choices": []}\n\n')
    request.transport.close()
    raise ConnectionResetError


async def raw(request: web.Request, fake: "Fake") -> web.StreamResponse:
    for part in fake.raw:
        request.transport.write(part)
        await asyncio.sleep(0.05)  # so that the parts arrive apart
    request.transport.close()
    raise ConnectionResetError


async def failing(_: web.Request, __: "Fake") -> web.StreamResponse:
    return web.json_response({"error": {"message": "engine broke"}}, status=500)


BEHAVIOURS: dict[str, Callable[[web.Request, "Fake"], Awaitable[web.StreamResponse]]] = {
    f.__name__: f
    for f in (
        good, resetting, half_closed, garbage, draining, bad_gateway, full, dying_in_stream, dying_in_answer,
        dying_in_large_answer, slow, slow_stream, failing,
        endless, raw, dying_between_events,
    )
}  # fmt: skip


@dataclass
class Fake:
    """One fake replica; `behaviour` may change while it runs."""

    name: str
    behaviour: str
    port: int
    retry_after: str = ""
    raw: tuple[bytes, ...] = ()
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> int:
        return len(self.bodies)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies.append(body)
        return await BEHAVIOURS[self.behaviour](request, self)

    async def listen(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/{path:.*}", self.answer)
        self.runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.port = self.runner.addresses[0][1]


@dataclass
class Answer:
    """What the client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Lab:
    """One gateway, its fake replicas and a client."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.gateway: Gateway | None = None
        self.fakes: list[Fake] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def on_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def start(self, **changes: Any) -> Gateway:
        values = {"host": "127.0.0.1", "port": 0, "admin_port": 0, "admin_token": TOKEN, "state": self.state}
        self.gateway = Gateway(GatewaySettings(**{"wait_for_replica_s": 0.2} | values | changes))
        self.gateway.start()
        return self.gateway

    def replica(self, name: str, behaviour: str, *, retry_after: str = "") -> Fake:
        fake = Fake(name, behaviour, 0, retry_after)
        if behaviour == "refusing":
            with socket.create_server(("127.0.0.1", 0)) as free:
                fake.port = free.getsockname()[1]
        else:
            self.on_loop(fake.listen())
        self.fakes.append(fake)
        return fake

    def kill(self, fake: Fake) -> None:
        self.on_loop(fake.runner.cleanup())
        fake.runner = None

    def revive(self, fake: Fake) -> None:
        self.on_loop(fake.listen())

    def release(self, fake: Fake) -> None:
        self._loop.call_soon_threadsafe(fake.released.set)

    def send(
        self, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None, admin: bool = False,
    ) -> http.client.HTTPResponse:  # fmt: skip
        url = self.gateway.urls.admin if admin else self.gateway.urls.public
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=15)
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, body=content, headers=headers or {})
        response = connection.getresponse()
        response.connection = connection
        return response

    def ask(self, method: str = "POST", path: str = CHAT, **given: Any) -> Answer:
        if method == "POST":
            given.setdefault("body", {"model": "assistant", "messages": []})
        response = self.send(method, path, **given)
        headers = {name.lower(): value for name, value in response.getheaders()}
        try:
            return Answer(response.status, headers, response.read())
        finally:
            response.connection.close()

    def admin(self, method: str, path: str, *, token: str = TOKEN, body: Any = None) -> Answer:
        return self.ask(method, path, body=body, headers={"Authorization": f"Bearer {token}"}, admin=True)

    def route(self, **services: list[Fake]) -> None:
        routes = [
            {"service": name, "upstreams": [{"name": f.name, "url": f.url} for f in fakes]}
            for name, fakes in services.items()
        ]
        answer = self.admin("PUT", "/admin/routes", body={"routes": routes})
        assert answer.status == 200, answer.body

    def outstanding(self) -> dict[str, dict[str, int]]:
        return self.admin("GET", "/admin/routes").json["outstanding"]

    def metric(self, name: str) -> dict[str, float]:
        text = self.ask("GET", "/metrics", admin=True).body.decode()
        found = re.findall(rf"^headwater_gateway_{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
        return {labels: float(value) for labels, value in found}

    def eventually(self, holds: Callable[[], bool], what: str, within_s: float = 5.0) -> None:
        until_s = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < until_s, what
            time.sleep(0.005)

    def close(self) -> None:
        for fake in self.fakes:
            self.release(fake)
        try:
            if self.gateway is not None and self.gateway.running:
                # A scrape does not count itself: only the public application counts what is inside.
                self.eventually(lambda: self.metric("in_flight")[""] == 0, "a request stayed in the gateway")
                counts = [n for by_name in self.outstanding().values() for n in by_name.values()]
                assert not any(counts), counts
        finally:
            if self.gateway is not None:
                self.gateway.stop(0)
            for fake in self.fakes:
                if fake.runner is not None:
                    self.kill(fake)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


@pytest.fixture
def idle_lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose gateway the test starts itself."""
    lab = Lab(tmp_path / "gateway" / "routes.json")
    yield lab
    lab.close()


@pytest.fixture
def lab(idle_lab: Lab) -> Lab:
    """A lab with a running gateway."""
    idle_lab.start()
    return idle_lab
