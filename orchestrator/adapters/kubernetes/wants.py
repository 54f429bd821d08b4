"""What rendered objects want of a cluster, held against what it has: each with how to get it where it lacks.

Pure. Called by `headwater doctor`. What was not looked at is neither there nor lacking, and is said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.adapters.kubernetes.surroundings import (
    OF_ADDONS,
    Surroundings,
    allocatable,
    node_labels,
)
from orchestrator.api.kinds import Catalog

Object = Mapping[str, Any]
State = Literal["there", "lacking", "unknown"]

IMAGE_VOLUMES = (1, 33)  # of Kubernetes, before which weights cannot be an image
VERBS = ("create", "get", "patch")
PLURALS = {"PodDisruptionBudget": "poddisruptionbudgets", "RayCluster": "rayclusters"}
_HOW = {
    "lws": "install LeaderWorkerSet (kubernetes-sigs/lws): apply manifests.yaml of a release, or its Helm chart",
    "volcano": "install Volcano (volcano-sh/volcano), for Ascend with MindCluster's plugin ascend-for-volcano",
    "kueue": "install Kueue (kubernetes-sigs/kueue) and make a LocalQueue, or leave queue out of the site",
    "kuberay": "install the KubeRay operator (ray-project/kuberay), by its Helm chart kuberay-operator",
    "prometheus": "install the Prometheus operator, or leave prometheus out of the site's kubernetes.has",
}
_MEMORY = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Want:
    """One thing, whether it is there, what was seen, and how to get it."""

    what: str
    state: State
    seen: str
    how: str = ""


@dataclass(frozen=True, slots=True)
class _Pods:
    """Pods of one workload that are alike."""

    owner: str
    spec: Object
    count: int


def rights(objects: Iterable[Object]) -> tuple[tuple[str, str, str], ...]:
    """Verb, group and resource of everything that applying the objects takes."""
    kinds = {(_group(one), PLURALS.get(one["kind"], f"{one['kind'].lower()}s")) for one in objects}
    return tuple((verb, group, resource) for group, resource in sorted(kinds) for verb in VERBS)


def wants(objects: Iterable[Object], there: Surroundings, catalog: Catalog) -> tuple[Want, ...]:
    """Everything the objects want, each once, what lacks first."""
    known = tuple(objects)
    pods = [one for obj in known for one in _pods(obj)]
    found = [
        *_kinds(known, there),
        *(want for one in pods for want in _of_pod(one, there)),
        *_chips(pods, there, catalog),
        *_claims(known, there),
        *_rights(there),
    ]
    order: dict[State, int] = {"lacking": 0, "unknown": 1, "there": 2}
    return tuple(sorted(dict.fromkeys(found), key=lambda one: order[one.state]))


def _kinds(objects: Iterable[Object], there: Surroundings) -> Iterator[Want]:
    addons = {group: name for name, group in OF_ADDONS.items()}
    for group, kind in sorted({(_group(one), one["kind"]) for one in objects if _group(one) in addons}):
        if there.kinds is None:
            yield Want(f"kind {kind}", "unknown", "custom resource definitions were not read")
        elif (group, kind) in there.kinds:
            yield Want(f"kind {kind}", "there", group)
        else:
            yield Want(f"kind {kind}", "lacking", f"nothing serves {group}", _HOW[addons[group]])


def _of_pod(pods: _Pods, there: Surroundings) -> Iterator[Want]:
    spec = pods.spec
    runtime = spec.get("runtimeClassName")
    if runtime:
        how = f"install the chips' container runtime and make a RuntimeClass named {runtime}"
        yield _named("RuntimeClass", runtime, there.runtime_classes, how)
    if spec.get("schedulerName") == "volcano":
        state: State = "unknown" if there.kinds is None else "there" if "volcano" in there.addons else "lacking"
        seen = "its kinds are served" if state == "there" else "its kinds are not served" if state == "lacking" else ""
        yield Want("scheduler volcano", state, seen or "custom resource definitions were not read", _HOW["volcano"])
    for secret in spec.get("imagePullSecrets", ()):
        name = secret["name"]
        yield Want(
            f"Secret {name}", "unknown", "secrets are never read", f"kubectl create secret docker-registry {name}"
        )
    if any("image" in volume for volume in spec.get("volumes", ())):
        found = re.match(r"v?(\d+)\.(\d+)", there.version)
        enough = found is not None and (int(found[1]), int(found[2])) >= IMAGE_VOLUMES
        state = "unknown" if found is None else "there" if enough else "lacking"
        least = ".".join(map(str, IMAGE_VOLUMES))
        yield Want("volumes that are images", state, there.version or "no version", f"take Kubernetes {least} or later")


def _chips(pods: Iterable[_Pods], there: Surroundings, catalog: Catalog) -> Iterator[Want]:
    """Nodes with the labels, what they publish, and whether their drivers agree."""
    for one in pods:
        selector = one.spec.get("nodeSelector", {})
        labels = ", ".join(f"{key}={value}" for key, value in sorted(selector.items())) or "any labels"
        nodes = [node for node in there.nodes if selector.items() <= node_labels(node).items()]
        asked = _asked(one.spec)
        if not nodes:
            how = "correct the pool's labels in the site, or label the nodes: the vendor's feature discovery does"
            yield Want(f"nodes with {labels}", "lacking", f"none of {len(there.nodes)}", how)
            continue
        for resource, count in asked.items():
            room = sum(_count(allocatable(node).get(resource)) // count for node in nodes)
            what = f"{one.count} x {resource}: {count} on nodes with {labels}"
            if not any(_count(allocatable(node).get(resource)) for node in nodes):
                yield Want(what, "lacking", f"none of {len(nodes)} publishes it", _plugin(resource, catalog))
            elif room < one.count:
                how = "plan again with `headwater discover`, or free chips; pods of others were not counted"
                yield Want(what, "lacking", f"room for {room}", how)
            else:
                yield Want(what, "there", f"room for {room} when nothing else runs")
            yield from _drivers(resource, nodes, catalog)


def _drivers(resource: str, nodes: Iterable[Object], catalog: Catalog) -> Iterator[Want]:
    labels = {
        cluster.spec.detection.driver_label
        for cluster in catalog.clusters.values()
        if any(one.name == resource for one in cluster.spec.resources)
    }
    for label in sorted(labels - {""}):
        versions = sorted({node_labels(node).get(label, "none") for node in nodes})
        state: State = "unknown" if versions == ["none"] else "there" if len(versions) == 1 else "lacking"
        how = "bring all nodes of the pool to one driver version" if len(versions) > 1 else "let the plugin label nodes"
        yield Want(f"one driver version ({label})", state, ", ".join(versions), "" if state == "there" else how)


def _claims(objects: Iterable[Object], there: Surroundings) -> Iterator[Want]:
    for one in objects:
        if one["kind"] != "PersistentVolumeClaim":
            continue
        name = one["spec"].get("storageClassName")
        if name:
            yield _named("StorageClass", name, there.storage_classes, "make it with a volume that many nodes can mount")
        else:
            unseen = there.storage_classes is None
            state: State = "unknown" if unseen else "there" if there.default_storage else "lacking"
            how = "mark a StorageClass as the default, or name one in the site's weights"
            yield Want("a default StorageClass", state, ", ".join(sorted(there.storage_classes or ())) or "none", how)


def _rights(there: Surroundings) -> Iterator[Want]:
    if not there.access:
        yield Want(
            "rights in the namespace", "unknown", "nobody was asked", "run it against the cluster, without a file"
        )
    for one in there.access:
        where = f"{one.resource}.{one.group}" if one.group else one.resource
        how = f"kubectl create role headwater --verb={','.join(VERBS)} --resource={where}, and bind it"
        yield Want(
            f"right to {one.verb} {where}", "there" if one.allowed else "lacking", "", "" if one.allowed else how
        )


def _named(kind: str, name: str, found: frozenset[str] | None, how: str) -> Want:
    if found is None:
        return Want(f"{kind} {name}", "unknown", f"{kind} objects were not read", how)
    state: State = "there" if name in found else "lacking"
    return Want(f"{kind} {name}", state, ", ".join(sorted(found)) or "none", "" if state == "there" else how)


def _plugin(resource: str, catalog: Catalog) -> str:
    plugins = {
        one.plugin for cluster in catalog.clusters.values() for one in cluster.spec.resources if one.name == resource
    }
    return f"install the device plugin ({' or '.join(sorted(plugins)) or 'the one that publishes it'}) on these nodes"


def _pods(obj: Object) -> Iterator[_Pods]:
    spec, name = obj.get("spec", {}), f"{obj['kind']} {obj['metadata']['name']}"
    if obj["kind"] == "Deployment":
        yield _Pods(name, spec["template"]["spec"], spec["replicas"])
    elif obj["kind"] == "LeaderWorkerSet":
        groups = spec["leaderWorkerTemplate"]
        yield _Pods(name, groups["workerTemplate"]["spec"], spec["replicas"] * groups["size"])
    elif obj["kind"] == "RayCluster":
        for group in spec["workerGroupSpecs"]:
            yield _Pods(name, group["template"]["spec"], group["replicas"])


def _asked(spec: Object) -> dict[str, int]:
    limits = spec["containers"][0].get("resources", {}).get("limits", {})
    return {name: int(count) for name, count in limits.items() if "/" in name}


def _count(written: Any) -> int:
    return int(written) if isinstance(written, str | int) and _MEMORY.fullmatch(str(written)) else 0


def _group(obj: Object) -> str:
    group, slash, _ = str(obj["apiVersion"]).rpartition("/")
    return group if slash else ""
