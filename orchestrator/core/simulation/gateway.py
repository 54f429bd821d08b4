"""The front of one tier: sends each request to a replica as the gateway does, and takes what comes back. Pure.

The choice is the gateway's own, `runtimes.gateway.routing.pick`; a full replica is passed over and the next one asked,
and a request that all refuse is refused, as in `runtimes.gateway.proxy`. The way to a site and back takes its round
trip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from orchestrator.core.simulation.calendar import Calendar
from orchestrator.core.simulation.engine import Done, Engine
from orchestrator.core.simulation.request import Request
from orchestrator.core.simulation.tally import Tally
from runtimes.gateway.routing import Target, pick

Answered = Callable[[Request, float, float], None]  # request, its first token and its end, both at the gateway


@dataclass(slots=True)
class Door:
    """One replica as the gateway reaches it, behind the link of its site."""

    target: Target
    way_s: float  # half the round trip
    engine: Engine = field(init=False)


class Front:
    """All replicas of one tier of one service, at the gateway."""

    def __init__(self, context_tokens: int, calendar: Calendar, tally: Tally, answered: Answered) -> None:
        """Begin without replicas.

        Args:
            context_tokens: a request that needs more is refused by any of them.
            calendar: when things happen.
            tally: counts what happens here.
            answered: is told of every complete answer.
        """
        self.tally = tally
        self._doors: dict[str, Door] = {}
        self._targets: tuple[Target, ...] = ()
        self._context_tokens = context_tokens
        self._calendar = calendar
        self._answered = answered
        self._last = ""

    @property
    def engines(self) -> dict[str, Engine]:
        """Its replicas by name."""
        return {name: door.engine for name, door in self._doors.items()}

    def add(self, name: str, round_trip_s: float, make: Callable[[Done], Engine]) -> None:
        """Open the way to one more replica; `make` builds it and is given what to call with complete answers."""
        door = Door(Target(name, f"sim://{name}"), round_trip_s / 2)
        door.engine = make(lambda request, now_s: self._done(door, request, now_s))
        self._doors[name] = door
        self._targets = (*self._targets, door.target)

    def send(self, request: Request, now_s: float) -> None:
        """A request has come to the gateway."""
        self.tally.asked += 1
        if not self._targets:
            self.tally.nowhere += 1
        elif request.asked.input_tokens + request.asked.output_tokens > self._context_tokens:
            self.tally.too_long += 1
        else:
            self._ask(request, now_s)

    def _ask(self, request: Request, now_s: float) -> None:
        while True:
            target = pick(self._targets, tried=request.tried, after=self._last, now_s=now_s)
            if target is None:
                self.tally.full += 1
                return
            self._last = target.name
            target.outstanding += 1
            door = self._doors[target.name]
            if door.way_s:
                self._calendar.call(now_s + door.way_s, partial(self._arrive, door, request))
                return
            if door.engine.submit(request, now_s):
                return
            _pass_over(door, request)

    def _arrive(self, door: Door, request: Request, now_s: float) -> None:
        """At the site, after half the round trip."""
        if not door.engine.submit(request, now_s):
            self._calendar.call(now_s + door.way_s, partial(self._refused, door, request))

    def _refused(self, door: Door, request: Request, now_s: float) -> None:
        _pass_over(door, request)
        self._ask(request, now_s)

    def _done(self, door: Door, request: Request, now_s: float) -> None:
        """A replica has made the last token."""
        if door.way_s:
            self._calendar.call(now_s + door.way_s, partial(self._back, door, request))
        else:
            self._back(door, request, now_s)

    def _back(self, door: Door, request: Request, now_s: float) -> None:
        """The last token has come to the gateway."""
        tally, asked = self.tally, request.asked
        door.target.outstanding -= 1
        first_s = request.first_s + door.way_s
        tally.input_tokens += asked.input_tokens
        tally.cached_tokens += request.cached_tokens
        tally.queue_s.append(request.admitted_s - request.queued_s)
        tally.took(first_s - request.sent_s, now_s - request.sent_s, asked.output_tokens)
        self._answered(request, first_s, now_s)


def _pass_over(door: Door, request: Request) -> None:
    door.target.outstanding -= 1
    request.tried = (*request.tried, door.target)
