"""What the policy says to a model and to a site: every rule, its numbers, and what to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Licence, Model
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.fit import Why
from orchestrator.core.policy import Verdict, accepted, check, refusals, terms

API = "headwater.dev/v1alpha1"
KIMI = "LicenseRef-Kimi-K2-Modified-MIT"
QWEN = "MIT AND LicenseRef-Qwen-Research"
DISPLAY = {"kind": "display", "text": "show Kimi K2 in the interface"}
NOTICE = {"kind": "notice", "text": "keep the notice"}
TENCENT = {"spdx": "LicenseRef-Tencent", "excluded": ["eu", "gb", "kr"]}


def a_model(name: str = "m", **licence: Any) -> Model:
    spec = {
        "family": "f",
        "organisation": "lab",
        "licence": {"spdx": "Apache-2.0", "status": "verified"} | licence,
        "context": 4096,
    }
    return Model.model_validate({"apiVersion": API, "kind": "Model", "metadata": {"name": name}, "spec": spec})


def a_site(name: str, region: str, role: str = "edge") -> Site:
    spec = {"role": role, "region": region, "fleet": "none", "pools": [{"profile": "local"}]}
    return Site.model_validate({"apiVersion": API, "kind": "Site", "metadata": {"name": name}, "spec": spec})


def a_service(tier: str = "student", *, model: Any = "m", where: Any = None, **policy: Any) -> ModelService:
    spec = {
        "demand": {"rate": "1/s", "input": 1, "output": 1},
        tier: {"model": model, "where": where or {}},
        "policy": policy,
    }
    return ModelService.model_validate(
        {"apiVersion": API, "kind": "ModelService", "metadata": {"name": "chat"}, "spec": spec}
    )


def sites(*regions: str) -> Mapping[str, Site]:
    return {f"s{number}": a_site(f"s{number}", region) for number, region in enumerate(regions)}


def rule(why: Why, service: ModelService, model: Model, places: Mapping[str, Site] | None = None) -> Verdict:
    """What the last verdict of one rule is: the site's where there is one."""
    found = check(service, Catalog({"m": model}), places or {})
    return [verdict for verdict in found if verdict.rule is why][-1]


def test_a_check_says_every_rule_that_was_looked_at_in_a_fixed_order() -> None:
    service = a_service("teacher", licences=["MIT"], residency=["cn"])
    found = check(service, Catalog({"m": a_model()}), {"b": a_site("b", "us-east"), "a": a_site("a", "cn-east")})

    assert [(verdict.rule.value, verdict.site, verdict.allowed) for verdict in found] == [
        ("licence", "", False), ("duty", "", True), ("territory", "", True), ("training", "", True),
        ("residency", "a", True), ("territory", "a", True), ("residency", "b", False), ("territory", "b", True),
    ]  # fmt: skip
    assert found[0] == Verdict("teacher", "m", Why.LICENCE, allowed=False, need="one of MIT", have="Apache-2.0")
    assert (found[4].need, found[4].have) == ("a region in cn", "cn-east")


@pytest.mark.parametrize(
    ("licences", "licence", "allowed", "have", "hint"),
    [
        pytest.param([], {}, True, "Apache-2.0", "", id="a policy that names none allows all"),
        pytest.param(["apache-2.0"], {}, True, "Apache-2.0", "", id="ids have no case"),
        pytest.param([], {"status": "unverified"}, True, "Apache-2.0 (unverified)", "", id="unverified is said"),
        pytest.param(["MIT"], {"status": "unverified"}, False, "Apache-2.0", "", id="not named"),
        pytest.param(
            ["MIT"], {"spdx": QWEN}, False, QWEN, "not allowed: LicenseRef-Qwen-Research", id="one part of two"
        ),
        pytest.param(["MIT", "LicenseRef-Qwen-Research"], {"spdx": QWEN}, True, QWEN, "", id="both parts"),
        pytest.param(["MIT"], {"spdx": "GPL-3.0-only OR MIT"}, True, "GPL-3.0-only OR MIT", "", id="one of a choice"),
        pytest.param(
            ["Apache2.0"],
            {},
            False,
            "Apache-2.0",
            "the policy says Apache2.0; is Apache-2.0 meant?",
            id="a slip of the pen",
        ),
        pytest.param(
            ["MIT"],
            {"spdx": "NOASSERTION"},
            False,
            "NOASSERTION",
            "no licence is stated for these weights; name NOASSERTION only when you have the right to use them",
            id="nothing is stated",
        ),
        pytest.param(["NOASSERTION"], {"spdx": "NOASSERTION"}, True, "NOASSERTION", "", id="and named"),
        pytest.param([], {"spdx": "NOASSERTION"}, True, "NOASSERTION", "", id="and all is allowed"),
    ],
)
def test_a_licence_is_allowed_when_the_policy_names_what_binds(
    licences: list[str], licence: dict[str, Any], *, allowed: bool, have: str, hint: str
) -> None:
    found = rule(Why.LICENCE, a_service(licences=licences), a_model(**licence))

    assert (found.allowed, found.have, found.hint) == (allowed, have, hint)


