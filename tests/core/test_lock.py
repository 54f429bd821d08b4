"""A lock holds a plan and hashes of what it was made from, and nothing that is no lock is taken for one."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from plans import plan_alone
from worlds import (
    a_calibration,
    a_cluster,
    a_model,
    a_pool,
    a_profile,
    a_service,
    a_site,
    a_tier,
    an_artifact,
    an_engine,
    built,
)

from orchestrator.api.kinds import Catalog, Document
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.explain import placement_view
from orchestrator.core.lock import MAX_BYTES, SCHEMA, Lock, lock_of, lock_text, read_lock, whole_text
from orchestrator.core.placement.place import place
from orchestrator.core.world import Artifact, World
from orchestrator.errors import Invalid, Refused

ON_NPU = a_tier(quantization=("bf16",))
CARDS: tuple[Document, ...] = (
    a_model(),
    a_profile(),
    a_profile("npu", kind="npu", memory="64GiB", kubernetes="npu"),
    a_cluster(),
    an_engine(),
    an_engine("vllm"),
    a_calibration("everything"),
    a_calibration("boxes", engine="edge", chip="box"),
)
GIVEN: tuple[Document, ...] = (
    a_service("chat", student=a_tier(), teacher=ON_NPU),
    a_service("draft", student=ON_NPU),
    a_site("lab", a_pool(), a_pool("npu", chips=8)),
    a_site("zone", a_pool("npu", nodes=2, price="3/h")),
    *CARDS,
)


def lock(documents: Sequence[Document] = GIVEN, artifacts: Sequence[Artifact] = (an_artifact(),)) -> Lock:
    services = [one for one in documents if isinstance(one, ModelService)]
    sites = [one for one in documents if isinstance(one, Site)]
    catalog = Catalog().with_documents(documents)
    world = World(sites={one.metadata.name: one for one in sites}, artifacts=built(*artifacts))
    view = placement_view(plan_alone(services, catalog, world))
    return lock_of(view, services, sites, catalog, artifacts, version="1.0")


def test_the_same_inputs_in_any_order_give_the_same_bytes() -> None:
    """Promise 1, as a file."""
    order = random.Random(7)
    artifacts = (an_artifact(), an_artifact(quantization="int8"))
    texts = {
        lock_text(lock(order.sample(GIVEN, len(GIVEN)), order.sample(artifacts, len(artifacts)))) for _ in range(50)
    }

    assert len(texts) == 1


def test_a_lock_that_is_read_is_the_lock_that_was_written() -> None:
    written = lock()

    assert read_lock(lock_text(written), "a.lock") == written
    assert list(json.loads(lock_text(written))) == ["artifacts", "headwater", "inputs", "plan", "schema"]


def test_a_lock_names_every_document_used_and_every_file_built() -> None:
    found = lock()

    assert {kind: sorted(names) for kind, names in found.inputs.items()} == {
        "Artifact": ["tiny int4"],
        "Calibration": ["boxes", "everything"],
        "Engine": ["edge", "vllm"],
        "HardwareProfile": ["box", "npu"],
        "KubernetesProfile": ["npu"],
        "Model": ["tiny"],
        "ModelService": ["chat", "draft"],
        "Site": ["lab", "zone"],
    }
    assert found.artifacts == {"tiny int4": {"model.onnx": "0" * 64}}


@pytest.mark.parametrize(
    ("other", "kind", "name"),
    [
        pytest.param(a_service("draft", rate="2/h", student=ON_NPU), "ModelService", "draft", id="a service"),
        pytest.param(a_site("zone", a_pool("npu", nodes=2, price="4/h")), "Site", "zone", id="a site"),
        pytest.param(a_model(family="other"), "Model", "tiny", id="a model"),
        pytest.param(a_profile(note="measured again"), "HardwareProfile", "box", id="a chip"),
        pytest.param(a_cluster(note="another plugin"), "KubernetesProfile", "npu", id="what Kubernetes does with it"),
        pytest.param(an_engine(note="a newer one"), "Engine", "edge", id="an engine"),
        pytest.param(
            a_calibration("boxes", engine="edge", chip="box", note="measured again"),
            "Calibration",
            "boxes",
            id="what was measured",
        ),
    ],
)
def test_a_document_that_changed_has_another_hash_and_no_other_does(other: Document, kind: str, name: str) -> None:
    changed = [other if (one.kind, one.metadata.name) == (kind, name) else one for one in GIVEN]
    before, after = lock().inputs, lock(changed).inputs

    assert [(k, n) for k, names in before.items() for n in names if after[k][n] != names[n]] == [(kind, name)]


def test_a_file_that_was_built_anew_has_another_hash() -> None:
    before, after = lock(), lock(artifacts=[an_artifact(file="1" * 64)])

    assert before.artifacts != after.artifacts
    assert before.inputs["Artifact"] != after.inputs["Artifact"]


def test_a_document_that_no_plan_can_use_is_not_in_the_lock() -> None:
    more = [
        *GIVEN,
        a_model("other"),
        a_profile("far", kind="npu"),
        an_engine("mindie"),
        a_calibration("mindie", engine="mindie"),
    ]

    assert lock_text(lock(more)) == lock_text(lock())


def test_half_a_plan_is_not_locked_and_the_refusal_has_the_numbers() -> None:
    """Promise 2, for a lock."""
    too_fast = a_service("chat", student=a_tier(slo={"tpot": "1us"}))
    half = lock([too_fast, *(one for one in GIVEN if not isinstance(one, ModelService))])

    with pytest.raises(Refused, match=r"chat/student has no place: .*\(tpot\): needs at most 0.0 ms, has .* predicted"):
        whole_text(half)


def spoiled(**changes: Any) -> str:
    """A lock with something else at a path such as `plan__tiers__0__replicas`."""
    value = json.loads(lock_text(lock()))
    for path, new in changes.items():
        *way, last = path.split("__")
        inner = value
        for step in way:
            inner = inner[int(step) if step.isdigit() else step]
        inner[last] = new
    return json.dumps(value)


NOT_ONE = "not a lock; write one with `headwater plan --lock`"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "not a lock; it ends too early", id="empty"),
        pytest.param(lock_text(lock())[:900], "not a lock; it ends too early", id="cut off"),
        pytest.param("apiVersion: headwater.dev/v1alpha1", NOT_ONE, id="another file"),
        pytest.param("[" * 100_000, NOT_ONE, id="deep"),
        pytest.param("[]", NOT_ONE, id="a list"),
        pytest.param('{"schema": 1}', NOT_ONE, id="a schema that is a number"),
        pytest.param(
            '{"schema": "headwater.dev/lock/v9"}',
            f"'headwater.dev/lock/v9', this program reads {SCHEMA}",
            id="of another version",
        ),
        pytest.param(spoiled(schema="x" * 10_000), "x', this program reads", id="a long schema"),
        pytest.param(spoiled(more=1), "more: Extra inputs are not permitted", id="something more"),
        pytest.param(spoiled(headwater=None), "headwater: Input should be a valid string", id="no version"),
        pytest.param(spoiled(plan__tiers__0__replicas=-1), "plan.tiers.0.replicas: ", id="a negative count"),
        pytest.param(spoiled(plan__tiers__0__replicas="2"), "plan.tiers.0.replicas: ", id="a text for a number"),
        pytest.param(spoiled(plan__costPerHour=float("nan")), NOT_ONE, id="no number"),
        pytest.param(spoiled(plan__costPerHour=10**400), "plan.costPerHour: ", id="too large a number"),
        pytest.param(spoiled(plan__tiers__0__service="\x1b[2J"), "plan.tiers.0.service: ", id="codes for a terminal"),
        pytest.param(spoiled(plan__tiers__0__service="\ud800"), "Invalid JSON", id="half a character"),
        pytest.param(spoiled(inputs__Site__lab="0"), "inputs.Site.lab: ", id="no hash"),
    ],
)
def test_what_is_no_lock_is_refused_in_one_sentence(text: str, said: str) -> None:
    """Promise 9, for locks."""
    with pytest.raises(Invalid) as refused:
        read_lock(text, "old.lock")

    message = str(refused.value)
    assert message.startswith("old.lock: ")
    assert said in message
    assert len(message) < 500
    assert "\n" not in message


def test_a_lock_that_could_not_be_read_again_is_not_written() -> None:
    large = lock()
    groups = large.plan.tiers[0].groups * (MAX_BYTES // 300)
    tier = large.plan.tiers[0].model_copy(update={"groups": groups})
    plan = large.plan.model_copy(update={"tiers": (tier,)})

    with pytest.raises(Refused, match="larger than 32 MiB"):
        whole_text(large.model_copy(update={"plan": plan}))


def test_what_is_built_of_a_model_that_nobody_asks_for_is_not_in_the_lock() -> None:
    assert lock(artifacts=(an_artifact(), an_artifact("other"))) == lock()


@pytest.mark.parametrize("budget", ["50%", "0%"])
def test_a_plan_that_sends_much_or_nothing_to_the_teacher_is_locked_and_read_again(budget: str) -> None:
    service = a_service(student=a_tier(), teacher=ON_NPU, escalation={"target": 0.9, "budget": budget})
    catalog = Catalog().with_documents(CARDS)
    site = a_site("lab", a_pool(), a_pool("npu"))
    world = World(sites={"lab": site}, artifacts=built(an_artifact()))
    view = placement_view(place([service], catalog, world))

    written = lock_of(view, [service], [site], catalog, (an_artifact(),), version="1.0")

    assert read_lock(whole_text(written), "a.lock") == written
    assert [len(tier.groups) for tier in written.plan.tiers] == [1, int(budget != "0%")]
