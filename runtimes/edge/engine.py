"""The engine thread: takes requests in, turns rounds while there is work, hands the pieces over.

What happens within a round is in `runtimes.edge.batching`; the model is in `runtimes.edge.session`. Called by
`runtimes.edge.replica` and `runtimes.edge.server`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from runtimes.edge.batching import Batching
from runtimes.edge.decoder import Decoder
from runtimes.edge.generation import Ask, Batch, Expired, Full, Generation, Piece, TooLong
from runtimes.edge.scheduler import Rows
from runtimes.edge.tokens import Vocabulary
from runtimes.errors import HeadwaterError, Invalid, Refused, Unavailable

IDLE_S = 1.0  # an idle engine turns this often, to show that it is alive
PACE_MEMORY = 0.2  # weight of the newest request in the pace estimate
FIRST_PACE_S = 1.0  # seconds a request is taken to need before any has ended
SHORTEST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0


class Engine:
    """Generates text for many requests at once. Everything public is safe from any thread."""

    def __init__(
        self,
        decoder: Decoder,
        vocabulary: Vocabulary,
        *,
        eos: Sequence[int],
        queue: int,
        post: Callable[[Batch], None],
    ) -> None:
        """Build it; nothing runs before `start`.

        Args:
            decoder: the model; only the engine thread touches it.
            vocabulary: turns tokens into text.
            eos: tokens that end an answer.
            queue: requests that may wait for a slot.
            post: takes the pieces of one round to the readers' event loop; called on the engine thread.
        """
        self._decoder = decoder
        self._rows = Rows(slots=decoder.slots, queue=queue)
        self._batching = Batching(decoder, vocabulary, eos, self._rows)
        self._post = post
        self._changed = threading.Condition()
        self._draining = False
        self._stopping = False
        self._pace_s = FIRST_PACE_S
        self._beat_s = time.monotonic()
        self._warm = threading.Event()
        self._fault: HeadwaterError | None = None
        self._thread = threading.Thread(target=self._live, name="edge-engine", daemon=True)

    @property
    def slots(self) -> int:
        """Requests decoded together at most."""
        return self._rows.slots

    @property
    def context_tokens(self) -> int:
        """Prompt and answer of one request together."""
        return self._decoder.context_tokens

    @property
    def cache_bytes(self) -> int:
        """Bytes reserved for caches."""
        return self._decoder.cache_bytes

    @property
    def running(self) -> int:
        """Requests that have a slot."""
        return self._rows.running

    @property
    def waiting(self) -> int:
        """Requests that wait for one."""
        return len(self._rows.waiting)

    @property
    def silent_s(self) -> float:
        """Seconds since the engine last took a turn."""
        return time.monotonic() - self._beat_s

    @property
    def draining(self) -> bool:
        """Whether new requests are turned away for good."""
        return self._draining or self._stopping

    def start(self) -> None:
        """Start the thread; returns when a first token was generated.

        Raises:
            HeadwaterError: the model cannot generate.
        """
        self._thread.start()
        self._warm.wait()
        if self._fault is not None:
            raise self._fault

    def submit(self, ask: Ask) -> Generation:
        """Queue a request; call it on the event loop that will read the answer.

        Raises:
            Invalid: the prompt is empty.
            TooLong: it does not fit, with both numbers.
            Unavailable: the queue is full of what is at least as important, its time would be over before its turn, or
                the engine takes nothing new.
        """
        room_tokens = self.context_tokens - len(ask.prompt)
        if not ask.prompt:
            raise Invalid("The prompt is empty; give at least one token.")
        needed_tokens = 1 if ask.shorten else ask.max_tokens
        if room_tokens < needed_tokens:
            raise TooLong(
                f"The prompt has {len(ask.prompt)} tokens and the answer may take {needed_tokens}; "
                f"together they must fit into a context of {self.context_tokens} tokens."
            )
        generation = Generation(ask, min(ask.max_tokens, room_tokens), asked_s=time.monotonic())
        with self._changed:
            if self.draining:
                raise Unavailable("This replica is draining and takes no new requests.")
            # Those on their way to a free slot count as running, so what waits is what may wait.
            full = Full(
                f"All {self.slots} slots are busy and {self._rows.queue} more requests wait already.",
                retry_in_s=self._retry_in_s(),
            )
            self._check_time(ask)
            given_up = self._rows.waiting.least() if self._rows.full else None
            if self._rows.full and (given_up is None or given_up.ask.priority <= ask.priority):
                raise full
            self._rows.waiting.drop(lambda waits: waits is given_up)
            self._rows.waiting.add(generation)
            self._changed.notify()
        if given_up is not None:
            self._hand_over([(given_up, Piece(error=full))])
        return generation

    def _check_time(self, ask: Ask) -> None:
        """Turn away at once what would only wait until its time is over."""
        ahead = self.running + sum(waits.ask.priority <= ask.priority for waits in self._rows.waiting)
        wait_s = self._pace_s * max(0, ahead + 1 - self.slots) / self.slots
        if ask.timeout_s is not None and wait_s > ask.timeout_s:
            raise Full(
                f"A slot would be free in about {wait_s:.1f} s; the request gives {ask.timeout_s:g} s.",
                retry_in_s=self._retry_in_s(),
            )

    def drain(self) -> None:
        """Take nothing new; what was accepted is finished. Returns at once."""
        with self._changed:
            self._draining = True

    def stop(self, timeout_s: float) -> None:
        """End the thread after its current round; whoever still expects text gets an error."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _retry_in_s(self) -> float:
        expected_s = self._pace_s * (self.waiting + 1) / self.slots
        return min(LONGEST_RETRY_S, max(SHORTEST_RETRY_S, expected_s))

    def _live(self) -> None:
        try:
            self._batching.warm_up()
        except HeadwaterError as exc:
            self._fault = exc
        except Exception as exc:  # noqa: BLE001 whatever it is, the starter must hear of it
            self._fault = Refused(f"The model cannot generate: {type(exc).__name__}.")
        self._warm.set()
        try:
            while self._fault is None and self._turned():
                self._hand_over(self._batching.read())  # a first token does not wait for the decode step
                self._hand_over(self._batching.decode())
        finally:
            self._leave_all()  # even if the thread dies of a mistake, nobody waits for it in vain

    def _turned(self) -> bool:
        """Wait for work, clear the queue and seat the next request; false when it is time to stop."""
        with self._changed:
            while self._rows.idle and not self._stopping:
                self._beat_s = time.monotonic()
                self._changed.wait(IDLE_S)
            now_s = time.monotonic()
            self._rows.waiting.drop(lambda waits: waits.cancelled)
            late = self._rows.waiting.drop(lambda waits: waits.expired(now_s))
            self._batching.admit()
        self._beat_s = now_s
        error = Expired("The time that the request gave was over before a slot was free.", retry_in_s=self._pace_s)
        self._hand_over([(generation, Piece(error=error)) for generation in late])
        return not self._stopping

    def _leave_all(self) -> None:
        error = Unavailable("This replica is stopping.")
        with self._changed:
            self._stopping = True
            left = self._rows.waiting.drop(lambda _: True)
        self._hand_over([*self._batching.end_all(error), *((generation, Piece(error=error)) for generation in left)])

    def _hand_over(self, pieces: Batch) -> None:
        if not pieces:
            return
        for generation, piece in pieces:
            if piece.finish is not None:
                self._pace_s += PACE_MEMORY * (piece.at_s - generation.asked_s - self._pace_s)
        try:
            self._post(pieces)
        except RuntimeError:
            # The readers' event loop is closed: nobody is left to read.
            for generation, _ in pieces:
                generation.cancel()
