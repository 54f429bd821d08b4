"""A site that Ray runs on Kubernetes, as a RayCluster: a head, and a group of Ray nodes for each of its pools.

Pure. Used by `bundle` beside this file. Ray knows few domestic chips, so every chip is a custom resource: by the name
of its profile, which our actors ask for, and by the name that Kubernetes counts it under, for programs of others. It is
no RayService: students are actors of our controller, not applications of Ray Serve.
"""

from __future__ import annotations

from typing import Any

from orchestrator.adapters.kubernetes import naming, rights
from orchestrator.adapters.kubernetes.amounts import amounts
from orchestrator.adapters.kubernetes.checks import mirrored, premises_of
from orchestrator.adapters.kubernetes.seats import KUEUE_LABEL, tolerations
from orchestrator.api.cluster import PodNeeds
from orchestrator.api.kinds import Catalog
from orchestrator.api.site import Pool, Site
from orchestrator.errors import Invalid, Refused

Object = dict[str, Any]

RAY = "2.60.0"  # of the extra `controller`: a cluster of another version refuses our actors
IMAGE = "headwater/ray:0.1.0"  # our package with that Ray
HEAD_CPU, HEAD_MEMORY = "2", "4Gi"
SITE_LABEL = "headwater.dev/site"


def ray_cluster(site: Site, catalog: Catalog) -> tuple[Object, ...]:
    """The account and the RayCluster of a site.

    Raises:
        Invalid: a pool names an unknown chip.
        Refused: the site's cluster has no KubeRay, or nothing publishes a pool's chips.
    """
    premises = premises_of(site)
    if "kuberay" not in premises.has:
        raise Refused(f"site {site.metadata.name} is run by Ray, and lists no kuberay under kubernetes.has")
    name = naming.ray_name(site.metadata.name)
    labels = {
        "app.kubernetes.io/component": "ray",
        "app.kubernetes.io/managed-by": "headwater",
        "app.kubernetes.io/part-of": "headwater",
        SITE_LABEL: site.metadata.name,
    }
    queue = premises.queue
    waiting = {KUEUE_LABEL: queue.name} if queue is not None and queue.of == "kueue" else {}
    head = _pod(site, "ray-head", PodNeeds(), {"cpu": HEAD_CPU, "memory": HEAD_MEMORY}, {"memory": HEAD_MEMORY})
    cluster: Object = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "labels": labels | waiting},
        "spec": {
            "rayVersion": RAY,
            "authOptions": {"mode": "token"},  # without it whoever reaches a port of Ray runs what he likes
            "headGroupSpec": {
                "rayStartParams": {"num-cpus": "0"},  # nothing of ours is placed beside the cluster's memory
                "template": head,
            },
            "workerGroupSpecs": [_group(site, index, pool, catalog) for index, pool in enumerate(site.spec.pools)],
        },
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "labels": labels}}
    return account | {"automountServiceAccountToken": False}, cluster


def _group(site: Site, index: int, pool: Pool, catalog: Catalog) -> Object:
    if pool.profile not in catalog.profiles:
        raise Invalid(f"site {site.metadata.name}: no hardware profile is named {pool.profile!r}")
    profile = catalog.profiles[pool.profile]
    cluster = catalog.cluster_of(profile)
    if cluster is None:
        raise Refused(f"{pool.profile} has no Kubernetes resource, so no pod can ask for it")
    asked = amounts(profile, cluster, pool, premises_of(site), pool.chips)
    limits = {name: str(count) for name, count in asked.items()}
    template = _pod(site, "ray-worker", cluster.spec.pod, limits, limits)
    spec = template["spec"]
    nodes = profile.spec.node_labels | pool.labels
    if nodes:
        spec["nodeSelector"] = dict(sorted(nodes.items()))
    if found := tolerations(pool.taints, premises_of(site)):
        spec["tolerations"] = found
    if cluster.spec.pod.runtime_class:
        spec["runtimeClassName"] = cluster.spec.pod.runtime_class
    return {
        "groupName": f"pool-{index}",
        "replicas": pool.nodes,
        "minReplicas": pool.nodes,
        "maxReplicas": pool.nodes,
        "labels": {SITE_LABEL: site.metadata.name},
        "resources": dict(sorted(({f"chip-{pool.profile}": str(pool.chips)} | limits).items())),
        "rayStartParams": {},
        "template": template,
    }


def _pod(site: Site, name: str, needs: PodNeeds, requests: dict[str, str], limits: dict[str, str]) -> Object:
    premises = premises_of(site)
    container: Object = {
        "name": name,
        "image": mirrored(IMAGE, site),
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": key, "value": value}
            for key, value in sorted((rights.IDENTITY | needs.environment | {"RAY_USAGE_STATS_ENABLED": "0"}).items())
        ],
        "resources": {key: value for key, value in (("limits", limits), ("requests", requests)) if value},
        "securityContext": rights.container_context(needs),
        "volumeMounts": [
            {"name": "home", "mountPath": rights.HOME},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  Ray's object store
        ],
    }
    spec: Object = {
        "serviceAccountName": naming.ray_name(site.metadata.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": rights.pod_context(needs),
        "containers": [container],
        "volumes": [{"name": "home", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}],
    }
    if premises.pull_secrets:
        spec["imagePullSecrets"] = [{"name": one} for one in sorted(premises.pull_secrets)]
    return {"metadata": {"annotations": {rights.ANNOTATION: rights.reason(needs)}}, "spec": spec}
