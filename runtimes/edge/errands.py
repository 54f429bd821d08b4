"""A thread that works on many requests in turns: queue, refusal when full, drain, stop, and a pulse.

What a turn does is up to who derives from `Errands`: `runtimes.edge.encoding` reads texts, `runtimes.edge.hearing`
hears windows of sound. Text is generated elsewhere, in `runtimes.edge.engine`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from runtimes.edge.generation import Full
from runtimes.errors import HeadwaterError, Refused, Unavailable

IDLE_S = 1.0  # an idle engine turns this often, to show that it is alive
SHORTEST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0


@dataclass(eq=False, kw_only=True)
class Errand:
    """One request."""

    answer: asyncio.Future[Any]
    begun: bool = False

    def result(self) -> Any:
        """The answer, once all is done."""
        raise NotImplementedError


E = TypeVar("E", bound=Errand)
W = TypeVar("W")


class Errands(ABC, Generic[E, W]):
    """Works on requests. Everything public is safe from any thread, but submitting needs the event loop."""

    cache_bytes = 0

    def __init__(self, name: str, *, slots: int, queue: int, post: Callable[[Callable[[], None]], None]) -> None:
        """Build it; nothing runs before `start`.

        Args:
            name: of the thread.
            slots: requests that may take turns, besides those that wait.
            queue: requests that may wait.
            post: takes a call to the event loop of those who wait for answers.
        """
        self.slots = slots
        self._queue = queue
        self._post = post
        self._errands: deque[E] = deque()
        self._changed = threading.Condition()
        self._draining = False
        self._stopping = False
        self._beat_s = time.monotonic()
        self._warm = threading.Event()
        self._fault: HeadwaterError | None = None
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    @property
    def running(self) -> int:
        """Requests that were begun, and that somebody still waits for."""
        with self._changed:
            return sum(errand.begun and not errand.answer.cancelled() for errand in self._errands)

    @property
    def waiting(self) -> int:
        """Requests that were not begun, and that somebody still waits for."""
        with self._changed:
            return sum(not (errand.begun or errand.answer.cancelled()) for errand in self._errands)

    @property
    def silent_s(self) -> float:
        """Seconds since the engine last took a turn."""
        return time.monotonic() - self._beat_s

    @property
    def draining(self) -> bool:
        """Whether new requests are turned away for good."""
        return self._draining or self._stopping

    def start(self) -> None:
        """Start the thread; returns when the model has done something once.

        Raises:
            HeadwaterError: the model cannot work.
        """
        self._thread.start()
        self._warm.wait()
        if self._fault is not None:
            raise self._fault

    def drain(self) -> None:
        """Take nothing new; what was accepted is finished. Returns at once."""
        with self._changed:
            self._draining = True

    def stop(self, timeout_s: float) -> None:
        """End the thread after its current turn; whoever still waits gets an error."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    @abstractmethod
    def _warm_up(self) -> None:
        """Let the model do something once."""

    @abstractmethod
    def _load(self, errands: deque[E]) -> tuple[float, str]:
        """Share of what may be held that is held, and all of it in words."""

    @abstractmethod
    def _expected_s(self, errands: deque[E]) -> float:
        """Seconds until the work of these is done, roughly."""

    @abstractmethod
    def _chosen(self) -> W:
        """What the next turn does; there is an errand, and the lock is held."""

    @abstractmethod
    def _work(self, chosen: W) -> None:
        """Do it."""

    def _admit(self, errand: E) -> None:
        """Queue a request.

        Raises:
            Unavailable: there is no room, or the engine takes nothing new.
        """
        with self._changed:  # which the check takes again
            self.check_room(errand)
            self._errands.append(errand)
            self._changed.notify()

    def check_room(self, *more: E) -> None:
        """Whether a request could be queued now.

        Raises:
            Unavailable: there is no room, or the engine takes nothing new.
        """
        with self._changed:
            present = deque(one for one in self._errands if not one.answer.cancelled())
        if self.draining:
            raise Unavailable("This replica is draining and takes no new requests.")
        share, _ = self._load(deque([*present, *more]))
        if len(present) >= self.slots + self._queue or share > 1:
            raise Full(
                f"{len(present)} requests with {self._load(present)[1]} are being worked on or wait already.",
                retry_in_s=min(LONGEST_RETRY_S, max(SHORTEST_RETRY_S, self._expected_s(present))),
            )

    def _live(self) -> None:
        try:
            self._warm_up()
        except HeadwaterError as exc:
            self._fault = exc
        except Exception as exc:  # noqa: BLE001 whatever it is, the starter must hear of it
            self._fault = Refused(f"The model cannot work: {type(exc).__name__}.")
        self._warm.set()
        try:
            while self._fault is None and self._wait_for_work():
                with self._changed:
                    chosen = self._chosen()
                self._work(chosen)
        finally:
            self._leave_all()  # even if the thread dies of a mistake, nobody waits for it in vain

    def _wait_for_work(self) -> bool:
        """Whether there is some; False when it is time to stop."""
        with self._changed:
            while True:
                self._beat()
                self._errands = deque(one for one in self._errands if not one.answer.cancelled())
                if self._stopping:
                    return False
                if self._errands:
                    return True
                self._changed.wait(IDLE_S)

    def _beat(self) -> None:
        """Show that the engine is alive."""
        self._beat_s = time.monotonic()

    def _finish(self, errand: E, error: HeadwaterError | None) -> None:
        with self._changed:
            if errand in self._errands:
                self._errands.remove(errand)
        try:
            self._post(partial(_deliver, errand, error))
        except RuntimeError:
            return  # the event loop is closed: nobody waits any more

    def _leave_all(self) -> None:
        with self._changed:
            self._stopping = True
            left = list(self._errands)
        for errand in left:
            self._finish(errand, Unavailable("This replica is stopping."))


def _deliver(errand: Errand, error: HeadwaterError | None) -> None:
    """Runs on the event loop."""
    if errand.answer.done():
        return
    if error is not None:
        errand.answer.set_exception(error)
    else:
        errand.answer.set_result(errand.result())
