"""The pod of one node of a replica: chips, driver files, weights, shared memory, probes, and as few rights as possible.

Pure. Called by `render` beside this file, which puts pods into groups. What a chip needs comes from its profile, how
the engine is launched from its recipe, weights from `stock`, rights from `rights`, the node from `seats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.adapters.kubernetes import rights
from orchestrator.adapters.kubernetes.checks import Resolved
from orchestrator.adapters.kubernetes.seats import CHIP_LABEL, queue_annotations, seat
from orchestrator.adapters.kubernetes.stock import Stock, quantity
from runtimes.recipes import Launch, Probe, Variable

Object = dict[str, Any]

# Volcano picks whole cards itself and writes them into the pod's annotation named like the resource; the vendor's
# runtime reads them from this variable. With any other scheduler there is no such annotation to read.
PICKED_BY_SCHEDULER: Mapping[tuple[str, str], str] = {("volcano", "huawei.com/Ascend910"): "ASCEND_VISIBLE_DEVICES"}


@dataclass(frozen=True, slots=True)
class Node:
    """What one pod of a replica is made of."""

    resolved: Resolved
    launch: Launch
    stock: Stock
    spans_nodes: bool
    account: str  # the ServiceAccount it runs as, which may do nothing
    memory_bytes: int = 0  # of main memory; 0: nobody counted
    cores: int = 0


def pod_template(node: Node, labels: Mapping[str, str], *, leader: bool) -> Object:
    """Pod template of the leader (or of the only node), or of every other node of a replica."""
    resolved, launch = node.resolved, node.launch
    pod = resolved.pod
    mounts, volumes = _storage(node)
    container: Object = {
        "name": "engine",
        "image": resolved.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(launch.leader if leader else launch.worker),
        "env": [_variable(variable) for variable in _variables(node)],
        "resources": _resources(node),
        "securityContext": rights.container_context(pod),
        # All pods of a group stop together, so workers wait too: the leader's answers need them to the end.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(launch.drain_s)]}}},
        "volumeMounts": mounts,
    }
    if not rights.keeps_root(pod):
        container["workingDir"] = rights.HOME  # compilers leave files where they are started
    if leader:
        container["ports"] = [{"name": port.name, "containerPort": port.number} for port in launch.ports]
        container["startupProbe"] = _probe(launch.startup)
        container["readinessProbe"] = _probe(launch.readiness)
        container["livenessProbe"] = _probe(launch.liveness)
    spec: Object = {
        "serviceAccountName": node.account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a service named vllm would set VLLM_PORT, which the engine reads as its own
        "terminationGracePeriodSeconds": launch.grace_s,
        "securityContext": rights.pod_context(pod),
        "containers": [container],
        "volumes": volumes,
    }
    if node.stock.before:
        spec["initContainers"] = list(node.stock.before)
    spec |= seat(resolved, spans_nodes=node.spans_nodes)
    marks = {CHIP_LABEL: resolved.chip} if resolved.whole_node else {}
    annotations = dict(resolved.annotations) | {rights.ANNOTATION: rights.reason(pod)}
    if not node.spans_nodes:
        annotations |= queue_annotations(resolved)
    return {
        "metadata": {
            "labels": dict(sorted((pod.labels | dict(labels) | marks).items())),
            "annotations": dict(sorted(annotations.items())),
        },
        "spec": spec,
    }


def _resources(node: Node) -> Object:
    limits: Object = {name: str(count) for name, count in node.resolved.amounts.items()}
    requests = dict(limits)
    shared = node.resolved.pod.shared_memory
    if node.cores:
        requests["cpu"] = str(node.cores)
    if node.memory_bytes:
        requests["memory"] = limits["memory"] = str(node.memory_bytes)
    elif shared is not None:
        # Shared memory is charged to the pod. Asking for it also keeps the pod out of the class that is evicted first.
        requests["memory"] = quantity(shared)
    return {"limits": limits, "requests": requests} if limits else {"requests": requests}


def _variables(node: Node) -> tuple[Variable, ...]:
    """What the recipe sets goes before what the chip's pods need; the scheduler's choice before both."""
    pod = node.resolved.pod
    identity = {} if rights.keeps_root(pod) else rights.IDENTITY
    variables = {name: Variable(name, value) for name, value in sorted((identity | pod.environment).items())}
    variables |= {known.name: known for known in node.launch.environment}
    for resource in node.resolved.amounts:
        picked = PICKED_BY_SCHEDULER.get((node.resolved.scheduler, resource))
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
    """Mounts and volumes: weights and driver files read-only, shared memory and a place for files of its own."""
    pod = node.resolved.pod
    mounts, volumes = list(node.stock.mounts), list(node.stock.volumes)
    if not rights.keeps_root(pod):
        mounts.append({"name": "home", "mountPath": rights.HOME})
        volumes.append({"name": "home", "emptyDir": {}})
    if pod.shared_memory is not None:
        size = quantity(pod.shared_memory)
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  where the engine's processes share memory
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    paths = pod.host_paths + (pod.multi_node_host_paths if node.spans_nodes else ())
    for index, path in enumerate(dict.fromkeys(paths)):
        mounts.append({"name": f"driver-{index}", "mountPath": path, "readOnly": True})
        volumes.append({"name": f"driver-{index}", "hostPath": {"path": path}})
    # Where nobody publishes the chips nobody adds their device nodes either.
    for index, path in enumerate(pod.devices if pod.privileged else ()):
        mounts.append({"name": f"device-{index}", "mountPath": path})
        volumes.append({"name": f"device-{index}", "hostPath": {"path": path}})
    return mounts, volumes
