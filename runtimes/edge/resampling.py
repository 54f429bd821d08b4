"""Any sampling rate to the one that the speech model hears: a windowed sinc in phases, block by block.

Pure. Called by `runtimes.edge.sound`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

CROSSINGS = 16  # zero crossings of the sinc on each side
ROLL_OFF = 0.94  # of the lower rate's half; the rest lets the filter fall
KAISER_BETA = 9.0  # keeps what folds back about 90 dB down
AT_ONCE = 1 << 14  # samples made together; bounds the memory of their windows

Floats = NDArray[np.float32]


class Resampler:
    """Turns one stream of samples, given in blocks, into another rate."""

    def __init__(self, rate: int, target: int) -> None:
        """Prepare the filter.

        Args:
            rate: samples a second that come.
            target: samples a second that are wanted.
        """
        common = math.gcd(rate, target)
        self._up, self._down = target // common, rate // common
        cutoff = ROLL_OFF * min(1.0, target / rate)
        self._half = math.ceil(CROSSINGS / cutoff)
        # Row p holds the filter for a sample that lies p / up after an input sample.
        offsets = np.arange(-self._half + 1, self._half + 1)[None] - np.arange(self._up)[:, None] / self._up
        shape = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (offsets / self._half) ** 2, 0, None)))
        filters = np.sinc(cutoff * offsets) * shape
        self._filters = (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
        self._held = np.zeros(self._half - 1, np.float32)
        self._first = -(self._half - 1)  # place of the first held sample in the input
        self._made = 0

    def push(self, block: Floats) -> Floats:
        """The samples that are certain once this block is there."""
        self._held = np.concatenate([self._held, block])
        last = self._first + len(self._held) - 1 - self._half  # latest place whose whole window is held
        end = 0 if last < 0 else ((last + 1) * self._up - 1) // self._down + 1
        parts = [
            self._between(first, min(first + AT_ONCE, end))
            for first in range(self._made, max(end, self._made), AT_ONCE)
        ]
        self._made = max(end, self._made)
        needed = self._made * self._down // self._up - self._half + 1
        if needed > self._first:
            self._held = self._held[needed - self._first :]
            self._first = needed
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def close(self) -> Floats:
        """The last samples, as if silence followed."""
        heard = self._first + len(self._held)
        before, total = self._made, -(-heard * self._up // self._down)
        return self.push(np.zeros(self._half + 1, np.float32))[: max(0, total - before)]

    def _between(self, first: int, end: int) -> Floats:
        places = np.arange(first, end, dtype=np.int64) * self._down
        starts = places // self._up - self._half + 1 - self._first
        windows = sliding_window_view(self._held, 2 * self._half)[starts]
        made = np.einsum("nt,nt->n", windows, self._filters[places % self._up])
        return np.asarray(made, np.float32)
