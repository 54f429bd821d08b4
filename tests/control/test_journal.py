"""What is kept as events, and what a log is told once."""

from __future__ import annotations

import logging

import pytest
from worlds import a_replica, a_service, a_site, an_outside, built

from orchestrator.adapters.memory import MemoryFleet, MemoryRouter
from orchestrator.control.loop import Controller
from orchestrator.errors import Refused, Unavailable
from orchestrator.ports import Outside
from runtimes.contract import Phase, ReplicaSpec, RouteTable

NAME = "theirs-0"  # a replica that the controller watches and never touches


def a_controller(outside: Outside) -> Controller:
    return Controller(outside, every_s=1.0, clock=lambda: 7.0)


def told(outside: Outside, subject: str) -> list[tuple[str, str]]:
    return [(event.kind, event.text) for event in outside.store.events(100) if event.subject == subject]


class RefusingFleet(MemoryFleet):
    """A fleet that starts nothing."""

    why = "no machine of site lab is connected"

    def start(self, spec: ReplicaSpec) -> None:
        raise Refused(f"{spec.name}: {self.why}")


class DeafRouter(MemoryRouter):
    """A gateway that is away until told."""

    deaf = True

    def set_routes(self, table: RouteTable) -> None:
        if self.deaf:
            raise Unavailable("the gateway does not answer")
        super().set_routes(table)


def test_a_replica_is_told_by_what_it_was_and_a_new_one_was_nothing() -> None:
    fleet = MemoryFleet(ready_at_once=False)
    outside = an_outside(a_site(), fleet=fleet)
    controller = a_controller(outside)
    fleet.start(a_replica(NAME, owner="them").spec)
    for phase, message in (
        (Phase.STARTING, "The model is loading."),
        (Phase.READY, ""),
        (Phase.READY, ""),
        (Phase.FAILED, "no memory"),
        (Phase.GONE, ""),
    ):
        fleet.set_phase(NAME, phase, message=message)
        controller.run_once()

    assert told(outside, f"replica/{NAME}") == [
        ("starting", "The model is loading."),
        ("ready", "was starting"),
        ("failed", "was ready: no memory"),
        ("gone", "was failed"),
    ]


@pytest.mark.parametrize(
    ("meanwhile", "then"),
    [
        pytest.param(Phase.READY, [], id="nothing happened, nothing is told"),
        pytest.param(Phase.SILENT, [("silent", "was ready")], id="what happened meanwhile is told"),
        pytest.param(Phase.GONE, [("gone", "was ready")], id="also that it is gone"),
    ],
)
def test_a_controller_that_comes_back_tells_only_what_changed(meanwhile: Phase, then: list[tuple[str, str]]) -> None:
    fleet = MemoryFleet()
    outside = an_outside(a_site(), fleet=fleet)
    fleet.start(a_replica(NAME, owner="them").spec)
    a_controller(outside).run_once()

    fleet.set_phase(NAME, meanwhile)
    a_controller(outside).run_once()

    assert told(outside, f"replica/{NAME}") == [("ready", "new"), *then]


def test_a_blocked_tier_is_an_event_and_so_is_its_end_also_over_a_restart() -> None:
    outside = an_outside()
    outside.artifacts.known = {}
    for _ in range(2):
        controller = a_controller(outside)
        controller.run_once()
        controller.run_once()
    ((kind, why),) = told(outside, "tier/chat/student")
    assert (kind, why.partition(" (")[0]) == ("blocked", "chat/student: not-built")

    outside.artifacts.known = built()
    for _ in range(3):
        controller.run_once()
    assert told(outside, "tier/chat/student")[1:] == [("unblocked", "1 of 1 ready")]


def test_a_blocked_tier_that_nobody_wants_any_more_is_blocked_no_more() -> None:
    outside = an_outside()
    outside.artifacts.known = {}
    controller = a_controller(outside)
    controller.run_once()

    controller.delete("ModelService", "chat", dry_run=False)
    controller.run_once()

    assert told(outside, "tier/chat/student")[1:] == [("unblocked", "no longer wanted")]


def test_an_event_that_could_not_be_kept_is_kept_in_the_next_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = an_outside(a_site())
    outside.fleets["ray"].start(a_replica(NAME, owner="them").spec)
    controller = a_controller(outside)
    with monkeypatch.context() as full:
        full.setattr(outside.store, "note", lambda _: (_ for _ in ()).throw(Unavailable("disk full")))
        controller.run_once()

    controller.run_once()

    assert told(outside, f"replica/{NAME}") == [("ready", "new")]


def test_a_refused_start_blocks_is_told_once_and_keeps_nobody_busy(caplog: pytest.LogCaptureFixture) -> None:
    fleet = RefusingFleet()
    outside = an_outside(fleet=fleet)
    controller = a_controller(outside)
    with caplog.at_level(logging.WARNING):
        busy = [controller.run_once() for _ in range(50)]
        fleet.why = "no machine of site lab has the chip box"
        controller.run_once()

    assert busy == [False] * 50
    assert [record.message.partition(": ")[2].partition(": ")[2] for record in caplog.records] == [
        "no machine of site lab is connected",
        "no machine of site lab has the chip box",
    ]
    assert caplog.records[0].message.startswith("start of chat-student-")
    assert [kind for kind, _ in told(outside, "tier/chat/student")] == ["blocked"]
    assert controller.status()["services"][0]["state"] == "blocked"


def test_a_gateway_that_is_away_is_one_line_and_its_return_another(caplog: pytest.LogCaptureFixture) -> None:
    router = DeafRouter()
    controller = a_controller(an_outside(a_service(), a_site(), router=router))
    with caplog.at_level(logging.INFO):
        assert all(controller.run_once() for _ in range(3))
        router.deaf = False
        controller.run_once()
        controller.run_once()

    said = [record.message for record in caplog.records if "routes" in record.message]
    assert said == ["setting routes failed: the gateway does not answer", "setting routes went well again"]
