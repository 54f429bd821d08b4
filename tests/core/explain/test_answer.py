"""An explanation is planned, never guessed: each "what if" against the plan as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from plans import plan_alone
from worlds import a_catalog, a_pool, a_profile, a_replica, a_service, a_site, a_tier, a_world

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.core.explain.answer import Planner, Question, answer
from orchestrator.core.explain.changes import losses
from orchestrator.core.placement.result import Placed, Placement, Unplaced
from orchestrator.core.world import TierName, World

SLOW = a_profile("slow", kind="npu", memory="64GiB", bandwidth={"value": "100MB/s", "status": "vendor"})
CATALOG = a_catalog(SLOW)
CHEAP_OR_FAST = a_site("lab", a_pool("slow", price="1/h"), a_pool("npu", price="9/h"))
BF16 = ("bf16",)


def explained(
    *services: ModelService, world: World | None = None, tier: TierName | None = None, planner: Planner = plan_alone
) -> dict[str, Any]:
    """What is said of the first service."""
    asked = Question(services[0], tier, services, CATALOG, world or a_world(CHEAP_OR_FAST))
    return answer(asked, planner, lambda *_: None)


def helping(*services: ModelService, world: World | None = None, planner: Planner = plan_alone) -> dict[str, float]:
    """Savings by change, of the first tier."""
    told = explained(*services, world=world, planner=planner)["tiers"][0]["wouldHelp"]
    return {one["change"]: one["savingPerHour"] for one in told}


def tpot_of(profile: str) -> float:
    """Seconds a token takes there with one sequence, the fewest there can be."""
    world = a_world(a_site("lab", a_pool(profile)))
    (tier,) = plan_alone([a_service(student=a_tier(quantization=BF16))], CATALOG, world).tiers
    assert isinstance(tier, Placed)
    return tier.groups[0].option.prediction.single_stream_tpot_s.mid


def within(seconds: float, **fields: Any) -> ModelService:
    """One student that must answer so fast."""
    slo = {"tpot": f"{seconds * 1e6:.3f}us"}
    return a_service(student=a_tier(quantization=BF16, slo=slo, replicas={"max": 1000}, **fields))


def test_why_here_has_the_chosen_way_and_the_next_with_the_numbers_that_decide() -> None:
    (tier,) = explained(a_service(rate="1/h", student=a_tier(quantization=BF16)))["tiers"]
    (chosen,), (other, *_) = tier["groups"], tier["next"]

    assert (chosen["profile"], chosen["costPerHour"], other["profile"], other["costPerHour"]) == ("slow", 1, "npu", 9)
    assert other["mostPerSecond"] > chosen["capacityPerSecond"]
    assert other["tpotSeconds"] < chosen["predicted"]["tpotSeconds"]["p50"]
    assert tier["why"] == "the cheapest that carries the demand, 1/h in all; the next costs 9/h"


def test_why_not_there_is_grouped_by_rule_with_numbers() -> None:
    """Promise 2, explained."""
    (tier,) = explained(a_service(student=a_tier(quantization=BF16, where={"role": "cloud"})))["tiers"]

    assert not tier["placed"]
    assert tier["rejected"] == [
        {"rule": "place", "count": 1, "reasons": [{"need": "cloud", "have": "edge", "subjects": ["lab"], "count": 1}]}
    ]


@pytest.mark.parametrize(
    ("service", "sites", "change", "saving"),
    [
        pytest.param(
            a_service(student=a_tier(quantization=BF16, where={"site": "dear"})),
            (a_site("dear", a_pool("npu", price="9/h")), a_site("cheap", a_pool("npu"))),
            "any site instead of dear",
            8,
            id="a site",
        ),
        pytest.param(
            a_service(student=a_tier(quantization=BF16, where={"role": "cloud"})),
            (a_site("dear", a_pool("npu", price="9/h"), role="cloud"), a_site("cheap", a_pool("npu"))),
            "edge and cloud alike instead of cloud",
            8,
            id="a role",
        ),
        pytest.param(
            a_service(student=a_tier(quantization=BF16, where={"region": "cn-east"})),
            (a_site("dear", a_pool("npu", price="9/h")), a_site("cheap", a_pool("npu"), region="cn-west")),
            "any region instead of cn-east",
            8,
            id="a region",
        ),
        pytest.param(
            a_service(student=a_tier(quantization=BF16, replicas={"min": 2, "max": 3})),
            (a_site("lab", a_pool("npu", nodes=4, price="2/h")),),
            "at least 1 replicas instead of 2",
            2,
            id="a minimum",
        ),
        pytest.param(
            a_service(student=a_tier(quantization=BF16)),
            (a_site("lab", a_pool("box", price="1/h"), a_pool("npu", price="9/h")),),
            "int4 allowed",
            8,
            id="a quantization",
        ),
    ],
)
def test_what_would_make_it_cheaper_is_told_with_its_saving(
    service: ModelService, sites: tuple[Any, ...], change: str, saving: float
) -> None:
    assert helping(service, world=a_world(*sites))[change] == saving


def test_of_an_objective_the_mildest_relaxation_that_saves_as_much_is_told() -> None:
    slow_s, fast_s = tpot_of("slow"), tpot_of("npu")
    assert fast_s < slow_s / 1.5
    found = helping(within(slow_s / 1.4))

    told = [change for change in found if change.startswith("time per token within ")]
    assert len(told) == 1
    assert found[told[0]] == 8


def test_residency_and_licences_are_never_given_up() -> None:
    sites = a_site("dear", a_pool("npu", price="9/h")), a_site("cheap", a_pool("npu"), region="eu-west")
    service = a_service(student=a_tier(quantization=BF16), policy={"residency": ["cn"], "licences": ["Apache-2.0"]})

    assert helping(service, world=a_world(*sites)) == {}


def test_one_more_replica_is_told_when_it_carries_more() -> None:
    world = a_world(a_site("lab", a_pool("npu", nodes=4)))
    service = a_service(rate="1000000/s", student=a_tier(quantization=BF16))
    found = explained(service, world=world)["tiers"][0]["wouldHelp"]

    assert found[0]["change"] == "at most 2 replicas instead of 1"
    assert found[0]["moreCarriedPerSecond"] > 0
    assert found[0]["savingPerHour"] == -1


def test_a_tier_without_a_place_is_told_what_would_give_it_one() -> None:
    service = a_service(student=a_tier(quantization=BF16, where={"role": "cloud"}))
    (first, *_) = explained(service)["tiers"][0]["wouldHelp"]

    assert (first["change"], first["places"]) == ("edge and cloud alike instead of cloud", True)
    assert first["groups"][0]["site"] == "lab"


def test_a_saving_that_only_a_better_search_explains_is_not_told() -> None:
    def vague(services: Sequence[ModelService], catalog: Catalog, world: World) -> Placement:
        return replace(plan_alone(services, catalog, world), bound_per_h=0.5)

    assert helping(a_service(student=a_tier(quantization=BF16, where={"site": "lab"})), planner=vague) == {}
    two = a_service(student=a_tier(quantization=BF16, replicas={"min": 2, "max": 3}))
    world = a_world(a_site("lab", a_pool("npu", nodes=4)))
    assert helping(two, world=world) == {"at least 1 replicas instead of 2": 1}
    assert helping(two, world=world, planner=vague) == {}


def without_a_place(placement: Placement, service: str) -> Placement:
    tiers = tuple(
        Unplaced(tier.service, tier.tier, tier.rejections) if tier.service == service else tier
        for tier in placement.tiers
    )
    cost = sum(tier.cost_per_h for tier in tiers if isinstance(tier, Placed))
    return Placement(tiers, cost, cost)


def test_a_saving_that_another_service_pays_for_is_not_told() -> None:
    def at_others_cost(services: Sequence[ModelService], catalog: Catalog, world: World) -> Placement:
        plan = plan_alone(services, catalog, world)
        least = services[0].spec.student.replicas.min if services[0].spec.student else 0
        return plan if least > 1 else without_a_place(plan, "other")

    two = a_service(student=a_tier(quantization=BF16, replicas={"min": 2, "max": 3}))
    world = a_world(a_site("lab", a_pool("npu", nodes=4)))
    other = a_service("other", student=a_tier(quantization=BF16))

    assert helping(two, other, world=world) == {"at least 1 replicas instead of 2": 1}
    assert helping(two, other, world=world, planner=at_others_cost) == {}


def test_twice_and_half_the_load_are_planned_with_what_gives_way() -> None:
    def crowded(services: Sequence[ModelService], catalog: Catalog, world: World) -> Placement:
        plan = plan_alone(services, catalog, world)
        return plan if services[0].spec.demand.rate <= rate else without_a_place(plan, "other")

    student = a_tier(quantization=BF16, replicas={"max": 100})
    world = a_world(a_site("lab", a_pool("npu", nodes=100)))
    (tier,) = plan_alone([a_service(rate="1000000/s", student=student)], CATALOG, world).tiers
    assert isinstance(tier, Placed)
    rate = tier.groups[0].option.prediction.requests_per_s.mid * 3.5
    services = a_service(rate=f"{rate}/s", student=student), a_service("other", student=a_tier(quantization=BF16))
    twice, half = explained(*services, world=world, planner=crowded)["load"]

    assert [(one["factor"], one["tiers"][0]["replicas"]) for one in (twice, half)] == [(2, 7), (0.5, 2)]
    assert [(one["service"], one["what"][:12]) for one in twice["givesWay"]] == [("other", "has no place")]
    assert half["givesWay"] == []
    assert half["moreCostPerHour"] == -2


def test_a_site_that_goes_away_is_planned_without_it() -> None:
    near, far = a_site("a-near", a_pool("npu")), a_site("b-far", a_pool("npu", price="5/h"))
    (gone,) = explained(a_service(student=a_tier(quantization=BF16)), world=a_world(near, far))["without"]
    (last,) = explained(a_service(student=a_tier(quantization=BF16)), world=a_world(near))["without"]

    assert (gone["site"], gone["tiers"][0]["groups"][0]["site"], gone["moreCostPerHour"]) == ("a-near", "b-far", 4)
    assert (last["tiers"][0]["placed"], last["costPerHour"]) == (False, 0)


def test_one_tier_is_explained_alone_when_asked() -> None:
    service = a_service(student=a_tier(quantization=BF16), teacher=a_tier(quantization=BF16))

    assert [tier["tier"] for tier in explained(service, tier="teacher")["tiers"]] == ["teacher"]
    assert [tier["tier"] for tier in explained(service)["tiers"]] == ["student", "teacher"]


def test_progress_counts_every_plan_that_is_made() -> None:
    plans: list[int] = []
    told: list[tuple[int, int]] = []

    def counted(services: Sequence[ModelService], catalog: Catalog, world: World) -> Placement:
        plans.append(1)
        return plan_alone(services, catalog, world)

    service = a_service(student=a_tier(quantization=BF16))
    answer(
        Question(service, None, [service], CATALOG, a_world(CHEAP_OR_FAST)),
        counted,
        lambda number, total, _: told.append((number, total)),
    )

    assert len(plans) == len(told)
    assert told[-1][0] == told[-1][1] == len(plans) - 1


def test_half_of_what_may_go_to_the_teacher_is_asked() -> None:
    world = a_world(a_site("lab", a_pool("npu", nodes=9, price="9/h")))
    (one,) = plan_alone([a_service(student=a_tier(quantization=BF16))], CATALOG, world).tiers
    assert isinstance(one, Placed)
    carried = one.groups[0].option.prediction.requests_per_s.mid
    tier = a_tier(quantization=BF16, replicas={"max": 99})
    service = a_service(
        rate=f"{6 * carried:.3f}/s", student=tier, teacher=tier, escalation={"target": 0.9, "budget": "25%"}
    )

    (teacher,) = explained(service, world=world, tier="teacher")["tiers"]

    saved = {one["change"]: one["savingPerHour"] for one in teacher["wouldHelp"]}
    assert saved["at most 0.125 of requests to the teacher instead of 0.25"] == 9


def test_what_runs_at_a_site_goes_with_it() -> None:
    world = a_world(a_site("a"), a_site("b"), replicas=(a_replica("x", site="a"), a_replica("y", site="b")))

    ((name, change),) = losses(["a"], [a_service()], world)

    assert (name, list(change.world.sites), [r.spec.name for r in change.world.replicas]) == ("a", ["b"], ["y"])


@pytest.mark.parametrize(
    ("priority", "told"),
    [
        pytest.param(-1, [("other", "student", "has no place")], id="who comes later gives way and is named"),
        pytest.param(0, None, id="an equal does not"),
        pytest.param(1, None, id="who comes first does not"),
    ],
)
def test_more_for_a_service_may_cost_those_that_come_later(
    priority: int, told: list[tuple[str, str, str]] | None
) -> None:
    def at_others_cost(services: Sequence[ModelService], catalog: Catalog, world: World) -> Placement:
        plan = plan_alone(services, catalog, world)
        student = services[0].spec.student
        return without_a_place(plan, "other") if student and student.replicas.max > 1 else plan

    first = a_service(rate="1000000/s", student=a_tier(quantization=BF16), priority=0)
    other = a_service("other", student=a_tier(quantization=BF16), priority=priority)
    world = a_world(a_site("lab", a_pool("npu", nodes=4)))

    (tier,) = explained(first, other, world=world, planner=at_others_cost)["tiers"]

    found = {one["change"]: one for one in tier["wouldHelp"]}.get("at most 2 replicas instead of 1")
    gives = found and [(one["service"], one["tier"], one["what"][:12]) for one in found["givesWay"]]
    assert gives == told
    if found:
        assert found["moreCarriedPerSecond"] > 0
