"""Builders for simulations: a pace one can reckon with in the head, and scenes with boring defaults.

The pace: 10 ms for each prompt token, 100 ms for each step, whoever is in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.simulation.alternating import Alternating
from orchestrator.core.simulation.calendar import Calendar
from orchestrator.core.simulation.engine import Limits
from orchestrator.core.simulation.mixed import Mixed
from orchestrator.core.simulation.prefixes import Prefixes
from orchestrator.core.simulation.request import Asked, Request
from orchestrator.core.simulation.run import Outcome, play
from orchestrator.core.simulation.scene import Crew, Scene, Stage
from orchestrator.core.simulation.tally import Goal


@dataclass(frozen=True)
class APace:
    slots: int = 2
    mixed: bool = False
    token_s: float = 0.01
    step: float = 0.1
    row_s: float = 0.0  # more for each sequence in a step
    held_s: float = 0.0  # more for each token that a sequence holds
    square_s: float = 0.0  # more for a prompt alone, by its length squared

    def prefill_s(self, tokens: int, cached: int = 0) -> float:
        return (tokens - cached) * self.token_s + (tokens**2 - cached**2) * self.square_s

    def step_s(self, running: float, context_tokens: float) -> float:
        return self.step + running * (self.row_s + context_tokens * self.held_s)

    def mixed_step_s(self, running: float, context_tokens: float, prefill_tokens: float) -> float:
        return (self.step_s(running, context_tokens) if running else 0.0) + prefill_tokens * self.token_s


def limits(*, context: int = 1000, chunk: int = 10, queue: int | None = 8) -> Limits:
    return Limits(context_tokens=context, chunk_tokens=chunk, queue=queue)


def a_crew(*names: str, pace: APace | None = None, queue: int | None = 8, chunk: int = 10, **fields: object) -> Crew:
    given = {"limits": limits(chunk=chunk, queue=queue)} | fields
    return Crew(names or ("one",), "lab/0", "tiny", pace or APace(), **given)


def a_stage(*crews: Crew, goal: Goal | None = None, **fields: bool) -> Stage:
    return Stage(crews or (a_crew(),), goal or Goal(), **fields)


def a_scene(*crews: Crew, **fields: object) -> Scene:
    """A student alone, unless `stages` says otherwise."""
    return Scene(**{"service": "chat", "front": "student", "stages": {"student": a_stage(*crews)}} | fields)


def played(trace: Iterable[Asked], *crews: Crew, **fields: object) -> Outcome:
    return play([a_scene(*crews, **fields)], trace)


def one_replica(
    trace: Iterable[Asked], pace: APace, *, chunk: int = 10, queue: int | None = 8
) -> list[tuple[float, float, float]]:
    """Seat, first token and end of every request of the trace at one engine, in the order of the trace."""
    calendar, ended = Calendar(), dict[int, tuple[float, float, float]]()

    def done(request: Request, now_s: float) -> None:
        assert request.number not in ended
        ended[request.number] = tuple(round(at, 6) for at in (request.admitted_s, request.first_s, now_s))

    kind = Mixed if pace.mixed else Alternating
    engine = kind(pace, limits(chunk=chunk, queue=queue), calendar, done, Prefixes(0))
    for number, asked in enumerate(trace):
        calendar.until(asked.at_s)
        engine.submit(Request(number, asked, asked.at_s, asked.at_s, escalates=False), asked.at_s)
    calendar.until(float("inf"))
    return [ended[number] for number in sorted(ended)]
