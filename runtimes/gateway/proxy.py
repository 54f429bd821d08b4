"""A request's way to a replica: choose one, send, try another until an answer begins, then pass it on.

Before the first byte of an answer a request goes from replica to replica; after it, never. Choosing is
`runtimes.gateway.routing`, sending `runtimes.gateway.transport`, passing on `runtimes.gateway.relay`; the web
application around it is `runtimes.gateway.server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
from dataclasses import dataclass, field
from time import monotonic

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from runtimes.gateway import answers, asked, headers
from runtimes.gateway.metrics import UNKNOWN, Metrics, Outcome, Retry
from runtimes.gateway.relay import Relayed, relay
from runtimes.gateway.routing import EJECT_AFTER, HEALTHY, Target, after_failure, pick
from runtimes.gateway.table import Table
from runtimes.gateway.transport import Failure, Transport

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/rerank", "/classify")
DRAINING = frozenset({502, 503})
FULL = 429
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5
LOSSES_PER_REPLICA = 2  # a request that makes replicas crash reaches each of them at most this often
RETRY_IN_S = 2.0
_LARGEST_REFUSAL_BYTES = 64 * 1024
_REFUSAL_S = 2.0  # for the body of a refusal to arrive
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Journey:
    """Where one request has been."""

    service: str
    url_path: str
    headers: CIMultiDict[str]
    body: bytes
    request_id: str
    began_s: float
    tried: set[Target] = field(default_factory=set)  # in this round
    losses: dict[Target, int] = field(default_factory=dict)
    full: Relayed | None = None  # the refusal with the shortest wait so far
    full_for_s: float = math.inf
    pause_s: float = FIRST_PAUSE_S
    give_up_at_s: float = math.inf  # set when no replica is left to ask


class Proxy:
    """Answers requests for services. Lives on one event loop."""

    def __init__(self, table: Table, transport: Transport, *, body_limit_bytes: int, wait_for_replica_s: float) -> None:
        """Requests for a service without a replica that answers wait `wait_for_replica_s` seconds for one."""
        self.body_limit_bytes = body_limit_bytes
        self.in_flight = 0
        self.metrics = Metrics(table.outstanding, lambda: self.in_flight)
        self._table = table
        self._transport = transport
        self._wait_s = wait_for_replica_s
        self._empty = asyncio.Event()
        self._empty.set()
        self._last: dict[str, str] = {}  # replica chosen last, by service

    async def drain(self, timeout_s: float) -> None:
        """Return when no request is inside, or after `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one POST; every way out is counted."""
        request_id = headers.request_id(request.headers)
        service = UNKNOWN
        outcome = Outcome.FAILED
        self.in_flight += 1
        self._empty.clear()
        try:
            began_s = monotonic()
            wanted = await asked.read(request, limit_bytes=self.body_limit_bytes, idle_s=self._transport.idle_s)
            if isinstance(wanted, web.Response):
                relayed = Relayed(wanted, Outcome.INVALID)
            elif self._table.targets(wanted.service) is None:
                relayed = self._unknown(wanted.service)
            else:
                service = wanted.service
                kept = headers.to_upstream(request.headers, request_id)
                journey = _Journey(service, request.path, kept, wanted.body, request_id, began_s)
                relayed = await self._travel(request, journey)
            outcome = relayed.outcome
            if not relayed.response.prepared:
                relayed.response.headers[headers.REQUEST_ID] = request_id
        except (asyncio.CancelledError, ConnectionError):
            outcome = Outcome.CANCELLED  # the client went away
            raise
        else:
            return relayed.response
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._empty.set()
            self.metrics.ended(service, outcome)

    def _unknown(self, service: str) -> Relayed:
        return Relayed(answers.unknown_model(service, self._table.services), Outcome.INVALID)

    async def _travel(self, request: web.Request, journey: _Journey) -> Relayed:
        while True:
            targets = self._table.targets(journey.service)
            if targets is None:
                return self._unknown(journey.service)
            last = self._last.get(journey.service, "")
            target = pick(targets, tried=journey.tried, after=last, now_s=monotonic())
            if target is not None:
                self._last[journey.service] = target.name
                relayed = await self._ask(request, journey, target)
                if relayed is not None:
                    return relayed
            elif journey.full is not None:
                return journey.full
            elif not await self._new_round(journey):
                return Relayed(answers.no_replica(journey.service, RETRY_IN_S), Outcome.NO_REPLICA)

    async def _new_round(self, journey: _Journey) -> bool:
        """Wait a little, then allow the replicas to be asked again; False when the time for that is over."""
        now_s = monotonic()
        journey.give_up_at_s = min(journey.give_up_at_s, now_s + self._wait_s)
        if now_s >= journey.give_up_at_s:
            return False
        await self._table.wait_for_push(min(journey.pause_s, journey.give_up_at_s - now_s))
        journey.pause_s = min(2 * journey.pause_s, LONGEST_PAUSE_S)
        journey.tried = {target for target, losses in journey.losses.items() if losses >= LOSSES_PER_REPLICA}
        return True

    async def _ask(self, request: web.Request, journey: _Journey, target: Target) -> Relayed | None:
        """Send the request to one replica; None when another one is to be asked."""
        journey.tried.add(target)
        target.outstanding += 1
        answer: aiohttp.ClientResponse | Failure | None = None
        try:
            answer = await self._transport.post(target.url + journey.url_path, journey.headers, journey.body)
            if isinstance(answer, Failure):
                return self._failed(journey, target, answer)
            target.health = HEALTHY
            if answer.status == FULL:
                self.metrics.passed_over(journey.service, Retry.FULL)
                await _note_full(journey, target, answer)
                return None
            if answer.status in DRAINING:
                self.metrics.passed_over(journey.service, Retry.DRAINING)
                return None
            self.metrics.began(journey.service, monotonic() - journey.began_s)
            return await relay(
                request,
                answer,
                replica=target.name,
                request_id=journey.request_id,
                idle_s=self._transport.idle_s,
            )
        finally:
            target.outstanding -= 1
            if isinstance(answer, aiohttp.ClientResponse):
                answer.close()

    def _failed(self, journey: _Journey, target: Target, failure: Failure) -> Relayed | None:
        if failure is Failure.SILENT:
            message = "the replica did not answer in time: send a shorter request, or the same one later"
            return Relayed(answers.error(504, "upstream_silent", message), Outcome.SILENT)
        before, target.health = target.health, after_failure(target.health, monotonic())
        if target.health.failures == EJECT_AFTER > before.failures:
            log.warning("replica %s at %s is passed over for a while: %s", target.name, target.url, failure.value)
        if failure is Failure.LOST:
            journey.losses[target] = journey.losses.get(target, 0) + 1
        self.metrics.passed_over(journey.service, Retry(failure.value))
        return None


async def _note_full(journey: _Journey, target: Target, answer: aiohttp.ClientResponse) -> None:
    """Remember the refusal of a full replica if it asks for the shortest wait so far."""
    given = answer.headers.get("retry-after", "")
    wait_s = float(given) if _SECONDS.fullmatch(given) else math.inf
    if journey.full is not None and wait_s >= journey.full_for_s:
        return
    size_bytes = answer.content_length or 0
    try:
        async with asyncio.timeout(_REFUSAL_S):
            content = await answer.content.readexactly(size_bytes if size_bytes <= _LARGEST_REFUSAL_BYTES else 0)
    except (aiohttp.ClientError, asyncio.IncompleteReadError, OSError):
        content = b""
    known = headers.to_client(answer.headers, journey.request_id, target.name)
    if math.isinf(wait_s):
        known["retry-after"] = "1"
    if content:
        refusal = web.Response(status=FULL, body=content, headers=known)
    else:
        message = f"every replica of {journey.service!r} is full: send the request again after the time in Retry-After"
        refusal = answers.error(FULL, "full", message, headers={"Retry-After": known["retry-after"]})
    journey.full = Relayed(refusal, Outcome.FULL)
    journey.full_for_s = wait_s
