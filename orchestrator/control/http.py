"""The control API on loopback with a token: the door the CLI uses. HTTP statuses are chosen here.

`GET /healthz` · `GET /v1/status` · `POST /v1/apply?dryRun=` (YAML text) · `GET /v1/documents` ·
`DELETE /v1/documents/KIND/NAME?dryRun=` · `GET /metrics`. Everything but `/healthz` wants the token.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from orchestrator import telemetry
from orchestrator.api.kinds import Catalog, as_json
from orchestrator.api.load import load_bytes
from orchestrator.api.references import check_references
from orchestrator.api.site import Site
from orchestrator.control.loop import Controller
from orchestrator.errors import HeadwaterError, Invalid, InvalidSpec, NotOurs, Refused, Unavailable

log = logging.getLogger("headwater.control")
LARGEST_BODY_BYTES = 1 << 20
STATUS = {
    Invalid: HTTPStatus.BAD_REQUEST,
    Refused: HTTPStatus.CONFLICT,
    NotOurs: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Api:
    """The handlers of one controller's API."""

    controller: Controller
    catalog: Catalog
    token: str

    @property
    def app(self) -> web.Application:
        """The application, not yet listening."""
        app = web.Application(client_max_size=LARGEST_BODY_BYTES, middlewares=[_as_middleware(self._guard)])
        app.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/v1/status", self._status),
                web.post("/v1/apply", self._apply),
                web.get("/v1/documents", self._documents),
                web.delete("/v1/documents/{kind}/{name}", self._delete),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != "/healthz":
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(errors="surrogateescape"), self.token.encode()):
                return _answer({"error": "wrong or missing token"}, HTTPStatus.UNAUTHORIZED)
        try:
            return await handler(request)
        except HeadwaterError as exc:
            status = next(code for kind, code in STATUS.items() if isinstance(exc, kind))
            problems = [str(problem) for problem in exc.problems] if isinstance(exc, InvalidSpec) else [str(exc)]
            return _answer({"error": str(exc), "problems": problems}, status)
        except web.HTTPException as exc:
            said = exc.text or exc.reason
            return _answer({"error": said, "problems": [said]}, HTTPStatus(exc.status))

    async def _health(self, _: web.Request) -> web.Response:
        return _answer({"status": "ok"})

    async def _status(self, _: web.Request) -> web.Response:
        return _answer(await asyncio.to_thread(self.controller.status))

    async def _apply(self, request: web.Request) -> web.Response:
        loaded = load_bytes(await request.read(), request.headers.get("X-File", "request"))
        known = await asyncio.to_thread(self.controller.known)
        sites = [document.metadata.name for document in known if isinstance(document, Site)]
        problems = check_references(loaded, self.catalog.with_documents(known), sites)
        if problems:
            raise InvalidSpec(problems)
        documents = tuple(one.document for one in loaded)
        return _answer(await asyncio.to_thread(self.controller.apply, documents, dry_run=_dry_run(request)))

    async def _delete(self, request: web.Request) -> web.Response:
        kind, name = request.match_info["kind"], request.match_info["name"]
        await asyncio.to_thread(self.controller.delete, kind, name, dry_run=_dry_run(request))
        return _answer({"deleted": f"{kind}/{name}"})

    async def _documents(self, _: web.Request) -> web.Response:
        known = await asyncio.to_thread(self.controller.known)
        return _answer({"documents": [as_json(document) for document in known]})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=telemetry.exposition(), content_type="text/plain")


def _as_middleware(guard: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]) -> Middleware:
    """A bound method as aiohttp wants its middlewares: a function it may mark."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guard(request, handler)

    return middleware


def serve(app: web.Application, port: int) -> int:
    """Serve in a thread of its own for the life of the process; 0 takes a free port. Returns the port it listens at."""
    listening: Future[int] = Future()

    async def forever() -> None:
        try:
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        except Exception as exc:  # noqa: BLE001  told to the caller, who waits for it
            listening.set_exception(Unavailable(f"the control API cannot listen at port {port}: {exc}"))
            return
        listening.set_result(int(runner.addresses[0][1]))
        await asyncio.Event().wait()

    threading.Thread(target=asyncio.run, args=(forever(),), name="control-api", daemon=True).start()
    return listening.result()


def _dry_run(request: web.Request) -> bool:
    asked = request.query.get("dryRun", "false")
    if asked not in {"true", "false"}:
        raise Invalid(f"dryRun={asked!r} must be true or false")
    return asked == "true"


def _answer(body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(text=json.dumps(body), status=status, content_type="application/json")
