"""What became of replicas and tiers, kept as events: each change once.

What was told last is read from the store, so a controller that comes back repeats nothing and misses nothing. Called
by `orchestrator.control.loop` after every pass.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from orchestrator.control.cycle import Report
from orchestrator.control.views import tier_views
from orchestrator.ports import Event, Store
from runtimes.contract import Phase

log = logging.getLogger("headwater.controller")
REMEMBERED = 10_000  # events looked through for what was told last
REPLICA, TIER = "replica/", "tier/"
BLOCKED, UNBLOCKED = "blocked", "unblocked"
_ENDS = frozenset({Phase.GONE.value, UNBLOCKED})


class Journal:
    """Writes events; remembers by subject what it told last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told: dict[str, str] | None = None

    def keep(self, report: Report) -> None:
        """Note what is not as it was told last. Raises Unavailable when the store is away; the next pass goes on."""
        if self._told is None:
            self._told = _last(self._store.events(REMEMBERED))
        for subject, kind, text in (*_of_replicas(report, self._told), *_of_tiers(report, self._told)):
            log.info("%s: %s, %s", subject, kind, text)
            self._store.note(Event(report.at_s, subject, kind, text))
            if kind in _ENDS:
                del self._told[subject]
            else:
                self._told[subject] = kind


def _last(events: tuple[Event, ...]) -> dict[str, str]:
    last = {event.subject: event.kind for event in events if event.subject.startswith((REPLICA, TIER))}
    return {subject: kind for subject, kind in last.items() if kind not in _ENDS}


def _of_replicas(report: Report, told: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    replicas = report.seen.world.replicas
    now = {f"{REPLICA}{replica.spec.name}": replica for replica in replicas if replica.phase is not Phase.GONE}
    for subject in sorted(now.keys() | {subject for subject in told if subject.startswith(REPLICA)}):
        was = f"was {told[subject]}" if subject in told else ""
        if subject not in now:
            yield subject, Phase.GONE.value, was
        elif now[subject].phase.value != told.get(subject):
            yield subject, now[subject].phase.value, ": ".join(filter(None, (was, now[subject].message))) or "new"


def _of_tiers(report: Report, told: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """A blocked tier stays so while it is tried again, until it is done or wanted no more."""
    now = {f"{TIER}{key}": view for key, view in tier_views(report).items()}
    for subject, view in now.items():
        if view["state"] == BLOCKED and subject not in told:
            yield subject, BLOCKED, view["why"]
        elif view["state"] == "done" and subject in told:
            yield subject, UNBLOCKED, view["why"]
    for subject in sorted(told.keys() - now.keys()):
        if subject.startswith(TIER):
            yield subject, UNBLOCKED, "no longer wanted"
