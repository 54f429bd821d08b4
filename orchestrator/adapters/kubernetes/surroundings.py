"""What a cluster has, read from its objects: nodes, kinds it serves, classes, add-ons, edge platform.

Pure. Objects come from `client` or from a file that kubectl wrote (`node_files`); both give the same. Used by
`headwater discover`, which writes it into a Site, and by `wants` beside this file, which holds a plan against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from orchestrator.api.premises import Addon

KINDS = ("Node", "RuntimeClass", "StorageClass", "CustomResourceDefinition")
OF_ADDONS: Mapping[str, str] = {
    "lws": "leaderworkerset.x-k8s.io",
    "volcano": "scheduling.volcano.sh",
    "kueue": "kueue.x-k8s.io",
    "kuberay": "ray.io",
    "prometheus": "monitoring.coreos.com",
}
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_HAMI = "hami.io/node-"  # annotations by which HAMi's plugins tell its scheduler what a node has
_EDGE_LABELS = {"openyurt": "openyurt.io/is-edge-worker", "kubeedge": "node-role.kubernetes.io/edge"}
_EDGE_VERSIONS = {"kubeedge": "kubeedge", "k3s": "+k3s"}


@dataclass(frozen=True, slots=True)
class Access:
    """Whether we may do something in the namespace."""

    verb: str
    group: str
    resource: str
    allowed: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was seen. None where nobody looked, which is not the same as nothing."""

    nodes: tuple[Mapping[str, Any], ...]
    kinds: frozenset[tuple[str, str]] | None  # group and kind of custom resources
    runtime_classes: frozenset[str] | None
    storage_classes: frozenset[str] | None
    default_storage: bool
    version: str  # of the API server, as v1.33.1; empty: not told
    access: tuple[Access, ...]

    @property
    def addons(self) -> tuple[Addon, ...]:
        """What is installed, as a site lists it."""
        groups = {group for group, _ in self.kinds or ()}
        found = {name for name, group in OF_ADDONS.items() if group in groups}
        if any(key.startswith(_HAMI) for node in self.nodes for key in _strings(node, "annotations")):
            found.add("hami")
        return tuple(name for name in get_args(Addon) if name in found)

    @property
    def edge(self) -> str | None:
        """What joins edge nodes, when any node says so."""
        for platform, label in _EDGE_LABELS.items():
            marked = [_strings(node, "labels").get(label) for node in self.nodes]
            if any(value is not None and value != "false" for value in marked):
                return platform
        versions = [str(_map(_map(node, "status"), "nodeInfo").get("kubeletVersion", "")) for node in self.nodes]
        for platform, mark in _EDGE_VERSIONS.items():
            if any(mark in version for version in versions):
                return platform
        return None


def surroundings(
    objects: Iterable[Any], *, looked: Iterable[str] | None = None, access: Iterable[Access] = (), version: str = ""
) -> Surroundings:
    """Sort objects by kind; anything else is left out.

    Args:
        objects: as the API server gives them, each with its kind.
        looked: kinds that were asked for; None: all, when there is any object that is no node, as in a file.
        access: what was asked of our rights.
        version: of the API server; empty: that of a node.
    """
    by_kind: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in KINDS}
    for one in objects:
        kind = one.get("kind") if isinstance(one, Mapping) else None
        if isinstance(kind, str) and kind in by_kind:
            by_kind[kind].append(one)
    whole = any(by_kind[kind] for kind in KINDS if kind != "Node")
    seen = set(KINDS if whole else ["Node"]) if looked is None else set(looked)
    nodes, storage = tuple(by_kind["Node"]), by_kind["StorageClass"]
    told = version or str(_map(_map(nodes[0], "status"), "nodeInfo").get("kubeletVersion", "") if nodes else "")
    served = frozenset(_served(by_kind["CustomResourceDefinition"]))
    return Surroundings(
        nodes=nodes,
        kinds=served if "CustomResourceDefinition" in seen else None,
        runtime_classes=_names(by_kind["RuntimeClass"]) if "RuntimeClass" in seen else None,
        storage_classes=_names(storage) if "StorageClass" in seen else None,
        default_storage=any(_strings(one, "annotations").get(_DEFAULT) == "true" for one in storage),
        version=told,
        access=tuple(access),
    )


def allocatable(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the node hands out."""
    return _map(_map(node, "status"), "allocatable")


def node_labels(node: Mapping[str, Any]) -> Mapping[str, str]:
    """Labels of the node."""
    return _strings(node, "labels")


def node_name(node: Mapping[str, Any]) -> str:
    """Name of the node."""
    return str(_map(node, "metadata").get("name", ""))


def _served(definitions: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for one in definitions:
        spec = _map(one, "spec")
        group, kind = spec.get("group"), _map(spec, "names").get("kind")
        if isinstance(group, str) and isinstance(kind, str):
            yield group, kind


def _names(objects: list[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(node_name(one) for one in objects)


def _strings(item: Mapping[str, Any], key: str) -> Mapping[str, str]:
    found = _map(_map(item, "metadata"), key)
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _map(item: Any, key: str) -> Mapping[str, Any]:
    value = item.get(key) if isinstance(item, Mapping) else None
    return value if isinstance(value, Mapping) else {}
