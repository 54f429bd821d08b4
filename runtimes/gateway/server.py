"""The two web applications of a gateway: one for clients, one for the controller and Prometheus.

Started by `runtimes.gateway.run`. What happens to a request for a service is in `runtimes.gateway.proxy`; no address or
port is chosen here.
"""

from __future__ import annotations

import hmac
import logging
import math
from collections.abc import Awaitable, Callable

from aiohttp import web

from runtimes.errors import Invalid, Unavailable
from runtimes.gateway import answers, headers, table
from runtimes.gateway.proxy import PATHS, Proxy
from runtimes.gateway.table import Table

_FIRST_ERROR = 400
_BEARER = "Bearer "

log = logging.getLogger(__name__)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(proxy: Proxy, routes: Table) -> web.Application:
    """The public application: the OpenAI paths, the list of services, and health."""

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [answers.model(name) for name in routes.services]})

    async def model(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if routes.targets(name) is not None:
            return web.json_response(answers.model(name))
        unknown = answers.unknown_model(name, routes.services)
        unknown.headers[headers.REQUEST_ID] = headers.request_id(request.headers)
        return unknown

    async def healthy(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        if routes.current is None:
            message = "no route table yet: the controller has to push one"
            return answers.error(503, "no_route_table", message, headers={"Retry-After": "1"})
        return web.json_response({"status": "ready"})

    app = web.Application(middlewares=[_in_our_shape], client_max_size=proxy.body_limit_bytes)
    app.add_routes([web.post(path, proxy.answer) for path in PATHS])
    app.add_routes([web.get("/v1/models", models), web.get("/v1/models/{name:.+}", model)])
    app.add_routes([web.get("/healthz", healthy), web.get("/readyz", ready)])
    return app


def create_admin_app(proxy: Proxy, routes: Table, token: str) -> web.Application:
    """The application for the controller, which knows `token`, and for Prometheus, which needs none."""
    expected = token.encode()

    def refusal(request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        secret = given.removeprefix(_BEARER).encode(errors="surrogateescape")
        if given.startswith(_BEARER) and hmac.compare_digest(secret, expected):
            return None
        message = "the bearer token is missing or wrong; send the gateway's admin token"
        return answers.error(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})

    async def put_routes(request: web.Request) -> web.Response:
        if (refused := refusal(request)) is not None:
            return refused
        try:
            pushed = table.parse(await request.read())
            await routes.push(pushed)
        except Invalid as error:
            return answers.error(400, "invalid_route_table", str(error))
        except Unavailable as error:
            retry = {"Retry-After": str(math.ceil(error.retry_in_s))}
            return answers.error(503, "not_saved", str(error), headers=retry)
        return web.json_response({"services": len(pushed.routes)})

    async def get_routes(request: web.Request) -> web.Response:
        if (refused := refusal(request)) is not None:
            return refused
        current = None if routes.current is None else routes.current.model_dump(mode="json")
        return web.json_response({"table": current, "outstanding": routes.outstanding()})

    async def scrape(_: web.Request) -> web.Response:
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return web.Response(body=proxy.metrics.text(), headers={"Content-Type": content_type})

    app = web.Application(middlewares=[_in_our_shape], client_max_size=table.LARGEST_BYTES)
    app.add_routes([web.put("/admin/routes", put_routes), web.get("/admin/routes", get_routes)])
    app.add_routes([web.get("/metrics", scrape)])
    return app


@web.middleware
async def _in_our_shape(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Give the errors of the web library, and mistakes of our own, the OpenAI shape."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < _FIRST_ERROR:
            raise
        response = _library_error(request, error)
    except ConnectionError:
        raise  # the client is gone; there is nobody to answer
    except Exception:
        log.exception("a request to %s failed inside the gateway", request.path)
        message = "the gateway failed on this request; its operator finds the reason in its log"
        response = answers.error(500, "internal_error", message)
    response.headers[headers.REQUEST_ID] = headers.request_id(request.headers)
    return response


def _library_error(request: web.Request, error: web.HTTPException) -> web.Response:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.method[:20]} is not possible on {request.path[:100]}; use {allowed}"
        return answers.error(405, "method_not_allowed", message, headers={"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        message = (
            f"there is nothing at {request.path[:100]}; known paths begin with /v1/chat/completions and /v1/models"
        )
        return answers.error(404, "not_found", message)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return answers.error(413, "body_too_large", "the body is too large; send a shorter one")
    return answers.error(error.status, "refused", f"the request was refused: {error.reason}")
