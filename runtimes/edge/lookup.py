"""Guesses what comes next from what was there before: prompt lookup decoding.

Where an answer repeats its prompt or itself, the tokens after the last same run of tokens are a good guess, and
checking several in one step costs little more than one token. A guess changes when tokens come, never which. Source:
Saxena, "Prompt Lookup Decoding" (2023). Pure. Called by `runtimes.edge.batching`.
"""

from __future__ import annotations

from collections.abc import Sequence

RUN_TOKENS = 3  # that must have been there before
GUESS_TOKENS = 4
LOSS_STEPS = 4.0  # of decode time that wrong guesses may cost before they pause
PAUSE_TOKENS = 64


class Lookup:
    """Everything one request has read and generated, and where each run of tokens was last followed by something."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self.tokens: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        self._earlier: int | None = None  # where the present run was followed by something before
        self._gain_steps = 0.0
        self._resting_tokens = 0
        for token in prompt:
            self.push(token)

    def push(self, token: int) -> None:
        """A token was read or generated."""
        self.tokens.append(token)
        self._resting_tokens = max(0, self._resting_tokens - 1)
        if len(self.tokens) >= RUN_TOKENS:
            run = tuple(self.tokens[-RUN_TOKENS:])
            self._earlier = self._after.get(run)
            self._after[run] = len(self.tokens)

    def guess(self, most: int) -> list[int]:
        """At most so many tokens that may come next; none where nothing like it was there, or guessing does not pay."""
        if self._earlier is None or self._resting_tokens or most <= 0:
            return []
        return self.tokens[self._earlier : self._earlier + min(most, GUESS_TOKENS)]

    def checked(self, right: int, cost_steps: float) -> None:
        """So many guessed tokens were right, and the check took as long as so many decode steps."""
        self._gain_steps = min(LOSS_STEPS, self._gain_steps + 1 + right - cost_steps)
        if self._gain_steps <= -LOSS_STEPS:
            self._gain_steps, self._resting_tokens = 0.0, PAUSE_TOKENS
