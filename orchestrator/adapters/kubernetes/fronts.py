"""What stands around a group of pods: its address, its account without rights, its disruption budget, its metrics.

Pure. Called by `render` beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.adapters.kubernetes import naming

Object = dict[str, Any]

PORT = 8000  # of the engine and of the service in front of it
SCRAPED_EVERY = "30s"


def account(name: str, labels: Mapping[str, str]) -> Object:
    """An account that may do nothing, so that pods do not share the namespace's, to which somebody may give rights."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "labels": dict(labels)},
        "automountServiceAccountToken": False,
    }


def service(name: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Object:
    """The address of the leaders; workers have no server."""
    metadata: Object = {"name": name + naming.SERVICE_SUFFIX, "labels": dict(labels)}
    if annotations:
        metadata["annotations"] = dict(sorted(annotations.items()))
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": naming.selector(name) | {naming.ROLE: "leader"},
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }


def disruption_budget(name: str, labels: Mapping[str, str]) -> Object:
    """One eviction at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            # One pod away takes its whole group down; the next eviction waits until that group is back.
            "maxUnavailable": 1,
            "selector": {"matchLabels": naming.selector(name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",  # a pod that never gets ready must not hold up a drain
        },
    }


def pod_monitor(name: str, labels: Mapping[str, str], *, port: str, path: str) -> Object:
    """Prometheus reads every leader by itself: a Service would answer for one of them at a time."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "selector": {"matchLabels": naming.selector(name) | {naming.ROLE: "leader"}},
            "podMetricsEndpoints": [{"port": port, "path": path, "interval": SCRAPED_EVERY}],
            "podTargetLabels": ["headwater.dev/service", "headwater.dev/site", "headwater.dev/tier"],
        },
    }


def config_map(name: str, labels: Mapping[str, str], files: Mapping[str, str]) -> Object:
    """Files that pods mount, by name. It is never changed: other content has another name."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": dict(labels)},
        "immutable": True,
        "data": dict(sorted(files.items())),
    }
