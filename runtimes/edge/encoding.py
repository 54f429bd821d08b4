"""The encoder's thread: takes requests of many texts, reads texts of like length together, gives each its numbers.

Requests take turns, so that one with a thousand texts does not hold up one with a single text: each batch begins with
the next text of the request whose turn it is, and is filled with the waiting texts nearest to it in length. The thread
is that of `runtimes.edge.errands`, the graphs are in `runtimes.edge.encoder` and `runtimes.edge.classifier`. Called by
`runtimes.edge.replica`, `runtimes.edge.embeddings` and `runtimes.edge.reranking`.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtimes.edge.errands import Errand, Errands
from runtimes.edge.generation import TooLong
from runtimes.errors import HeadwaterError, Refused

BATCH_TOKENS = 2048  # padding included; bounds memory and the time until the next request has its turn
BATCH_TEXTS = 32  # more of them read together are hardly faster
WAITING_TEXTS = 8192  # of all requests together; looking through them costs some milliseconds a batch
FIRST_PACE_S = 0.01  # seconds a text is taken to need before any has been read
PACE_MEMORY = 0.2  # weight of the newest batch in the pace estimate

Floats = NDArray[np.float32]


class Reads(Protocol):
    """What `runtimes.edge.encoder` offers; tests put something simpler in its place."""

    context_tokens: int
    vocabulary: int

    @property
    def width(self) -> int:
        """Numbers for a text."""

    def embed(self, texts: Sequence[Sequence[int]]) -> Floats:
        """The numbers of each text."""


@dataclass(eq=False)
class TextErrand(Errand):
    """One request: its texts, and the numbers that are there."""

    texts: Sequence[Sequence[int]]
    left: dict[int, None]  # texts not read yet, in order
    vectors: dict[int, Floats] = field(default_factory=dict)

    def result(self) -> list[Floats]:
        """The numbers of each text, in order."""
        return [self.vectors[index] for index in range(len(self.texts))]


class Encoding(Errands[TextErrand, list[tuple[TextErrand, int]]]):
    """Reads texts for many requests."""

    def __init__(self, encoder: Reads, *, slots: int, queue: int, post: Callable[[Callable[[], None]], None]) -> None:
        """Build it; nothing runs before `start`.

        Args:
            encoder: the model; only the engine thread touches it.
            slots: requests that may take turns, besides those that wait.
            queue: requests that may wait.
            post: takes a call to the event loop of those who wait for answers.
        """
        super().__init__("edge-encoder", slots=slots, queue=queue, post=post)
        self.encoder = encoder
        self._pace_s = FIRST_PACE_S

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
        answer: asyncio.Future[list[Floats]] = asyncio.get_running_loop().create_future()
        self._admit(TextErrand(texts, dict.fromkeys(range(len(texts))), answer=answer))
        return answer

    def _warm_up(self) -> None:
        self.encoder.embed([[0]])

    def _load(self, errands: deque[TextErrand]) -> tuple[float, str]:
        left = sum(len(one.left) for one in errands)
        return left / WAITING_TEXTS, f"{left} texts"

    def _expected_s(self, errands: deque[TextErrand]) -> float:
        return self._pace_s * sum(len(one.left) for one in errands)

    def _chosen(self) -> list[tuple[TextErrand, int]]:
        turn = self._errands[0]
        first = len(turn.texts[next(iter(turn.left))])
        waiting = ((one, index) for one in self._errands for index in one.left)
        # The text whose turn it is has the least distance, and among equals the first is taken.
        nearest = heapq.nsmallest(BATCH_TEXTS + 1, waiting, key=lambda at: abs(len(at[0].texts[at[1]]) - first))
        batch: dict[tuple[TextErrand, int], None] = {}
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

    def _work(self, chosen: list[tuple[TextErrand, int]]) -> None:
        began_s = time.monotonic()
        error: HeadwaterError | None = None
        try:
            vectors = self.encoder.embed([errand.texts[index] for errand, index in chosen])
        except HeadwaterError as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001 one bad batch must not end the engine
            error = Refused(f"The model failed on this input: {type(exc).__name__}.")
        else:
            for (errand, index), vector in zip(chosen, vectors, strict=True):
                errand.vectors[index] = vector
        self._pace_s += PACE_MEMORY * ((time.monotonic() - began_s) / len(chosen) - self._pace_s)
        for errand in dict.fromkeys(errand for errand, _ in chosen):
            if error is not None or len(errand.vectors) == len(errand.texts):
                self._finish(errand, error)
