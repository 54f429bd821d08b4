"""Which prompts the rows of the caches still hold, so that a beginning seen before is copied and not read again.

Pure bookkeeping over whole pieces of prompts: a piece read again behind the same tokens would give the same numbers, so
an answer does not depend on what was there before. Rows keep what they held until something else needs them; a row
that is read into is first copied to one that nobody uses. Called by `runtimes.edge.batching`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from runtimes.edge.scheduler import Move

Tokens = tuple[int, ...]


@dataclass
class Prefixes:
    """What each row holds of prompts, from its start, in whole pieces."""

    rows: int
    piece_tokens: int
    held: list[Tokens] = field(init=False)
    _used: list[int] = field(init=False)  # when a row was last of use, in requests
    _now: int = 0

    def __post_init__(self) -> None:
        self.held = [()] * self.rows
        self._used = [0] * self.rows

    def seat(self, row: int, prompt: Sequence[int]) -> tuple[int, list[Move]]:
        """A prompt is to be read into a row, and nobody uses the rows after it.

        Returns:
            How many of its tokens the row holds once the moves are made; at least the last two tokens are left to read:
            a piece of one is computed otherwise than longer ones.
        """
        self._now += 1
        wanted = tuple(prompt[: max(0, len(prompt) - 2) // self.piece_tokens * self.piece_tokens])
        found = [self._common(held, wanted) for held in self.held]
        best = max(range(self.rows), key=lambda at: (found[at], at == row))
        moves = self._kept(row, tuple(prompt), besides=best)
        if best != row and found[best]:
            moves.append(Move(best, row, found[best]))
            self._used[best] = self._now
        self.held[row] = wanted[: found[best]]
        self._used[row] = self._now
        return found[best], moves

    def read(self, row: int, prompt: Sequence[int], length: int) -> None:
        """So many tokens of the prompt are in the row now."""
        self.held[row] = tuple(prompt[: length // self.piece_tokens * self.piece_tokens])

    def moved(self, move: Move) -> None:
        """A row was copied into another."""
        whole = move.tokens // self.piece_tokens * self.piece_tokens
        self.held[move.target] = self.held[move.source][:whole]
        self._used[move.target] = self._used[move.source]

    def _kept(self, row: int, prompt: Tokens, *, besides: int) -> list[Move]:
        """Copy a row that is about to lose something to the row after it that is missed least."""
        lost = self.held[row]
        elsewhere = [prompt, *(held for at, held in enumerate(self.held) if at != row)]
        free = [at for at in range(row + 1, self.rows) if at != besides]
        if not free or _begins_one_of(lost, elsewhere):
            return []
        target = min(free, key=lambda at: (not _begins_one_of(self.held[at], [lost]), self._used[at], at))
        if self._used[target] > self._used[row] and self.held[target]:
            return []
        move = Move(row, target, len(lost))
        self.moved(move)
        return [move]

    def _common(self, held: Tokens, wanted: Tokens) -> int:
        """Tokens, in whole pieces, that both begin with."""
        size, common = self.piece_tokens, 0
        most = min(len(held), len(wanted))
        while common < most and held[common : common + size] == wanted[common : common + size]:
            common += size
        return common


def _begins_one_of(tokens: Tokens, others: Iterable[Tokens]) -> bool:
    return any(other[: len(tokens)] == tokens for other in others)
