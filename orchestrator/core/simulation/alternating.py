"""An engine that reads one prompt at a time, a piece between two decode steps: the edge engine. Pure.

The same rounds as `runtimes.edge.batching`: seat one who waits, read a piece, then one step for all who decode. The
first token comes with the last piece, before that round's step; the next is seated after the step.
"""

from __future__ import annotations

from orchestrator.core.simulation.calendar import Calendar
from orchestrator.core.simulation.engine import Done, Engine, Limits
from orchestrator.core.simulation.pace import Pace
from orchestrator.core.simulation.prefixes import Prefixes
from orchestrator.core.simulation.request import Request


class Alternating(Engine):
    """One replica of the edge engine."""

    def __init__(self, pace: Pace, limits: Limits, calendar: Calendar, done: Done, prefixes: Prefixes) -> None:
        super().__init__(pace, limits, calendar, done, prefixes)
        self._reads: Request | None = None
        self._pieces = 0  # of its prompt, still to be read
        self._piece_s = 0.0
        self._last_piece_s = 0.0  # as much shorter as it is smaller
        self._planned_pieces = 0

    def wake(self, now_s: float) -> None:
        """Take in the steps and pieces of the last stretch."""
        self._advance(now_s)
        request = self._reads
        if request is not None:
            self._pieces -= self._planned_pieces
            if not self._pieces:
                self._reads = None
                self.reading = 0
                self._first_token(request, now_s)
                if self.ends:  # its round ends with a step before the next is seated
                    seats = bool(self.waiting) and len(self.ends) < self.slots
                    self._decode(1 if seats else self.ends[0][0] - self.steps)
                    return
        self._turn(now_s)

    def _turn(self, now_s: float) -> None:
        self._begun_s = now_s
        if self._reads is None and self.waiting and len(self.ends) < self.slots:
            self._reads = request = self._next_waiting(now_s)
            self.reading = 1
            unread, chunk = request.unread_tokens, self._chunk_tokens
            seconds = self._table.prefill_s(request.asked.input_tokens, request.cached_tokens)
            self._pieces = -(-unread // chunk)
            self._piece_s = seconds * min(chunk, unread) / unread
            self._last_piece_s = seconds - (self._pieces - 1) * self._piece_s
        if self._reads is not None:
            self._read()
        elif self.ends:
            self._decode(self.ends[0][0] - self.steps)
        else:
            self._rest()

    def _read(self) -> None:
        """Plan until the prompt is read, or until somebody ends before that."""
        running = len(self.ends)
        rounds = self._pieces - 1  # with a step; the last piece has its first token before its step
        left = self.ends[0][0] - self.steps if running else rounds + 1
        if left <= rounds:
            rounds = self._planned_pieces = left
            seconds = rounds * self._piece_s
        else:
            self._planned_pieces = self._pieces
            seconds = rounds * self._piece_s + self._last_piece_s
        if running:
            step_s = self._table.step_s(running, self.held_tokens + running * max(0, rounds - 1) / 2)
            self._plan(rounds, step_s, rounds * step_s + seconds)
        else:
            self._plan(0, 0.0, seconds)
