"""The pod of one node of a replica: chips, driver files, weights, shared memory, probes, and as few rights as possible.

Pure. Called by `render` beside this file, which puts pods into groups. What a chip needs comes from its profile, how
the engine is launched from its recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.adapters.kubernetes.checks import Resolved
from orchestrator.api.cluster import PodNeeds
from runtimes.recipes import Launch, Probe, Variable

Object = dict[str, Any]

# Volcano picks whole cards itself and writes them into the pod's annotation named like the resource; the vendor's
# runtime reads them from this variable. With any other scheduler there is no such annotation to read.
PICKED_BY_SCHEDULER: Mapping[tuple[str, str], str] = {("volcano", "huawei.com/Ascend910"): "ASCEND_VISIBLE_DEVICES"}

RIGHTS = (
    "Every capability is dropped and nothing is privileged: the device plugin grants the chips. The image's own user "
    "is kept, because no source states that engine and driver files work for another."
)
_UNITS = (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10))


@dataclass(frozen=True, slots=True)
class Node:
    """What one pod of a replica is made of."""

    resolved: Resolved
    launch: Launch
    chips: int
    spans_nodes: bool


def pod_template(node: Node, labels: Mapping[str, str], *, leader: bool) -> Object:
    """Pod template of the leader (or of the only node), or of every other node of a replica."""
    pod, launch = node.resolved.pod, node.launch
    mounts, volumes = _storage(node)
    container: Object = {
        "name": "engine",
        "image": node.resolved.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(launch.leader if leader else launch.worker),
        "env": [_variable(variable) for variable in _variables(node)],
        "resources": _resources(pod, node.resolved.resource, node.chips),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "privileged": False},
        # All pods of a group stop together, so workers wait too: the leader's answers need them to the end.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(launch.drain_s)]}}},
        "volumeMounts": mounts,
    }
    if leader:
        container["ports"] = [{"name": port.name, "containerPort": port.number} for port in launch.ports]
        container["startupProbe"] = _probe(launch.startup)
        container["readinessProbe"] = _probe(launch.readiness)
        container["livenessProbe"] = _probe(launch.liveness)
    spec: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a service named vllm would set VLLM_PORT, which the engine reads as its own
        "terminationGracePeriodSeconds": launch.grace_s,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": volumes,
    }
    if node.resolved.node_labels:
        spec["nodeSelector"] = dict(sorted(node.resolved.node_labels.items()))
    if pod.scheduler:
        spec["schedulerName"] = pod.scheduler
    if pod.runtime_class:
        spec["runtimeClassName"] = pod.runtime_class
    annotations = {**node.resolved.annotations, "headwater.dev/rights": RIGHTS}
    return {
        "metadata": {
            "labels": dict(sorted((pod.labels | dict(labels)).items())),
            "annotations": dict(sorted(annotations.items())),
        },
        "spec": spec,
    }


def quantity(size_bytes: float) -> str:
    """Bytes as Kubernetes writes them: `16Gi` for 17179869184, digits alone where no unit divides evenly."""
    whole = int(size_bytes)
    for unit, scale in _UNITS:
        if whole % scale == 0:
            return f"{whole // scale}{unit}"
    return str(whole)


def _resources(pod: PodNeeds, resource: str, chips: int) -> Object:
    asked = {resource: str(chips)}
    # Shared memory is charged to the pod. Asking for it also keeps the pod out of the class that is evicted first.
    memory = {"memory": quantity(pod.shared_memory)} if pod.shared_memory is not None else {}
    return {"limits": asked, "requests": asked | memory}


def _variables(node: Node) -> tuple[Variable, ...]:
    """What the recipe sets goes before what the chip's pods need; the scheduler's choice before both."""
    resource, pod = node.resolved.resource, node.resolved.pod
    variables = {name: Variable(name, value) for name, value in sorted(pod.environment.items())}
    variables |= {known.name: known for known in node.launch.environment}
    picked = PICKED_BY_SCHEDULER.get((pod.scheduler, resource))
    if picked is not None:
        variables.pop(picked, None)
        variables[picked] = Variable(picked, field_path=f"metadata.annotations['{resource}']")
    return tuple(variables.values())


def _variable(variable: Variable) -> Object:
    if variable.field_path:
        return {"name": variable.name, "valueFrom": {"fieldRef": {"fieldPath": variable.field_path}}}
    return {"name": variable.name, "value": variable.value}


def _probe(probe: Probe) -> Object:
    question: Object = (
        {"exec": {"command": list(probe.command)}}
        if probe.command
        else {"httpGet": {"path": probe.path, "port": "http"}}
    )
    return question | {
        "periodSeconds": probe.period_s,
        "timeoutSeconds": probe.timeout_s,
        "failureThreshold": probe.failures,
    }


def _storage(node: Node) -> tuple[list[Object], list[Object]]:
    """Mounts and volumes: weights and driver files read-only from the node, shared memory of its own."""
    resolved = node.resolved
    folder = f"{resolved.models}/{resolved.checkpoint}"
    mounts: list[Object] = [{"name": "model", "mountPath": folder, "readOnly": True}]
    # Directory: a node without the weights fails the mount by name, instead of an engine that finds nothing.
    volumes: list[Object] = [{"name": "model", "hostPath": {"path": folder, "type": "Directory"}}]
    if resolved.pod.shared_memory is not None:
        size = quantity(resolved.pod.shared_memory)
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  where the engine's processes share memory
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    paths = resolved.pod.host_paths + (resolved.pod.multi_node_host_paths if node.spans_nodes else ())
    for index, path in enumerate(dict.fromkeys(paths)):
        mounts.append({"name": f"driver-{index}", "mountPath": path, "readOnly": True})
        volumes.append({"name": f"driver-{index}", "hostPath": {"path": path}})
    return mounts, volumes
