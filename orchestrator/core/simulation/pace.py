"""How long an engine takes, as the simulation needs it, and a table that makes asking cheap. Pure.

`orchestrator.core.performance` predicts a pace; a benchmark may measure one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

CELLS, MIXED_BUCKETS = 64, 32  # of prompt tokens and context lengths, for steps that carry both
BUCKETS = 256  # of context lengths: a bucket's middle is at most 1/512 of the longest context away
SHORTEST_S = 1e-9  # time always moves on


class Pace(Protocol):
    """Seconds that one replica takes; implementations are pure."""

    @property
    def slots(self) -> int:
        """Sequences that decode together at most."""

    @property
    def mixed(self) -> bool:
        """Whether pieces of prompts ride in the same step as decoding sequences."""

    def prefill_s(self, tokens: int, cached: int = 0) -> float:
        """Reading a prompt of `tokens`, of which the first `cached` are known, with the engine to itself."""

    def step_s(self, running: float, context_tokens: float) -> float:
        """One token for each of `running` sequences that hold `context_tokens` each in the middle."""

    def mixed_step_s(self, running: float, context_tokens: float, prefill_tokens: float) -> float:
        """The same step with so many tokens of prompts beside; with none running, the prompts alone."""


@dataclass(frozen=True, slots=True)
class RankPace:
    """One data rank of a replica whose other ranks are as busy as it is."""

    replica: Pace
    ranks: int

    @property
    def slots(self) -> int:
        """Its part of the sequences."""
        return max(1, self.replica.slots // self.ranks)

    @property
    def mixed(self) -> bool:
        """As the replica."""
        return self.replica.mixed

    def prefill_s(self, tokens: int, cached: int = 0) -> float:
        """One rank reads a prompt alone, however many there are."""
        return self.replica.prefill_s(tokens, cached)

    def step_s(self, running: float, context_tokens: float) -> float:
        """A step of all ranks, each with so many sequences."""
        return self.replica.step_s(running * self.ranks, context_tokens)

    def mixed_step_s(self, running: float, context_tokens: float, prefill_tokens: float) -> float:
        """A step of all ranks, each with so many sequences and prompt tokens."""
        return self.replica.mixed_step_s(running * self.ranks, context_tokens, prefill_tokens * self.ranks)


class PaceTable:
    """A pace, asked once for each combination that comes up."""

    def __init__(self, pace: Pace, context_tokens: int, chunk_tokens: int) -> None:
        """`context_tokens` is the longest sequence, `chunk_tokens` the most that a step takes of prompts."""
        self._pace = pace
        self._context_tokens = context_tokens
        self._chunk_tokens = chunk_tokens
        self._cell_tokens = max(1, chunk_tokens // CELLS)
        self._width = max(1.0, context_tokens / BUCKETS)
        self._steps: list[dict[int, float]] = [{} for _ in range(pace.slots + 1)]
        self._prefills: dict[tuple[int, int], float] = {}
        self._more: dict[tuple[int, int], float] = {}
        self._mixed: dict[tuple[int, int, int], float] = {}

    def step_s(self, running: int, held_tokens: float) -> float:
        """One step of `running` sequences that hold `held_tokens` together."""
        bucket = int(held_tokens / (running * self._width))
        row = self._steps[running]
        found = row.get(bucket)
        if found is None:
            found = max(SHORTEST_S, self._pace.step_s(running, (bucket + 0.5) * self._width))
            row[bucket] = found
        return found

    def prefill_s(self, tokens: int, cached: int) -> float:
        """Reading a prompt with the engine to itself."""
        found = self._prefills.get((tokens, cached))
        if found is None:
            found = max(SHORTEST_S, self._pace.prefill_s(tokens, cached))
            self._prefills[tokens, cached] = found
        return found

    def more_s(self, tokens: int, cached: int) -> float:
        """Seconds by which each unread token of a prompt takes longer than pieces of prompts do by themselves.

        A long prompt attends to all that was read of it, which a step does not see: with the engine to itself it takes
        `prefill_s` in all.
        """
        found = self._more.get((tokens, cached))
        if found is None:
            unread = tokens - cached
            pieces, rest = divmod(unread, self._chunk_tokens)
            alone_s = pieces * self.mixed_step_s(0, 0, self._chunk_tokens)
            alone_s += self.mixed_step_s(0, 0, rest) if rest else 0.0
            found = max(0.0, self._pace.prefill_s(tokens, cached) - alone_s) / unread
            self._more[tokens, cached] = found
        return found

    def mixed_step_s(self, running: int, held_tokens: float, prompt_tokens: int) -> float:
        """A step that carries prompts beside `running` sequences that hold `held_tokens` together.

        Straight between a few numbers of prompt tokens: the table stays small, whatever the trace asks.
        """
        bucket = int(held_tokens * MIXED_BUCKETS / (running * self._context_tokens)) if running else 0
        cell = prompt_tokens // self._cell_tokens
        low = cell * self._cell_tokens or (0 if running else 1)  # a step carries something
        low_s = self._mixed_s(running, bucket, low)
        if prompt_tokens == low:
            return low_s
        high = (cell + 1) * self._cell_tokens
        return low_s + (self._mixed_s(running, bucket, high) - low_s) * (prompt_tokens - low) / (high - low)

    def _mixed_s(self, running: int, bucket: int, prompt_tokens: int) -> float:
        key = (running, bucket, prompt_tokens)
        found = self._mixed.get(key)
        if found is None:
            context = (bucket + 0.5) * self._context_tokens / MIXED_BUCKETS if running else 0.0
            found = max(SHORTEST_S, self._pace.mixed_step_s(running, context, prompt_tokens))
            self._mixed[key] = found
        return found
