"""A configuration as Kubernetes objects: service, workload, disruption budget.

Pure: values in, dictionaries and text out; nothing here talks to a cluster. The same input gives the same bytes.
Replicas that span nodes become a LeaderWorkerSet, all others a Deployment. Owner references and the namespace are added
by whoever applies the objects.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from orchestrator.adapters.kubernetes import naming
from orchestrator.adapters.kubernetes.checks import Resolved, resolve
from orchestrator.adapters.kubernetes.pods import Node, Object, pod_template
from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.world import Configuration, TierName
from orchestrator.errors import Invalid
from runtimes.recipes import Job, Launch, recipe_for

PORT = 8000  # of the engine and of the service in front of it


def render(
    service: ModelService,
    tier: TierName,
    configuration: Configuration,
    *,
    replicas: int,
    catalog: Catalog,
    site: Site,
    part: int = 0,
) -> tuple[Object, ...]:
    """The objects that run `replicas` replicas of one tier in one pool, in the order to apply them.

    A second configuration of the tier in the same pool is part 1, and so on.

    Raises:
        Invalid: a name is unknown, a text cannot be used, or `replicas` is negative.
        Refused: the engine, the recipe or the platform cannot do what the configuration says.
    """
    if replicas < 0:
        raise Invalid(f"{service.metadata.name}: replicas is {replicas}; give 0 or more")
    resolved = resolve(configuration, catalog, site)
    launch = recipe_for(resolved.recipe)(_job(service, configuration, resolved))
    name = naming.object_name(service.metadata.name, tier, configuration.pool, part)
    labels = naming.labels(
        name,
        service=service.metadata.name,
        tier=tier,
        pool=configuration.pool,
        engine=configuration.engine,
    )
    node = Node(resolved, launch, configuration.chips_per_node, spans_nodes=configuration.nodes > 1)
    workload = (
        _leader_worker_set(name, labels, node, replicas, configuration.nodes)
        if node.spans_nodes
        else _deployment(name, labels, node, replicas)
    )
    return _service(name, labels), workload, _disruption_budget(name, labels)


def to_yaml(objects: Iterable[Object]) -> str:
    """The objects as one YAML stream, fields in the order they were rendered."""
    return yaml.dump_all(objects, Dumper=_Plain, sort_keys=False, explicit_start=True, width=120, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """Writes a value again where it occurs again, and text of several lines as lines: made for people who compare."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, written: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", written, style="|" if "\n" in written else None)


_Plain.add_representer(str, _text)


def _job(service: ModelService, configuration: Configuration, resolved: Resolved) -> Job:
    cut = configuration.parallelism
    return Job(
        service=service.metadata.name,
        checkpoint=f"{resolved.models}/{resolved.checkpoint}",
        served_name=service.metadata.name,
        quantization=resolved.quantization,
        tensor=cut.tensor,
        pipeline=cut.pipeline,
        data=cut.data,
        expert=cut.expert,
        nodes=configuration.nodes,
        chips_per_node=configuration.chips_per_node,
        context_tokens=configuration.context_tokens,
        sequences=configuration.sequences,
        port=PORT,
        environment=resolved.engine.spec.environment,
        interface=resolved.interface,
    )


def _service(name: str, labels: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name + naming.SERVICE_SUFFIX, "labels": labels},
        "spec": {
            "selector": naming.selector(name) | {naming.ROLE: "leader"},  # workers have no server
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }


def _deployment(name: str, labels: dict[str, str], node: Node, replicas: int) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": naming.selector(name)},
            # No surge: the chips of the old replica are the ones the new replica waits for.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "progressDeadlineSeconds": _start_s(node.launch),
            "template": pod_template(node, labels | {naming.ROLE: "leader"}, leader=True),
        },
    }


def _leader_worker_set(name: str, labels: dict[str, str], node: Node, replicas: int, nodes: int) -> Object:
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name, "labels": labels},
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


def _disruption_budget(name: str, labels: dict[str, str]) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            # One pod away takes its whole group down; the next eviction waits until that group is back.
            "maxUnavailable": 1,
            "selector": {"matchLabels": naming.selector(name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",  # a pod that never gets ready must not hold up a drain
        },
    }


def _start_s(launch: Launch) -> int:
    """How long a replica may take to be ready before its rollout counts as stuck: loading, and pulling the image."""
    return launch.startup.patience_s + 1200
