"""Which requests are not answered well enough by the student: a fixed share, picked by a hash. Pure.

Numbers are cut into stretches of 1 / share, and one of each stretch is picked. So the count is exact within one at any
moment, and the distance between two varies as it does in life.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

LEAST_SHARE = 1e-9  # below it, none goes on
_MASK = 2**64 - 1


def mixed(number: int) -> int:
    """64 bits that look random and depend on the number alone (the finaliser of SplitMix64)."""
    z = (number + 1) * 0x9E3779B97F4A7C15 & _MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31


def escalated(share: float) -> Iterator[int]:
    """Numbers of the requests that go on to the teacher, rising; never ends, or is empty at no share."""
    stretch, first = 0, 0
    while share >= LEAST_SHARE:
        after = math.ceil((stretch + 1) / share)
        yield first + mixed(stretch) % (after - first)
        stretch, first = stretch + 1, after


def shares(weights: tuple[float, ...], number: int) -> int:
    """Which of several gets a request, as often as their weights say."""
    point = mixed(number) / 2**64 * sum(weights)
    for index, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return index
    return len(weights) - 1
