"""Which replica takes the next request: the one with the fewest requests outstanding, among those that answer.

Pure: time and the last choice come in as arguments, nothing here waits, sends or remembers. `runtimes.gateway.table`
keeps the targets, `runtimes.gateway.proxy` asks for a choice and counts what is outstanding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

EJECT_AFTER = 2  # one reset on an idle connection is no sign of a dead replica; two failures in a row are
FIRST_EJECTION_S = 0.1
LONGEST_EJECTION_S = 1.0  # a restarted replica is asked again within this time
_DOUBLINGS = 4  # 0.1 s doubled four times is beyond the longest ejection


@dataclass(frozen=True, slots=True)
class Health:
    """What connection attempts have said of one replica."""

    failures: int = 0  # in a row
    ejected_until_s: float = 0.0


HEALTHY = Health()


@dataclass(slots=True, eq=False)
class Target:
    """One replica as the gateway sees it; two targets are the same only if they are one object."""

    name: str
    url: str  # http://host:port
    outstanding: int = 0  # requests sent and not finished
    health: Health = HEALTHY


def after_failure(health: Health, now_s: float) -> Health:
    """What a failed connection makes of a replica's health.

    Failures while it is ejected come from requests sent before; they prove nothing new and lengthen nothing.

    Args:
        health: what was known.
        now_s: the time, on the clock that `pick` is given.
    """
    if now_s < health.ejected_until_s:
        return health
    failures = health.failures + 1
    if failures < EJECT_AFTER:
        return Health(failures, health.ejected_until_s)
    doublings = min(failures - EJECT_AFTER, _DOUBLINGS)
    return Health(failures, now_s + min(FIRST_EJECTION_S * 2**doublings, LONGEST_EJECTION_S))


def pick(targets: Iterable[Target], *, tried: Collection[Target], after: str, now_s: float) -> Target | None:
    """The target with the fewest outstanding requests, or None when there is none to ask.

    Ties go to the next name after the last choice, in a circle, so that equal replicas take turns.

    Args:
        targets: the replicas of one service, in any order.
        tried: those that this request may not be sent to.
        after: name of the replica chosen last.
        now_s: the time; targets ejected beyond it are left out.
    """
    asked = (t for t in targets if t not in tried and t.health.ejected_until_s <= now_s)
    return min(asked, key=lambda t: (t.outstanding, t.name <= after, t.name), default=None)
