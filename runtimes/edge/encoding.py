"""The encoder's thread: takes requests of many texts, reads texts of like length together, gives each its vector.

Requests take turns, so that one with a thousand texts does not hold up one with a single text: each batch begins with
the next text of the request whose turn it is, and is filled with the waiting texts nearest to it in length. The graph
is in `runtimes.edge.encoder`. Called by `runtimes.edge.replica` and `runtimes.edge.embeddings`.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtimes.edge.generation import Full, TooLong
from runtimes.errors import HeadwaterError, Refused, Unavailable

BATCH_TOKENS = 2048  # padding included; bounds memory and the time until the next request has its turn
BATCH_TEXTS = 32  # more of them read together are hardly faster
WAITING_TEXTS = 8192  # of all requests together; looking through them costs some milliseconds a batch
IDLE_S = 1.0  # an idle engine turns this often, to show that it is alive
FIRST_PACE_S = 0.01  # seconds a text is taken to need before any has been read
PACE_MEMORY = 0.2  # weight of the newest batch in the pace estimate
SHORTEST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0

Floats = NDArray[np.float32]


class Reads(Protocol):
    """What `runtimes.edge.encoder` offers; tests put something simpler in its place."""

    context_tokens: int
    vocabulary: int

    @property
    def width(self) -> int:
        """Numbers in a vector."""

    def embed(self, texts: Sequence[Sequence[int]]) -> Floats:
        """One vector for each text."""


@dataclass(eq=False)
class Errand:
    """One request: its texts, and the vectors that are there."""

    texts: Sequence[Sequence[int]]
    answer: asyncio.Future[list[Floats]]
    left: dict[int, None]  # texts not read yet, in order
    vectors: dict[int, Floats] = field(default_factory=dict)
    begun: bool = False


class Encoding:
    """Reads texts for many requests. Everything public is safe from any thread, but `submit` needs the event loop."""

    cache_bytes = 0

    def __init__(self, encoder: Reads, *, slots: int, queue: int, post: Callable[[Callable[[], None]], None]) -> None:
        """Build it; nothing runs before `start`.

        Args:
            encoder: the model; only the engine thread touches it.
            slots: requests that may take turns, besides those that wait.
            queue: requests that may wait.
            post: takes a call to the event loop of those who wait for answers.
        """
        self.encoder = encoder
        self.slots = slots
        self._queue = queue
        self._post = post
        self._errands: deque[Errand] = deque()
        self._changed = threading.Condition()
        self._draining = False
        self._stopping = False
        self._pace_s = FIRST_PACE_S
        self._beat_s = time.monotonic()
        self._warm = threading.Event()
        self._fault: HeadwaterError | None = None
        self._thread = threading.Thread(target=self._live, name="edge-encoder", daemon=True)

    @property
    def running(self) -> int:
        """Requests of which a text was or is being read."""
        with self._changed:
            return sum(errand.begun for errand in self._errands)

    @property
    def waiting(self) -> int:
        """Requests of which none was."""
        with self._changed:
            return sum(not errand.begun for errand in self._errands)

    @property
    def silent_s(self) -> float:
        """Seconds since the engine last took a turn."""
        return time.monotonic() - self._beat_s

    @property
    def draining(self) -> bool:
        """Whether new requests are turned away for good."""
        return self._draining or self._stopping

    def start(self) -> None:
        """Start the thread; returns when a first text was read.

        Raises:
            HeadwaterError: the model cannot read.
        """
        self._thread.start()
        self._warm.wait()
        if self._fault is not None:
            raise self._fault

    def submit(self, texts: Sequence[Sequence[int]]) -> asyncio.Future[list[Floats]]:
        """Queue the texts of one request, tokens of each, none empty; cancelling what is returned withdraws them.

        Raises:
            TooLong: one does not fit, with both numbers.
            Unavailable: the queue is full, or the engine takes nothing new.
        """
        for index, text in enumerate(texts):
            if len(text) > self.encoder.context_tokens:
                raise TooLong(
                    f"input {index} has {len(text)} tokens; this model reads at most {self.encoder.context_tokens}."
                )
        errand = Errand(texts, asyncio.get_running_loop().create_future(), dict.fromkeys(range(len(texts))))
        with self._changed:
            if self.draining:
                raise Unavailable("This replica is draining and takes no new requests.")
            waiting = sum(len(one.left) for one in self._errands)
            if len(self._errands) >= self.slots + self._queue or waiting + len(texts) > WAITING_TEXTS:
                expected_s = min(LONGEST_RETRY_S, max(SHORTEST_RETRY_S, self._pace_s * waiting))
                raise Full(
                    f"{len(self._errands)} requests with {waiting} texts are being read or wait already.",
                    retry_in_s=expected_s,
                )
            self._errands.append(errand)
            self._changed.notify()
        return errand.answer

    def drain(self) -> None:
        """Take nothing new; what was accepted is finished. Returns at once."""
        with self._changed:
            self._draining = True

    def stop(self, timeout_s: float) -> None:
        """End the thread after its current batch; whoever still waits gets an error."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _live(self) -> None:
        try:
            self.encoder.embed([[0]])
        except HeadwaterError as exc:
            self._fault = exc
        except Exception as exc:  # noqa: BLE001 whatever it is, the starter must hear of it
            self._fault = Refused(f"The model cannot read: {type(exc).__name__}.")
        self._warm.set()
        try:
            while self._fault is None and (batch := self._next_batch()):
                self._read(batch)
        finally:
            self._leave_all()  # even if the thread dies of a mistake, nobody waits for it in vain

    def _next_batch(self) -> list[tuple[Errand, int]]:
        """Wait for work and choose what is read together; empty when it is time to stop."""
        with self._changed:
            while True:
                self._beat_s = time.monotonic()
                self._errands = deque(one for one in self._errands if not one.answer.cancelled())
                if self._stopping:
                    return []
                if self._errands:
                    return self._chosen()
                self._changed.wait(IDLE_S)

    def _chosen(self) -> list[tuple[Errand, int]]:
        turn = self._errands[0]
        first = len(turn.texts[next(iter(turn.left))])
        waiting = ((one, index) for one in self._errands for index in one.left)
        # The text whose turn it is has the least distance, and among equals the first is taken.
        nearest = heapq.nsmallest(BATCH_TEXTS + 1, waiting, key=lambda at: abs(len(at[0].texts[at[1]]) - first))
        batch: dict[tuple[Errand, int], None] = {}
        longest = 0
        for errand, index in nearest:
            longest = max(longest, len(errand.texts[index]))
            if batch and (len(batch) == BATCH_TEXTS or (len(batch) + 1) * longest > BATCH_TOKENS):
                break
            batch[errand, index] = None
        for errand, index in batch:
            errand.left.pop(index, None)
            errand.begun = True
        self._errands.rotate(-1)
        return list(batch)

    def _read(self, batch: list[tuple[Errand, int]]) -> None:
        began_s = time.monotonic()
        error: HeadwaterError | None = None
        try:
            vectors = self.encoder.embed([errand.texts[index] for errand, index in batch])
        except HeadwaterError as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001 one bad batch must not end the engine
            error = Refused(f"The model failed on this input: {type(exc).__name__}.")
        else:
            for (errand, index), vector in zip(batch, vectors, strict=True):
                errand.vectors[index] = vector
        self._pace_s += PACE_MEMORY * ((time.monotonic() - began_s) / len(batch) - self._pace_s)
        for errand in dict.fromkeys(errand for errand, _ in batch):
            if error is not None or len(errand.vectors) == len(errand.texts):
                self._finish(errand, error)

    def _finish(self, errand: Errand, error: HeadwaterError | None) -> None:
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
        errand.answer.set_result([errand.vectors[index] for index in range(len(errand.texts))])
