"""How many chips a pod may ask for, and of which resource: the platform's rules. Pure.

Counts are in the unit that Kubernetes counts: dies of a package with two, boards that carry several chips. Rules come
from the KubernetesProfile; what a pool's nodes report goes before it. Called by `orchestrator.core.configurations`,
`orchestrator.core.sizing` and the Kubernetes renderer.
"""

from __future__ import annotations

from orchestrator.api.cluster import KubernetesProfile, NodeKind
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.site import Pool
from orchestrator.core.fit import Rejected, Why


def accepted_counts(cluster: KubernetesProfile | None, pool: Pool) -> tuple[int, ...]:
    """Units that one pod may ask for on a node of the pool, ascending."""
    upto = tuple(range(1, pool.chips + 1))
    if cluster is None:
        return upto
    kind = node_kind(cluster, pool)
    counts = (kind.counts if kind else ()) or cluster.spec.counts or upto
    if pool.slice is not None and not cluster.spec.sharing.multi_card:
        counts = (1,)
    return tuple(sorted(count for count in set(counts) if count <= pool.chips))


def check_count(cluster: KubernetesProfile | None, pool: Pool, chips: int, subject: str) -> Rejected | None:
    """None when a pod may ask for so many; otherwise which counts it may, and the next that would do."""
    counts = accepted_counts(cluster, pool)
    if chips in counts:
        return None
    unit = cluster.spec.unit if cluster else "chip"
    have = f"{', '.join(map(str, counts)) or 'none'} on a node of {pool.chips}"
    next_count = next((count for count in counts if count > chips), None)
    hint = f"take {next_count}" if next_count else f"take {counts[-1]}, or more nodes" if counts else ""
    if cluster and pool.slice is not None and not cluster.spec.sharing.multi_card:
        hint = "slices of several chips do not work together; take whole chips"
    elif cluster and cluster.spec.numa_group and next_count and chips < cluster.spec.numa_group:
        hint += f"; fewer than {pool.chips} must stay inside one half of {cluster.spec.numa_group}"
    return Rejected(subject, Why.COUNT, f"{chips} {unit}s in a pod", have, hint)


def node_kind(cluster: KubernetesProfile, pool: Pool) -> NodeKind | None:
    """The kind of node that the pool's labels name, when the profile tells several apart."""
    for kind in cluster.spec.node_kinds:
        if kind.labels.items() <= pool.labels.items():
            return kind
    return None


def resource_of(cluster: KubernetesProfile, pool: Pool) -> str | None:
    """The extended resource a pod asks for: as the pool's nodes publish it, else the vendor plugin's name."""
    names = (resource.name for resource in cluster.spec.resources if resource.counts == "units")
    return pool.resource or next(names, None)


def node_of(profile: HardwareProfile, cluster: KubernetesProfile | None) -> int:
    """Chips in a usual node: the largest count a pod may ask for, else the group its link connects."""
    counts = cluster.spec.counts if cluster else ()
    link = profile.spec.node_link
    return max(counts) if counts else min(link.group if link else 1, 16)
