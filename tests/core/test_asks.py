"""The gate of planning: what a tier may not have is refused before any place is looked at, and nothing starts."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import a_catalog, a_model, a_pool, a_replica, a_service, a_site, a_tier, a_world, an_outside

from orchestrator.adapters.memory import MemoryFleet
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Licence, Model
from orchestrator.control.loop import Controller
from orchestrator.core.actions import Blocked, Start
from orchestrator.core.asks import Ask, allowed, asks, wrong_place
from orchestrator.core.decide import decide
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.placement.place import place
from orchestrator.core.placement.result import Unplaced
from orchestrator.errors import Refused

ASKS = {"spdx": "LicenseRef-Lab", "duties": [{"kind": "use", "text": "no commercial use"}]}
FAR = {"spdx": "LicenseRef-Lab", "excluded": ["eu", "cn"]}


def a_card(**licence: Any) -> Model:
    card = a_model()
    stated = Licence.model_validate({"spdx": "Apache-2.0", "status": "verified"} | licence)
    return card.model_copy(update={"spec": card.spec.model_copy(update={"licence": stated})})


REFUSED = {
    "a licence that is not named": ({"licences": ["MIT"]}, {}, Why.LICENCE),
    "a licence of two parts of which one is named": ({"licences": ["MIT"]}, {"spdx": "MIT AND X"}, Why.LICENCE),
    "a licence that is not stated": ({"licences": ["MIT"]}, {"spdx": "NOASSERTION"}, Why.LICENCE),
    "a duty that is not accepted": ({}, ASKS, Why.DUTY),
    "users where it is not granted": ({"users": ["fr"]}, {"excluded": ["eu"]}, Why.TERRITORY),
    "a site where it is not granted": ({}, FAR, Why.TERRITORY),
    "a region outside the residency": ({"residency": ["eu"]}, {}, Why.RESIDENCY),
}


@pytest.mark.parametrize(("policy", "licence", "why"), REFUSED.values(), ids=REFUSED)
def test_a_tier_that_the_policy_refuses_has_no_place_and_starts_nothing(
    policy: dict[str, Any], licence: dict[str, Any], why: Why
) -> None:
    """Promise 8, in the core."""
    service, catalog, world = a_service(policy=policy), a_catalog(a_card(**licence)), a_world()
    (tier,) = place([service], catalog, world).tiers
    decision = decide([service], catalog, world, now_s=0)

    assert isinstance(tier, Unplaced)
    assert {rejected.why for rejected in tier.rejections} == {why}
    assert isinstance(decision.outcomes["chat/student"], Blocked)
    assert not [move for move in decision.actions if isinstance(move, Start)]


@pytest.mark.parametrize(("policy", "licence", "why"), REFUSED.values(), ids=REFUSED)
def test_a_controller_refuses_it_at_the_door_and_starts_nothing_that_it_kept(
    policy: dict[str, Any], licence: dict[str, Any], why: Why
) -> None:
    """Promise 8, in the cycle of a node: also for documents that are in its store when it comes up."""
    service, catalog = a_service(policy=policy), a_catalog(a_card(**licence))
    kept, fresh = MemoryFleet(), MemoryFleet()
    Controller(an_outside(service, a_site(), fleet=kept, catalog=catalog), every_s=1).run_once()
    asked = Controller(an_outside(a_site(), fleet=fresh, catalog=catalog), every_s=1)

    assert kept.observe() == ()
    with pytest.raises(Refused, match=rf"{why} \(needs"):
        asked.apply((service,), dry_run=False)
    asked.run_once()
    assert (fresh.observe(), asked.known()) == ((), (a_site(),))


def test_a_teacher_whose_answers_must_not_train_is_refused_when_they_will() -> None:
    service = a_service(teacher=a_tier(), policy={"train_on_outputs": True})
    (tier,) = place([service], a_catalog(a_card(outputs_may_train=False)), a_world()).tiers
    (rejected,) = tier.rejections

    assert str(rejected) == (
        "chat/teacher tiny: training (needs answers that may train other models, has a licence that forbids it); "
        "choose another teacher, or leave out trainOnOutputs and train nothing on its answers"
    )


def test_what_runs_goes_on_when_its_policy_changes() -> None:
    """Promise 9 beside promise 8: nothing starts, and nothing that runs is lost."""
    world = a_world(replicas=(a_replica(),))
    decision = decide([a_service(policy={"licences": ["MIT"]})], a_catalog(), world, now_s=0)

    assert isinstance(decision.outcomes["chat/student"], Blocked)
    assert [type(move).__name__ for move in decision.actions] == ["SetRoutes"]


def the_ask(catalog: Catalog, **spec: Any) -> Ask:
    (found,) = asks(a_service(**spec), catalog)
    assert isinstance(found, Ask)

    return found


def test_a_licence_is_refused_before_a_duty_and_both_before_any_place() -> None:
    ask = the_ask(a_catalog(a_card(**ASKS)), policy={"licences": ["MIT"], "residency": ["eu"]})

    assert allowed(ask) == Rejected("chat/student tiny", Why.LICENCE, "one of MIT", "LicenseRef-Lab")
    ask = the_ask(a_catalog(a_card(**ASKS)), policy={"residency": ["eu"]})
    assert allowed(ask) == Rejected(
        "chat/student tiny",
        Why.DUTY,
        "LicenseRef-Lab accepted, which asks: no commercial use (use)",
        "nothing accepted",
        "when you accept that, write policy: {accepted: [LicenseRef-Lab]}",
    )


@pytest.mark.parametrize(
    ("where", "policy", "region", "refused"),
    [
        pytest.param({}, {}, "us-east", None, id="a site that may be used"),
        pytest.param({"role": "cloud"}, {}, "us", Rejected("lab", Why.PLACE, "cloud", "edge"), id="another role"),
        pytest.param({"site": "b"}, {}, "us", Rejected("lab", Why.PLACE, "b", "lab"), id="another site"),
        pytest.param(
            {"region": "cn-east"},
            {"residency": ["eu"]},
            "us",
            Rejected("lab", Why.PLACE, "cn-east", "us"),
            id="the place is asked before residency",
        ),
        pytest.param(
            {}, {"residency": ["us"]}, "de-x", Rejected("lab", Why.RESIDENCY, "a region in us", "de-x"), id="residency"
        ),
        pytest.param(
            {},
            {},
            "de-x",
            Rejected("lab", Why.TERRITORY, "a region outside eu, cn", "de-x", "the licence is not granted in eu"),
            id="territory",
        ),
    ],
)
def test_a_site_is_used_where_tier_policy_and_licence_agree(
    where: dict[str, str], policy: dict[str, Any], region: str, refused: Rejected | None
) -> None:
    ask = the_ask(a_catalog(a_card(**FAR)), student=a_tier(where=where), policy=policy)

    assert wrong_place(ask, a_site("lab", a_pool(), region=region)) == refused


def test_a_card_that_only_names_a_licence_gets_the_duties_the_catalog_knows() -> None:
    known = a_model("known").model_copy(update={"spec": a_card(**ASKS).spec})
    ask = the_ask(a_catalog(a_card(spdx="LicenseRef-Lab", status="unverified"), known))
    refused = allowed(ask)

    assert refused is not None
    assert refused.why is Why.DUTY
