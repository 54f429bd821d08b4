"""A plan as plain values: the keys are a promise to whoever reads the JSON."""

from __future__ import annotations

import json

import pytest
from worlds import a_catalog, a_model, a_pool, a_service, a_site, a_tier, a_world

from orchestrator.api.model import Licence
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.explain import placement_view
from orchestrator.core.placement.place import place
from orchestrator.core.placement.result import Placed


def the_view() -> dict[str, object]:
    service = a_service(student=a_tier(), teacher=a_tier(where={"role": "cloud"}))
    return placement_view(place([service], a_catalog(), a_world(a_site("lab", a_pool(), a_pool("npu")))))


def test_a_plan_states_its_cost_its_bound_and_the_gap() -> None:
    """Promise 3, at the door."""
    view = the_view()

    assert list(view) == [
        "costPerHour", "lowerBoundPerHour", "movesPerHour", "gap", "proof", "escalations", "tiers",
    ]  # fmt: skip
    assert (view["costPerHour"], view["lowerBoundPerHour"], view["gap"]) == (1, 1, 0)


def test_the_same_plan_is_the_same_text() -> None:
    """Promise 1, byte for byte."""
    assert json.dumps(the_view()) == json.dumps(the_view())


def test_a_placed_tier_has_these_keys() -> None:
    placed = the_view()["tiers"][0]

    (group,) = placed["groups"]
    assert set(json.loads(json.dumps(placed))) == {
        "service", "tier", "placed", "why", "gaveUp", "replicas", "costPerHour", "demandPerSecond", "shortPerSecond",
        "licence", "groups", "alternatives", "moreAlternatives", "rejected",
    }  # fmt: skip
    assert set(group) == {
        "replicas", "costPerHour", "capacityPerSecond", "model", "quantization", "checkpoint", "site", "pool",
        "profile", "engine", "parallelism", "roles", "nodes", "chips", "contextTokens", "sequences", "pricePerHour",
        "memory", "predicted", "unverified", "atRisk",
    }  # fmt: skip
    assert list(group["predicted"]["tpotSeconds"]) == ["p10", "p50", "p90"]
    assert placed["rejected"] == [
        {
            "subject": "lab/1 npu vllm int4",
            "rule": "quantization",
            "need": "int4",
            "have": "bf16, w8a8",
            "hint": "it can load bf16 (lab/tiny)",
        }
    ]


def test_a_placed_tier_records_the_licence_and_what_was_accepted() -> None:
    card = a_model()
    licence = {
        "spdx": "LicenseRef-Lab",
        "status": "secondary",
        "duties": [{"kind": "display", "text": "show Tiny"}],
        "excluded": ["kr"],
    }
    spec = card.spec.model_copy(update={"licence": Licence.model_validate(licence)})
    catalog = a_catalog(card.model_copy(update={"spec": spec}))
    service = a_service(policy={"accepted": ["LicenseRef-Lab"]})
    (view,) = placement_view(place([service], catalog, a_world(a_site())))["tiers"]

    assert view["licence"] == licence | {
        "accepted": ["LicenseRef-Lab", "show Tiny (display)"],
        "notes": [
            "the licence is known from a copy or a catalogue",
            "not granted in kr",
            "users were not declared",
        ],
    }


@pytest.mark.parametrize(
    ("service", "site", "why"),
    [
        pytest.param(a_service(), a_site(), "the only way that fits", id="one way"),
        pytest.param(
            a_service(),
            a_site("lab", a_pool(price="2/h"), a_pool(price="3/h")),
            "the cheapest that carries the demand, 2/h in all",
            id="the next is dearer",
        ),
        pytest.param(
            a_service(student=a_tier(quantization=("int4", "int8"))),
            a_site(),
            "as cheap as the next, and ",
            id="the next costs the same",
        ),
        pytest.param(
            a_service(rate="100000/s"),
            a_site(),
            "no more than 1 replica may run (`replicas.max`), which carry ",
            id="short, with as many as may run",
        ),
        pytest.param(
            a_service(rate="100000/s", student=a_tier(replicas={"max": 9})),
            a_site(),
            "no way that fits carries more than ",
            id="short, with as many as there is room for",
        ),
    ],
)
def test_a_placed_tier_says_why_this_way(service: ModelService, site: Site, why: str) -> None:
    view = placement_view(place([service], a_catalog(), a_world(site)))

    assert view["tiers"][0]["why"].startswith(why)


def test_a_tier_without_a_place_says_why_with_what_was_needed_and_there() -> None:
    """Promise 2, at the door."""
    assert the_view()["tiers"][1] == {
        "service": "chat",
        "tier": "teacher",
        "placed": False,
        "rejected": [{"subject": "lab", "rule": "place", "need": "cloud", "have": "edge"}],
    }


def test_reasons_come_nearest_first_whatever_the_order_of_the_sites() -> None:
    tier = a_tier(where={"role": "edge"}, slo={"tpot": "1us"})
    sites = a_site("lab"), a_site("zone", role="cloud")

    (view,) = placement_view(place([a_service(student=tier)], a_catalog(), a_world(*sites)))["tiers"]

    assert [no["rule"] for no in view["rejected"]] == ["tpot", "place"]


def test_a_band_and_what_is_short_are_told_as_they_are() -> None:
    placement = place([a_service(rate="100000/s")], a_catalog(), a_world())
    (tier,) = placement.tiers
    assert isinstance(tier, Placed)
    band = tier.groups[0].option.prediction.ttft_s

    (view,) = placement_view(placement)["tiers"]

    assert tier.short_per_s > 0
    assert view["shortPerSecond"] == pytest.approx(tier.short_per_s)
    assert list(view["groups"][0]["predicted"]["ttftSeconds"].values()) == [
        pytest.approx(edge, rel=1e-3) for edge in (band.low, band.mid, band.high)
    ]


def test_a_teacher_without_replicas_says_why_and_the_share_says_what_it_is_measured_by() -> None:
    service = a_service(
        student=a_tier(),
        teacher=a_tier(quantization=("bf16",)),
        escalation={"target": 0.9, "budget": "50%", "curve": [{"share": 0, "quality": 0.95}]},
    )

    view = placement_view(place([service], a_catalog(), a_world(a_site("lab", a_pool(), a_pool("npu")))))

    teacher = view["tiers"][1]
    assert (teacher["placed"], teacher["groups"], teacher["gaveUp"]) == (True, [], [])
    assert teacher["why"] == "no request comes to it, so it needs no replica"
    assert view["escalations"] == [
        {"service": "chat", "share": 0, "quality": 0.95, "wantedShare": 0, "target": 0.9},
    ]
