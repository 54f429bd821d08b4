"""Values every rendering test starts from: DeepSeek-V3.2-Exp on Ascend 910B3, with boring defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.adapters.kubernetes.pods import Object
from orchestrator.adapters.kubernetes.render import Setting, render
from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.world import Configuration, Parallelism, PoolId

API = {"apiVersion": "headwater.dev/v1alpha1"}

PROFILE: dict[str, Any] = API | {
    "kind": "HardwareProfile",
    "metadata": {"name": "ascend-910b3"},
    "spec": {
        "vendor": "Huawei",
        "family": "Ascend 910B",
        "kind": "npu",
        "memory": {"value": "64GiB", "status": "vendor"},
        "bandwidth": {"value": "1.6TB/s", "status": "vendor"},
        "engines": ["vllm-ascend-a2"],
        "kubernetes": "ascend-a2",
        "nodeLabels": {"accelerator": "huawei-Ascend910", "accelerator-type": "module-910b-8"},
    },
}
CLUSTER: dict[str, Any] = API | {
    "kind": "KubernetesProfile",
    "metadata": {"name": "ascend-a2"},
    "spec": {
        "resources": [{"plugin": "mindcluster", "name": "huawei.com/Ascend910"}],
        "counts": [1, 2, 3, 4, 5, 6, 7, 8],
        "pod": {
            "labels": {"ring-controller.atlas": "ascend-910b"},
            "annotations": {"huawei.com/schedule_policy": "chip8-node8"},
            "scheduler": "volcano",
            "runtimeClass": "ascend",
            "hostPaths": ["/usr/local/dcmi", "/usr/local/bin/npu-smi", "/usr/local/Ascend/driver/lib64"],
            "multiNodeHostPaths": ["/usr/local/Ascend/driver/tools/hccn_tool", "/etc/hccn.conf"],
            "sharedMemory": "16GiB",
        },
    },
}
ENGINE: dict[str, Any] = API | {
    "kind": "Engine",
    "metadata": {"name": "vllm-ascend-a2"},
    "spec": {
        "recipe": "vllm-ascend",
        "image": "ascend/vllm-ascend:v0.11.0rc0-deepseek-v3.2-exp",
        "dtypes": ["bf16", "fp16", "int8"],
        "program": "vLLM-Ascend",
        "reads": [
            {"quantization": "bf16", "format": "plain"},
            {"quantization": "w8a8", "format": "modelslim", "flag": "ascend"},
        ],
        "refuses": [{"quantization": "fp8", "why": "block-scaled FP8 needs an Ascend 950"}],
        "environment": {"HCCL_OP_EXPANSION_MODE": "AIV", "HCCL_BUFFSIZE": "1024", "OMP_PROC_BIND": "false"},
    },
}
LATENT = {
    "heads": 128,
    "qLoraRank": 1536,
    "kvLoraRank": 512,
    "ropeHeadDim": 64,
    "nopeHeadDim": 128,
    "valueHeadDim": 128,
}
EXPERTS = {"routed": 256, "perToken": 8, "shared": 1, "intermediateSize": 2048}
MODEL: dict[str, Any] = API | {
    "kind": "Model",
    "metadata": {"name": "deepseek-v3.2-exp"},
    "spec": {
        "family": "deepseek",
        "organisation": "DeepSeek",
        "licence": {"spdx": "MIT", "status": "verified"},
        "hub": "deepseek-ai/DeepSeek-V3.2-Exp",
        "architecture": {
            "hiddenSize": 7168,
            "vocabulary": 129280,
            "layers": [
                {"count": 3, "latent": LATENT, "dense": {"intermediateSize": 18432}},
                {"count": 58, "latent": LATENT, "experts": EXPERTS},
            ],
        },
        "context": 163840,
        "native": "fp8",
        "nativeFormat": "fp8",
        "published": {"total": 671000000000},
        "releases": [{"quantization": "w8a8", "format": "modelslim", "name": "vllm-ascend/DeepSeek-V3.2-Exp-W8A8"}],
    },
}
SITE: dict[str, Any] = API | {
    "kind": "Site",
    "metadata": {"name": "wuxi-cloud"},
    "spec": {
        "role": "cloud",
        "region": "cn-east",
        "fleet": "kubernetes",
        "pools": [{"profile": "ascend-910b3", "nodes": 8, "chips": 8}],
    },
}
SERVICE: dict[str, Any] = API | {
    "kind": "ModelService",
    "metadata": {"name": "assistant"},
    "spec": {"teacher": {"model": "deepseek-v3.2-exp"}, "demand": {"rate": "10/s", "input": 800, "output": 250}},
}

TWO_NODES = Configuration(
    model="deepseek-v3.2-exp",
    quantization="w8a8",
    engine="vllm-ascend-a2",
    profile="ascend-910b3",
    pool=PoolId("wuxi-cloud", 0),
    parallelism=Parallelism(tensor=8, data=2, expert=True),
    nodes=2,
    context_tokens=8192,
    sequences=32,
)
ONE_NODE = replace(TWO_NODES, parallelism=Parallelism(tensor=8, expert=True), nodes=1, sequences=16)


def changed(document: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return document | {"spec": document["spec"] | spec}


@pytest.fixture
def two_nodes() -> Configuration:
    return TWO_NODES


@pytest.fixture
def one_node() -> Configuration:
    return ONE_NODE


@pytest.fixture
def service() -> ModelService:
    return ModelService.model_validate(SERVICE)


@pytest.fixture
def site() -> Site:
    return Site.model_validate(SITE)


@pytest.fixture
def rendered() -> Callable[..., tuple[Object, ...]]:
    """Render with some fields of some documents changed; `pod` changes the profile's pod needs."""

    def run(
        configuration: Configuration = TWO_NODES,
        *,
        replicas: int = 1,
        name: str = "assistant",
        pod: dict[str, Any] | None = None,
        engine: dict[str, Any] | None = None,
        model: dict[str, Any] | None = None,
        site: dict[str, Any] | None = None,
        ours: dict[str, Any] | None = None,
    ) -> tuple[Object, ...]:
        changes = dict(pod or {})
        cluster = {
            name: changes.pop(name) for name in ("counts", "resources", "nodeKinds", "sharing") if name in changes
        }
        chip: dict[str, Any] = {"names": ["910B3"]} | ({"kubernetes": None} if pod == {} else {})
        edge = API | {
            "kind": "Engine",
            "metadata": {"name": "edge"},
            "spec": {"program": "e", "recipe": "edge"} | (ours or {}),
        }
        chip |= {"nodeLabels": changes.pop("nodeLabels")} if "nodeLabels" in changes else {}
        needs = cluster | {"pod": CLUSTER["spec"]["pod"] | changes}
        catalog = Catalog(
            models={"deepseek-v3.2-exp": Model.model_validate(changed(MODEL, **(model or {})))},
            profiles={"ascend-910b3": HardwareProfile.model_validate(changed(PROFILE, **chip))},
            engines={
                "vllm-ascend-a2": Engine.model_validate(changed(ENGINE, **(engine or {}))),
                "edge": Engine.model_validate(edge),
            },
            clusters={"ascend-a2": KubernetesProfile.model_validate(changed(CLUSTER, **needs))},
        )
        service = ModelService.model_validate(SERVICE | {"metadata": {"name": name}})
        place = Site.model_validate(changed(SITE, **(site or {})))
        return render(Setting(service, "teacher", catalog, place), configuration, replicas=replicas)

    return run