@pytest.mark.parametrize(
    ("agreed", "spdx", "duty", "allowed"),
    [
        pytest.param([], KIMI, DISPLAY, False, id="a duty nobody accepted"),
        pytest.param(["MIT"], KIMI, DISPLAY, False, id="another licence accepted"),
        pytest.param([KIMI], KIMI, DISPLAY, True, id="accepted"),
        pytest.param([KIMI.lower()], KIMI, DISPLAY, True, id="accepted in another case"),
        pytest.param([], QWEN, {"kind": "use", "text": "no commercial use"}, False, id="a barred use"),
        pytest.param([], QWEN, {"kind": "users", "text": "at most 100M"}, False, id="a limit of users"),
        pytest.param([], QWEN, {"kind": "revenue", "text": "at most 20M USD"}, False, id="a limit of revenue"),
        pytest.param([], QWEN, NOTICE, False, id="a notice of a text of its own"),
        pytest.param(["LicenseRef-Qwen-Research"], QWEN, DISPLAY, True, id="the part that asks"),
        pytest.param([QWEN], QWEN, DISPLAY, True, id="the whole expression"),
        pytest.param(["LicenseRef-Qwen-Research AND MIT"], QWEN, DISPLAY, True, id="the whole in another order"),
        pytest.param(["MIT"], QWEN, DISPLAY, False, id="the part that asks for nothing"),
        pytest.param(["LicenseRef-B"], "LicenseRef-A OR LicenseRef-B", DISPLAY, True, id="one of a choice"),
        pytest.param(["LicenseRef-B"], "LicenseRef-A AND LicenseRef-B", DISPLAY, False, id="one of two"),
        pytest.param([], "MIT OR LicenseRef-B", DISPLAY, False, id="a choice nobody made"),
        pytest.param(["MIT"], "MIT OR LicenseRef-B", DISPLAY, True, id="a choice of what asks for nothing"),
        pytest.param(["LicenseRef-B"], "MIT OR LicenseRef-B", DISPLAY, True, id="a choice of what asks"),
        pytest.param([], "MIT", DISPLAY, False, id="a duty beside a plain licence"),
        pytest.param(["MIT"], "MIT", DISPLAY, True, id="a duty beside a plain licence, accepted"),
        pytest.param([], "Apache-2.0", NOTICE, True, id="the notice of a plain licence is no duty"),
        pytest.param([], KIMI, None, True, id="no duties"),
        pytest.param(["LicenseRef-X-1.0+"], "LicenseRef-X-2.0", DISPLAY, False, id="a later text was not read"),
    ],
)
def test_a_licence_with_duties_is_used_only_when_it_was_accepted(
    agreed: list[str], spdx: str, duty: dict[str, str] | None, *, allowed: bool
) -> None:
    model = a_model(spdx=spdx, duties=[duty] if duty else [])

    assert rule(Why.DUTY, a_service(accepted=agreed), model).allowed is allowed


@pytest.mark.parametrize(
    ("agreed", "spdx", "have", "write"),
    [
        ([], KIMI, "nothing accepted", KIMI),
        (["MIT"], QWEN, "only MIT accepted", "MIT, LicenseRef-Qwen-Research"),
        ([], "MIT", "nothing accepted", "MIT"),
        ([], "LicenseRef-A OR LicenseRef-B", "nothing accepted", "LicenseRef-A"),
    ],
)
def test_a_refused_duty_says_each_text_and_what_to_write(agreed: list[str], spdx: str, have: str, write: str) -> None:
    duties = [DISPLAY, {"kind": "revenue", "text": "ask above 20M USD a month"}]
    found = rule(Why.DUTY, a_service(accepted=agreed), a_model(spdx=spdx, duties=duties))

    asked = "accepted, which asks: show Kimi K2 in the interface (display); ask above 20M USD a month (revenue)"
    assert found.need.endswith(asked)
    assert (found.have, found.hint) == (have, f"when you accept that, write policy: {{accepted: [{write}]}}")
    service = a_service(accepted=write.split(", "))
    assert rule(Why.DUTY, service, a_model(spdx=spdx, duties=duties)).have == "accepted"


