"""What happens next, in virtual time. Pure.

Whoever has something coming says when; an appointment is kept only if its owner still says the same time, so that one
is moved by making another.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Protocol


class Waiter(Protocol):
    """Something that happens at a time."""

    due_s: float

    def wake(self, now_s: float) -> None:
        """It is time."""


class Calendar:
    """Appointments in order of time, then in the order they were made."""

    def __init__(self) -> None:
        self._made = 0
        self._next: list[tuple[float, int, Waiter]] = []
        self.now_s = 0.0

    def at(self, time_s: float, waiter: Waiter) -> None:
        """Wake `waiter` then, if it still wants it."""
        waiter.due_s = time_s
        self._made += 1
        heapq.heappush(self._next, (time_s, self._made, waiter))

    def call(self, time_s: float, what: Callable[[float], None]) -> None:
        """Call `what` with the time then."""
        self.at(time_s, _Call(what))

    def until(self, end_s: float) -> None:
        """Let everything happen that is due by `end_s`."""
        upcoming, pop = self._next, heapq.heappop
        while upcoming and upcoming[0][0] <= end_s:
            time_s, _, waiter = pop(upcoming)
            if waiter.due_s == time_s:
                self.now_s = time_s
                waiter.wake(time_s)
        if end_s < math.inf:
            self.now_s = end_s


class _Call:
    """An appointment that happens once."""

    __slots__ = ("_what", "due_s")

    def __init__(self, what: Callable[[float], None]) -> None:
        self._what = what
        self.due_s = 0.0

    def wake(self, now_s: float) -> None:
        """Do it."""
        self._what(now_s)
