"""Rules of the plan that one case each would break: priority, sites, moves, what runs, escalation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from plans import carried_per_s
from worlds import MIB, a_catalog, a_pool, a_replica, a_service, a_site, a_tier, a_world, an_artifact, built

from orchestrator.api.service import Escalation
from orchestrator.core.actions import Start
from orchestrator.core.decide import decide
from orchestrator.core.placement.place import place
from orchestrator.core.placement.problem import shares
from orchestrator.core.placement.result import Placed, Placement, Unplaced
from orchestrator.core.world import Artifact
from runtimes.contract import Phase, ReplicaReport

CARRIED_PER_S = carried_per_s()


def test_the_service_with_the_higher_priority_takes_the_room() -> None:
    world = a_world(a_site("lab", a_pool()), artifacts=built(an_artifact(resident=3 << 30)))

    tiers = place([a_service("a"), a_service("b", priority=1)], a_catalog(), world).tiers

    assert [type(tier) for tier in tiers] == [Unplaced, Placed]


def test_replicas_lie_at_as_many_sites_as_are_asked_for_and_too_few_are_told() -> None:
    service = a_service(student=a_tier(quantization=("bf16",), replicas={"max": 3, "sites": 2}))
    near, far = a_site("near", a_pool("npu")), a_site("far", a_pool("npu", price="9/h"))

    (both,) = place([service], a_catalog(), a_world(near, far)).tiers
    (one,) = place([service], a_catalog(), a_world(near)).tiers

    assert isinstance(both, Placed)
    assert isinstance(one, Placed)
    assert {group.option.configuration.pool.site for group in both.groups} == {"near", "far"}
    assert (both.gave_up, one.gave_up) == ((), ("replicas at 1 of at least 2 sites",))


@pytest.mark.parametrize(
    ("price", "chosen", "moves"),
    [
        pytest.param("0.9/h", "dear", 0, id="a move costs more than the hour saves"),
        pytest.param("0.5/h", "cheap", 1.5 / 12, id="a start and a stop, five minutes of each"),
    ],
)
def test_a_tier_moves_where_the_move_is_worth_it(price: str, chosen: str, moves: float) -> None:
    sites = a_site("dear", a_pool(price="1/h")), a_site("cheap", a_pool(price=price))
    runs = a_replica(site="dear", slots=8, context_tokens=256, chip="box", artifact="artifacts/tiny-int4-0000")

    plan = place([a_service()], a_catalog(), a_world(*sites, replicas=(runs,)))

    (tier,) = plan.tiers
    assert isinstance(tier, Placed)
    assert tier.groups[0].option.configuration.pool.site == chosen
    assert plan.moves_per_h == pytest.approx(moves)
    assert plan.bound_per_h == pytest.approx(plan.cost_per_h + moves)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(a_replica(service="other", site="second"), id="another service"),
        pytest.param(a_replica(phase=Phase.FAILED, site="second"), id="one that has failed"),
    ],
)
def test_what_does_not_serve_the_tier_keeps_it_nowhere(other: ReplicaReport) -> None:
    (tier,) = place([a_service()], a_catalog(), a_world(a_site("first"), a_site("second"), replicas=(other,))).tiers

    assert isinstance(tier, Placed)
    assert tier.groups[0].option.configuration.pool.site == "first"


def test_moves_are_part_of_the_whole_that_the_gap_is_a_share_of() -> None:
    assert Placement((), cost_per_h=8, bound_per_h=9, moves_per_h=2).gap == pytest.approx(0.1)


CURVE = [{"share": 0.1, "quality": 0.8}, {"share": 0.2, "quality": 0.92}, {"share": 0.4, "quality": 0.99}]


@pytest.mark.parametrize(
    ("budget", "curve", "found"),
    [
        pytest.param("15%", CURVE, (0.1, 0.8, 0.1), id="no more than the budget"),
        pytest.param("50%", [], (0.5, None, 0.5), id="without a curve the budget"),
    ],
)
def test_a_service_sends_on_what_its_target_needs(
    budget: str, curve: list[dict[str, float]], found: tuple[float, float | None, float]
) -> None:
    service = a_service(
        rate=f"{1.2 * CARRIED_PER_S:.3f}/s",
        student=a_tier(where={"role": "edge"}),
        teacher=a_tier(quantization=("bf16",), where={"role": "cloud"}, replicas={"max": 9}),
        escalation={"target": 0.9, "budget": budget, "curve": curve},
    )
    world = a_world(a_site(), a_site("cloud", a_pool("npu", chips=8), role="cloud"))

    plan = place([service], a_catalog(), world)

    student, teacher = plan.tiers
    assert isinstance(student, Placed)
    assert isinstance(teacher, Placed)
    assert [(one.share, one.quality, one.wanted) for one in plan.escalations] == [found]
    assert teacher.rate_per_s == pytest.approx(found[0] * student.rate_per_s)
    assert student.short_per_s == pytest.approx(0.2 * CARRIED_PER_S, rel=0.01)


CHEAP_ENOUGH = [{"share": 0, "quality": 0.95}, {"share": 0.5, "quality": 0.99}]
CASCADE: dict[str, Any] = {
    "student": a_tier(where={"role": "edge"}),
    "teacher": a_tier(quantization=("bf16",), where={"role": "cloud"}),
}
CLOUD = a_site("cloud", a_pool("npu", chips=8, price="8/h"), role="cloud", fleet="none")


@pytest.mark.parametrize(
    ("escalation", "quality"),
    [
        pytest.param({"target": 0.9, "budget": "50%", "curve": CHEAP_ENOUGH}, 0.95, id="the student is good enough"),
        pytest.param({"target": 0.9, "budget": "0%"}, None, id="nothing may be sent on"),
    ],
)
def test_a_teacher_that_nothing_need_be_sent_to_has_its_place_and_no_replica(
    escalation: dict[str, Any], quality: float | None
) -> None:
    plan = place([a_service(rate="1/s", **CASCADE, escalation=escalation)], a_catalog(), a_world(a_site(), CLOUD))

    student, teacher = plan.tiers
    assert isinstance(student, Placed)
    assert isinstance(teacher, Placed)
    assert (student.replicas, teacher.groups, teacher.gave_up) == (1, (), ())
    assert (teacher.rate_per_s, teacher.short_per_s, plan.cost_per_h, plan.gap) == (0, 0, 1, 0)
    assert [(one.share, one.quality, one.wanted) for one in plan.escalations] == [(0, quality, 0)]


def test_a_share_that_nobody_measured_has_no_quality() -> None:
    beyond = {"target": 0.9, "budget": "10%", "curve": [{"share": 0.5, "quality": 0.99}]}

    plan = place([a_service(rate="1/s", **CASCADE, escalation=beyond)], a_catalog(), a_world(a_site(), CLOUD))

    assert [(one.share, one.quality, one.target) for one in plan.escalations] == [(0, None, 0.9)]


@pytest.mark.parametrize(
    ("qualities", "tried"),
    [
        pytest.param((0.95, 0.97, 0.99), [(0.1, 0)], id="the smallest that meets the target is enough"),
        pytest.param((0.8, 0.75, 0.92), [(0.1, 0.1), (0.4, 0)], id="more that is no better is no use"),
        pytest.param((0.5, 0.6, 0.7), [(0.1, 0.4), (0.2, 0.3), (0.4, 0.2)], id="each comes nearer"),
    ],
)
def test_of_a_curve_only_the_shares_are_tried_that_give_up_less(
    qualities: tuple[float, ...], tried: list[tuple[float, float]]
) -> None:
    curve = [{"share": share, "quality": found} for share, found in zip((0.1, 0.2, 0.4), qualities, strict=True)]

    found = shares(Escalation.model_validate({"target": 0.9, "budget": "50%", "curve": curve}))

    assert [share for share, _ in found] == [share for share, _ in tried]
    assert [lost for _, lost in found] == pytest.approx([lost for _, lost in tried])


@pytest.mark.parametrize("beyond", [1.01, 1.3, 3.3])
def test_a_teacher_that_cannot_carry_its_whole_share_gets_what_it_can_carry(beyond: float) -> None:
    teacher = a_tier(quantization=("bf16",), where={"role": "cloud"})
    world = a_world(a_site("lab", a_pool("npu", nodes=9)), a_site("cloud", a_pool("npu"), role="cloud"))
    (alone,) = place([a_service(teacher=teacher)], a_catalog(), world).tiers
    assert isinstance(alone, Placed)
    carried = alone.groups[0].option.prediction.requests_per_s.mid
    rate = 2 * beyond * carried
    student = a_tier(quantization=("bf16",), where={"role": "edge"}, replicas={"max": 9})
    service = a_service(
        rate=f"{rate:.6f}/s", student=student, teacher=teacher, escalation={"target": 0.9, "budget": "50%"}
    )

    plan = place([service], a_catalog(), world)

    (one,), (_, placed) = plan.escalations, plan.tiers
    assert isinstance(placed, Placed)
    assert one.share == pytest.approx(carried / rate, rel=1e-3)
    assert one.share < one.wanted == 0.5
    assert (placed.short_per_s, placed.cost_per_h) == (0, 1)


def test_as_many_replicas_as_are_asked_for_are_alike_where_the_machine_has_room_for_them() -> None:
    """More of them carry nothing more on one machine; they are wanted all the same."""
    service = a_service(student=a_tier(replicas={"min": 20, "max": 20}))

    (tier,) = place([service], a_catalog(), a_world()).tiers

    assert isinstance(tier, Placed)
    assert ([group.replicas for group in tier.groups], tier.gave_up) == ([20], ())


def made(quantization: str, *, resident: int, weights: int) -> Artifact:
    artifact = an_artifact(quantization=quantization, resident=resident * MIB)
    needs = artifact.manifest.needs.model_copy(update={"weights_bytes": weights * MIB})
    return replace(artifact, manifest=artifact.manifest.model_copy(update={"needs": needs}))


def test_a_replica_that_runs_as_planned_is_no_move_in_another_quantization() -> None:
    service = a_service(student=a_tier(quantization=("int4", "int8"), replicas={"min": 1, "max": 1}))
    artifacts = built(made("int4", resident=200, weights=1), made("int8", resident=100, weights=90))
    started = [
        move.spec
        for move in decide([service], a_catalog(), a_world(artifacts=artifacts), 0.0).actions
        if isinstance(move, Start)
    ]
    runs = tuple(ReplicaReport(spec=spec, phase=Phase.READY, url="http://127.0.0.1/one") for spec in started)

    plan = place([service], a_catalog(), a_world(artifacts=artifacts, replicas=runs))

    assert [spec.artifact for spec in started] == ["artifacts/tiny-int4-0000"]
    assert (plan.moves_per_h, plan.cost_per_h, plan.bound_per_h) == (0, 1, 1)