@pytest.mark.parametrize(
    ("users", "excluded", "allowed", "have"),
    [
        pytest.param(["eu"], ["eu", "gb", "kr"], False, "users in eu", id="users where it is not granted"),
        pytest.param(["cn", "fr"], ["eu", "gb", "kr"], False, "users in fr", id="a member of the union"),
        pytest.param(["eu"], ["de"], False, "users in eu", id="one member is excluded"),
        pytest.param(["uk"], ["gb"], False, "users in gb", id="another name of the United Kingdom"),
        pytest.param(["cn", "us"], ["eu", "gb", "kr"], True, "users in cn, us", id="users elsewhere"),
        pytest.param([], ["eu"], True, "users not declared", id="nobody said where"),
        pytest.param(["eu"], [], True, "users in eu", id="granted everywhere"),
    ],
)
def test_users_are_where_the_licence_is_granted(
    users: list[str], excluded: list[str], *, allowed: bool, have: str
) -> None:
    found = rule(Why.TERRITORY, a_service(users=users), a_model(spdx="LicenseRef-T", excluded=excluded))

    assert (found.allowed, found.have) == (allowed, have)
    assert ("sites alone count" in found.hint) is (not users and bool(excluded))


@pytest.mark.parametrize(
    ("region", "allowed", "hint"),
    [
        ("cn-east", True, ""),
        ("us", True, ""),
        ("eu-west", False, "the licence is not granted in eu"),
        ("de-frankfurt", False, "the licence is not granted in eu"),
        ("gb-london", False, "the licence is not granted in gb"),
        ("uk-south", False, "the licence is not granted in gb"),
        ("kr-seoul", False, "the licence is not granted in kr"),
        ("ap-2", False, "its country is not known; start the region with it, such as cn-ap-2"),
    ],
)
def test_sites_are_where_the_licence_is_granted(region: str, *, allowed: bool, hint: str) -> None:
    found = rule(Why.TERRITORY, a_service(), a_model(**TENCENT), sites(region))

    assert (found.site, found.allowed, found.need, found.hint) == ("s0", allowed, "a region outside eu, gb, kr", hint)
    assert rule(Why.TERRITORY, a_service(), a_model(), sites(region)).allowed


@pytest.mark.parametrize(
    ("train", "may", "allowed", "have"),
    [
        (True, False, False, "a licence that forbids it"),
        (True, True, True, "a licence that allows it"),
        (True, None, True, "the licence does not say"),
        (False, False, True, "a licence that forbids it"),
    ],
)
def test_a_teacher_teaches_when_its_licence_lets_it(*, train: bool, may: bool | None, allowed: bool, have: str) -> None:
    model = a_model(outputsMayTrain=may)
    found = rule(Why.TRAINING, a_service("teacher", trainOnOutputs=train), model)

    assert (found.allowed, found.have) == (allowed, have)
    students = check(a_service(trainOnOutputs=True), Catalog({"m": model}), {})
    assert Why.TRAINING not in {verdict.rule for verdict in students}


@pytest.mark.parametrize(
    ("residency", "region", "allowed"),
    [
        (["eu"], "de-berlin", True),
        (["eu"], "gb-london", False),
        (["de"], "eu-west", False),
        ([], "us-east", True), (["cn"], "cn", True), (["cn"], "cn-east", True), (["cn"], "cnx-east", False),
        (["cn-ea"], "cn-east", False), (["eu", "us"], "us-east", True), (["eu"], "us-east", False),
    ],
)  # fmt: skip
def test_a_site_lies_where_the_policy_lets_data_be(residency: list[str], region: str, *, allowed: bool) -> None:
    assert rule(Why.RESIDENCY, a_service(residency=residency), a_model(), sites(region)).allowed is allowed


def test_sites_that_the_tier_does_not_ask_for_are_not_looked_at() -> None:
    places = {name: a_site(name, "us-east", role) for name, role in (("edge", "edge"), ("cloud", "cloud"))}
    found = check(a_service(where={"role": "cloud"}), Catalog({"m": a_model()}), places)

    assert {verdict.site for verdict in found} == {"", "cloud"}


@pytest.mark.parametrize(
    ("policy", "regions", "refused"),
    [
        pytest.param({"licences": ["MIT"]}, ("cn-east",), [("licence", "")], id="the model"),
        pytest.param({"residency": ["cn"]}, ("cn-east", "us-east"), [], id="one site of two is enough"),
        pytest.param(
            {"residency": ["eu"]}, ("cn", "us"), [("residency", "s0"), ("residency", "s1")], id="no site is left"
        ),
        pytest.param({"residency": ["eu"]}, (), [], id="no site was looked at"),
    ],
)
def test_a_tier_is_refused_when_it_is_left_nowhere(
    policy: dict[str, Any], regions: tuple[str, ...], refused: list[tuple[str, str]]
) -> None:
    found = refusals(check(a_service(**policy), Catalog({"m": a_model()}), sites(*regions)))

    assert [(verdict.rule.value, verdict.site) for verdict in found] == refused


