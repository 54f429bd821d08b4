"""A student on Kubernetes edge nodes: our engine, its artifact verified before start, nothing that needs the cloud."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path
from typing import Any

import pytest
from manifest_checks import check_all, containers, of_kind
from worlds import an_artifact

from orchestrator.adapters.catalog import read_catalog
from orchestrator.adapters.kubernetes.artifacts import Built, named
from orchestrator.adapters.kubernetes.bundle import Known, bundle
from orchestrator.adapters.kubernetes.pods import Object
from orchestrator.adapters.kubernetes.render import Setting, render
from orchestrator.adapters.kubernetes.texts import to_yaml
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.configurations import Option
from orchestrator.core.placement.result import Group, Placed, Placement
from orchestrator.core.world import Configuration, Parallelism, PoolId
from orchestrator.errors import Refused
from runtimes.edge import main as edge_main

API = {"apiVersion": "headwater.dev/v1alpha1"}
GOLDEN = Path(__file__).parent / "golden" / "student-kubeedge.yaml"
CATALOG = read_catalog()
MANIFEST = an_artifact("smollm2-135m-instruct").manifest
BUILT = Built(MANIFEST, MANIFEST.model_dump_json(indent=2))
CONFIGURATION = Configuration(
    model="smollm2-135m-instruct",
    quantization="int4",
    engine="edge",
    profile="cpu-kunpeng-920",
    pool=PoolId("shop", 0),
    parallelism=Parallelism(),
    nodes=1,
    context_tokens=2048,
    sequences=4,
)


def a_site(name: str = "shop", **premises: Any) -> Site:
    pools = [{"profile": "cpu-kunpeng-920", "nodes": 3, "labels": {"shop": "1", "node-role.kubernetes.io/edge": ""}}]
    has = {"edge": "kubeedge", "hostNetwork": True} | premises
    spec = {"role": "edge", "region": "cn", "fleet": "kubernetes", "pools": pools, "kubernetes": has}
    return Site.model_validate(API | {"kind": "Site", "metadata": {"name": name}, "spec": spec})


def a_service(name: str = "chat") -> ModelService:
    spec = {"student": {"model": "smollm2-135m-instruct"}, "demand": {"rate": "1/s", "input": 80, "output": 25}}
    return ModelService.model_validate(API | {"kind": "ModelService", "metadata": {"name": name}, "spec": spec})


def student(**premises: Any) -> tuple[Object, ...]:
    setting = Setting(a_service(), "student", CATALOG, a_site(**premises))
    return render(setting, CONFIGURATION, replicas=2, built=BUILT)


def test_a_student_at_the_edge_is_as_written_down() -> None:
    objects = student()
    check_all(objects)

    assert to_yaml(objects) == GOLDEN.read_text()


def test_its_artifact_is_held_against_the_plan_before_the_engine_starts() -> None:
    objects = student(weights={"mirror": "https://mirror.example/m"})
    check_all(objects)
    (_, before), (template, engine) = containers(objects)
    manifest = of_kind(objects, "ConfigMap")

    assert manifest["immutable"] is True
    assert json.loads(manifest["data"]["manifest.json"]) == json.loads(BUILT.text)
    assert shlex.join(before["command"]) == (
        f"python3 -m runtimes.fetch.main artifact --to /models --name {named(BUILT)} --mirror https://mirror.example/m "
        f"--manifest /etc/headwater/manifest.json"
    )
    assert before["image"] == engine["image"] == "headwater/edge:0.1.0"
    assert f"/models/{named(BUILT)}" in engine["command"]
    assert engine["resources"]["requests"]["memory"] == engine["resources"]["limits"]["memory"]
    assert template["spec"]["hostNetwork"] is True


def test_its_command_line_is_one_the_engine_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    (*_, (_, engine)) = containers(student())
    taken: list[Any] = []
    monkeypatch.setattr(edge_main, "_spec", lambda options: taken.append(options) or options)
    monkeypatch.setattr(edge_main, "serve", lambda _spec, host, port: taken.extend([host, port]) or 0)

    assert edge_main.main(engine["command"][3:]) == 0
    assert (taken[0].slots, taken[0].context, *taken[1:]) == (4, 2048, "0.0.0.0", 8000)


def test_an_artifact_in_an_image_is_only_checked() -> None:
    images = {named(BUILT): "org/student@sha256:" + "1" * 64}
    objects = student(weights={"images": images})
    check_all(objects, "1.33")

    (_, before), _ = containers(objects)
    assert before["command"][3] == "check"


def a_plan(names: list[str], *, checkpoint: str = "") -> Placement:
    empty: dict[str, Any] = dict.fromkeys(Option.__dataclass_fields__)
    option = Option(**empty | {"configuration": CONFIGURATION, "checkpoint": checkpoint, "apart": None})
    rest: dict[str, Any] = dict.fromkeys(Placed.__dataclass_fields__)
    tiers = [
        Placed(**rest | {"service": name, "tier": "student", "groups": (Group(option, 1), Group(option, 2))})
        for name in names
    ]
    return Placement(tuple(tiers), 0.0, 0.0)


def files(names: list[str], sites: list[str], *, built: bool = True) -> dict[str, tuple[Object, ...]]:
    artifacts = {("smollm2-135m-instruct", "int4"): BUILT} if built else {}
    services = {name: a_service(name) for name in names}
    return bundle(a_plan(names), Known(services, {name: a_site(name) for name in sites}, CATALOG, artifacts))


def test_a_plan_in_any_order_gives_the_same_bytes_and_another_service_changes_no_other_file() -> None:
    names, sites = ["a", "b", "c", "d"], ["shop", "x", "y"]
    first = {name: to_yaml(objects) for name, objects in files(names, sites).items()}
    for seed in range(5):
        turned, places = random.Random(seed).sample(names, 4), random.Random(seed).sample(sites, 3)
        assert {name: to_yaml(objects) for name, objects in files(turned, places).items()} == first
        assert list(files(turned, places)) == list(first)

    more = {name: to_yaml(objects) for name, objects in files([*names, "e"], sites).items()}
    assert {name: text for name, text in more.items() if name in first} == first
    assert set(more) - set(first) == {"e-student.yaml"}


def test_two_configurations_of_a_tier_in_one_pool_have_names_of_their_own() -> None:
    (objects,) = files(["a"], ["shop"]).values()

    assert len({(one["kind"], one["metadata"]["name"]) for one in objects}) == len(objects)


def test_what_is_not_built_yet_is_refused_with_the_command_that_builds_it() -> None:
    with pytest.raises(Refused, match="headwater build smollm2-135m-instruct --quantization int4"):
        files(["a"], ["shop"], built=False)
