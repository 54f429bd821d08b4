"""Plays a trace on scenes in virtual time. Pure: the same input gives the same outcome to the last bit.

Called by the command line through `orchestrator.core.simulation.view`, and by benchmarks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from orchestrator.core.simulation.alternating import Alternating
from orchestrator.core.simulation.calendar import Calendar
from orchestrator.core.simulation.engine import Done, Engine
from orchestrator.core.simulation.escalation import escalated, shares
from orchestrator.core.simulation.gateway import Front
from orchestrator.core.simulation.mixed import Mixed
from orchestrator.core.simulation.prefixes import Prefixes
from orchestrator.core.simulation.request import Asked, Request
from orchestrator.core.simulation.scene import Crew, Scene, Stage
from orchestrator.core.simulation.tally import ANYTHING, Tally
from orchestrator.core.world import TierName

TELL_EVERY = 10_000  # requests


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one service."""

    scene: Scene
    whole: Tally  # as the user sees it: of escalated requests, the teacher's answer counts
    tiers: dict[TierName, Tally]
    engines: dict[str, Engine]  # by replica
    asked_tokens: tuple[int, int]  # of prompts and of answers, of all requests that came
    escalated: int  # requests that went on to the teacher


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all."""

    services: tuple[Played, ...]
    requests: int
    seconds: float  # from the first arrival to the last answer


def play(scenes: Sequence[Scene], trace: Iterable[Asked], tell: Callable[[int], None] = lambda _: None) -> Outcome:
    """Run the trace to the end of its last answer.

    Args:
        scenes: at least one; requests are spread over them by weight.
        trace: requests in order of time.
        tell: is given the number of requests so far, now and then.
    """
    calendar = Calendar()
    services = [_Service(scene, calendar) for scene in scenes]
    weights = tuple(scene.weight for scene in scenes)
    number, begun_s = 0, 0.0
    for number, asked in enumerate(trace, start=1):
        if number == 1:
            begun_s = asked.at_s
        calendar.until(asked.at_s)
        service = services[shares(weights, number) if len(services) > 1 else 0]
        service.arrive(asked, number)
        if number % TELL_EVERY == 0:
            tell(number)
    calendar.until(math.inf)
    return Outcome(tuple(service.played() for service in services), number, calendar.now_s - begun_s)


class _Service:
    """One service while it is played."""

    def __init__(self, scene: Scene, calendar: Calendar) -> None:
        self._scene = scene
        self._whole = Tally(ANYTHING)
        self._escalated = 0
        self._come = 0  # requests so far
        self._input_tokens = 0
        self._output_tokens = 0
        self._picks = escalated(scene.share)
        self._next_pick = next(self._picks, -1)
        self._fronts = {
            tier: _front(stage, calendar, self._from_front if tier == scene.front else self._from_teacher)
            for tier, stage in scene.stages.items()
        }

    def arrive(self, asked: Asked, number: int) -> None:
        """A user asks."""
        escalates = self._come == self._next_pick
        if escalates:
            self._next_pick = next(self._picks)
        self._come += 1
        self._input_tokens += asked.input_tokens
        self._output_tokens += asked.output_tokens
        self._whole.asked += 1
        request = Request(number, asked, asked.at_s, asked.at_s, escalates=escalates)
        self._fronts[self._scene.front].send(request, asked.at_s)

    def _from_front(self, request: Request, first_s: float, now_s: float) -> None:
        if not request.escalates:
            self._answered(request, first_s, now_s)
            return
        self._escalated += 1
        again = Request(request.number, request.asked, now_s, request.arrived_s, escalates=False)
        self._fronts["teacher"].send(again, now_s)

    def _from_teacher(self, request: Request, first_s: float, now_s: float) -> None:
        self._answered(request, first_s, now_s)

    def _answered(self, request: Request, first_s: float, now_s: float) -> None:
        come_s = request.arrived_s
        self._whole.input_tokens += request.asked.input_tokens
        self._whole.took(first_s - come_s, now_s - come_s, request.asked.output_tokens)

    def played(self) -> Played:
        """What became of it."""
        engines = {name: engine for front in self._fronts.values() for name, engine in front.engines.items()}
        tallies = {tier: front.tally for tier, front in self._fronts.items()}
        return Played(
            self._scene, self._whole, tallies, engines, (self._input_tokens, self._output_tokens), self._escalated
        )


def _front(stage: Stage, calendar: Calendar, answered: Callable[[Request, float, float], None]) -> Front:
    context_tokens = min((crew.limits.context_tokens for crew in stage.crews), default=0)
    front = Front(context_tokens, calendar, Tally(stage.goal), answered)
    pool = Prefixes(sum(crew.prefix_blocks * len(crew.engines) for crew in stage.crews))
    for crew in stage.crews:
        for name in crew.engines:
            prefixes = pool if stage.shared_prefixes else Prefixes(crew.prefix_blocks)
            front.add(name, crew.round_trip_s, _maker(crew, calendar, prefixes))
    return front


def _maker(crew: Crew, calendar: Calendar, prefixes: Prefixes) -> Callable[[Done], Engine]:
    kind = Mixed if crew.pace.mixed else Alternating
    return lambda done: kind(crew.pace, crew.limits, calendar, done, prefixes)
