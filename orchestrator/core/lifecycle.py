"""Which phases serve, and what silence means. Pure. How a tier changes is `orchestrator.core.rollout`."""

from __future__ import annotations

from runtimes.contract import Phase, ReplicaReport

SERVING = frozenset({Phase.READY, Phase.SILENT})
"""A silent replica is believed to serve: a late word alone stops nothing and moves no route."""


def believe(last: ReplicaReport | None, now: ReplicaReport | None) -> ReplicaReport | None:
    """What to hold of a replica, given the last word and this look (None: it did not answer in time).

    A replica that was ready and does not answer becomes SILENT, with its last address; any other stays as it was.
    """
    if now is not None or last is None:
        return now
    if last.phase is Phase.READY:
        return last.model_copy(update={"phase": Phase.SILENT, "message": "does not answer; believed to be serving"})
    return last
