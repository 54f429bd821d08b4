"""What a configuration becomes on Kubernetes, and what is refused before it gets there."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import manifest_checks
import pytest
import yaml
from manifest_checks import ERRORS, check_all, of_kind, workload

from orchestrator.adapters.kubernetes.pods import Object
from orchestrator.adapters.kubernetes.rights import IDENTITY
from orchestrator.adapters.kubernetes.texts import to_yaml
from orchestrator.core.memory import BATCHED_TOKENS, ENGINE_RESERVE
from orchestrator.core.world import Configuration, Parallelism
from orchestrator.errors import HeadwaterError, Invalid, Refused
from runtimes.recipes import vllm

Render = Callable[..., tuple[Object, ...]]


def templates(objects: tuple[Object, ...]) -> list[Object]:
    return manifest_checks.templates(workload(objects))


def container(template: Object) -> Object:
    (only,) = template["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize("nodes", ["two_nodes", "one_node"])
def test_every_object_is_valid(rendered: Render, nodes: str, request: pytest.FixtureRequest) -> None:
    check_all(rendered(request.getfixturevalue(nodes)))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda o: workload(o)["spec"].update(size=2), id="unknown field of the group"),
        pytest.param(lambda o: templates(o)[1]["spec"].update(schedulername="x"), id="unknown field of a pod"),
        pytest.param(
            lambda o: of_kind(o, "PodDisruptionBudget")["spec"].update(minAvailable={}), id="wrong type in the budget"
        ),
    ],
)
def test_the_check_itself_finds(rendered: Render, spoil: Callable[[Any], None]) -> None:
    objects = deepcopy(rendered())
    spoil(objects)

    with pytest.raises(ERRORS):
        check_all(objects)


def test_words_in_a_variables_name_that_only_look_secret_are_let_through(rendered: Render) -> None:
    rendered(engine={"environment": {"TOKENIZERS_PARALLELISM": "false", "MAX_TOKENS": "1"}})


def test_the_same_input_gives_the_same_bytes(rendered: Render) -> None:
    pod = {"nodeLabels": {"b": "1", "a": "2"}, "annotations": {"z": "1", "y": "2"}}
    turned = {key: dict(reversed(value.items())) for key, value in pod.items()}

    assert to_yaml(rendered(pod=pod)) == to_yaml(rendered(pod=turned))


def test_the_text_reads_back_as_the_objects(rendered: Render) -> None:
    assert tuple(yaml.safe_load_all(to_yaml(rendered()))) == rendered()


def test_one_node_becomes_a_deployment_without_what_groups_need(rendered: Render, one_node: Configuration) -> None:
    one = workload(rendered(one_node, replicas=3))
    text = to_yaml([one])

    assert (one["kind"], one["spec"]["replicas"]) == ("Deployment", 3)
    assert "hccn" not in text
    assert "HCCL_IF_IP" not in text
    assert "LWS_" not in text


def test_each_pod_of_a_group_takes_the_chips_of_its_node(rendered: Render) -> None:
    objects = rendered()

    assert workload(objects)["spec"]["leaderWorkerTemplate"]["size"] == 2
    for template in templates(objects):
        resources = container(template)["resources"]
        assert resources["limits"] == {"huawei.com/Ascend910": "8"}
        assert resources["requests"]["huawei.com/Ascend910"] == "8"


def test_the_service_reaches_leaders_only_and_leaves_the_groups_own_name_free(rendered: Render) -> None:
    objects = rendered()
    service = of_kind(objects, "Service")
    leader, worker = (template["metadata"]["labels"] for template in templates(objects))
    wanted = service["spec"]["selector"].items()

    assert wanted <= leader.items()
    assert not wanted <= worker.items()
    assert service["metadata"]["name"] != workload(objects)["metadata"]["name"]


def test_no_pod_gets_more_rights_than_it_needs(rendered: Render) -> None:
    objects = rendered()
    for template in templates(objects):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] == of_kind(objects, "ServiceAccount")["metadata"]["name"]
        assert spec["securityContext"] == {
            "seccompProfile": {"type": "RuntimeDefault"},
            "runAsNonRoot": True,
            **dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), 1000),
            "fsGroupChangePolicy": "OnRootMismatch",
        }
        assert container(template)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        mounted = {mount["name"]: mount for mount in container(template)["volumeMounts"]}
        assert all(mounted[v["name"]]["readOnly"] for v in spec["volumes"] if "hostPath" in v)


@pytest.mark.parametrize(("field", "privileged"), [("root", False), ("privileged", True)])
def test_more_rights_are_given_where_the_chip_says_why_and_the_pod_repeats_it(
    rendered: Render,
    field: str,
    privileged: bool,  # noqa: FBT001 a column of the table
) -> None:
    objects = rendered(pod={field: "its manual asks for it"})
    check_all(objects)
    for template in templates(objects):
        given = container(template)["securityContext"]
        assert "its manual asks for it" in template["metadata"]["annotations"]["headwater.dev/rights"]
        assert template["spec"]["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
        assert given.get("privileged") is privileged
        assert given.get("readOnlyRootFilesystem", False) is False
        assert not IDENTITY.keys() & {variable["name"] for variable in container(template)["env"]}


@pytest.mark.parametrize(
    ("pod", "picked"),
    [
        pytest.param({}, True, id="volcano picks whole cards"),
        pytest.param({"scheduler": ""}, False, id="the device plugin picks"),
        pytest.param(
            {"resources": [{"plugin": "hami", "name": "huawei.com/Ascend910B3"}]},
            False,
            id="a shared card of another plugin",
        ),
    ],
)
def test_the_chip_list_comes_from_the_annotation_when(rendered: Render, pod: dict[str, Any], picked: bool) -> None:  # noqa: FBT001 a column of the table
    for template in templates(rendered(pod=pod or None)):
        env = {variable["name"]: variable for variable in container(template)["env"]}
        expected = {"fieldRef": {"fieldPath": "metadata.annotations['huawei.com/Ascend910']"}}
        assert env.get("ASCEND_VISIBLE_DEVICES", {}).get("valueFrom") == (expected if picked else None)


def test_pods_carry_the_annotations_of_their_kind_of_node(rendered: Render) -> None:
    box = {"labels": {"type": "box16"}, "annotations": {"policy": "chip8"}}
    pool = {"profile": "ascend-910b3", "nodes": 8, "chips": 8}

    def policies(**pool_fields: Any) -> list[str | None]:
        objects = rendered(pod={"nodeKinds": [box], "annotations": {"all": "1"}}, site={"pools": [pool | pool_fields]})
        assert all(one["metadata"]["annotations"]["all"] == "1" for one in templates(objects))
        return [one["metadata"]["annotations"].get("policy") for one in templates(objects)]

    assert policies(labels={"type": "box16"}) == ["chip8", "chip8"]
    assert policies() == [None, None]


def test_variables_that_the_chips_need_are_set_where_the_engine_does_not_set_them(rendered: Render) -> None:
    needs = {"environment": {"DRIVER_PATH": "/opt/driver", "HCCL_BUFFSIZE": "1"}}

    for template in templates(rendered(pod=needs)):
        env = {variable["name"]: variable.get("value") for variable in container(template)["env"]}
        assert (env["DRIVER_PATH"], env["HCCL_BUFFSIZE"]) == ("/opt/driver", "1024")


def test_images_come_from_the_mirror_when_the_site_has_one_and_carry_no_host_otherwise(rendered: Render) -> None:
    name = "ascend/vllm-ascend:v0.11.0rc0-deepseek-v3.2-exp"
    mirrored = rendered(site={"images": "registry.example:5000/mirror/"})

    assert {container(t)["image"] for t in templates(rendered())} == {name}
    assert {container(t)["image"] for t in templates(mirrored)} == {f"registry.example:5000/mirror/{name}"}


def test_the_engine_is_told_what_the_planner_counted_on() -> None:
    assert pytest.approx(1 - ENGINE_RESERVE) == vllm.MEMORY_SHARE
    assert vllm.BATCHED_TOKENS == BATCHED_TOKENS


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        pytest.param(
            {"pod": {"counts": [1, 2, 4]}}, Refused, "needs 8 chips in a pod, has 1, 2, 4 on a node of 8", id="chips"
        ),
        pytest.param({"pod": {}}, Refused, "has no Kubernetes resource", id="a chip without a resource"),
        pytest.param({"model": {"releases": []}}, Refused, "has published: fp8", id="weights nobody publishes"),
        pytest.param(
            {"engine": {"reads": [{"quantization": "bf16", "format": "plain"}]}},
            Refused,
            "needs w8a8, has bf16",
            id="a quantization",
        ),
        pytest.param({"engine": {"image": ""}}, Invalid, "image is ''", id="an engine without an image"),
        pytest.param({"engine": {"recipe": None}}, Refused, "nobody here knows how to launch it", id="a recipe"),
        pytest.param({"engine": {"environment": {"HF_TOKEN": "x"}}}, Invalid, "holds no secrets", id="a secret"),
        pytest.param({"engine": {"environment": {"A=B": "x"}}}, Invalid, "environment is 'A=B'", id="a bad variable"),
        pytest.param({"site": {"images": "user:secret@host"}}, Invalid, "images is", id="a mirror with a password"),
        pytest.param({"site": {"images": "https://host/a"}}, Invalid, "images is", id="a mirror with a scheme"),
        pytest.param({"site": {"models": "/models/../etc"}}, Invalid, "models is", id="a folder that climbs"),
        pytest.param({"site": {"models": "models"}}, Invalid, "write it like /models", id="a relative folder"),
        pytest.param({"site": {"interface": "eth0; reboot"}}, Invalid, "interface is", id="an interface"),
        pytest.param(
            {"model": {"releases": [{"quantization": "w8a8", "format": "modelslim", "name": "../../etc"}]}},
            Invalid,
            "weights is '../../etc'",
            id="weights outside the folder",
        ),
        pytest.param({"replicas": -1}, Invalid, "replicas is -1", id="fewer than no replicas"),
    ],
)
def test_what_cannot_run_is_refused_for(
    rendered: Render, change: dict[str, Any], error: type[HeadwaterError], says: str
) -> None:
    with pytest.raises(error, match=says):
        rendered(**change)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        pytest.param(
            {"quantization": "fp8"}, Refused, "block-scaled FP8 needs an Ascend 950", id="the engine's reason"
        ),
        pytest.param({"model": "gpt"}, Invalid, "no model is named 'gpt'; known are deepseek", id="an unknown model"),
        pytest.param({"engine": "x"}, Invalid, "no engine is named 'x'", id="an unknown engine"),
        pytest.param({"profile": "x"}, Invalid, "no hardware profile is named 'x'", id="an unknown chip"),
        pytest.param({"nodes": 3}, Refused, "16 chips do not divide into 3 pods", id="uneven nodes"),
        pytest.param({"parallelism": Parallelism(tensor=16)}, Refused, "parallelism guide", id="tensor over nodes"),
    ],
)
def test_a_configuration_is_refused_for(
    rendered: Render, two_nodes: Configuration, change: dict[str, Any], error: type[HeadwaterError], says: str
) -> None:
    with pytest.raises(error, match=says):
        rendered(replace(two_nodes, **change))


def test_what_must_be_converted_first_is_not_rendered_as_if_it_were_there(
    rendered: Render, two_nodes: Configuration
) -> None:
    with pytest.raises(Refused, match="GGUF, converted from deepseek-ai"):
        rendered(
            replace(two_nodes, quantization="gguf-q4"),
            engine={"reads": [{"quantization": "gguf-q4", "format": "gguf"}]},
            model={"native": "bf16", "nativeFormat": "plain"},
        )
