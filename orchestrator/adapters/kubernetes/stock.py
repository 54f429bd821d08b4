"""How weights reach a pod: from the node, a claim, an image, or a mirror; verified before an engine sees them.

Pure. Used by `pods` and `render` beside this file. What the containers of our image do is `runtimes.fetch`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.adapters.kubernetes import rights
from orchestrator.adapters.kubernetes.checks import Resolved, image_of, mirrored, models_folder, premises_of
from orchestrator.api.kinds import Catalog
from orchestrator.api.site import Site
from orchestrator.errors import Refused
from runtimes.contract import MANIFEST_FILE

Object = dict[str, Any]

MANIFESTS = "/etc/headwater"  # where the manifest of a planned artifact is mounted
_FETCH = ("python3", "-m", "runtimes.fetch.main")
_UNITS = (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10))
_TRIES = 20  # of a job: each goes on where the one before it stopped


@dataclass(frozen=True, slots=True)
class Stock:
    """What a pod mounts, and what runs before its engine."""

    mounts: tuple[Object, ...]
    volumes: tuple[Object, ...]
    before: tuple[Object, ...] = ()  # init containers


def stock(resolved: Resolved, catalog: Catalog, site: Site, manifest: str = "") -> Stock:
    """The weights of one pod.

    Args:
        resolved: what it runs.
        catalog: where our own image is named.
        site: what the cluster has.
        manifest: name of the ConfigMap with the manifest of a planned artifact; empty for published checkpoints.

    Raises:
        Refused: our own image is needed, and the catalog does not name it.
    """
    weights, name = resolved.premises.weights, resolved.checkpoint
    folder = f"{resolved.models}/{name}"
    if name in weights.images:
        reference = mirrored(weights.images[name], site)
        volume: Object = {"name": "model", "image": {"reference": reference, "pullPolicy": "IfNotPresent"}}
        mount: Object = {"name": "model", "mountPath": folder, "readOnly": True}
        # The runtime holds an image against its digest; an artifact is held against what was planned besides.
        before = (
            [_container(resolved, catalog, site, what="check", mounts=[mount], manifest=manifest)] if manifest else []
        )
    else:
        comes_later = bool(weights.mirror or manifest)
        mount = {"name": "model", "mountPath": resolved.models if comes_later or weights.claim else folder}
        volume = {"name": "model"} | _place(resolved, folder, comes_later=comes_later)
        what = "artifact" if manifest else "wait" if weights.claim else "checkpoint"
        before = (
            [_container(resolved, catalog, site, what=what, mounts=[dict(mount)], manifest=manifest)]
            if comes_later
            else []
        )
        mount["readOnly"] = True
    volumes = [volume]
    if manifest:
        volumes.append({"name": "manifest", "configMap": {"name": manifest}})
    return Stock((mount,), tuple(volumes), tuple(before))


def shared_objects(site: Site, catalog: Catalog, checkpoints: Mapping[str, Mapping[str, str]]) -> tuple[Object, ...]:
    """The claim of a site and a job for each checkpoint that it is filled with, once for all services.

    Args:
        site: whose weights they are.
        catalog: where our own image is named.
        checkpoints: names of those in use, with the labels of nodes that use them.
    """
    premises = premises_of(site)
    weights = premises.weights
    found: list[Object] = []
    if weights.claim and weights.size is not None:
        spec: Object = {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": quantity(weights.size)}},
        }
        if weights.storage_class:
            spec["storageClassName"] = weights.storage_class
        found.append(_object("v1", "PersistentVolumeClaim", weights.claim, site) | {"spec": spec})
    if weights.claim and weights.mirror:
        wanted = sorted(name for name in checkpoints if name not in weights.images)
        found += [_job(site, catalog, name, checkpoints[name]) for name in wanted]
    return tuple(found)


def quantity(size_bytes: float) -> str:
    """Bytes as Kubernetes writes them: `16Gi` for 17179869184, digits alone where no unit divides evenly."""
    whole = int(size_bytes)
    for unit, scale in _UNITS:
        if whole % scale == 0:
            return f"{whole // scale}{unit}"
    return str(whole)


def _place(resolved: Resolved, folder: str, *, comes_later: bool) -> Object:
    """Directory: a node without the folder fails the mount by name, instead of an engine that finds nothing."""
    claim = resolved.premises.weights.claim
    if claim:
        return {"persistentVolumeClaim": {"claimName": claim}}
    return {"hostPath": {"path": resolved.models if comes_later else folder, "type": "Directory"}}


def _container(
    resolved: Resolved, catalog: Catalog, site: Site, *, what: str, mounts: list[Object], manifest: str
) -> Object:
    command = [*_FETCH, what, "--to", resolved.models, "--name", resolved.checkpoint]
    command += _source(site, resolved.checkpoint, mirror=what in {"artifact", "checkpoint"}, sums=not manifest)
    if manifest:
        command += ["--manifest", f"{MANIFESTS}/{MANIFEST_FILE}"]
        mounts = [*mounts, {"name": "manifest", "mountPath": MANIFESTS, "readOnly": True}]
    return _ours("weights", catalog, site, command, mounts)


def _job(site: Site, catalog: Catalog, name: str, labels: Mapping[str, str]) -> Object:
    """Fills the claim, on a node of a pool that uses it: no other needs to reach the volume or the mirror."""
    folder = models_folder(site)
    command = [*_FETCH, "checkpoint", "--to", folder, "--name", name, *_source(site, name, mirror=True, sums=True)]
    mount = {"name": "model", "mountPath": folder}
    container = _ours("weights", catalog, site, command, [mount])
    digest = hashlib.sha256(repr((site.metadata.name, command, container["image"])).encode()).hexdigest()[:8]
    premises = premises_of(site)
    security: Object = {
        "runAsNonRoot": True,
        "runAsUser": rights.USER,
        "runAsGroup": rights.USER,
        "fsGroup": rights.USER,
    }
    security |= {"fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}}
    spec: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "OnFailure",
        "securityContext": security,
        "containers": [container],
        "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": premises.weights.claim}}],
    }
    if labels:
        spec["nodeSelector"] = dict(sorted(labels.items()))
    if premises.pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in sorted(premises.pull_secrets)]
    job = _object("batch/v1", "Job", f"weights-{digest}", site)
    job["metadata"]["annotations"] = {"headwater.dev/checkpoint": name}
    template: Object = {"metadata": {"labels": _labels(site)}, "spec": spec}
    return job | {"spec": {"backoffLimit": _TRIES, "template": template}}


def _ours(name: str, catalog: Catalog, site: Site, command: list[str], mounts: list[Object]) -> Object:
    return {
        "name": name,
        "image": own_image(catalog, site),
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [{"name": "HOME", "value": rights.HOME}],
        "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": rights.own_context(),
        "volumeMounts": mounts,
    }


def own_image(catalog: Catalog, site: Site) -> str:
    """The image of the edge engine, which can also fetch and verify weights.

    Raises:
        Refused: no engine of the catalog is our own with an image.
    """
    ours = [one for one in catalog.engines.values() if one.spec.recipe == "edge" and one.spec.image]
    if not ours:
        raise Refused("no engine with the recipe edge has an image, so nothing can fetch weights; give it one")
    return image_of(min(ours, key=lambda one: one.metadata.name), site)


def _source(site: Site, name: str, *, mirror: bool, sums: bool) -> list[str]:
    weights = premises_of(site).weights
    where = ["--mirror", weights.mirror] if mirror and weights.mirror else []
    return where + (["--sums", weights.sums[name]] if sums and name in weights.sums else [])


def _object(version: str, kind: str, name: str, site: Site) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": _labels(site)}}


def _labels(site: Site) -> dict[str, str]:
    return {
        "app.kubernetes.io/managed-by": "headwater",
        "app.kubernetes.io/part-of": "headwater",
        "headwater.dev/site": site.metadata.name,
    }
