"""Which nodes a pod may take and who decides: labels, taints, topology, scheduler, queue, and how it sits at the edge.

Pure. Used by `pods` and `workloads` beside this file. How many chips a pod takes is decided by the planner; here is
only what the site's cluster, as `orchestrator.api.premises` describes it, lets us ask for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.adapters.kubernetes.checks import Resolved
from orchestrator.api.premises import Premises

Object = dict[str, Any]

KUEUE_LABEL = "kueue.x-k8s.io/queue-name"
VOLCANO_ANNOTATION = "scheduling.volcano.sh/queue-name"
EXCLUSIVE = "leaderworkerset.sigs.k8s.io/exclusive-topology"
GROUP_KEY = "leaderworkerset.sigs.k8s.io/group-key"  # LeaderWorkerSet gives each group one value of it
YURT_TOPOLOGY = {"openyurt.io/topologyKeys": "openyurt.io/nodepool"}
CHIP_LABEL = "headwater.dev/chip"
_LOST = ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
_EDGE_TAINTS = {"kubeedge": "node-role.kubernetes.io/edge"}


def seat(resolved: Resolved, *, spans_nodes: bool) -> Object:
    """The fields of a pod's spec that decide where it runs."""
    spec: Object = {}
    if resolved.node_labels:
        spec["nodeSelector"] = dict(sorted(resolved.node_labels.items()))
    if found := tolerations(resolved.taints, resolved.premises):
        spec["tolerations"] = found
    if affinity := _affinity(resolved, spans_nodes=spans_nodes):
        spec["affinity"] = affinity
    if resolved.scheduler:
        spec["schedulerName"] = resolved.scheduler
    if resolved.pod.runtime_class:
        spec["runtimeClassName"] = resolved.pod.runtime_class
    if resolved.premises.host_network:
        spec |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    if resolved.premises.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in sorted(resolved.premises.pull_secrets)]
    return spec


def queue_labels(resolved: Resolved) -> dict[str, str]:
    """Labels of the workload itself: Kueue holds it back until its turn."""
    queue = resolved.premises.queue
    return {KUEUE_LABEL: queue.name} if queue is not None and queue.of == "kueue" else {}


def queue_annotations(resolved: Resolved) -> dict[str, str]:
    """Annotations that tell Volcano the queue: of the pods of a Deployment, of a LeaderWorkerSet itself."""
    queue = resolved.premises.queue
    asked = queue is not None and queue.of == "volcano" and resolved.scheduler == "volcano"
    return {VOLCANO_ANNOTATION: queue.name} if queue is not None and asked else {}


def group_annotations(resolved: Resolved) -> dict[str, str]:
    """Annotations of a LeaderWorkerSet: its queue, and whether each group has a part of the cluster alone."""
    near = resolved.premises.near
    return queue_annotations(resolved) | ({EXCLUSIVE: near} if near and resolved.premises.alone else {})


def service_annotations(resolved: Resolved) -> dict[str, str]:
    """Annotations of the Service: at the edge answers come from the same pool of nodes, never over the link."""
    return dict(YURT_TOPOLOGY) if resolved.premises.edge == "openyurt" else {}


def tolerations(taints: Iterable[str], premises: Premises) -> list[Object]:
    """For taints of the nodes, and for nodes that the cloud does not hear of while a link is down."""
    found: list[Object] = []
    for taint in taints:
        named, _, effect = taint.rpartition(":")
        key, _, value = named.partition("=")
        found.append({"key": key, "operator": "Equal", "value": value, "effect": effect})
    edge = premises.edge
    if edge is None:
        return found
    if edge in _EDGE_TAINTS:
        found.append({"key": _EDGE_TAINTS[edge], "operator": "Exists", "effect": "NoSchedule"})
    # Without a number of seconds: a link that is down, however long, is no reason to take a pod from a healthy node.
    found += [{"key": key, "operator": "Exists", "effect": "NoExecute"} for key in _LOST]
    return found


def _affinity(resolved: Resolved, *, spans_nodes: bool) -> Object:
    affinity: Object = {}
    near = resolved.premises.near
    if spans_nodes and near and not resolved.premises.alone:  # alone: LeaderWorkerSet writes the affinity itself
        ours = {"matchLabels": {"app.kubernetes.io/managed-by": "headwater"}}
        term: Object = {"labelSelector": ours, "matchLabelKeys": [GROUP_KEY], "topologyKey": near}
        affinity["podAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    if resolved.whole_node:
        # Nothing counts these chips, so the scheduler cannot: no two pods that use them go to one node.
        mine = {"labelSelector": {"matchLabels": {CHIP_LABEL: resolved.chip}}, "topologyKey": "kubernetes.io/hostname"}
        affinity["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [mine]}
    return affinity
