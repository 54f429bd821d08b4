"""What the control API answers: plain values with stable keys. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.control.act import refused_starts
from orchestrator.control.cycle import Report
from orchestrator.core.actions import Act, Blocked, Done, Outcome, Wait
from orchestrator.core.explain import placement_view, rejection_view
from orchestrator.core.nearest import nearest
from orchestrator.ports import Event
from runtimes.contract import ReplicaReport


def status_view(report: Report | None, error: str, events: Iterable[Event]) -> dict[str, Any]:
    """Status of everything; `error` is why the last pass could not be made, if it could not."""
    view: dict[str, Any] = {
        "error": error,
        "seenAt": 0.0,
        "events": [_event(event) for event in events],
        "unreadable": [],
        "services": [],
        "replicas": [],
    }
    if report is None:
        return view
    view["seenAt"] = report.at_s
    tiers = tier_views(report)
    view["services"] = [_service(service.metadata.name, tiers) for service in report.seen.services]
    view["unreadable"] = sorted(report.seen.world.unreadable)
    view["replicas"] = [_replica(replica) for replica in report.seen.world.replicas]
    view["plan"] = placement_view(report.decision.placement)
    return view


def _service(name: str, tiers: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A service is as well as its worst tier."""
    own = [{"tier": key.split("/")[1], **tier} for key, tier in tiers.items() if key.split("/")[0] == name]
    order = ("done", "progressing", "waiting", "blocked")
    return {"name": name, "state": max((tier["state"] for tier in own), key=order.index, default="done"), "tiers": own}


def tier_views(report: Report) -> dict[str, dict[str, Any]]:
    """How each tier is, by `service/tier` in order; one whose start was refused is blocked until somebody acts."""
    refused = refused_starts(report.carried)
    return {
        key: _outcome(outcome) | ({"state": "blocked", "why": refused[key]} if key in refused else {})
        for key, outcome in sorted(report.decision.outcomes.items())
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Done():
            return {"state": "done", "why": outcome.note}
        case Wait():
            return {"state": "waiting", "why": outcome.why}
        case Act():
            return {"state": "progressing", "why": outcome.why}
        case Blocked():
            rejections = nearest(outcome.rejections)
            return {
                "state": "blocked",
                "why": str(rejections[0]) if rejections else "no site is known",
                "rejected": [rejection_view(rejected) for rejected in rejections],
            }


def _replica(replica: ReplicaReport) -> dict[str, Any]:
    return {
        "name": replica.spec.name,
        "service": replica.spec.service,
        "tier": replica.spec.tier,
        "site": replica.spec.site,
        "phase": replica.phase.value,
        "url": replica.url,
        "pid": replica.pid,
        "running": replica.running,
        "waiting": replica.waiting,
        "startedAt": replica.started_at_s,
        "message": replica.message,
    }


def _event(event: Event) -> dict[str, Any]:
    return {"at": event.at_s, "subject": event.subject, "kind": event.kind, "text": event.text}
