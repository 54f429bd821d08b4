"""Who sits in which row: waiting, reading a prompt, or decoding.

Pure bookkeeping, no threads, no model. Decoding requests always fill rows 0..n-1, so that they are one batch; when one
leaves, the last takes its row. One prompt at a time is read, in the row after them. Who is next is decided in
`runtimes.edge.queueing`. Called by `runtimes.edge.engine` and `runtimes.edge.batching`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from runtimes.edge.generation import Generation
from runtimes.edge.lookup import Lookup
from runtimes.edge.queueing import Waiting
from runtimes.edge.sampler import Sampler
from runtimes.edge.tokens import TextStream


@dataclass
class Seat:
    """One request that has a row of the caches."""

    generation: Generation
    sampler: Sampler
    text: TextStream
    row: int
    length: int = 0  # tokens the row holds
    token: int = 0  # sampled last, not in the row yet
    made: int = 0  # tokens generated
    known: Lookup | None = None  # once its prompt is read, where steps and pieces compute alike


class Move(NamedTuple):
    """A cache row to copy before the next step."""

    source: int
    target: int
    tokens: int


class Rows:
    """Seats and queue. `slots` rows decode together; `queue` requests may wait."""

    def __init__(self, *, slots: int, queue: int) -> None:
        self.slots = slots
        self.queue = queue
        self.waiting = Waiting()
        self.decoding: list[Seat] = []  # index is row
        self.reading: Seat | None = None

    @property
    def running(self) -> int:
        """Requests that have a row."""
        return len(self.decoding) + (self.reading is not None)

    @property
    def full(self) -> bool:
        """Whether one more request would find neither a free row nor a place to wait."""
        return len(self.waiting) + self.running >= self.slots + self.queue

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.waiting and self.running == 0

    def next_to_read(self) -> Generation | None:
        """Who is next, when a row is free and no prompt is being read; leaves the queue."""
        if self.reading is not None or len(self.decoding) >= self.slots:
            return None
        return self.waiting.take()

    def seat(self, generation: Generation, sampler: Sampler, text: TextStream) -> Seat:
        """Give the row after the decoding ones to a request whose prompt is read next."""
        self.reading = Seat(generation, sampler, text, row=len(self.decoding))
        return self.reading

    def promote(self) -> Move | None:
        """The prompt is read: its request decodes from now on, in the first free row."""
        seat = self.reading
        if seat is None:
            return None
        self.reading = None
        move = self._placed(seat, len(self.decoding))
        self.decoding.append(seat)
        return move

    def leave(self, seat: Seat) -> Move | None:
        """Free a row; the last decoding request moves into it."""
        self.waiting.left(seat.generation)
        if seat is self.reading:
            self.reading = None
            return None
        last = self.decoding.pop()
        if last is seat:
            return None
        self.decoding[seat.row] = last
        return self._placed(last, seat.row)

    @staticmethod
    def _placed(seat: Seat, row: int) -> Move | None:
        move = Move(seat.row, row, seat.length) if seat.row != row else None
        seat.row = row
        return move
