"""What rendered objects take from a site's cluster: queues, racks, taints, edges, slices, weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from manifest_checks import check_all, containers, of_kind, templates, workload

from orchestrator.adapters.catalog import read_catalog
from orchestrator.adapters.kubernetes.pods import Object
from orchestrator.adapters.kubernetes.ray_site import ray_cluster
from orchestrator.adapters.kubernetes.seats import VOLCANO_ANNOTATION
from orchestrator.adapters.kubernetes.stock import shared_objects
from orchestrator.api.kinds import Catalog
from orchestrator.api.site import Site
from orchestrator.core.world import Configuration
from orchestrator.errors import HeadwaterError, Refused

Render = Callable[..., tuple[Object, ...]]
POOL = {"profile": "ascend-910b3", "nodes": 8, "chips": 8}
ALL = ["volcano", "lws"]
NAME = "vllm-ascend/DeepSeek-V3.2-Exp-W8A8"
DIGEST = "sha256:" + "1" * 64
SECRET_SAFE = {"pullSecrets": ["pull"]}


@pytest.fixture
def at(rendered: Render) -> Callable[..., tuple[Object, ...]]:
    """Render at a site whose cluster has these things; every object is checked."""

    def run(configuration: Any = None, *, pool: Any = None, pod: Any = None, **premises: Any) -> tuple[Object, ...]:
        more = {"configuration": configuration} if configuration else {}
        site = {"pools": [POOL | (pool or {})], "kubernetes": {"has": ALL} | premises}
        objects = rendered(**more, site=site, pod=pod, ours={"image": "headwater/edge:1"})
        check_all(objects, "1.33")
        return objects

    return run


def pods(objects: tuple[Object, ...]) -> list[Object]:
    return [template["spec"] for template in templates(workload(objects))]


def test_a_queue_of_kueue_is_a_label_and_one_of_volcano_an_annotation(at: Render, one_node: Configuration) -> None:
    kueue = at(has=[*ALL, "kueue"], queue={"of": "kueue", "name": "big"})
    group = at(queue={"of": "volcano", "name": "big"})
    alone = at(one_node, queue={"of": "volcano", "name": "big"})

    assert workload(kueue)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "big"
    assert workload(group)["metadata"]["annotations"] == {VOLCANO_ANNOTATION: "big"}
    assert templates(workload(alone))[0]["metadata"]["annotations"][VOLCANO_ANNOTATION] == "big"


def test_a_scheduler_that_is_not_there_is_not_asked_for_nor_what_it_would_write(at: Render) -> None:
    (leader, _), (without, _) = pods(at()), pods(at(has=["lws"]))

    def variables(spec: Object) -> set[str]:
        return {one["name"] for one in spec["containers"][0]["env"]}

    assert leader["schedulerName"] == "volcano"
    assert "ASCEND_VISIBLE_DEVICES" in variables(leader)
    assert "schedulerName" not in without
    assert "ASCEND_VISIBLE_DEVICES" not in variables(without)


def test_nodes_of_one_replica_share_a_rack_or_have_one_alone(at: Render) -> None:
    near = at(near="rack")
    alone = at(near="rack", alone=True)

    (term,) = pods(near)[0]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert (term["topologyKey"], term["matchLabelKeys"]) == ("rack", ["leaderworkerset.sigs.k8s.io/group-key"])
    assert workload(alone)["metadata"]["annotations"] == {"leaderworkerset.sigs.k8s.io/exclusive-topology": "rack"}
    assert "affinity" not in pods(alone)[0]


def test_a_replica_over_whole_nodes_of_a_superpod_names_its_chips(at: Render) -> None:
    kind = {"labels": {"type": "pod"}, "block": "sp-block"}

    whole = at(pool={"labels": {"type": "pod"}}, pod={"nodeKinds": [kind]})
    larger = at(pool={"labels": {"type": "pod"}, "chips": 16}, pod={"nodeKinds": [kind]})

    assert {one["metadata"]["annotations"].get("sp-block") for one in templates(workload(whole))} == {"16"}
    assert {one["metadata"]["annotations"].get("sp-block") for one in templates(workload(larger))} == {None}


@pytest.mark.parametrize("edge", ["kubeedge", "openyurt", "k3s"])
def test_at_the_edge_a_link_that_is_down_moves_no_pod(at: Render, one_node: Configuration, edge: str) -> None:
    objects = at(one_node, edge=edge, hostNetwork=True, pool={"taints": ["dedicated=llm:NoSchedule"]}, **SECRET_SAFE)
    (spec,) = pods(objects)

    lost = [one for one in spec["tolerations"] if one["effect"] == "NoExecute"]
    assert {one["key"] for one in lost} == {"node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"}
    assert not any("tolerationSeconds" in one for one in lost)
    assert spec["tolerations"][0] == {
        "key": "dedicated", "operator": "Equal", "value": "llm", "effect": "NoSchedule"
    }  # fmt: skip
    assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert all(one["imagePullPolicy"] == "IfNotPresent" for _, one in containers(objects))
    topology = of_kind(objects, "Service")["metadata"].get("annotations", {})
    assert ("openyurt.io/topologyKeys" in topology) is (edge == "openyurt")


def test_slices_are_asked_of_hami_where_it_is_there(at: Render, one_node: Configuration) -> None:
    plugins = [
        {"plugin": "mindcluster", "name": "huawei.com/Ascend910"},
        {"plugin": "hami", "name": "huawei.com/Ascend910B3", "chips": ["910B3"]},
        {"plugin": "hami", "name": "huawei.com/Ascend910B3-memory", "counts": "memory", "each": "1MiB"},
    ]
    half = {"pool": {"slice": "32GiB"}, "pod": {"resources": plugins, "sharing": {"multiCard": True}}}

    (spec,) = pods(at(one_node, **half, has=["hami"]))
    asked = spec["containers"][0]["resources"]["limits"]
    assert asked == {"huawei.com/Ascend910B3": "8", "huawei.com/Ascend910B3-memory": "32768"}
    assert "schedulerName" not in spec
    with pytest.raises(Refused, match="list hami under"):
        at(one_node, **half)


def test_weights_come_from_a_claim_that_a_job_fills_and_pods_wait_for(at: Render, catalog: Catalog) -> None:
    weights = {"claim": "models", "size": "1TiB", "mirror": "https://mirror.example/m", "sums": {NAME: "0" * 64}}
    spec = pods(at(weights=weights))[0]
    site = a_site(weights=weights)
    shared = shared_objects(site, catalog, {NAME: {"a": "1"}})
    check_all(shared)

    (before,) = spec["initContainers"]
    assert before["command"][3:] == ["wait", "--to", "/models", "--name", NAME, "--sums", "0" * 64]
    assert before["securityContext"]["runAsUser"] == 1000
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "models"}
    assert spec["containers"][0]["volumeMounts"][0] == {"name": "model", "mountPath": "/models", "readOnly": True}
    assert [one["kind"] for one in shared] == ["PersistentVolumeClaim", "Job"]
    ((job, container),) = containers(shared)
    assert "--mirror" in container["command"]
    assert job["spec"]["nodeSelector"] == {"a": "1"}


def test_weights_come_to_the_node_itself_or_as_an_image_by_digest_or_lie_there(at: Render) -> None:
    (fetched, _) = pods(at(weights={"mirror": "https://mirror.example/m"}))
    (image, _) = pods(at(weights={"images": {NAME: f"org/weights@{DIGEST}"}}))
    (there, _) = pods(at())

    assert fetched["initContainers"][0]["command"][3] == "checkpoint"
    assert fetched["volumes"][0]["hostPath"] == {"path": "/models", "type": "Directory"}
    assert image["volumes"][0]["image"]["reference"] == f"org/weights@{DIGEST}"
    assert "initContainers" not in image
    assert there["volumes"][0]["hostPath"] == {"path": f"/models/{NAME}", "type": "Directory"}
    assert "initContainers" not in there


def test_prometheus_reads_leaders_where_it_is_there(at: Render) -> None:
    monitor = of_kind(at(has=[*ALL, "prometheus"]), "PodMonitor")

    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == "http"
    assert not any(one["kind"] == "PodMonitor" for one in at())


@pytest.mark.parametrize(
    ("premises", "says"),
    [
        pytest.param({"has": ["volcano"]}, "the site lists no lws", id="no groups"),
    ],
)
def test_what_the_cluster_lacks_is_refused_for(at: Render, premises: dict[str, Any], says: str) -> None:
    with pytest.raises(HeadwaterError, match=says):
        at(**premises)


@pytest.mark.parametrize(
    ("premises", "says"),
    [
        pytest.param({"queue": {"of": "kueue", "name": "a"}}, "list kueue under has", id="a queue of nobody"),
        pytest.param({"alone": True}, "give it with near", id="alone where"),
        pytest.param({"weights": {"size": "1TiB"}}, "name it with claim", id="a size of nothing"),
        pytest.param({"weights": {"claim": "a", "storageClass": "b"}}, "give its size", id="a class of nothing"),
        pytest.param({"weights": {"sums": {"a": "0" * 64}}}, "give the mirror", id="sums of nothing"),
        pytest.param({"weights": {"mirror": "ftp://a/b"}}, "mirror", id="a mirror over ftp"),
        pytest.param({"weights": {"mirror": "https://user:word@a/b"}}, "mirror", id="a mirror with a password"),
        pytest.param({"weights": {"images": {"a": "org/weights:latest"}}}, "images", id="an image without digest"),
        pytest.param({"near": "not a label"}, "near", id="no label"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(premises: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        a_site(**premises)


def test_a_site_of_ray_is_a_ray_cluster_whose_chips_are_custom_resources() -> None:
    site = a_site(fleet="ray", has=["kuberay", "kueue"], queue={"of": "kueue", "name": "q"}, **SECRET_SAFE)
    objects = ray_cluster(site, read_catalog())
    check_all(objects)

    cluster = of_kind(objects, "RayCluster")
    (group,) = cluster["spec"]["workerGroupSpecs"]
    assert group["resources"] == {"chip-ascend-910b3": "8", "huawei.com/Ascend910": "8"}
    assert (group["replicas"], group["labels"]) == (8, {"headwater.dev/site": "lab"})
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    for template in templates(cluster):
        assert template["spec"]["automountServiceAccountToken"] is False
    with pytest.raises(Refused, match="lists no kuberay"):
        ray_cluster(a_site(fleet="ray", has=[]), read_catalog())


def a_site(*, fleet: str = "kubernetes", **premises: Any) -> Site:
    spec = {"role": "cloud", "region": "cn", "fleet": fleet, "pools": [POOL], "kubernetes": premises}
    return Site.model_validate(
        {"apiVersion": "headwater.dev/v1alpha1", "kind": "Site", "metadata": {"name": "lab"}, "spec": spec}
    )


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog()
