"""When the next pass runs. An ordinary class: tests drive `run_once`, `orchestrator.control.actor` runs it in Ray."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator import telemetry
from orchestrator.api.kinds import Document
from orchestrator.control.act import refused_starts
from orchestrator.control.admission import check_places
from orchestrator.control.backoff import count
from orchestrator.control.cycle import Report, cycle, observe
from orchestrator.control.journal import Journal
from orchestrator.control.views import status_view
from orchestrator.core.actions import Act, Blocked, Done, Wait
from orchestrator.core.decide import decide
from orchestrator.core.explain import placement_view
from orchestrator.core.placement.place import place
from orchestrator.core.world import Failures
from orchestrator.errors import HeadwaterError, Invalid
from orchestrator.ports import Event, Outside
from runtimes.contract import Phase

log = logging.getLogger("headwater.controller")
BUSY_EVERY_S = 0.25  # between passes while something is under way
EVENTS_SHOWN = 20


class Controller:
    """Keeps what is true near what is wanted. Everything that must survive is in the store and in the replicas."""

    def __init__(self, outside: Outside, *, every_s: float, clock: Callable[[], float] = time.time) -> None:
        self._outside, self._every_s, self._clock = outside, every_s, clock
        self._failures: Mapping[str, Failures] = {}
        self._last: Report | None = None
        self._last_error = ""
        self._phases: dict[str, Phase] = {}
        self._errors: dict[str, str] = {}  # of the last pass, by move
        self._journal = Journal(outside.store)
        self._turn = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False

    def run(self) -> None:
        """Run passes until `stop`; one bad pass never ends the loop."""
        while not self._stopped:
            self._wake.clear()
            try:
                busy = self.run_once()
            except Exception:  # a mistake of ours in one pass must not end all later ones
                log.exception("pass failed by a mistake in the controller")
                busy = False
            self._wake.wait(BUSY_EVERY_S if busy else self._every_s)

    def stop(self) -> None:
        """End the loop after the pass that runs; replicas go on."""
        self._stopped = True
        self._wake.set()

    def run_once(self) -> bool:
        """One pass. Returns whether something is under way."""
        with self._turn, telemetry.PASS_SECONDS.time():
            try:
                report = cycle(self._outside, self._failures, self._clock())
                self._last = report
                self._note(report)
            except HeadwaterError as exc:
                if str(exc) != self._last_error:
                    log.warning("pass failed: %s", exc)
                self._last_error = str(exc)
                telemetry.PASSES.labels("failed").inc()
                return True
            self._last_error = ""
            telemetry.PASSES.labels("done").inc()
        refused = refused_starts(report.carried)
        outcomes = report.decision.outcomes.items()
        under_way = any(isinstance(outcome, Act | Wait) and key not in refused for key, outcome in outcomes)
        return under_way or any(carried.to_be_repeated for carried in report.carried)

    def apply(self, documents: tuple[Document, ...], *, dry_run: bool) -> dict[str, Any]:
        """Want these documents. Returns what changed and the plan that follows; a dry run keeps nothing.

        Raises Refused, dry run or not, when a tier would have no place that is new or has one now; nothing is changed.
        """
        with self._turn:
            at_s = self._clock()
            before, seen = (observe(self._outside, self._failures, extra) for extra in ((), documents))
            decision = decide(seen.services, seen.catalog, seen.world, at_s)
            check_places(place(before.services, before.catalog, before.world), decision.placement)
            changed: tuple[str, ...] = ()
            if not dry_run:
                changed = self._outside.store.put(documents)
                for name in changed:
                    self._outside.store.note(Event(self._clock(), name, "applied", "wanted from now on"))
        self._wake.set()
        return {"at": at_s, "changed": list(changed), "plan": placement_view(decision.placement)}

    def delete(self, kind: str, name: str, *, dry_run: bool) -> None:
        """Forget a document, readable or not. Raises Invalid when there is none.

        The replicas of a service finish what they have; a tier that has no place any more keeps what runs.
        """
        with self._turn:
            store = self._outside.store
            known = [*(f"{d.kind}/{d.metadata.name}" for d in store.documents()), *store.unreadable()]
            if f"{kind}/{name}" not in known:
                of_kind = sorted(each.partition("/")[2] for each in known if each.startswith(f"{kind}/"))
                raise Invalid(f"no {kind} {name!r} here; there is: {', '.join(of_kind) or 'none'}")
            if not dry_run:
                store.delete(kind, name)
                store.note(Event(self._clock(), f"{kind}/{name}", "deleted", "no longer wanted"))
        self._wake.set()

    def known(self) -> tuple[Document, ...]:
        """Every document in the store that can be read."""
        return self._outside.store.documents()

    def status(self) -> dict[str, Any]:
        """What is, what is wanted, and what stands between, as of the last pass."""
        events = self._outside.store.events(EVENTS_SHOWN)
        return status_view(self._last, self._last_error, events)

    def _note(self, report: Report) -> None:
        """Log, count and keep what changed in this pass."""
        for carried in report.carried:
            action = type(carried.action).__name__
            telemetry.ACTIONS.labels(action, "failed" if carried.error else "done").inc()
        self._log_errors(report)
        replicas = report.seen.world.replicas
        phases = {replica.spec.name: replica.phase for replica in replicas}
        was, self._phases = self._phases, phases
        self._failures = count(self._failures, replicas, was, report.at_s)
        self._journal.keep(report)
        for phase in Phase:
            telemetry.REPLICAS.labels(phase.value).set(sum(seen is phase for seen in phases.values()))
        for kind in (Done, Act, Wait, Blocked):
            number = sum(isinstance(outcome, kind) for outcome in report.decision.outcomes.values())
            telemetry.SERVICES.labels(kind.__name__.lower()).set(number)
        telemetry.COST.set(report.decision.placement.cost_per_h)
        telemetry.BOUND.set(report.decision.placement.bound_per_h)

    def _log_errors(self, report: Report) -> None:
        """A move that fails the same way in every pass is one line, and its end is another."""
        errors = {carried.what: str(carried.error) for carried in report.carried if carried.error}
        for what, said in errors.items():
            if self._errors.get(what) != said:
                log.warning("%s failed: %s", what, said)
        for carried in report.carried:
            if carried.what in self._errors and carried.error is None:
                log.info("%s went well again", carried.what)
        self._errors = errors
