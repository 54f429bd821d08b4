"""A whole gateway in a thread of its own, with its own event loop.

Used by `runtimes.gateway.main`, by the actor that hosts a gateway, and by tests. The applications are in
`runtimes.gateway.server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from aiohttp import web

from runtimes.errors import Invalid, Refused
from runtimes.gateway.proxy import Proxy
from runtimes.gateway.server import create_admin_app, create_app
from runtimes.gateway.table import Table
from runtimes.gateway.transport import IDLE_S, Transport

try:
    from uvloop import new_event_loop as _uvloop
except ImportError:  # not on Windows; the loop of the standard library serves too, slower
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    new_loop = _uvloop

ADMIN_HOST = "127.0.0.1"
BODY_LIMIT_BYTES = 4 * 2**20
_CUT_OFF_S = 0.5  # for handlers to end once they are cancelled

# The library writes a traceback for every malformed request, so clients could fill the log; mistakes of our own are
# logged in `runtimes.gateway.server`.
_QUIET = logging.getLogger("runtimes.gateway.connections")
_QUIET.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How a gateway is started; port 0 takes a free port."""

    host: str  # a loopback address
    port: int
    admin_port: int  # always on 127.0.0.1
    admin_token: str = field(repr=False)
    state: Path  # file that keeps the route table
    body_limit_bytes: int = BODY_LIMIT_BYTES
    wait_for_replica_s: float = 5.0
    idle_s: float = IDLE_S  # a replica or client that moves no byte for this long is given up


class Urls(NamedTuple):
    """Where a gateway listens: `http://host:port`, without path."""

    public: str
    admin: str


class Gateway:
    """A gateway that can be started once and stopped once."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Nothing happens until `start`."""
        self._settings = settings
        self._started: Future[Urls] = Future()
        self._thread = Thread(target=self._run, name="gateway", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Future[float] = Future()  # seconds that running requests get to finish

    @property
    def urls(self) -> Urls:
        """Where it listens; waits for `start`."""
        return self._started.result()

    @property
    def running(self) -> bool:
        """Whether its thread is alive."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Listen; returns when requests can come.

        Raises:
            Refused: the host is not this machine alone.
            Invalid: the admin token is empty, or a port is taken or out of range; names the port.
        """
        _check(self._settings)
        self._thread.start()
        self._started.result()

    def stop(self, timeout_s: float) -> None:
        """Take no more connections, give running requests `timeout_s` seconds to finish, then cut them off."""
        if not self._stop.done():
            self._stop.set_result(timeout_s)
        if self.running:
            self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        settings = self._settings
        table = Table(settings.state)
        table.load()
        async with Transport(idle_s=settings.idle_s) as transport:
            proxy = Proxy(
                table,
                transport,
                body_limit_bytes=settings.body_limit_bytes,
                wait_for_replica_s=settings.wait_for_replica_s,
            )
            admin_app = create_admin_app(proxy, table, settings.admin_token)
            async with (
                _listening(admin_app, ADMIN_HOST, settings.admin_port) as (admin_url, _),
                _listening(create_app(proxy, table), settings.host, settings.port) as (public_url, close_door),
            ):
                self._started.set_result(Urls(public_url, admin_url))
                drain_s = await asyncio.wrap_future(self._stop)
                await close_door()
                await proxy.drain(drain_s)


@contextlib.asynccontextmanager
async def _listening(
    app: web.Application, host: str, port: int
) -> AsyncIterator[tuple[str, Callable[[], Awaitable[None]]]]:
    runner = web.AppRunner(app, access_log=None, logger=_QUIET, handler_cancellation=True, shutdown_timeout=_CUT_OFF_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Invalid(f"port {port} on {host} is taken; choose another port or stop what uses it") from None
            raise Invalid(f"cannot listen on port {port} of {host}: {error.strerror}") from None
        bound_host, bound_port = runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        yield f"http://{shown}:{bound_port}", lambda: _close_door(runner)
    finally:
        await runner.cleanup()


async def _close_door(runner: web.AppRunner) -> None:
    """Take no new connection, and close each open one when its request is answered."""
    for site in list(runner.sites):
        await site.stop()
    await asyncio.sleep(0)  # requests that have just arrived begin before idle connections close
    if runner.server is not None:
        runner.server.pre_shutdown()


def _check(settings: GatewaySettings) -> None:
    try:
        alone = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        alone = False
    if not alone:
        raise Refused(
            f"the gateway will not listen on {settings.host!r}: it has no API keys yet, so anyone could use the "
            "models; use 127.0.0.1 and put a proxy that checks callers in front of it",
        )
    if not settings.admin_token:
        raise Invalid("the admin token is empty; give the gateway the token that the controller sends")
    for port in (settings.port, settings.admin_port):
        if not 0 <= port < 2**16:
            raise Invalid(f"port {port} does not exist; choose one from 1 to 65535, or 0 for any free one")
