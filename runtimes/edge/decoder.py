"""The model as the engine needs it; `runtimes.edge.session.Session` is the real one.

Called by `runtimes.edge.batching` and `runtimes.edge.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Decoder(Protocol):
    """A causal language model with a cache of rows."""

    @property
    def slots(self) -> int:
        """Rows that can decode together."""

    @property
    def context_tokens(self) -> int:
        """Tokens that one row can hold."""

    @property
    def chunk_tokens(self) -> int:
        """Longest piece of a prompt that `prefill` takes."""

    @property
    def cache_bytes(self) -> int:
        """Bytes reserved for caches."""

    def prefill(self, row: int, tokens: Sequence[int], past_tokens: int) -> Floats:
        """Read a piece of a prompt; scores after its last token."""

    def step(self, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        """Append a token to each of the first rows; scores per row."""

    def check(self, row: int, tokens: Sequence[int], past_tokens: int) -> Floats:
        """Append a few tokens to a row; scores after each of them."""

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the start of a row into another."""
