"""The route table: checked, kept on disk, and turned into targets with their counts.

The controller pushes a whole table; the file makes the gateway serve after a restart without the controller. Choosing a
target is `runtimes.gateway.routing`; HTTP is `runtimes.gateway.server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from runtimes.contract import SCHEMA, RouteTable, Upstream
from runtimes.errors import Invalid, Unavailable
from runtimes.gateway.routing import Target

LARGEST_BYTES = 16 * 2**20  # of a table as JSON; ten thousand replicas need about one
_LONGEST_NAME = 200
_LARGEST_PORT = 65535
_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*):(?P<port>[0-9]{1,5})", re.ASCII)

log = logging.getLogger(__name__)


class Table:
    """What the gateway routes now. Lives on one event loop."""

    def __init__(self, path: Path) -> None:
        """`path` is the file that keeps the table; its folder is made when the first table is saved."""
        self._path = path
        self._current: RouteTable | None = None
        self._saved: RouteTable | None = None
        self._targets: dict[str, tuple[Target, ...]] = {}
        self._changed = asyncio.Event()
        self._saving = asyncio.Lock()

    @property
    def current(self) -> RouteTable | None:
        """The table in use, or None before the first one."""
        return self._current

    @property
    def services(self) -> list[str]:
        """Names of all services, sorted."""
        return sorted(self._targets)

    def targets(self, service: str) -> tuple[Target, ...] | None:
        """Ready replicas of a service; None when no such service is routed."""
        return self._targets.get(service)

    def outstanding(self) -> dict[str, dict[str, int]]:
        """Requests outstanding, by service and replica."""
        return {service: {t.name: t.outstanding for t in targets} for service, targets in self._targets.items()}

    def load(self) -> None:
        """Take the table from disk; a file that cannot be used is reported in the log and left out."""
        try:
            with self._path.open("rb") as file:
                content = file.read(LARGEST_BYTES + 1)
            table = parse(content)
        except FileNotFoundError:
            log.info("no route table at %s yet; waiting for the controller's first push", self._path)
        except (OSError, Invalid) as error:
            log.warning("route table file %s is left out, starting without routes: %s", self._path, error)
        else:
            self._saved = table
            self._use(table)

    async def push(self, table: RouteTable) -> None:
        """Use this table from now on, then keep it on disk.

        Requests under way and their counts stay with replicas whose name and address stay.

        Raises:
            Unavailable: the table is in use but could not be saved.
        """
        self._use(table)
        async with self._saving:
            if self._current is not table or self._saved == table:
                return  # a newer push saves its own, and an equal one is on disk
            try:
                await asyncio.to_thread(_write, self._path, table.model_dump_json().encode())
            except OSError as error:
                raise Unavailable(
                    f"the routes are in use but not saved to {self._path} ({error.strerror}): "
                    "push again after the operator has made the file writable",
                    retry_in_s=5,
                ) from error
            self._saved = table

    async def wait_for_push(self, timeout_s: float) -> None:
        """Return at the next push, or after `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)

    def _use(self, table: RouteTable) -> None:
        known = {(t.name, t.url): t for targets in self._targets.values() for t in targets}
        self._targets = {
            route.service: tuple(known.get((u.name, u.url)) or Target(u.name, u.url) for u in route.upstreams)
            for route in table.routes
        }
        self._current = table
        self._changed.set()
        self._changed = asyncio.Event()


def parse(content: bytes) -> RouteTable:
    """A route table from JSON.

    Raises:
        Invalid: one sentence that names the first thing wrong.
    """
    if len(content) > LARGEST_BYTES:
        raise Invalid(f"route table: more than {LARGEST_BYTES} bytes; send fewer routes")
    try:
        table = RouteTable.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole text"
        raise Invalid(f"route table: {where}: {first['msg']}") from None
    for sentence in _mistakes(table):
        raise Invalid(f"route table: {sentence}")
    return table


def _mistakes(table: RouteTable) -> Iterator[str]:
    if table.schema_version != SCHEMA:
        yield f"schema_version is {table.schema_version}; this gateway reads {SCHEMA}"
    services = [route.service for route in table.routes]
    if len(set(services)) < len(services):
        yield "a service is listed twice; give each service one route"
    for route in table.routes:
        yield from _name_mistakes("service", route.service)
        names = [upstream.name for upstream in route.upstreams]
        if len(set(names)) < len(names):
            yield f"service {route.service!r} lists a replica name twice; give each replica its own name"
        for upstream in route.upstreams:
            yield from _name_mistakes("replica", upstream.name)
            yield from _url_mistakes(upstream)


def _name_mistakes(what: str, name: str) -> Iterator[str]:
    # Names become metric labels and response headers.
    if not (0 < len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable()):
        yield f"{what} name {name[:80]!r} must be 1 to {_LONGEST_NAME} printable ASCII characters"


def _url_mistakes(upstream: Upstream) -> Iterator[str]:
    found = _URL.fullmatch(upstream.url)
    if found is None or not 0 < int(found["port"]) <= _LARGEST_PORT:
        yield f"url {upstream.url[:80]!r} of replica {upstream.name!r} must read http://host:port and nothing more"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.new")
    written.unlink(missing_ok=True)
    file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    written.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive a power cut
    finally:
        os.close(folder)
