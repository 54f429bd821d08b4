"""Pods into groups: a Deployment where a replica is one pod, a LeaderWorkerSet where it spans nodes.

Pure. Called by `render` beside this file.
"""

from __future__ import annotations

from orchestrator.adapters.kubernetes import naming
from orchestrator.adapters.kubernetes.pods import Node, Object, pod_template
from orchestrator.adapters.kubernetes.seats import group_annotations, queue_labels

PULLING_S = 1200  # an image of 20 GB, before the engine loads


def workload(name: str, labels: dict[str, str], node: Node, replicas: int, nodes: int) -> Object:
    """So many replicas, each over so many nodes."""
    if nodes > 1:
        return _leader_worker_set(name, labels, node, replicas, nodes)
    return _deployment(name, labels, node, replicas)


def _deployment(name: str, labels: dict[str, str], node: Node, replicas: int) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels | queue_labels(node.resolved)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": naming.selector(name)},
            # No surge: the chips of the old replica are the ones the new replica waits for.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            # How long a replica may take before its rollout counts as stuck: loading, and pulling the image.
            "progressDeadlineSeconds": node.launch.startup.patience_s + PULLING_S,
            "template": pod_template(node, labels | {naming.ROLE: "leader"}, leader=True),
        },
    }


def _leader_worker_set(name: str, labels: dict[str, str], node: Node, replicas: int, nodes: int) -> Object:
    metadata: Object = {"name": name, "labels": labels | queue_labels(node.resolved)}
    if annotations := group_annotations(node.resolved):
        metadata["annotations"] = dict(sorted(annotations.items()))
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            # Ranks find each other while they load, so workers cannot wait for a leader that is ready.
            "startupPolicy": "LeaderCreated",
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"maxSurge": 0, "maxUnavailable": 1},
            },
            "leaderWorkerTemplate": {
                "size": nodes,
                # A rank that restarts alone cannot join the collectives of the others again.
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": pod_template(node, labels | {naming.ROLE: "leader"}, leader=True),
                "workerTemplate": pod_template(node, labels | {naming.ROLE: "worker"}, leader=False),
            },
        },
    }
