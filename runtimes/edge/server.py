"""The OpenAI server of one edge replica.

Listens before the model is loaded and says so on `/readyz`; `open_for` gives it an engine. Text is generated
through `runtimes.edge.generating`. Called by `runtimes.edge.replica`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from runtimes.edge import answers, embeddings, generating, openapi, reranking, transcriptions
from runtimes.edge.answers import Fault
from runtimes.edge.complaints import BadField, UnknownModel
from runtimes.edge.embeddings import EncoderServed
from runtimes.edge.generating import Served
from runtimes.edge.metrics import CONTENT_TYPE, EdgeMetrics, Outcome
from runtimes.edge.reranking import ClassifierServed
from runtimes.edge.transcriptions import SpeechServed
from runtimes.errors import HeadwaterError, Unavailable

BODY_LIMIT_BYTES = 1 << 20
BODY_S = 30.0  # in which a body has to arrive
LIMITS = dict.fromkeys(transcriptions.PATHS, (transcriptions.BODY_LIMIT_BYTES, transcriptions.BODY_S))
STUCK_S = 60.0  # an engine that takes no turn for so long is reported dead
STARTING_RETRY_S = 2.0

TURNED_AWAY = (429, 503, 504)
OUTCOMES = {400: Outcome.INVALID, 404: Outcome.INVALID, **dict.fromkeys(TURNED_AWAY, Outcome.TURNED_AWAY)}

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


Serves = Served | EncoderServed | ClassifierServed | SpeechServed


class EdgeServer:
    """HTTP routes over one engine."""

    def __init__(self, metrics: EdgeMetrics) -> None:
        self._metrics = metrics
        self._served: Serves | None = None
        self._why_not = "The model is loading."
        self._uploads = asyncio.Semaphore(transcriptions.BODIES)
        self.unanswered = 0  # requests to generate that have come and are not fully answered

    def open_for(self, served: Serves) -> None:
        """Answer with this engine from now on."""
        self._metrics.watch(served.engine)
        self._served = served

    def close_because(self, message: str) -> None:
        """Say why there will be no answers."""
        self._why_not = message

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[self._guard])
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/v1/embeddings", self._embed)
        for path in reranking.RERANK_PATHS:
            app.router.add_post(path, self._rerank)
        app.router.add_post(reranking.CLASSIFY_PATH, self._classify)
        for path in transcriptions.PATHS:
            app.router.add_post(path, self._transcribe)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{name:.+}", self._model)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_page)
        app.router.add_get("/openapi.json", self._openapi)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every error leaves in OpenAI's shape; every request to generate is counted while it is here."""
        generating = request.method == "POST"
        self.unanswered += generating
        try:
            return await self._answered(request, handler)
        finally:
            self.unanswered -= generating

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        limit_bytes, limit_s = LIMITS.get(request.path, (BODY_LIMIT_BYTES, BODY_S))
        try:
            return await handler(request)
        except HeadwaterError as exc:
            fault = answers.fault(exc)
            if request.method == "POST":  # asking whether a model is there generates nothing
                self._metrics.ended(OUTCOMES.get(fault.status, Outcome.FAILED))
        except web.HTTPRequestEntityTooLarge:
            fault = Fault(413, f"The body is larger than {limit_bytes} bytes.", code="body_too_large")
        except TimeoutError:
            fault = Fault(408, f"The body did not arrive within {limit_s:g} s; send it again.", code="body_too_slow")
        except (web.PayloadAccessError, web.RequestPayloadError):
            fault = Fault(400, "The body cannot be unpacked; send it as its headers say.", code="invalid_body")
        except web.HTTPNotFound:
            fault = Fault(404, f"There is nothing at {request.path[:200]}.", code="not_found")
        except web.HTTPMethodNotAllowed as exc:
            allowed = ", ".join(sorted(exc.allowed_methods))
            fault = Fault(405, f"{request.method} is not allowed here; use {allowed}.", code="method_not_allowed")
        except ConnectionError:
            raise  # the client is gone; there is nobody to answer
        except Exception:
            log.exception("A request to %s failed inside the server.", request.path[:200])
            fault = Fault(500, "The server failed on this request; its log says why.", "server_error")
            self._metrics.ended(Outcome.FAILED)
        return web.json_response(fault.body(), status=fault.status, headers=fault.headers())

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await generating.chat(request, await _body(request), self._serving, self._metrics)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        return await generating.complete(request, await _body(request), self._serving, self._metrics)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        return await embeddings.answer(await _body(request), self._named, self._metrics)

    async def _rerank(self, request: web.Request) -> web.StreamResponse:
        return await reranking.rerank(await _body(request), self._named, self._metrics)

    async def _classify(self, request: web.Request) -> web.StreamResponse:
        return await reranking.classify(await _body(request), self._named, self._metrics)

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        return await transcriptions.answer(request, self._named, self._metrics, self._uploads)

    def _serving(self, model: str) -> Served:
        served = self._named(model)
        if not isinstance(served, Served):
            raise BadField(f"{model[:100]!r} {served.does} and generates no text; ask {served.ask}.", param="model")
        return served

    def _named(self, model: str) -> Serves:
        if self._served is None:
            raise Unavailable(self._why_not, retry_in_s=STARTING_RETRY_S)
        if model not in self._served.names:
            raise UnknownModel(
                f"The model {model[:100]!r} does not exist here; this server has {self._served.names[0]!r}.",
                param="model",
            )
        return self._served

    async def _models(self, _request: web.Request) -> web.Response:
        served = self._served
        return web.json_response(
            answers.models(served.names[:1], served.made_s) if served is not None else answers.models((), 0)
        )

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response(answers.model(name, self._named(name).made_s))

    async def _healthz(self, _request: web.Request) -> web.Response:
        if self._served is not None and self._served.engine.silent_s > STUCK_S:
            return web.Response(text=f"The engine has not moved for {STUCK_S:.0f} s.\n", status=503)
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self._served is None:
            return web.Response(text=self._why_not + "\n", status=503)
        if self._served.engine.draining:
            return web.Response(text="Draining.\n", status=503)
        return web.Response(text="ok\n")

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.json_response(openapi.document(() if self._served is None else self._served.names))

    async def _metrics_page(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def _body(request: web.Request) -> bytes:
    async with asyncio.timeout(BODY_S):
        return await request.read()
