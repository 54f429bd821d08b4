"""The whole decision: placement, outcomes and moves in order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import MIB, a_catalog, a_pool, a_replica, a_service, a_site, a_tier, a_world, an_artifact, built

from orchestrator.core.actions import Act, Blocked, Done, SetRoutes, Start, Stop
from orchestrator.core.decide import Decision, decide
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.world import World
from runtimes.contract import Phase, ReplicaReport, ReplicaSpec, Route, RouteTable, Upstream

TWO = a_service(student=a_tier(replicas={"min": 2, "max": 2}))


def decided(world: World, *services: object) -> Decision:
    return decide(services or (a_service(),), a_catalog(), world, 0.0)


def wanted(world: World | None = None, *services: object) -> list[ReplicaSpec]:
    """What a decision on empty pools starts."""
    return [move.spec for move in decided(world or a_world(), *services).actions if isinstance(move, Start)]


def running(phase: Phase = Phase.READY, *services: object) -> ReplicaReport:
    """The replica that is wanted, in a phase."""
    return ReplicaReport(spec=wanted(None, *services)[0], phase=phase, url="http://127.0.0.1/new")


def table(*upstreams: str, service: str = "chat") -> SetRoutes:
    ways = tuple(Upstream(name=name, url=f"http://127.0.0.1/{name}") for name in upstreams)
    return SetRoutes(RouteTable(routes=(Route(service=service, upstreams=ways),)))


def test_a_new_service_is_started_with_everything_the_replica_must_know() -> None:
    (spec,) = wanted()

    assert spec == ReplicaSpec(
        name=f"chat-student-{spec.variant}-0",
        owner="me",
        service="chat",
        tier="student",
        site="lab",
        pool=0,
        variant=spec.variant,
        artifact=an_artifact().path,
        slots=8,
        context_tokens=256,
        threads=2,
        queue=64,
        memory_bytes=spec.memory_bytes,
        chip="box",
        chip_share=spec.memory_bytes / (4 << 30),
    )


@pytest.mark.parametrize(
    ("world", "service", "same"),
    [
        pytest.param(a_world(), a_service(), True, id="the same build and settings"),
        pytest.param(a_world(), a_service(rate="2/h"), True, id="another demand that one replica carries"),
        pytest.param(a_world(artifacts=built(an_artifact(file="1" * 64))), a_service(), False, id="another build"),
        pytest.param(a_world(), a_service(student=a_tier(context=512)), False, id="a longer context"),
        pytest.param(a_world(), a_service(student=a_tier(slo={"tpot": "1.22ms"})), False, id="fewer sequences"),
    ],
)
def test_the_name_of_a_replica_follows_from(world: World, service: object, *, same: bool) -> None:
    assert ([s.name for s in wanted(world, service)] == [s.name for s in wanted()]) is same


def test_execution_providers_of_the_chip_reach_the_replica() -> None:
    catalog = a_catalog()
    box = catalog.profiles["box"]
    other = box.model_copy(
        update={"spec": box.spec.model_copy(update={"execution_providers": ("CANNExecutionProvider",)})}
    )
    changed = replace(catalog, profiles={**catalog.profiles, "box": other})
    (spec,) = [m.spec for m in decide((a_service(),), changed, a_world(), 0.0).actions if isinstance(m, Start)]

    assert spec.providers == ("CANNExecutionProvider",)
    assert spec.name != wanted()[0].name


def test_routes_leave_out_a_replica_before_it_is_stopped() -> None:
    """Promise 10, our part: no new request is sent to a replica that leaves."""
    decision = decided(a_world(replicas=(running(), a_replica("old"))))

    name = wanted()[0].name
    new = SetRoutes(
        RouteTable(routes=(Route(service="chat", upstreams=(Upstream(name=name, url="http://127.0.0.1/new"),)),))
    )
    assert decision.actions == (new, Stop("old", "lab", "no longer wanted"))


@pytest.mark.parametrize(
    ("world", "moves"),
    [
        pytest.param(
            a_world(
                replicas=(running(), a_replica("theirs", owner="them"), a_replica("other", owner="them", service="x"))
            ),
            (),
            id="another controller's replicas of any service",
        ),
        pytest.param(a_world(replicas=(running(Phase.SILENT),)), (), id="our replica that is silent"),
    ],
)
def test_it_never_touches(world: World, moves: tuple[object, ...]) -> None:
    """Promise 7 for what others own, promise 5 for a late word."""
    decision = decided(world)

    (routes,) = (move for move in decision.actions if isinstance(move, SetRoutes))
    assert decision.actions == (routes, *moves)
    assert [way.name for way in routes.table.routes[0].upstreams] == [wanted()[0].name]


def test_a_name_that_someone_else_has_is_blocked_and_not_fought_over() -> None:
    """Promise 7: waiting or trying again would not help."""
    theirs = running().model_copy(update={"spec": running().spec.model_copy(update={"owner": "them"})})

    decision = decided(a_world(replicas=(theirs,)))

    assert decision.actions == (table(),)
    assert decision.outcomes == {
        "chat/student": Blocked(
            (
                Rejected(
                    theirs.spec.name,
                    Why.OWNER,
                    "owner me",
                    "owner them",
                    "let that controller delete its service, or give this one another name",
                ),
            )
        )
    }


def test_replicas_of_a_service_that_is_gone_are_stopped_and_not_routed() -> None:
    orphan = a_replica("b", service="gone"), a_replica("a", Phase.STARTING, service="gone")

    decision = decided(a_world(replicas=(*orphan, running())))

    assert [move for move in decision.actions if not isinstance(move, SetRoutes)] == [
        Stop("a", "lab", "its service is gone"),
        Stop("b", "lab", "its service is gone"),
    ]
    assert [route.service for route in decision.actions[0].table.routes] == ["chat"]


@pytest.mark.parametrize("fleet", ["none", "kubernetes"])
def test_a_site_that_is_not_run_here_is_done_on_paper(fleet: str) -> None:
    decision = decided(a_world(a_site("lab", fleet=fleet)))

    note = f"planned, not started: site lab has fleet {fleet}"
    assert (decision.actions, decision.outcomes) == ((table(),), {"chat/student": Done(note)})


def test_an_engine_that_ray_does_not_run_is_done_on_paper() -> None:
    service = a_service(student=a_tier(quantization=("bf16",)))

    decision = decided(a_world(a_site("lab", a_pool("npu"))), service)

    note = "planned, not started: `headwater render` writes its manifests for Kubernetes"
    assert (decision.actions, decision.outcomes) == ((table(),), {"chat/student": Done(note)})


def test_what_is_not_built_is_blocked_with_the_command_to_run() -> None:
    decision = decided(a_world(artifacts={}))

    hint = "run: headwater build tiny --quantization int4"
    assert decision.outcomes == {
        "chat/student": Blocked((Rejected("chat/student", Why.NOT_BUILT, "tiny int4", "no artifact", hint),))
    }


def test_what_another_version_wrote_keeps_its_replicas_and_routes_while_others_are_served() -> None:
    """Promise 9: a document that cannot be read loses nothing that runs."""
    kept = a_replica("old", service="talk"), a_replica("away", service="chat", site="shed")
    unreadable = frozenset({"ModelService/talk", "ModelService/idle", "Site/shed"})

    decision = decided(a_world(replicas=kept, unreadable=unreadable))

    routed = {route.service: [way.name for way in route.upstreams] for route in decision.actions[0].table.routes}
    assert (len(decision.actions), routed) == (1, {"chat": ["away"], "idle": [], "talk": ["old"]})
    assert decision.outcomes == {
        "chat/student": Blocked(
            (
                Rejected(
                    "Site/shed",
                    Why.UNREADABLE,
                    "a document this version can read",
                    "one of another",
                    "deploy it again, or delete it",
                ),
            )
        )
    }


@pytest.mark.parametrize(
    ("world", "service"),
    [
        pytest.param({}, a_service(policy={"licences": ["MIT"]}), id="a licence that is no longer allowed"),
        pytest.param({}, a_service(student=a_tier("nothing")), id="a model that does not exist"),
        pytest.param({"artifacts": {}}, a_service(), id="an artifact that is not built"),
    ],
)
def test_a_bad_edit_keeps_what_runs_and_its_route(world: dict[str, object], service: object) -> None:
    """Promise 9: nothing that runs is lost. Promise 8: and nothing starts for a licence that is not allowed."""
    decision = decided(a_world(replicas=(a_replica("old"),), **world), service)

    assert decision.actions == (table("old"),)
    assert isinstance(decision.outcomes["chat/student"], Blocked)


def test_two_services_in_one_pass_do_not_take_the_same_room() -> None:
    """Old variants hold most of the machine: there is room for one of the two new ones."""
    full = tuple(a_replica(f"old-{s}", service=s, memory_bytes=1900 * MIB) for s in "ab")

    decision = decided(a_world(replicas=full), a_service("a"), a_service("b"))

    assert [move.spec.service for move in decision.actions if isinstance(move, Start)] == ["a", "b"]
    tight = tuple(a_replica(f"old-{s}", service=s, memory_bytes=1960 * MIB) for s in "ab")
    decision = decided(a_world(replicas=tight), a_service("a"), a_service("b"))
    assert [move.spec.service for move in decision.actions if isinstance(move, Start)] == ["a"]
    assert isinstance(decision.outcomes["b/student"], Blocked)


def test_the_front_tier_answers_and_the_other_gets_no_route() -> None:
    both = a_service(student=a_tier(), teacher=a_tier())
    replicas = a_replica("s", tier="student"), a_replica("t", tier="teacher")

    assert routed(a_world(replicas=replicas, artifacts={}), both) == ["s"]
    assert routed(a_world(replicas=replicas[1:], artifacts={}), a_service(teacher=a_tier())) == ["t"]


def routed(world: World, service: object) -> list[str]:
    (move,) = (move for move in decided(world, service).actions if isinstance(move, SetRoutes))
    return [way.name for route in move.table.routes for way in route.upstreams]


phases = st.sampled_from([phase for phase in Phase if phase is not Phase.GONE])
replicas_of_any_kind = st.lists(
    st.builds(
        lambda name, phase, owner, service: a_replica(name, phase, owner=owner, service=service),
        st.sampled_from(["r0", "r1", "r2", "r3"]),
        phases,
        st.sampled_from(["me", "them"]),
        st.sampled_from(["a", "b", "gone"]),
    ),
    unique_by=lambda replica: replica.spec.name,
    max_size=4,
)


@given(replicas_of_any_kind, st.randoms(use_true_random=False))
def test_the_order_of_what_is_seen_never_matters(seen: list[ReplicaReport], random: object) -> None:
    """Promise 1: same input, same decision; promise 7: no move ever names what others own."""
    services = [a_service("a"), a_service("b")]
    sites = [a_site("lab"), a_site("shed")]
    first = decide(services, a_catalog(), a_world(*sites, replicas=tuple(seen)), 0.0)

    for shuffled in (services, sites, seen):
        random.shuffle(shuffled)
    second = decide(services, a_catalog(), a_world(*sites, replicas=tuple(seen)), 0.0)

    assert first == second
    theirs = {replica.spec.name for replica in seen if replica.spec.owner != "me"}
    assert not theirs & {move.replica for move in first.actions if isinstance(move, Stop)}


def test_a_whole_rollout_of_two_has_one_answer_per_step() -> None:
    old = a_replica("old-0"), a_replica("old-1")
    outcome = decided(a_world(replicas=old), TWO).outcomes["chat/student"]

    assert isinstance(outcome, Act)
    assert [type(move) for move in outcome.actions] == [Start, Start]


def test_a_tier_that_cannot_carry_its_demand_is_done_and_says_what_is_missing() -> None:
    service = a_service(rate="100000/s")
    world = a_world(replicas=(running(Phase.READY, service),))

    outcome = decided(world, service).outcomes["chat/student"]

    assert isinstance(outcome, Done)
    assert "/s of the 100000/s wanted" in outcome.note


def test_a_teacher_that_nothing_is_sent_to_is_done_without_a_replica() -> None:
    service = a_service(student=a_tier(), teacher=a_tier("tiny", ("int8",)), escalation={"target": 0.9, "budget": "0%"})
    world = a_world(artifacts=built(an_artifact(), an_artifact(quantization="int8")))

    outcome = decided(world, service).outcomes["chat/teacher"]

    assert isinstance(outcome, Done)
    assert [spec.tier for spec in wanted(world, service)] == ["student"]
