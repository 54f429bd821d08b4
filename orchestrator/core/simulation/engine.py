"""Seats of one replica in virtual time: who waits, who decodes, and when the next of them ends. Pure.

All decoding sequences advance by one token in a step, so one count of steps is the clock of all of them: a sequence
that joins at step s with t tokens to go ends at step s + t, and a heap says whose end is next. Nothing happens in
between, so any number of steps is one event. How prompts are read between steps differs by engine: `alternating` and
`mixed`.
"""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.simulation.calendar import Calendar
from orchestrator.core.simulation.pace import Pace, PaceTable
from orchestrator.core.simulation.prefixes import Prefixes
from orchestrator.core.simulation.request import Request

Done = Callable[[Request, float], None]  # an answered request, and when its last token was made


@dataclass(frozen=True, slots=True)
class Limits:
    """What one replica takes in."""

    context_tokens: int  # prompt and answer of one request
    chunk_tokens: int  # of prompts, in one step
    queue: int | None  # requests that may wait for a slot; None when the engine turns nobody away


class Engine(ABC):
    """One replica. `submit` brings requests, the calendar wakes it, `done` takes what is answered."""

    def __init__(self, pace: Pace, limits: Limits, calendar: Calendar, done: Done, prefixes: Prefixes) -> None:
        self.slots = pace.slots
        self.limits = limits
        self.due_s = math.inf
        self.waiting: deque[Request] = deque()
        self.ends: list[tuple[int, int, Request]] = []  # step of the last token, number, request
        self.reading = 0  # sequences whose prompt is being read
        self.steps = 0  # decode steps since the beginning
        self.held_tokens = 0  # of decoding sequences
        self.busy_s = 0.0
        self.running_s = 0.0  # sequences times seconds
        self.longest_queue = 0
        self._most = math.inf if limits.queue is None else pace.slots + limits.queue
        self._table = PaceTable(pace, limits.context_tokens, limits.chunk_tokens)
        self._chunk_tokens = limits.chunk_tokens
        self._calendar = calendar
        self._done = done
        self._prefixes = prefixes
        self._begun_s = 0.0  # of what runs until `due_s`
        self._rounds = 0  # decode steps in it
        self._round_s = 0.0

    @abstractmethod
    def wake(self, now_s: float) -> None:
        """What was planned until now has happened: take it in and plan what comes next."""

    @abstractmethod
    def _turn(self, now_s: float) -> None:
        """Between two rounds: seat who waits, as far as there is room, and plan what comes next."""

    def submit(self, request: Request, now_s: float) -> bool:
        """Take a request in; False when there is neither a free slot nor a place to wait."""
        reading, decoding = self.reading, len(self.ends)
        if len(self.waiting) + reading + decoding >= self._most:
            return False
        request.queued_s = now_s
        self.waiting.append(request)
        if self.due_s == math.inf:
            self._turn(now_s)
        elif reading + decoding < self.slots:
            self._make_room(now_s)
        self.longest_queue = max(self.longest_queue, len(self.waiting))
        return True

    def _make_room(self, now_s: float) -> None:
        """Someone can be seated: when nobody reads, after the step that is under way."""
        if not self.reading:
            self._cut_short(now_s)

    def _cut_short(self, now_s: float) -> None:
        rounds = max(1, math.ceil((now_s - self._begun_s) / self._round_s))
        if rounds < self._rounds:
            self._decode(rounds)

    def _decode(self, rounds: int) -> None:
        """Plan so many steps from `_begun_s` on."""
        running = len(self.ends)
        round_s = self._table.step_s(running, self.held_tokens + running * (rounds - 1) / 2)
        self._plan(rounds, round_s, rounds * round_s)

    def _plan(self, rounds: int, round_s: float, seconds: float) -> None:
        self._rounds = rounds
        self._round_s = round_s
        self._calendar.at(max(self._begun_s + seconds, self._calendar.now_s), self)

    def _rest(self) -> None:
        """Nothing to do until somebody asks."""
        self._rounds = 0
        self.due_s = math.inf

    def _advance(self, now_s: float) -> None:
        """Take in the steps that were planned, and let go of those who have their last token."""
        ends = self.ends
        running = len(ends)
        seconds = now_s - self._begun_s
        self.busy_s += seconds
        self.running_s += seconds * (running + self.reading)
        self._begun_s = now_s
        if not self._rounds:
            return
        self.steps += self._rounds
        self.held_tokens += running * self._rounds
        while ends and ends[0][0] <= self.steps:
            request = heapq.heappop(ends)[2]
            self.held_tokens -= request.asked.input_tokens + request.asked.output_tokens - 1
            self._done(request, now_s)

    def _first_token(self, request: Request, now_s: float) -> None:
        """A prompt is read: its sequence decodes from now on, or has ended with its first token."""
        request.first_s = now_s
        asked = request.asked
        if asked.output_tokens <= 1:
            self._done(request, now_s)
            return
        self.held_tokens += asked.input_tokens
        heapq.heappush(self.ends, (self.steps + asked.output_tokens - 1, request.number, request))

    def _next_waiting(self, now_s: float) -> Request:
        """The first of the queue, with what the cache knows of its prompt."""
        request = self.waiting.popleft()
        request.admitted_s = now_s
        request.cached_tokens = self._prefixes.known_tokens(request.asked)
        request.unread_tokens = request.asked.input_tokens - request.cached_tokens
        return request
