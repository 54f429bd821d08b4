"""What a trace asks, and a request on its way. Pure."""

from __future__ import annotations

from typing import NamedTuple

from runtimes.gateway.routing import Target


class Asked(NamedTuple):
    """One row of a trace."""

    at_s: float  # since the trace began
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()  # names of the prompt's blocks in order; equal names are equal text


class Request:
    """One request at one tier; an escalated one becomes a second request at the teacher."""

    __slots__ = (
        "admitted_s",
        "arrived_s",
        "asked",
        "cached_tokens",
        "escalates",
        "first_s",
        "more_s",
        "number",
        "queued_s",
        "sent_s",
        "tried",
        "unread_tokens",
    )

    def __init__(self, number: int, asked: Asked, sent_s: float, arrived_s: float, *, escalates: bool) -> None:
        """Begin its way.

        Args:
            number: its place in the trace.
            asked: what is asked.
            sent_s: when this tier was asked.
            arrived_s: when the user asked; the same but for the teacher after a student.
            escalates: whether its answer is not good enough, so that the teacher is asked.
        """
        self.number = number
        self.asked = asked
        self.sent_s = sent_s
        self.arrived_s = arrived_s
        self.escalates = escalates
        self.tried: tuple[Target, ...] = ()  # replicas that refused it
        self.queued_s = 0.0  # come to the replica
        self.admitted_s = 0.0  # out of the replica's queue
        self.first_s = 0.0  # first token, at the replica
        self.cached_tokens = 0
        self.more_s = 0.0  # for each token of a prompt that attends to many before it, where prompts ride along
        self.unread_tokens = 0  # of the prompt; used while it is read
