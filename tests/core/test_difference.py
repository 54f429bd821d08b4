"""What changed between two locks is told in the words of the plan, and nothing is told when nothing did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from plans import plan_alone
from worlds import a_catalog, a_pool, a_service, a_site, a_tier

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.difference import difference
from orchestrator.core.explain import placement_view
from orchestrator.core.lock import Lock, lock_of
from orchestrator.core.world import World

BF16 = ("bf16",)
NEAR, FAR = a_site("near", a_pool("npu", nodes=4)), a_site("far", a_pool("npu", nodes=4, price="2/h"))
View = dict[str, Any]


def lock(*documents: ModelService | Site, catalog: Catalog | None = None, version: str = "1.0") -> Lock:
    services = [one for one in documents if isinstance(one, ModelService)]
    sites = [one for one in documents if isinstance(one, Site)]
    known = catalog or a_catalog()
    world = World(sites={one.metadata.name: one for one in sites})
    view = placement_view(plan_alone(services, known, world))
    return lock_of(view, services, sites, known, (), version=version)


def a_chat(**tier: Any) -> ModelService:
    return a_service(student=a_tier(**({"quantization": BF16} | tier)))


OLD = lock(a_chat(), NEAR)


def test_the_same_is_the_same() -> None:
    found = difference(OLD, lock(a_chat(), NEAR))

    assert found["same"]
    assert [found[key] for key in ("tiersChanged", "tiersAdded", "tiersRemoved", "inputs", "unplaced")] == [[]] * 5


@pytest.mark.parametrize(
    ("new", "what", "old_value", "new_value"),
    [
        pytest.param(lock(a_chat(), FAR), "site", "near", "far", id="a tier moved"),
        pytest.param(lock(a_chat(), FAR), "cost per hour", 1.0, 2.0, id="its cost"),
        pytest.param(lock(a_chat(replicas={"min": 2, "max": 2}), NEAR), "replicas", 1, 2, id="replicas"),
        pytest.param(lock(a_chat(quantization=("int4",)), a_site("near")), "chip", "npu", "box", id="chip"),
        pytest.param(
            lock(a_chat(quantization=("int4",)), a_site("near")), "quantization", "bf16", "int4", id="quantization"
        ),
        pytest.param(lock(a_chat(context=512), NEAR), "context tokens", 256, 512, id="context"),
        pytest.param(
            lock(a_service(rate="2/s", student=a_tier(quantization=BF16)), NEAR),
            "demand per second",
            0.000278,
            2.0,
            id="demand",
        ),
    ],
)
def test_of_a_tier_is_told(new: Lock, what: str, old_value: object, new_value: object) -> None:
    (tier,) = difference(OLD, new)["tiersChanged"]

    assert (tier["service"], tier["tier"]) == ("chat", "student")
    assert {"what": what, "old": old_value, "new": new_value} in tier["changes"]


def changed(path: str, change: Callable[[Any], Any]) -> Lock:
    """The old lock with one number of its group changed."""
    value = OLD.model_dump(by_alias=True)
    *way, last = path.split(".")
    inner: Any = value["plan"]["tiers"][0]["groups"][0]
    for step in way:
        inner = inner[step]
    inner[last] = change(inner[last])
    return Lock.model_validate(value)


@pytest.mark.parametrize(
    ("factor", "told"),
    [pytest.param(1.0004, 0, id="the last digit"), pytest.param(1.01, 1, id="a hundredth")],
)
def test_predictions_are_told_when_they_change_beyond_rounding(factor: float, told: int) -> None:
    new = changed("predicted.tpotSeconds.p50", lambda value: value * factor)
    changes = [change for tier in difference(OLD, new)["tiersChanged"] for change in tier["changes"]]

    assert [change["what"] for change in changes] == ["time per token p50"] * told


def test_services_that_come_and_go_are_told_with_what_they_take() -> None:
    draft = a_service("draft", student=a_tier(quantization=BF16))
    found = difference(OLD, lock(draft, NEAR))

    assert (found["servicesAdded"], found["servicesRemoved"]) == (["draft"], ["chat"])
    assert [tier["service"] for tier in found["tiersAdded"]] == ["draft"]
    assert found["tiersRemoved"][0]["groups"] == ["1 x near/0 npu, vllm, bf16, TP1 on 1 node"]


def test_inputs_are_told_by_kind_and_name() -> None:
    found = difference(OLD, lock(a_chat(context=512), FAR))

    assert found["inputs"] == [
        {"kind": "ModelService", "name": "chat", "change": "changed"},
        {"kind": "Site", "name": "far", "change": "added"},
        {"kind": "Site", "name": "near", "change": "removed"},
    ]


def test_a_tier_that_lost_its_place_is_told_with_the_reason() -> None:
    found = difference(OLD, lock(a_chat(where={"role": "cloud"}), NEAR))

    assert not found["same"]
    assert found["servicesRemoved"] == []
    assert found["unplaced"] == [{"service": "chat", "tier": "student", "why": "near (place): needs cloud, has edge"}]


def test_another_version_of_the_program_is_a_difference() -> None:
    found = difference(OLD, lock(a_chat(), NEAR, version="2.0"))

    assert (found["same"], found["headwater"]) == (False, {"old": "1.0", "new": "2.0"})


def test_of_several_groups_those_that_stayed_are_held_against_themselves() -> None:
    value = OLD.model_dump(by_alias=True)
    (group,) = value["plan"]["tiers"][0]["groups"]
    other = group | {"site": "far", "replicas": 3}
    value["plan"]["tiers"][0]["groups"] = [other, group | {"replicas": 2}]
    mixed = Lock.model_validate(value)
    there = difference(OLD, mixed)["tiersChanged"][0]["changes"]
    back = difference(mixed, OLD)["tiersChanged"][0]["changes"]

    assert {"what": "replicas at near/0", "old": 1, "new": 2} in there
    assert {"what": "group", "old": None, "new": "3 x far/0 npu, vllm, bf16, TP1 on 1 node"} in there
    assert {"what": "group", "old": "3 x far/0 npu, vllm, bf16, TP1 on 1 node", "new": None} in back


@pytest.mark.parametrize(
    ("field", "value", "change"),
    [
        pytest.param("shortPerSecond", 1.5, ("not carried per second", 0.0, 1.5), id="what is not carried"),
        pytest.param("licence", "MIT", ("licence", "Apache-2.0", "MIT"), id="a licence"),
        pytest.param("accepted", ("MIT",), ("accepted", "", "MIT"), id="what was accepted"),
        pytest.param("gaveUp", ("a site",), ("gave up", "", "a site"), id="what it gave up"),
    ],
)
def test_of_a_tier_everything_is_told(field: str, value: object, change: tuple[str, object, object]) -> None:
    new = OLD.model_dump(by_alias=True)
    new["plan"]["tiers"][0][field] = value
    (tier,) = difference(OLD, Lock.model_validate(new))["tiersChanged"]

    assert [(one["what"], one["old"], one["new"]) for one in tier["changes"]] == [change]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        pytest.param("checkpoint", "checkpoint", id="what is loaded"),
        pytest.param("pricePerHour", "price of a replica per hour", id="what a replica costs"),
        pytest.param("memoryBytes", "memory bytes", id="what it holds"),
        pytest.param("predicted.ttftSeconds.p10", "first token p10", id="the better end of a band"),
        pytest.param("predicted.ttftSeconds.p90", "first token p90", id="the worse end of a band"),
    ],
)
def test_of_a_group_everything_is_told(path: str, what: str) -> None:
    (tier,) = difference(OLD, changed(path, lambda value: value * 2))["tiersChanged"]

    assert [change["what"] for change in tier["changes"]] == [what]


def test_another_share_and_files_that_were_built_anew_are_told() -> None:
    value = OLD.model_dump(by_alias=True)
    one = {"service": "chat", "share": 0.25, "quality": 0.9, "wantedShare": 0.25, "target": 0.9}
    value["plan"]["escalations"], value["artifacts"] = (one,), {"tiny int4": {"model.onnx": "0" * 64}}
    old = Lock.model_validate(value)
    value["plan"]["escalations"] = (one | {"share": 0.125, "quality": None},)
    value["artifacts"] = {"tiny int4": {"model.onnx": "1" * 64}}

    found = difference(old, Lock.model_validate(value))

    assert found["escalations"] == [{"service": "chat", "old": "0.25 for quality 0.9", "new": "0.125"}]
    assert found["inputs"] == [{"kind": "file of tiny int4", "name": "model.onnx", "change": "changed"}]
