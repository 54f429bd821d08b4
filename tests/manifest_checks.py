"""What rendered objects are held against: the API server's own schemas, and those of the neighbours' kinds.

The neighbours' definitions (LeaderWorkerSet, Ray, Prometheus) are read from `$HEADWATER_CRDS`, or from `shared/crds`
beside the checkout; without them their kinds are held against small schemas of ours, where there are any. Used by tests
of rendering.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[1]
CRDS = Path(os.environ.get("HEADWATER_CRDS", ROOT.parent / "shared" / "crds"))
OURS = {"LeaderWorkerSet": ROOT / "tests/adapters/kubernetes/lws.schema.json"}
KUBERNETES = "1.31"
FILES = {
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io_leaderworkersets.yaml",
    "PodMonitor": "monitoring.coreos.com_podmonitors.yaml",
    "RayCluster": "ray.io_rayclusters.yaml",
}
Object = dict[str, Any]
ERRORS = (jsonschema.ValidationError, kubernetes_validate.ValidationError)


def check(obj: Object, version: str = KUBERNETES) -> None:
    """Raise when the API server would find the object malformed, or would drop a field that it does not know."""
    if obj["kind"] not in FILES:
        kubernetes_validate.validate(obj, version, strict=True)
        return
    schema = neighbour(obj["kind"])
    if schema is not None:
        schema.validate(obj)
    for template in templates(obj):
        check({"apiVersion": "v1", "kind": "Pod"} | template, version)


def check_all(objects: Iterable[Object], version: str = KUBERNETES) -> None:
    for obj in objects:
        check(obj, version)


@cache
def neighbour(kind: str) -> jsonschema.Draft7Validator | None:
    """The validator of a neighbour's kind; None where its definition is not there and we have none of our own."""
    path = CRDS / FILES[kind]
    if path.is_file():
        definition = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        served = next(one for one in definition["spec"]["versions"] if one["storage"])
        return jsonschema.Draft7Validator(closed(served["schema"]["openAPIV3Schema"]))
    return jsonschema.Draft7Validator(json.loads(OURS[kind].read_text())) if kind in OURS else None


def closed(schema: Any) -> Any:
    """The schema without room for unknown fields, where the API server would drop them."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        known = "additionalProperties" in made or made.get("x-kubernetes-preserve-unknown-fields")
        if not known and not made.get("x-kubernetes-embedded-resource"):
            made["additionalProperties"] = False
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


def templates(obj: Object) -> list[Object]:
    """Pod templates of an object, leader first."""
    spec = obj.get("spec", {})
    if obj["kind"] in {"Deployment", "Job"}:
        return [spec["template"]]
    if obj["kind"] == "LeaderWorkerSet":
        return [spec["leaderWorkerTemplate"][name] for name in ("leaderTemplate", "workerTemplate")]
    if obj["kind"] == "RayCluster":
        return [spec["headGroupSpec"]["template"], *(one["template"] for one in spec["workerGroupSpecs"])]
    return []


def containers(objects: Iterable[Object]) -> Iterator[tuple[Object, Object]]:
    """Every container of every pod, init containers too, each with its pod template."""
    for obj in objects:
        for template in templates(obj):
            spec = template["spec"]
            for one in [*spec.get("initContainers", []), *spec["containers"]]:
                yield template, one


def of_kind(objects: Iterable[Object], kind: str) -> Object:
    """The one object of a kind."""
    (only,) = (one for one in objects if one["kind"] == kind)
    return only


def workload(objects: Iterable[Object]) -> Object:
    """The one object that runs pods for long."""
    (only,) = (one for one in objects if one["kind"] in {"Deployment", "LeaderWorkerSet"})
    return only
