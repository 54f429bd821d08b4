"""Failures in a row, counted from what replicas report. Pure; how long to wait is decided in the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.core.world import Failures
from runtimes.contract import Phase, ReplicaReport


def count(
    before: Mapping[str, Failures], seen: Iterable[ReplicaReport], was: Mapping[str, Phase], now_s: float
) -> dict[str, Failures]:
    """Add one for each replica that became FAILED since the last look; forget those that are READY.

    Args:
        before: failures in a row by replica, up to the last look.
        seen: replicas as they are now.
        was: phases at the last look, by replica.
        now_s: when this look was.
    """
    after = dict(before)
    for replica in seen:
        name = replica.spec.name
        if replica.phase is Phase.FAILED and was.get(name) is not Phase.FAILED:
            after[name] = Failures(before[name].count + 1 if name in before else 1, now_s, replica.message)
        elif replica.phase is Phase.READY:
            after.pop(name, None)
    return after
