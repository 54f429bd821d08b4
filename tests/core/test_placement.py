"""Where tiers go: what carries the demand, then the cheapest, then by name."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import carried_per_s, enumerate_options
from worlds import (
    MIB,
    a_catalog,
    a_pool,
    a_profile,
    a_replica,
    a_service,
    a_site,
    a_tier,
    a_world,
    an_artifact,
    an_engine,
    built,
)

from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.asks import asks
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.placement.place import place
from orchestrator.core.placement.result import Placed, Unplaced
from orchestrator.core.world import PoolId

CARRIED_PER_S = carried_per_s()


def busy(name: str = "chat", *, boxes: float = 1.0, least: int = 1, most: int = 9) -> ModelService:
    return a_service(name, rate=f"{boxes * CARRIED_PER_S:.3f}/s", student=a_tier(replicas={"min": least, "max": most}))


@pytest.mark.parametrize(
    ("sites", "chosen"),
    [
        pytest.param([a_site("b", a_pool(price="2/h")), a_site("c", a_pool(price="1/h"))], "c/0", id="cheapest wins"),
        pytest.param([a_site("b"), a_site("a")], "a/0", id="ties go by name"),
        pytest.param([a_site("a", a_pool(), a_pool())], "a/0", id="and then by position"),
        pytest.param(
            [a_site("a", a_pool("slow", price="0.1/h")), a_site("b", a_pool(price="5/h"))],
            "b/0",
            id="what carries the demand goes before what is cheap",
        ),
    ],
)
def test_a_tier_goes_to(sites: list[Site], chosen: str) -> None:
    slow = a_profile("slow", bandwidth={"value": "100MB/s", "status": "vendor"})

    (tier,) = place([busy(boxes=0.9)], a_catalog(slow), a_world(*sites)).tiers

    assert isinstance(tier, Placed)
    assert str(tier.groups[0].option.configuration.pool) == chosen


@pytest.mark.parametrize(
    ("boxes", "bounds", "nodes", "replicas", "short"),
    [
        pytest.param(0.5, (1, 9), 9, 1, False, id="one carries it"),
        pytest.param(2.5, (1, 9), 9, 3, False, id="rounded up"),
        pytest.param(0.5, (2, 9), 9, 2, False, id="never fewer than the lower bound"),
        pytest.param(5.0, (1, 2), 9, 2, True, id="never more than the upper bound, and what is short is stated"),
        pytest.param(
            5.0, (1, 9), 3, 3, True, id="no more than the machines can make use of, and what is short is stated"
        ),
    ],
)
def test_replicas_follow_the_demand(
    boxes: float, bounds: tuple[int, int], nodes: int, replicas: int, *, short: bool
) -> None:
    service = busy(boxes=boxes, least=bounds[0], most=bounds[1])

    (tier,) = place([service], a_catalog(), a_world(a_site("lab", a_pool(nodes=nodes)))).tiers

    assert isinstance(tier, Placed)
    assert (tier.replicas, tier.cost_per_h, tier.short_per_s > 0) == (replicas, replicas, short)
    if short:
        assert tier.short_per_s == pytest.approx((boxes - replicas) * CARRIED_PER_S, abs=1)


def test_an_earlier_service_takes_the_room() -> None:
    """Promise 2: the pool is full, and the answer says how much was asked and how much was left."""
    world = a_world(a_site("lab", a_pool()), artifacts=built(an_artifact(resident=3 << 30)))

    first, second = place([a_service("b"), a_service("a")], a_catalog(), world).tiers

    assert isinstance(first, Placed)
    assert first.service == "a"
    assert second == Unplaced(
        "b",
        "student",
        (Rejected("lab/0 1 x int4 on edge", Why.CAPACITY, "room for 1 of 3.0 GiB", "room for 0"),),
    )


def test_the_second_service_goes_to_the_dearer_site_and_the_bound_knows_that() -> None:
    """Promise 3: cost, proven lower bound and gap."""
    sites = a_site("cheap", a_pool(price="1/h")), a_site("dear", a_pool(price="3/h"))
    world = a_world(*sites, artifacts=built(an_artifact(resident=3 << 30)))

    plan = place([a_service("a"), a_service("b")], a_catalog(), world)

    assert [str(t.groups[0].option.configuration.pool) for t in plan.tiers if isinstance(t, Placed)] == [
        "cheap/0",
        "dear/0",
    ]
    assert (plan.cost_per_h, plan.bound_per_h, plan.gap, plan.proof) == (4, 4, 0, "optimal")


def test_the_bound_counts_only_ways_that_carry_as_much() -> None:
    """Promise 3: a free site that cannot carry the demand is no cheaper way to carry it."""
    slow = a_profile("slow", bandwidth={"value": "100MB/s", "status": "vendor"})
    sites = a_site("free", a_pool("slow", price="0/h")), a_site("paid", a_pool(price="5/h"))

    plan = place([busy(boxes=0.9, most=1)], a_catalog(slow), a_world(*sites))

    assert (plan.cost_per_h, plan.bound_per_h, plan.gap) == (5, 5, 0)


def test_a_replica_never_lies_across_two_machines() -> None:
    world = a_world(a_site("lab", a_pool(nodes=2)), artifacts=built(an_artifact(resident=2500 * MIB)))

    (tier,) = place([busy(least=3)], a_catalog(), world).tiers

    assert isinstance(tier, Placed)
    assert (tier.replicas, tier.gave_up) == (2, ("2 of at least 3 replicas",))


def test_chips_of_a_node_are_shared_by_services() -> None:
    tier = a_tier(quantization=("bf16",), replicas={"min": 2, "max": 2})
    services = [a_service(name, student=tier) for name in "abc"]

    plan = place(services, a_catalog(), a_world(a_site("lab", a_pool("npu", chips=4, price="8/h"))))

    placed = [tier for tier in plan.tiers if isinstance(tier, Placed)]
    assert (sum(tier.replicas for tier in placed), plan.cost_per_h) == (4, 8)
    assert [tier.gave_up for tier in placed if tier.replicas < 2] == [("1 of at least 2 replicas",)] * 2


def test_ways_that_were_full_are_rejections_and_no_alternatives() -> None:
    sites = (
        a_site("cheap", a_pool(price="1/h")),
        a_site("dear", a_pool(price="3/h")),
        a_site("last", a_pool(price="4/h")),
    )
    world = a_world(*sites, artifacts=built(an_artifact(resident=3 << 30)))

    tiers = [t for t in place([a_service("a"), a_service("b")], a_catalog(), world).tiers if isinstance(t, Placed)]
    (second,) = (tier for tier in tiers if tier.cost_per_h == 3)

    assert str(second.groups[0].option.configuration.pool) == "dear/0"
    assert [str(option.configuration.pool) for option in second.dearer] == ["last/0"]
    assert [rejected.subject for rejected in second.rejections] == ["cheap/0 1 x int4 on edge"]


def test_an_unknown_model_leaves_the_other_tier_alone() -> None:
    service = a_service(student=a_tier("nothing"), teacher=a_tier())

    student, teacher = place([service], a_catalog(), a_world()).tiers

    assert isinstance(student, Unplaced)
    assert isinstance(teacher, Placed)
    assert (student.tier, teacher.tier) == ("student", "teacher")


prices = st.sampled_from(["0/h", "1/h", "2/h", "3.5/h"])
pools = st.builds(
    lambda profile, nodes, chips, price: a_pool(profile, nodes=nodes, chips=chips, price=price),
    st.sampled_from(["box", "npu", "slow"]),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4]),
    prices,
)
worlds = st.lists(st.lists(pools, min_size=1, max_size=2), min_size=1, max_size=3)
CATALOG = a_catalog(a_profile("slow", bandwidth={"value": "300MB/s", "status": "vendor"}), an_engine("edge"))


def sites_of(written: list[list[dict[str, object]]]) -> list[Site]:
    return [a_site(f"s{number}", *pools_of) for number, pools_of in enumerate(written)]


@given(worlds, st.randoms(use_true_random=False))
def test_the_order_of_the_input_never_matters(written: list[list[dict[str, object]]], random: object) -> None:
    """Promise 1: shuffled services and sites give an equal plan."""
    services = [busy("a", boxes=0.7), busy("b", boxes=2.2), a_service("c", student=a_tier(quantization=()))]
    sites = sites_of(written)
    plan = place(services, CATALOG, a_world(*sites))

    random.shuffle(services)
    random.shuffle(sites)

    assert place(services, CATALOG, a_world(*sites)) == plan


@given(worlds, st.floats(0.1, 6), st.integers(1, 3))
def test_one_tier_is_placed_as_well_as_by_trying_everything(
    written: list[list[dict[str, object]]], boxes: float, least: int
) -> None:
    """Promise 3: no single way beats the plan, which may mix several, and the bound is its cost."""
    service, world = busy(boxes=boxes, least=least, most=4), a_world(*sites_of(written))
    (ask,) = asks(service, CATALOG)
    assert not isinstance(ask, Rejected)
    options, _ = enumerate_options(ask, CATALOG, world)
    tried: list[tuple[bool, float]] = []
    for option, replicas in product(options, range(least, 5)):
        pool = world.sites[option.configuration.pool.site].spec.pools[option.configuration.pool.index]
        memory = CATALOG.profiles[pool.profile].spec.memory.value
        per_node = pool.chips if option.checkpoint else int(memory // option.memory.total)
        useful = pool.nodes * (pool.chips if option.checkpoint else 1)
        enough = math.ceil(ask.rate_per_s / option.prediction.requests_per_s.mid)
        if replicas == max(least, min(4, enough, useful)) and replicas <= pool.nodes * per_node:
            carried = min(replicas, useful) * option.prediction.requests_per_s.mid
            tried.append((carried < ask.rate_per_s, replicas * option.price_per_h))

    plan = place([service], CATALOG, world)

    (tier,) = plan.tiers
    if isinstance(tier, Placed):
        carried = [cost for short, cost in tried if not short]
        if carried:
            assert (tier.short_per_s, tier.cost_per_h) <= (0, min(carried))
        assert plan.gap == 0
        assert plan.bound_per_h <= plan.cost_per_h
    else:
        assert tried == []


@given(worlds, st.lists(st.floats(0.1, 3), min_size=1, max_size=4))
def test_no_pool_is_ever_given_away_twice(written: list[list[dict[str, object]]], loads: list[float]) -> None:
    services = [busy(f"s{number}", boxes=load) for number, load in enumerate(loads)]
    world = a_world(*sites_of(written), artifacts=built(an_artifact(resident=1500 * MIB)))

    plan = place(services, CATALOG, world)

    taken: dict[PoolId, int] = {}
    for tier in plan.tiers:
        if isinstance(tier, Placed):
            for group in tier.groups:
                unit = group.option.configuration.chips_per_node if group.option.checkpoint else 1
                where = group.option.configuration.pool
                taken[where] = taken.get(where, 0) + group.replicas * unit
    for where, units in taken.items():
        pool = world.sites[where.site].spec.pools[where.index]
        assert units <= pool.nodes * (pool.chips if pool.profile == "npu" else 2)
    assert 0 <= plan.gap <= 1


def test_services_on_one_cpu_machine_share_its_time_and_the_shortage_is_stated() -> None:
    one = CARRIED_PER_S
    services = [a_service(name, rate=f"{0.8 * one}/s") for name in ("a", "b", "c")]

    placed = [tier for tier in place(services, a_catalog(), a_world()).tiers if isinstance(tier, Placed)]

    assert sum(tier.short_per_s for tier in placed) == pytest.approx(1.4 * one, rel=0.01)


def test_the_second_service_takes_the_idle_machine_rather_than_a_busy_one() -> None:
    services = [a_service(name, rate=f"{0.8 * CARRIED_PER_S}/s") for name in ("a", "b")]
    world = a_world(a_site("lab", a_pool(price="1/h"), a_pool(price="2/h")))

    placed = [tier for tier in place(services, a_catalog(), world).tiers if isinstance(tier, Placed)]

    assert {tier.groups[0].option.configuration.pool.index for tier in placed} == {0, 1}
    assert [tier.short_per_s for tier in placed] == [0, 0]


@pytest.mark.parametrize(
    ("running_at", "connected", "chosen"),
    [
        pytest.param(None, None, "first", id="nobody looked: ties go by name"),
        pytest.param(None, {"second"}, "second", id="a site without a machine takes nothing new"),
        pytest.param("second", {"first", "second"}, "second", id="a tier stays where it runs when nothing is gained"),
        pytest.param("first", {"second"}, "first", id="a site where the tier runs is not given up for silence"),
    ],
)
def test_a_tier_goes_where_machines_are_and_stays_where_it_runs(
    running_at: str | None, connected: set[str] | None, chosen: str
) -> None:
    """Promise 5: what is heard of machines moves nothing that runs."""
    world = a_world(
        a_site("first"),
        a_site("second"),
        connected=None if connected is None else frozenset(connected),
        replicas=(a_replica(site=running_at),) if running_at else (),
    )

    (tier,) = place([a_service()], a_catalog(), world).tiers

    assert isinstance(tier, Placed)
    assert tier.groups[0].option.configuration.pool.site == chosen


def test_without_any_machine_the_rejection_names_what_to_do() -> None:
    (tier,) = place([a_service()], a_catalog(), a_world(connected=frozenset())).tiers

    assert tier == Unplaced(
        "chat",
        "student",
        (
            Rejected(
                "lab",
                Why.CONNECTED,
                "a machine of lab",
                "machines of no site",
                "start one with `headwater up --site lab`, or forget the site with `headwater delete Site/lab`",
            ),
        ),
    )
