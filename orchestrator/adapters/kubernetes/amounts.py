"""Which extended resources a pod asks for, and how much of each: whole chips, slices of chips, or none at all.

Pure. Used by `checks` beside this file. Counts that a platform accepts are `orchestrator.core.allocation`'s rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestrator.api.cluster import KubernetesProfile, Resource
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.premises import Premises
from orchestrator.api.site import Pool
from orchestrator.core.allocation import resource_of
from orchestrator.errors import Refused

HAMI = "hami"


def amounts(
    profile: HardwareProfile, cluster: KubernetesProfile, pool: Pool, premises: Premises, chips: int
) -> Mapping[str, int]:
    """What a pod with so many chips asks for, by the resource's name; nothing for processors and unmanaged boards.

    Raises:
        Refused: no resource stands for the chip, or nothing there hands out slices of it.
    """
    name = profile.metadata.name
    if pool.slice is not None:
        return _slices(profile, cluster, pool, premises, chips)
    resource = resource_of(cluster, pool)
    if resource is not None:
        return {resource: chips}
    if profile.spec.kind == "cpu" or cluster.spec.pod.devices:
        return {}
    raise Refused(f"{name} has no Kubernetes resource, so no pod can ask for it")


def is_hamis(cluster: KubernetesProfile, resource: str) -> bool:
    """Whether HAMi alone publishes the resource, so that HAMi's scheduler must hand it out."""
    plugins = {one.plugin for one in cluster.spec.resources if one.name == resource}
    return plugins == {HAMI}


def _slices(
    profile: HardwareProfile, cluster: KubernetesProfile, pool: Pool, premises: Premises, chips: int
) -> Mapping[str, int]:
    name = profile.metadata.name
    if HAMI not in premises.has:
        raise Refused(f"a pool of {name} hands out slices, which HAMi does; list hami under kubernetes.has of the site")
    ours = [one for one in cluster.spec.resources if one.plugin == HAMI and _is_of(one, profile)]
    counted = next((one for one in ours if one.counts in {"units", "slices"}), None)
    memory = next((one for one in ours if one.counts == "memory" and one.each is not None), None)
    if counted is None or memory is None or memory.each is None or pool.slice is None:
        raise Refused(f"the catalog knows no resources of HAMi for slices of {name}; take whole chips")
    return {pool.resource or counted.name: chips, memory.name: math.ceil(pool.slice / memory.each)}


def _is_of(resource: Resource, profile: HardwareProfile) -> bool:
    named = {word.lower() for name in profile.spec.names for word in (name, *name.replace("/", " ").split())}
    return not resource.chips or any(chip.lower() in named for chip in resource.chips)
