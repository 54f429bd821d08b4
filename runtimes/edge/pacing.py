"""How long a piece of a prompt may be, so that streams that run do not stall behind it.

A piece takes at most as long as `PATIENCE` decode steps. Both times are what was last measured; the length of a piece
does not change what is read, only when. Pure. Called by `runtimes.edge.batching`.
"""

from __future__ import annotations

PATIENCE = 2.0  # decode steps: with the step itself the gap between two tokens is three times the usual one
SHORTEST_TOKENS = 8  # below this a piece costs nearly as much as a longer one
MEMORY = 0.2  # weight of the newest step in the mean


class Pacing:
    """Length of the next piece."""

    def __init__(self, longest_tokens: int) -> None:
        self._longest = longest_tokens
        self._shortest = min(SHORTEST_TOKENS, longest_tokens)
        self._beside = self._shortest  # length while others decode
        self.step_s = 0.0  # mean time of a decode step

    def tokens(self, left: int, *, beside: bool) -> int:
        """Tokens of the next piece, of `left` that are unread; `beside` while others decode.

        No piece leaves a single token over: a piece of one is computed otherwise than longer ones, and the lengths of
        pieces must not show in an answer.
        """
        size = min(left, self._beside if beside else self._longest)
        return size - 1 if left - size == 1 and size > 2 else size  # noqa: PLR2004 two are the fewest

    def read(self, tokens: int, seconds: float) -> None:
        """A piece was read while others decoded."""
        if seconds <= 0 or not self.step_s or tokens < self._beside:
            return
        fitting = int(tokens * PATIENCE * self.step_s / seconds)
        self._beside = max(self._shortest, min(self._longest, fitting, 2 * self._beside))

    def stepped(self, seconds: float) -> None:
        """A decode step took so long."""
        self.step_s += (MEMORY if self.step_s else 1.0) * (seconds - self.step_s)
