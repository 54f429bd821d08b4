"""Which rejection tells most: the one that came nearest to a place. Pure; used where only the first few are shown."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.fit import Rejected, Why

NEAREST_FIRST = (
    Why.LICENCE,  # said of the tier as a whole, whatever the place
    Why.DUTY,
    Why.TERRITORY,
    Why.TRAINING,
    Why.UNREADABLE,
    Why.FAILING,  # from here on: the later a rule is checked, the more was right before it said no
    Why.OWNER,
    Why.NOT_BUILT,
    Why.CAPACITY,
    Why.TPOT,
    Why.TTFT,
    Why.UNKNOWN,  # nothing but a figure is missing
    Why.MEMORY,
    Why.CONTEXT,
    Why.COUNT,
    Why.QUALITY,
    Why.DTYPE,
    Why.CHECKPOINT,
    Why.QUANTIZATION,
    Why.ENGINE,
    Why.CONNECTED,
    Why.RESIDENCY,
    Why.PLACE,
)


def nearest(rejections: Iterable[Rejected]) -> tuple[Rejected, ...]:
    """The same rejections, the most telling first; those of one rule stay in their order."""
    return tuple(sorted(rejections, key=lambda rejected: NEAREST_FIRST.index(rejected.why)))
