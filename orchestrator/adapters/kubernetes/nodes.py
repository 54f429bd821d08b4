"""Nodes of a cluster as sites: identical nodes become a pool of the profile that their labels and resources tell.

Pure: node objects in, as `kubectl get nodes -o json` prints them, sites out. Reading a cluster is `client`, reading a
file is `node_files`, what the labels of one node say is `node_labels`, all beside this file. The command line calls it.

What a node says goes over what is usual: the resource name is the one in its allocatable map, whatever the chip is
called, and memory is what its labels say, whatever the family is called.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.adapters.kubernetes.node_labels import Seen, chip_memory_bytes, cpu_of, profile_of
from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.document import API_VERSION, Metadata
from orchestrator.api.kinds import Catalog
from orchestrator.api.quantities import MEMORY
from orchestrator.api.site import Pool, Site, SiteSpec
from orchestrator.core.recognition import differs

REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
NOWHERE = "default"  # the region of nodes that tell none
_MOST_SHOWN = 8
_LARGEST_COUNT = 1024
_QUANTITY = re.compile(r"(\d{1,18})([KMGTP]i)?")
_BUILT_IN = ("cpu", "memory", "ephemeral-storage", "pods")
_MIG = "nvidia.com/mig-"
_COUNT = "nvidia.com/gpu.count"


@dataclass(frozen=True, slots=True)
class Survey:
    """The sites, the nodes that are in none with the reason, and what a person should know."""

    sites: tuple[Site, ...]
    left_out: tuple[tuple[str, str], ...]  # node, reason
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    labels: Mapping[str, str]
    allocatable: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The pool one node would be alone."""

    region: str
    pool: Pool


def survey(nodes: Iterable[Any], catalog: Catalog, *, name: str, cpu: bool = False) -> Survey:
    """Pools of identical ready nodes, one site for each region.

    Args:
        nodes: node objects; anything else among them is left out with a reason.
        catalog: profiles and what Kubernetes does with them.
        name: of the site; with several regions each site is called `name-region`.
        cpu: nodes without accelerators become pools too, instead of being left out.
    """
    left_out: list[tuple[str, str]] = []
    notes: list[str] = []
    alike: dict[str, list[_Plan]] = defaultdict(list)
    for number, item in enumerate(nodes, start=1):
        node = _node(item)
        plan = node if isinstance(node, str) else _plan(node, catalog, notes, cpu=cpu)
        if isinstance(plan, str):
            left_out.append((_name(item) or f"item {number}", plan))
        else:
            alike[f"{plan.region} {plan.pool!r}"].append(plan)
    regions: dict[str, list[Pool]] = defaultdict(list)
    for plans in alike.values():
        first = plans[0]
        regions[first.region].append(first.pool.model_copy(update={"nodes": len(plans)}))
    several = len(regions) > 1
    sites = tuple(
        _site(f"{name}-{region}" if several else name, region, pools) for region, pools in sorted(regions.items())
    )
    return Survey(sites, tuple(left_out), tuple(dict.fromkeys(notes)))


def _site(name: str, region: str, pools: list[Pool]) -> Site:
    pools = sorted(pools, key=lambda pool: (pool.profile, -pool.chips, repr(pool)))
    spec = SiteSpec(role="cloud", region=region, fleet="kubernetes", pools=tuple(pools))
    return Site(api_version=API_VERSION, kind="Site", metadata=Metadata(name=_as_name(name)), spec=spec)


def _plan(node: _Node, catalog: Catalog, notes: list[str], *, cpu: bool) -> _Plan | str:
    """The pool, or why there is none."""
    region = _as_name(next((node.labels[key] for key in REGION if node.labels.get(key)), NOWHERE))
    chosen = _units(node, catalog)
    if not chosen:
        slices = [f"{key}: {count}" for key, count in node.allocatable.items() if key in _slice_names(catalog)]
        if slices:
            return f"hands out slices only ({', '.join(slices)}): write a pool with `slice`"
        others = [key for key, count in node.allocatable.items() if "/" in key and count]
        if others:
            return f"publishes nothing the catalog knows: {_shown(node.allocatable)}"
        pool = _cpu_pool(node, catalog) if cpu else "has no accelerator; --cpu makes pools of such nodes"
        return pool if isinstance(pool, str) else _Plan(region, pool)
    units = [one.name for family in chosen for one in family.spec.resources if one.counts == "units"]
    published = list(dict.fromkeys(name for name in units if node.allocatable.get(name)))
    seen = profile_of(node.labels, published, chosen, catalog)
    if seen.profile is None:
        return f"{seen.note}; allocatable: {_shown(node.allocatable)}"
    cluster = catalog.clusters[seen.profile.spec.kubernetes or ""]
    resource = _resource(node, cluster, notes)
    count = _count(node, cluster, resource, notes)
    if count > _LARGEST_COUNT:
        return f"says {resource}: {count}, more chips than a node can have"
    if seen.note:
        notes.append(f"{seen.profile.metadata.name}: {seen.note}")
    usual = next(one.name for one in cluster.spec.resources if one.counts == "units")
    written = {
        "profile": seen.profile.metadata.name,
        "chips": count,
        "memory": _memory_over(seen, node.labels, notes),
        "resource": "" if resource == usual else resource,
        "labels": dict(seen.labels),
    }
    return _Plan(region, Pool.model_validate(written))


