"""The controller against memory ports: what one pass does, and what no outage may do."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from worlds import a_replica, a_service, a_site, a_tier, an_artifact, an_outside, built

from orchestrator.adapters.memory import MemoryFleet, MemoryRouter, MemoryStore
from orchestrator.api.document import Metadata
from orchestrator.control.loop import Controller
from orchestrator.core.rollout import STUCK_AFTER
from orchestrator.errors import Invalid, NotOurs, Unavailable
from orchestrator.ports import Event, Outside
from runtimes.contract import Phase, ReplicaReport, ReplicaSpec, RouteTable


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class AwayFleet(MemoryFleet):
    """A fleet that can be away."""

    away = False

    def observe(self) -> tuple[ReplicaReport, ...]:
        if self.away:
            raise Unavailable("ray does not answer")
        return super().observe()


class DeafRouter(MemoryRouter):
    """A gateway that can be away."""

    deaf = False

    def set_routes(self, table: RouteTable) -> None:
        if self.deaf:
            raise Unavailable("the gateway does not answer")
        super().set_routes(table)


def a_controller(outside: Outside, clock: Clock | None = None) -> Controller:
    return Controller(outside, every_s=1.0, clock=clock or Clock())


def names(outside: Outside) -> list[str]:
    return [replica.spec.name for replica in outside.fleets["ray"].observe()]


def states(controller: Controller) -> list[str]:
    return [service["state"] for service in controller.status()["services"]]


def test_a_service_is_started_routed_and_then_left_alone() -> None:
    outside = an_outside()
    controller = a_controller(outside)

    busy = [controller.run_once() for _ in range(3)]

    (replica,) = outside.fleets["ray"].observe()
    (route,) = outside.router.table.routes
    assert busy == [True, False, False]
    assert states(controller) == ["done"]
    assert [(way.name, way.url) for way in route.upstreams] == [(replica.spec.name, replica.url)]


def test_a_status_before_the_first_pass_is_empty_and_no_error() -> None:
    assert a_controller(an_outside()).status() == {
        "error": "",
        "seenAt": 0.0,
        "events": [],
        "unreadable": [],
        "services": [],
        "replicas": [],
    }


def test_a_fleet_that_is_away_loses_nothing() -> None:
    """Promise 9: the error is told, what ran still runs and is routed, and the loop goes on."""
    fleet = AwayFleet()
    outside = an_outside(fleet=fleet)
    controller = a_controller(outside)
    controller.run_once()
    controller.run_once()
    table, running = outside.router.table, names(outside)

    fleet.away = True
    assert controller.run_once()
    assert (controller.status()["error"], states(controller)) == ("ray does not answer", ["done"])
    assert outside.router.table == table

    fleet.away = False
    controller.run_once()
    assert (controller.status()["error"], names(outside)) == ("", running)


def test_while_the_gateway_is_deaf_nothing_is_stopped() -> None:
    """Promise 10, our part: a replica is stopped only when the gateway has been told."""
    router = DeafRouter()
    outside = an_outside(router=router)
    outside.fleets["ray"].start(a_replica("orphan", service="gone").spec)
    controller = a_controller(outside)

    router.deaf = True
    assert controller.run_once()
    assert "orphan" in names(outside)

    router.deaf = False
    controller.run_once()
    assert "orphan" not in names(outside)


def test_a_failing_replica_is_tried_again_with_growing_waits_and_then_called_stuck() -> None:
    fleet, clock = MemoryFleet(ready_at_once=False), Clock()
    outside = an_outside(fleet=fleet)
    controller = a_controller(outside, clock)
    starts: list[float] = []
    stuck_at: list[int] = []
    why: list[str] = []

    while len(starts) < 8:
        before = set(names(outside))
        controller.run_once()
        for name in set(names(outside)) - before:
            starts.append(clock.now_s)
            fleet.set_phase(name, Phase.FAILED, message="no graph")
        if states(controller) == ["blocked"]:
            stuck_at.append(len(starts))
            why.append(controller.status()["services"][0]["tiers"][0]["why"])
        clock.now_s += 0.25

    waits = [later - earlier for earlier, later in pairwise(starts)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60], abs=0.51)
    assert min(stuck_at) == STUCK_AFTER
    assert "no graph" in why.pop()


def test_a_replica_that_became_ready_has_its_failures_forgotten() -> None:
    fleet, clock = MemoryFleet(ready_at_once=False), Clock()
    outside = an_outside(fleet=fleet)
    controller = a_controller(outside, clock)
    for phase in (Phase.FAILED, Phase.READY, Phase.FAILED):
        while not names(outside):
            controller.run_once()
            clock.now_s += 0.25
        fleet.set_phase(names(outside)[0], phase)
        controller.run_once()
    controller.run_once()

    assert "failed 1 in a row" in controller.status()["services"][0]["tiers"][0]["why"]


def test_one_failure_is_counted_once_however_long_it_is_looked_at() -> None:
    """A tier that is blocked keeps a failed replica for thousands of passes."""
    fleet, clock = MemoryFleet(ready_at_once=False), Clock()
    outside = an_outside(fleet=fleet)
    controller = a_controller(outside, clock)
    controller.run_once()
    fleet.set_phase(names(outside)[0], Phase.FAILED)
    outside.artifacts.known = {}
    for _ in range(50):
        controller.run_once()

    outside.artifacts.known = built()
    controller.run_once()
    controller.run_once()

    assert "failed 1 in a row" in controller.status()["services"][0]["tiers"][0]["why"]


def test_applying_twice_changes_nothing_the_second_time() -> None:
    """Promise 7."""
    outside = an_outside(a_site())
    controller = a_controller(outside)

    first = controller.apply((a_service(),), dry_run=False)
    controller.run_once()
    running = names(outside)
    second = controller.apply((a_service(),), dry_run=False)
    controller.run_once()

    assert (first["changed"], second["changed"]) == (["ModelService/chat"], [])
    assert first["plan"] == second["plan"]
    assert names(outside) == running


def test_a_dry_run_answers_the_same_plan_and_keeps_nothing() -> None:
    outside = an_outside(a_site())
    controller = a_controller(outside)

    dry = controller.apply((a_service(),), dry_run=True)

    assert (dry["changed"], outside.store.documents()) == ([], (a_site(),))
    assert controller.apply((a_service(),), dry_run=False)["plan"] == dry["plan"]


def test_deleting_ends_the_replicas_and_deleting_the_unknown_names_the_known() -> None:
    outside = an_outside()
    controller = a_controller(outside)
    controller.run_once()

    with pytest.raises(Invalid, match=r"^no ModelService 'chta' here; there is: chat$"):
        controller.delete("ModelService", "chta", dry_run=False)
    controller.delete("ModelService", "chat", dry_run=True)
    controller.run_once()
    assert len(names(outside)) == 1

    controller.delete("ModelService", "chat", dry_run=False)
    controller.run_once()
    assert (names(outside), outside.router.table) == ([], RouteTable())
    with pytest.raises(Invalid, match=r"^no ModelService 'chat' here; there is: none$"):
        controller.delete("ModelService", "chat", dry_run=False)


def test_a_document_of_another_version_is_named_loses_nothing_and_goes_when_deleted() -> None:
    """Promise 9: one bad document ends no pass."""

    class Older(MemoryStore):
        def unreadable(self) -> tuple[str, ...]:
            return () if gone else ("ModelService/talk",)

        def delete(self, kind: str, name: str) -> bool:
            gone.append((kind, name))
            return True

    gone: list[tuple[str, str]] = []
    store = Older("me")
    store.put((a_service(), a_site()))
    outside = an_outside(store=store)
    outside.fleets["ray"].start(a_replica("old", service="talk").spec)
    controller = a_controller(outside)
    controller.run_once()

    assert (controller.status()["unreadable"], controller.status()["error"]) == (["ModelService/talk"], "")
    assert {replica.spec.service for replica in outside.fleets["ray"].observe()} == {"chat", "talk"}

    controller.delete("ModelService", "talk", dry_run=False)
    controller.run_once()
    assert gone == [("ModelService", "talk")]
    assert {replica.spec.service for replica in outside.fleets["ray"].observe()} == {"chat"}


def test_a_new_controller_adopts_what_runs() -> None:
    """Promise 5: the controller was away; nothing is stopped, nothing is started."""
    outside = an_outside(a_service(student=a_tier(replicas={"min": 2, "max": 2})), a_site())
    first = a_controller(outside)
    first.run_once()
    running = outside.fleets["ray"].observe()

    second = a_controller(outside)

    assert not second.run_once()
    assert outside.fleets["ray"].observe() == running


def test_a_busy_replica_drains_unrouted_and_its_word_is_kept_as_an_event() -> None:
    fleet = MemoryFleet()
    outside = an_outside(fleet=fleet)
    controller = a_controller(outside)
    controller.run_once()
    (old,) = names(outside)
    fleet.set_phase(old, Phase.READY, running=1)
    outside.artifacts.known = built(an_artifact(file="1" * 64))

    for _ in range(4):
        controller.run_once()
    assert {r.spec.name: r.phase for r in fleet.observe()}[old] is Phase.DRAINING
    assert old not in {way.name for way in outside.router.table.routes[0].upstreams}

    fleet.set_phase(old, Phase.DRAINING, running=0)
    controller.run_once()
    controller.run_once()
    assert old not in names(outside)
    said = [(event["kind"], event["text"]) for event in controller.status()["events"] if event["subject"].endswith(old)]
    assert said == [("ready", "new"), ("draining", "was ready"), ("gone", "was draining")]


def test_a_start_that_is_not_ours_is_no_end_of_the_pass() -> None:
    class Taken(MemoryFleet):
        def start(self, spec: ReplicaSpec) -> None:
            if spec.service == "a":
                raise NotOurs("taken")
            super().start(spec)

    outside = an_outside(a_service("a"), a_service("b"), a_site(), fleet=Taken())

    assert a_controller(outside).run_once()
    assert [replica.spec.service for replica in outside.fleets["ray"].observe()] == ["b"]


@pytest.mark.parametrize(
    "mistake", [pytest.param(Unavailable("disk full"), id="the store is full"), pytest.param(KeyError("x"), id="a bug")]
)
def test_the_loop_outlives(mistake: Exception) -> None:
    """Promise 9: one bad pass never ends the loop."""
    passed = threading.Event()

    class Failing(MemoryStore):
        notes = 0

        def note(self, event: Event) -> None:
            self.notes += 1
            if self.notes == 1:
                raise mistake
            super().note(event)
            passed.set()

    store = Failing("me")
    store.put((a_service(), a_site()))
    fleet = MemoryFleet()
    controller = Controller(an_outside(store=store, fleet=fleet), every_s=0.01)
    thread = threading.Thread(target=controller.run)
    thread.start()
    try:
        for number in range(100):
            fleet.start(a_replica(f"theirs-{number}", owner="them").spec)
            if passed.wait(0.05):
                break
    finally:
        controller.stop()
        thread.join(5)

    assert passed.is_set()
    assert not thread.is_alive()


def test_a_renamed_service_is_another_service() -> None:
    outside = an_outside()
    controller = a_controller(outside)
    controller.run_once()
    renamed = a_service().model_copy(update={"metadata": Metadata(name="talk")})

    controller.apply((renamed,), dry_run=False)
    controller.run_once()

    assert sorted(replica.spec.service for replica in outside.fleets["ray"].observe()) == ["chat", "talk"]
