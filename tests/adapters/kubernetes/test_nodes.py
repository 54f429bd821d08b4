"""Nodes as a cluster lists them, to pools: what is read from the node goes over what is usual."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from orchestrator.adapters.kubernetes.node_files import nodes_from_text
from orchestrator.adapters.kubernetes.node_labels import chip_memory_bytes
from orchestrator.adapters.kubernetes.nodes import Survey, survey
from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.load import load
from orchestrator.errors import Invalid

GIB = 1 << 30
NAME, TYPE, MEMORY = "node.kubernetes.io/npu.chip.name", "accelerator-type", "mind-cluster/npu-chip-memory"
PRODUCT, GPU_MEMORY = "nvidia.com/gpu.product", "nvidia.com/gpu.memory"


def a_chip(name: str, memory: str, family: str, *names: str, **more: object) -> HardwareProfile:
    unverified = {"status": "unverified"}
    spec = {"vendor": "X", "family": "F", "kind": "npu", "names": names, "bandwidth": unverified, "kubernetes": family}
    return HardwareProfile.model_validate(
        {
            "apiVersion": "headwater.dev/v1alpha1",
            "kind": "HardwareProfile",
            "metadata": {"name": name},
            "spec": spec | {"memory": unverified | {"value": memory}} | more,
        }
    )


def a_family(name: str, *resources: tuple[str, str, str], **labels: tuple[str, ...]) -> KubernetesProfile:
    return KubernetesProfile.model_validate(
        {
            "apiVersion": "headwater.dev/v1alpha1",
            "kind": "KubernetesProfile",
            "metadata": {"name": name},
            "spec": {
                "resources": [{"plugin": plugin, "name": one, "counts": counts} for plugin, one, counts in resources],
                "nodeLabels": {key.replace("_", "-"): values for key, values in labels.items()},
            },
        }
    )


CATALOG = Catalog().with_documents(
    [
        a_family(
            "ascend-a2",
            ("mindcluster", "huawei.com/Ascend910", "units"),
            ("hami", "huawei.com/Ascend910B3", "units"),
            ("hami", "huawei.com/Ascend910B3-memory", "memory"),
            accelerator_type=("module-910b-8",),
        ),
        a_family("ascend-a3", ("mindcluster", "huawei.com/Ascend910", "units"), accelerator_type=("module-a3-16",)),
        a_family("hygon", ("hygon", "hygon.com/dcu", "units"), ("hami", "hygon.com/dcunum", "slices")),
        a_family("iluvatar", ("iluvatar", "iluvatar.com/gpu", "units")),
        a_family("nvidia", ("nvidia", "nvidia.com/gpu", "units"), ("hami", "nvidia.com/gpumem", "memory")),
        a_family("cpu", ("kubernetes", "cpu", "share")),
        a_chip("ascend-910b3", "64GiB", "ascend-a2", "910B3", nodeLabels={TYPE: "module-910b-8", NAME: "910B3"}),
        a_chip("ascend-910b4", "32GiB", "ascend-a2", "910B4", nodeLabels={NAME: "910B4"}),
        a_chip("ascend-910c", "64GiB", "ascend-a3", "910C"),
        a_chip("hygon-k100-ai", "64GiB", "hygon", "K100_AI"),
        a_chip("hygon-bw1000", "64GiB", "hygon", "BW1000"),
        a_chip("iluvatar-bi-v150", "64GiB", "iluvatar", "BI-V150"),
        a_chip("nvidia-h20", "96GiB", "nvidia", "NVIDIA H20"),
        a_chip("nvidia-h100-sxm", "80GiB", "nvidia", "NVIDIA H100 80GB HBM3"),
        a_chip(
            "cpu-xeon-amx",
            "1GiB",
            "cpu",
            kind="cpu",
            nodeLabels={"kubernetes.io/arch": "amd64"},
            instructions=["amx_bf16"],
        ),
        a_chip("cpu-kunpeng-920", "1GiB", "cpu", kind="cpu", nodeLabels={"kubernetes.io/arch": "arm64"}),
    ]
)


def a_node(name: str, allocatable: dict[str, str], labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": more.get("spec", {}),
        "status": {
            "allocatable": {"cpu": "95m", "memory": "100Ki"} | allocatable,
            "capacity": {"huawei.com/Ascend910": "16", "nvidia.com/gpu": "16"},
            "conditions": more.get("conditions", [{"type": "Ready", "status": "True"}]),
        },
    }


def pools(found: Survey) -> list[tuple[str, int, int, float | None, str, dict[str, str]]]:
    return [
        (pool.profile, pool.nodes, pool.chips, pool.memory, pool.resource, pool.labels)
        for site in found.sites
        for pool in site.spec.pools
    ]


A2 = {NAME: "910B3", TYPE: "module-910b-8", MEMORY: "64G"}


@pytest.mark.parametrize(
    ("allocatable", "labels", "pool"),
    [
        pytest.param(
            {"huawei.com/Ascend910": "8"},
            A2,
            ("ascend-910b3", 1, 8, None, "", A2),
            id="the resource MindCluster publishes",
        ),
        pytest.param(
            {"huawei.com/Ascend910B3": "8"},
            {NAME: "910B3"},
            ("ascend-910b3", 1, 8, None, "huawei.com/Ascend910B3", {NAME: "910B3"}),
            id="the name HAMi publishes is asked for, because the node has it",
        ),
        pytest.param(
            {"huawei.com/Ascend910": "8"},
            {NAME: "910B4", MEMORY: "64G"},
            ("ascend-910b4", 1, 8, 64 * GIB, "", {NAME: "910B4", MEMORY: "64G"}),
            id="910B4 with 64 GB is planned with 64 GB",
        ),
        pytest.param(
            {"huawei.com/Ascend910": "8"},
            {"huawei.com/npu.chip.name": "910B4", "huawei.com/npu.chip.memory": "32G"},
            (
                "ascend-910b4",
                1,
                8,
                None,
                "",
                {"huawei.com/npu.chip.name": "910B4", "huawei.com/npu.chip.memory": "32G"},
            ),
            id="the newer labels of MindCluster",
        ),
        pytest.param(
            {"huawei.com/Ascend910": "16"},
            {TYPE: "module-a3-16"},
            ("ascend-910c", 1, 16, None, "", {}),
            id="the same resource on an A3 node is dies of the 910C",
        ),
        pytest.param(
            {"nvidia.com/gpu": "7"},
            {PRODUCT: "NVIDIA-H20", GPU_MEMORY: "143771"},
            ("nvidia-h20", 1, 7, 143771 << 20, "", {PRODUCT: "NVIDIA-H20", GPU_MEMORY: "143771"}),
            id="H20 with 141 GB, and chips from allocatable",
        ),
        pytest.param(
            {"nvidia.com/gpu": "8"},
            {PRODUCT: "NVIDIA-H100-80GB-HBM3-SHARED", GPU_MEMORY: "81559"},
            ("nvidia-h100-sxm", 1, 8, None, "", {PRODUCT: "NVIDIA-H100-80GB-HBM3-SHARED", GPU_MEMORY: "81559"}),
            id="time-sliced chips are still that chip",
        ),
        pytest.param(
            {"huawei.com/Ascend910B3": "8"},
            {},
            ("ascend-910b3", 1, 8, None, "huawei.com/Ascend910B3", {}),
            id="a chip that only the resource names",
        ),
        pytest.param(
            {"iluvatar.com/gpu": "4"},
            {},
            ("iluvatar-bi-v150", 1, 4, None, "", {}),
            id="the only chip with that resource",
        ),
    ],
)
def test_a_node_becomes_a_pool(
    allocatable: dict[str, str], labels: dict[str, str], pool: tuple[str, int, int, float | None, str, dict[str, str]]
) -> None:
    """Rules 3 and 4: resource name and memory are read from the node."""
    assert pools(survey([a_node("n", allocatable, labels)], CATALOG, name="c")) == [pool]


def test_identical_nodes_are_one_pool_and_others_are_not() -> None:
    nodes = [a_node(f"a{number}", {"huawei.com/Ascend910": "8"}, A2) for number in range(3)]
    nodes += [a_node("b", {"huawei.com/Ascend910": "7"}, A2)]

    found = survey(nodes, CATALOG, name="c")

    assert [pool[:3] for pool in pools(found)] == [("ascend-910b3", 3, 8), ("ascend-910b3", 1, 7)]
    assert survey(reversed(nodes), CATALOG, name="c").sites == found.sites


def test_each_region_is_a_site_that_can_be_loaded() -> None:
    region = "topology.kubernetes.io/region"
    nodes = [a_node(r, {"huawei.com/Ascend910": "8"}, A2 | {region: r}) for r in ("CN_East", "cn-north")]

    found = survey(nodes, CATALOG, name="c")

    assert [(site.metadata.name, site.spec.region, site.spec.role, site.spec.fleet) for site in found.sites] == [
        ("c-cn-east", "cn-east", "cloud", "kubernetes"),
        ("c-cn-north", "cn-north", "cloud", "kubernetes"),
    ]
    for site in found.sites:
        assert load(site.model_dump_json(by_alias=True), "site.json")[0].document == site


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (
            a_node("n", {"huawei.com/Ascend910": "8"}, A2, conditions=[{"type": "Ready", "status": "False"}]),
            "not ready",
        ),
        (a_node("n", {"huawei.com/Ascend910": "8"}, A2, conditions=[]), "not ready"),
        (a_node("n", {"huawei.com/Ascend910": "8"}, A2, spec={"unschedulable": True}), "cordoned"),
        (
            a_node("n", {"huawei.com/Ascend910": "8"}, A2, spec={"taints": [{"key": "k", "effect": "NoSchedule"}]}),
            "tainted k=:NoSchedule",
        ),
        (a_node("n", {}), "--cpu makes pools"),
        (a_node("n", {"huawei.com/Ascend910": "0"}, A2), "no accelerator"),
        (a_node("n", {"example.com/chip": "4"}), "publishes nothing the catalog knows: example.com/chip: 4"),
        (
            a_node("n", {"huawei.com/Ascend910": "8"}, {TYPE: "module-910b-8"}),
            "can be ascend-910b3 or ascend-910b4",
        ),
        (a_node("n", {"hygon.com/dcu": "8"}), "hygon-bw1000 or hygon-k100-ai; allocatable: hygon.com/dcu: 8"),
        (a_node("n", {"hygon.com/dcunum": "32"}), "slices only (hygon.com/dcunum: 32)"),
        (a_node("n", {"nvidia.com/gpu": "8"}, {PRODUCT: "NVIDIA-H800"}), "nvidia.com/gpu.product=NVIDIA-H800"),
        (a_node("n", {"iluvatar.com/gpu": "4000"}), "more chips than a node can have"),
    ],
)
def test_a_node_in_no_pool_is_named_with_the_reason(node: dict[str, Any], reason: str) -> None:
    found = survey([node], CATALOG, name="c")

    assert found.sites == ()
    assert [(name, reason in why) for name, why in found.left_out] == [("n", True)]


def test_of_two_plugins_the_makers_is_taken_and_the_conflict_is_said() -> None:
    labels = {NAME: "910B3"}
    both = a_node("n", {"huawei.com/Ascend910": "8", "huawei.com/Ascend910B3": "80"}, labels)

    found = survey([both], CATALOG, name="c")

    assert pools(found) == [("ascend-910b3", 1, 8, None, "", labels)]
    assert "huawei.com/Ascend910: 8 is taken over huawei.com/Ascend910B3: 80" in found.notes[0]


def test_slices_are_noted_and_units_that_share_chips_are_not_planned_as_chips() -> None:
    labels = {PRODUCT: "NVIDIA-H20", "nvidia.com/gpu.count": "8"}
    hami = a_node("n", {"nvidia.com/gpu": "80", "nvidia.com/gpumem": "786432", "nvidia.com/mig-1g.10gb": "7"}, labels)

    found = survey([hami], CATALOG, name="c")

    assert [pool[:3] for pool in pools(found)] == [("nvidia-h20", 1, 8)]
    assert "nvidia.com/gpumem, nvidia.com/mig-1g.10gb" in found.notes[0]
    assert "80 units of nvidia.com/gpu are 8 chips" in found.notes[1]


def test_nodes_without_accelerators_are_pools_when_asked() -> None:
    amx = {"kubernetes.io/arch": "amd64", "feature.node.kubernetes.io/cpu-cpuid.AMXBF16": "true"}
    nodes = [
        a_node("x", {"memory": "1048576Ki"}, amx),
        a_node("k", {"memory": "2Gi"}, {"kubernetes.io/arch": "arm64"}),
        a_node("old", {}, {"kubernetes.io/arch": "amd64"}),
    ]

    found = survey(nodes, CATALOG, name="c", cpu=True)

    assert [pool[:4] for pool in pools(found)] == [("cpu-kunpeng-920", 1, 1, 2 * GIB), ("cpu-xeon-amx", 1, 1, GIB)]
    assert [name for name, _ in found.left_out] == ["old"]


@pytest.mark.parametrize(
    "item",
    [
        None,
        3,
        "node",
        [],
        {},
        {"metadata": {"name": 3}},
        {"metadata": {"name": "n", "labels": []}, "spec": 3, "status": "x"},
        {
            "metadata": {"name": "n"},
            "status": {"conditions": [3, {"type": "Ready", "status": "True"}], "allocatable": 3},
        },
        a_node("n", {"huawei.com/Ascend910": "9" * 400}, A2),
        a_node("n", {}, A2, spec={"taints": [{"key": [], "effect": []}]}),
        a_node("n", {"huawei.com/Ascend910": "-8"}, A2),
        a_node("n", {"huawei.com/Ascend910": ["8"]}, A2),  # type: ignore[dict-item]  # what no cluster sends
        a_node("n", {"huawei.com/Ascend910": "8"}, {NAME: 3, TYPE: None}),  # type: ignore[dict-item]  # likewise
        a_node("n", {"nvidia.com/gpu": "8"}, {PRODUCT: "x" * 100_000, GPU_MEMORY: "9" * 100}),
    ],
)
def test_what_is_no_sound_node_is_left_out_without_an_error(item: Any) -> None:
    found = survey([item], CATALOG, name="c")

    assert found.sites == ()
    assert len(found.left_out) == 1


@pytest.mark.parametrize(
    ("labels", "gib"),
    [({MEMORY: "64G"}, 64), ({GPU_MEMORY: "81920"}, 80), ({MEMORY: "lots"}, None), ({}, None), ({MEMORY: "0G"}, None)],
)
def test_memory_labels(labels: dict[str, str], gib: int | None) -> None:
    assert chip_memory_bytes(labels) == (gib * GIB if gib else None)


def test_files_of_kubectl_are_read() -> None:
    nodes = [a_node("a", {}), a_node("b", {})]
    whole = {"apiVersion": "v1", "kind": "List", "items": nodes}

    for text in (json.dumps(whole), yaml.safe_dump(whole), yaml.safe_dump_all(nodes), json.dumps(nodes)):
        assert nodes_from_text(text, "f") == nodes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 200_000,
        "a: [" * 5_000,
        "- " * 500_000,
        "? " * 500_000,
        "{a: " * 500_000,
        "!!x {" * 100_000,
        "\0",
        "{}",
        "3",
        "kind: Pod",
        '{"items": {}}',
        "x" * (9 << 20),
    ],
)
def test_a_file_without_nodes_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(Invalid, match=r"^nodes\.yaml "):
        nodes_from_text(text, "nodes.yaml")