def _units(node: _Node, catalog: Catalog) -> list[KubernetesProfile]:
    """Kubernetes profiles of which the node publishes whole units."""
    return [
        cluster
        for cluster in catalog.clusters.values()
        if any(one.counts == "units" and node.allocatable.get(one.name) for one in cluster.spec.resources)
    ]


def _slice_names(catalog: Catalog) -> set[str]:
    return {
        one.name
        for cluster in catalog.clusters.values()
        for one in cluster.spec.resources
        if one.counts == "slices" or one.name.startswith(_MIG)
    }


def _resource(node: _Node, cluster: KubernetesProfile, notes: list[str]) -> str:
    """The resource to ask for: the first in the profile's order; a second plugin on the node is a conflict."""
    found = [one for one in cluster.spec.resources if one.counts == "units" and node.allocatable.get(one.name)]
    names = list(dict.fromkeys(one.name for one in found))
    sliced = [one for one in cluster.spec.resources if one.counts == "slices" and node.allocatable.get(one.name)]
    names += [one.name for one in sliced]
    if len(names) > 1:
        rest = ", ".join(f"{name}: {node.allocatable[name]}" for name in names[1:])
        notes.append(
            f"{node.name}: two plugins publish the same chips; {names[0]}: {node.allocatable[names[0]]} is taken "
            f"over {rest}; switch one off"
        )
    return names[0]


def _count(node: _Node, cluster: KubernetesProfile, resource: str, notes: list[str]) -> int:
    """Chips of the node: units of the resource, fewer where the node says that units share chips."""
    count = node.allocatable[resource]
    shares = [
        one.name
        for one in cluster.spec.resources
        if one.counts in {"memory", "share"} and node.allocatable.get(one.name) and one.name not in _BUILT_IN
    ]
    shares += [key for key, many in node.allocatable.items() if key.startswith(_MIG) and many]
    written = node.labels.get(_COUNT, "") if resource == "nvidia.com/gpu" else ""
    real = int(written) if written.isascii() and written.isdigit() and len(written) <= len("9999") else 0
    if shares:
        notes.append(
            f"{node.name}: chips are also handed out in slices ({', '.join(shares[:_MOST_SHOWN])}); "
            f"{resource}: {count} counts what may be shared"
        )
    if 0 < real < count:
        notes.append(f"{node.name}: {count} units of {resource} are {real} chips ({_COUNT}); {real} are planned with")
        count = real
    return count


def _memory_over(seen: Seen, labels: Mapping[str, str], notes: list[str]) -> str | None:
    """Memory of one chip as the labels say it, when it is another than the profile's."""
    read = chip_memory_bytes(labels)
    if seen.profile is None or read is None:
        return None
    spec = seen.profile.spec
    said = [fact.value for fact in (spec.memory, spec.allocatable) if fact is not None and fact.value is not None]
    if any(not differs(read, size) for size in said):
        return None
    notes.append(f"{seen.profile.metadata.name}: nodes say {MEMORY.show(read)} for a chip; that is planned with")
    return MEMORY.show(read)


def _cpu_pool(node: _Node, catalog: Catalog) -> Pool | str:
    profile, note = cpu_of(node.labels, catalog)
    if profile is None:
        return note
    memory = node.allocatable.get("memory")
    written = MEMORY.show(memory) if memory else None
    return Pool.model_validate({"profile": profile.metadata.name, "memory": written})


def _node(item: Any) -> _Node | str:
    """A node that takes work, with clean maps; or why it is none."""
    metadata, spec, status = (_map(item, key) for key in ("metadata", "spec", "status"))
    name = _name(item)
    if not name:
        return "is no node object: metadata.name is missing"
    ready = [one for one in _maps(status, "conditions") if one.get("type") == "Ready"]
    if not any(one.get("status") == "True" for one in ready):
        return "is not ready"
    if spec.get("unschedulable") is True:
        return "is cordoned"
    for taint in _maps(spec, "taints"):
        if str(taint.get("effect")) in {"NoSchedule", "NoExecute"}:
            return f"is tainted {taint.get('key')}={taint.get('value') or ''}:{taint.get('effect')}"
    labels = {key: value for key, value in _map(metadata, "labels").items() if isinstance(value, str)}
    amounts = {key: _amount(value) for key, value in _map(status, "allocatable").items() if isinstance(key, str)}
    return _Node(name, labels, {key: amount for key, amount in amounts.items() if amount is not None})


def _name(item: Any) -> str:
    name = _map(item, "metadata").get("name")
    return name if isinstance(name, str) else ""


def _map(item: Any, key: str) -> Mapping[str, Any]:
    value = item.get(key) if isinstance(item, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _maps(item: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = item.get(key)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _amount(written: Any) -> int | None:
    """`8` and `527831968Ki`; None for what counts nothing whole, such as `95m`."""
    found = _QUANTITY.fullmatch(str(written)) if isinstance(written, str | int) else None
    if found is None:
        return None
    number, unit = found.groups()
    power = "KMGTP".index(unit[0]) + 1 if unit else 0
    return int(number) << 10 * power


def _shown(allocatable: Mapping[str, int]) -> str:
    extended = [f"{key}: {count}" for key, count in allocatable.items() if "/" in key][:_MOST_SHOWN]
    return ", ".join(extended) or "nothing but " + ", ".join(_BUILT_IN[:2])


def _as_name(text: str) -> str:
    """A label's value as a name of ours: `CN_East` becomes `cn-east`."""
    return re.sub(r"[^a-z0-9.-]", "-", text.lower())[:63].strip("-.") or NOWHERE
