"""Which beginnings of prompts a replica still knows: the least recently used blocks go first. Pure.

Blocks are named by the trace; a block counts only when all blocks before it are known too.
"""

from __future__ import annotations

from collections import OrderedDict

from orchestrator.core.simulation.request import Asked

BLOCK_TOKENS = 512  # of the public traces that name blocks


class Prefixes:
    """Blocks in the memory of one replica, or of all that share a cache."""

    def __init__(self, blocks: int) -> None:
        """`blocks` is how many there is room for; 0 knows nothing."""
        self._room = blocks
        self._known: OrderedDict[int, None] = OrderedDict()

    def known_tokens(self, asked: Asked) -> int:
        """Prompt tokens that need not be read again, and remember this prompt; the last token is always read."""
        if not self._room or not asked.blocks:
            return 0
        known = self._known
        hits = 0
        for block in asked.blocks:
            if block not in known:
                break
            hits += 1
        known.update(dict.fromkeys(reversed(asked.blocks[hits:])))
        for block in reversed(asked.blocks[:hits]):  # the beginning is used last, so that it is kept longest
            known.move_to_end(block)
        for _ in range(len(known) - self._room):
            known.popitem(last=False)
        return max(0, min(hits * BLOCK_TOKENS, asked.input_tokens - 1))
