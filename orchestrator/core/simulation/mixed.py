"""An engine whose steps carry decoding sequences and pieces of prompts together: vLLM and its kin. Pure.

Between two steps everybody is seated for whom there is a slot; prompts are read first come, first served, as many
tokens in a step as its budget leaves beside the decoding sequences. A first token comes at the end of the step that
read the last of its prompt.
"""

from __future__ import annotations

import math
from collections import deque

from orchestrator.core.simulation.calendar import Calendar
from orchestrator.core.simulation.engine import Done, Engine, Limits
from orchestrator.core.simulation.pace import Pace
from orchestrator.core.simulation.prefixes import Prefixes
from orchestrator.core.simulation.request import Request


class Mixed(Engine):
    """One replica of an accelerator engine."""

    def __init__(self, pace: Pace, limits: Limits, calendar: Calendar, done: Done, prefixes: Prefixes) -> None:
        super().__init__(pace, limits, calendar, done, prefixes)
        self._reads: deque[Request] = deque()
        self._planned_tokens = 0
        self._unread_tokens = 0  # of all who read

    def wake(self, now_s: float) -> None:
        """Take in the step, and give first tokens to those whose prompts it finished."""
        self._advance(now_s)
        reads, tokens = self._reads, self._planned_tokens
        self._unread_tokens -= tokens
        self._planned_tokens = 0
        while tokens:
            request = reads[0]
            part = min(tokens, request.unread_tokens)
            request.unread_tokens -= part
            tokens -= part
            if not request.unread_tokens:
                reads.popleft()
                self.reading -= 1
                self._first_token(request, now_s)
        self._turn(now_s)

    def _turn(self, now_s: float) -> None:
        self._begun_s = now_s
        running = len(self.ends)
        while self.waiting and running + self.reading < self.slots:
            self._seat(now_s)
        if self._reads:
            self._read(running)
        elif running:
            self._decode(self.ends[0][0] - self.steps)
        else:
            self._rest()

    def _make_room(self, now_s: float) -> None:
        """Who comes while a long prompt is read has a seat after the step that is under way, and reads after it."""
        if self.reading:
            steps = max(1, math.ceil((now_s - self._begun_s) / self._round_s))
            self._seat(self._begun_s + steps * self._round_s)
        else:
            self._cut_short(now_s)

    def _seat(self, at_s: float) -> None:
        request = self._next_waiting(at_s)
        request.more_s = self._table.more_s(request.asked.input_tokens, request.cached_tokens)
        self._unread_tokens += request.unread_tokens
        self._reads.append(request)
        self.reading += 1

    def _read(self, running: int) -> None:
        """Plan one step, or as many as the first prompt fills to the brim before anybody ends."""
        budget = max(1, self._chunk_tokens - running)
        rounds = max(1, self._reads[0].unread_tokens // budget)
        if running:
            rounds = min(rounds, self.ends[0][0] - self.steps)
        self._planned_tokens = min(rounds * budget, self._unread_tokens)
        held_tokens = self.held_tokens + running * (rounds - 1) / 2
        round_s = self._table.mixed_step_s(running, held_tokens, min(budget, self._planned_tokens))
        round_s += self._more_s() / rounds
        self._plan(rounds if running else 0, round_s, rounds * round_s)

    def _more_s(self) -> float:
        """What the planned tokens take because their prompts are long."""
        seconds, tokens = 0.0, self._planned_tokens
        for request in self._reads:
            part = min(tokens, request.unread_tokens)
            seconds += part * request.more_s
            tokens -= part
            if not tokens:
                break
        return seconds