def test_weights_in_no_catalog_are_judged_by_the_licence_that_is_stated() -> None:
    service = a_service(model={"source": "./w", "licence": "GPL-3.0-only"}, licences=["MIT"])
    found = check(service, Catalog(), {})[0]

    assert (found.model, found.allowed, found.have) == ("./w", False, "GPL-3.0-only")


@pytest.mark.parametrize("stated", [KIMI, f"MIT AND {KIMI}", KIMI.lower()])
def test_naming_a_licence_is_no_way_around_what_it_asks(stated: str) -> None:
    """The duties of a text are known from the catalog, whoever brings the weights."""
    kimi = a_model("kimi", spdx=f"MIT AND {KIMI}", duties=[DISPLAY], excluded=["eu"], outputsMayTrain=False)
    service = a_service("teacher", model={"source": "./w", "licence": stated}, users=["fr"], trainOnOutputs=True)
    no = [verdict.rule for verdict in check(service, Catalog({"kimi": kimi}), {}) if not verdict.allowed]

    assert no == [Why.DUTY, Why.TERRITORY, Why.TRAINING]


@pytest.mark.parametrize("stated", ["MIT", "LicenseRef-Other", "NOASSERTION"])
def test_what_another_licence_asks_is_not_asked(stated: str) -> None:
    kimi = a_model("kimi", spdx=f"MIT AND {KIMI}", duties=[DISPLAY], excluded=["eu"])
    plain = a_model("plain", spdx="MIT", duties=[DISPLAY], excluded=["eu"])
    service = a_service(model={"source": "./w", "licence": stated}, users=["fr"])

    assert all(verdict.allowed for verdict in check(service, Catalog({"kimi": kimi, "plain": plain}), {}))


def test_a_text_that_was_read_and_asks_nothing_is_not_asked_what_another_says_of_it() -> None:
    catalog = Catalog({"m": a_model(spdx=KIMI), "kimi": a_model("kimi", spdx=KIMI, duties=[DISPLAY])})

    assert all(verdict.allowed for verdict in check(a_service(), catalog, {}))


def test_a_model_that_is_in_no_catalog_is_refused_by_name() -> None:
    (found,) = check(a_service(model="nothing"), Catalog(), {})

    assert (found.rule, found.allowed, found.need, found.have) == (Why.PLACE, False, "model nothing", "no such model")


def test_what_was_accepted_is_for_the_record() -> None:
    kimi = a_model(spdx=KIMI, duties=[DISPLAY])

    assert accepted(a_service(accepted=[KIMI]), kimi) == (KIMI, "show Kimi K2 in the interface (display)")
    assert accepted(a_service(), kimi) == ()
    assert accepted(a_service(accepted=[KIMI]), a_model(spdx=KIMI)) == ()


@pytest.mark.parametrize(
    ("licence", "policy", "notes"),
    [
        ({}, {}, ()),
        ({"status": "unverified"}, {}, ("nobody verified the licence",)),
        ({"status": "secondary"}, {}, ("the licence is known from a copy or a catalogue",)),
        (TENCENT, {}, ("not granted in eu, gb, kr", "users were not declared")),
        (TENCENT, {"users": ["cn"]}, ("not granted in eu, gb, kr",)),
        ({"outputsMayTrain": False}, {}, ("its answers must not train other models",)),
        ({}, {"trainOnOutputs": True}, ("it does not say whether its answers may train other models",)),
        ({"outputsMayTrain": True}, {"trainOnOutputs": True}, ()),
    ],
)
def test_the_terms_say_what_the_yes_rests_on(
    licence: dict[str, Any], policy: dict[str, Any], notes: tuple[str, ...]
) -> None:
    model = a_model(**licence)
    found = terms(a_service("teacher", **policy), "teacher", model)

    assert (found.spdx, found.notes) == (model.spec.licence.spdx, notes)
    assert found.excluded == model.spec.licence.excluded


def test_a_licence_must_be_an_expression_and_its_territories_must_be_some() -> None:
    with pytest.raises(ValueError, match=r"write one id such as Apache-2\.0"):
        Licence.model_validate({"spdx": "Apache 2.0", "status": "verified"})
    with pytest.raises(ValueError, match="such as eu"):
        Licence.model_validate({"spdx": "MIT", "status": "verified", "excluded": ["EU"]})
