"""One request on its way through the engine: what is asked, what comes back, and the channel between.

Pure but for the asyncio queue of a `Generation`. The engine thread makes `Piece`s and hands them over in batches; the
server's event loop delivers and reads them. Called by `runtimes.edge.engine`, `runtimes.edge.batching`,
`runtimes.edge.server` and `runtimes.edge.replies`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from runtimes.edge.grammar import Grammar
from runtimes.edge.probabilities import Chosen
from runtimes.edge.sampler import Sampling
from runtimes.errors import HeadwaterError, Invalid, Unavailable


class Finish(StrEnum):
    """Why an answer ended, in OpenAI's words."""

    STOP = "stop"  # the model ended it, or a stop string came
    LENGTH = "length"  # the token limit was reached


class Full(Unavailable):
    """Every slot is taken and so is every place in the queue."""


class Expired(Unavailable):
    """The time that the client gave is over."""


class TooLong(Invalid):
    """Prompt and answer do not fit into the context."""


@dataclass(frozen=True)
class Ask:
    """What the engine is asked for; validated at the door."""

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[str, ...] = ()
    grammar: Grammar | None = None  # binds the answer
    logprobs: int | None = None  # how many of the likeliest tokens to tell at each place; None tells nothing
    priority: int = 0  # lower numbers are served first
    client: str = ""  # those of one name share what one client gets
    timeout_s: float | None = None  # after which nobody wants the answer any more
    shorten: bool = False  # a context with less room than `max_tokens` shortens the answer and refuses nothing


@dataclass(frozen=True)
class Piece:
    """Something of an answer: text, its end, or the error that ended it."""

    text: str = ""
    tokens: int = 0
    finish: Finish | None = None
    error: HeadwaterError | None = None
    at_s: float = 0.0  # monotonic clock of the engine
    chosen: tuple[Chosen, ...] = ()  # its tokens, where the request asks for them

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return self.finish is not None or self.error is not None


class Generation:
    """One accepted request; create it on the event loop that reads it."""

    def __init__(self, ask: Ask, max_tokens: int, asked_s: float) -> None:
        self.ask = ask
        self.max_tokens = max_tokens
        self.asked_s = asked_s
        self.cancelled = False
        self.reused_tokens = 0  # of the prompt, found in the caches; set before the first piece
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()

    def expired(self, now_s: float) -> bool:
        """Whether its time is over."""
        return self.ask.timeout_s is not None and now_s - self.asked_s >= self.ask.timeout_s

    def cancel(self) -> None:
        """Say that nobody reads any more; the engine frees the slot at its next step."""
        self.cancelled = True

    def arrive(self, piece: Piece) -> None:
        """Deliver a piece; on the event loop only."""
        self._pieces.put_nowait(piece)

    async def read(self) -> Piece:
        """Everything that has come since the last read, as one piece; waits for at least one token or the end."""
        piece = await self._pieces.get()
        while not piece.last and not self._pieces.empty():
            following = self._pieces.get_nowait()
            piece = Piece(
                text=piece.text + following.text,
                tokens=piece.tokens + following.tokens,
                finish=following.finish,
                error=following.error,
                at_s=following.at_s,
                chosen=piece.chosen + following.chosen,
            )
        return piece


Batch = Sequence[tuple[Generation, Piece]]


def deliver(batch: Batch) -> None:
    """Give every piece of a step to its reader; on the event loop only."""
    for generation, piece in batch:
        generation.arrive(piece)
