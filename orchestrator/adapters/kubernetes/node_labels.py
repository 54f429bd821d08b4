"""What the labels of one node say about its chips: which profile, how much memory, which labels pick such nodes.

Pure. Called by `nodes` beside this file, which first found by the allocatable map which families come into question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.core.recognition import recognise

# MindCluster moves its labels below huawei.com/ and writes the old keys as well for a while
CHIP_NAMES = ("huawei.com/npu.chip.name", "node.kubernetes.io/npu.chip.name", "nvidia.com/gpu.product")
CHIP_MEMORIES = ("huawei.com/npu.chip.memory", "mind-cluster/npu-chip-memory", "nvidia.com/gpu.memory")
_FEATURE = "feature.node.kubernetes.io/cpu-cpuid."
_MOST_NAMES = 6
_GIB, _MIB = 1 << 30, 1 << 20
_MEMORY = re.compile(r"(\d{1,9})\s*([GM])?(?:i?B)?", re.IGNORECASE)
_SHARED = "-SHARED"  # what NVIDIA's feature discovery adds to the product of time-sliced chips


@dataclass(frozen=True, slots=True)
class Seen:
    """The profile, the labels that pick nodes like this one, and what a person should know."""

    profile: HardwareProfile | None
    labels: Mapping[str, str]
    note: str


def profile_of(
    labels: Mapping[str, str], resources: Sequence[str], families: Sequence[KubernetesProfile], catalog: Catalog
) -> Seen:
    """The chip of a node: by its name in a label, else in a resource, else the only one that no label speaks against.

    Args:
        labels: of the node.
        resources: names of which it publishes units.
        families: Kubernetes profiles whose resources these are.
        catalog: where the hardware profiles are.
    """
    fitting = {family.metadata.name for family in families if not _speaks_for_another(family, families, labels)}
    profiles = [one for one in catalog.profiles.values() if one.spec.kubernetes in fitting]
    for key in CHIP_NAMES:
        if labels.get(key):
            match = recognise(labels[key].removesuffix(_SHARED), chip_memory_bytes(labels), profiles)
            if match.profile is None:
                return Seen(None, {}, f"{key}={labels[key]}: {match.note}")
            return Seen(catalog.profiles[match.profile], _picking(labels, key), "")
    for resource in resources:
        match = recognise(resource.rpartition("/")[2], chip_memory_bytes(labels), profiles)
        if match.profile is not None:
            note = f"no label names the chip; {resource} does"
            return Seen(catalog.profiles[match.profile], _kind_labels(families, labels), note)
    agreeing = [
        one for one in profiles if all(labels.get(key, value) == value for key, value in one.spec.node_labels.items())
    ]
    if len(agreeing) == 1:
        told = {key: value for key, value in agreeing[0].spec.node_labels.items() if labels.get(key) == value}
        told |= _kind_labels(families, labels)
        only = "" if told else "no label names the chip; it is the only profile with this resource"
        return Seen(agreeing[0], told, only)
    names = sorted(one.metadata.name for one in agreeing)
    more = f" or {len(names) - _MOST_NAMES} others" if len(names) > _MOST_NAMES else ""
    can_be = " or ".join(names[:_MOST_NAMES]) + more or "no profile in the catalog"
    return Seen(None, {}, f"no label names the chip; by its resources it can be {can_be}")


def chip_memory_bytes(labels: Mapping[str, str]) -> int | None:
    """Memory of one chip: `64G` of Ascend means GiB, a bare number of NVIDIA means MiB."""
    for key in CHIP_MEMORIES:
        found = _MEMORY.fullmatch(labels.get(key, "").strip())
        if found:
            number, unit = int(found.group(1)), (found.group(2) or "M").upper()
            return number * (_GIB if unit == "G" else _MIB) or None
    return None


def cpu_of(labels: Mapping[str, str], catalog: Catalog) -> tuple[HardwareProfile | None, str]:
    """The processor of a node without accelerators, by the labels of node-feature-discovery; or why none is told."""
    features = {key.removeprefix(_FEATURE) for key, value in labels.items() if key.startswith(_FEATURE) and value}
    processors = [
        one
        for one in catalog.profiles.values()
        if one.spec.kind == "cpu" and one.spec.kubernetes is not None and one.spec.node_labels
        if all(labels.get(key) == value for key, value in one.spec.node_labels.items())
        if all(_feature(name) in features for name in one.spec.instructions)
    ]
    if len(processors) == 1:
        return processors[0], ""
    names = " or ".join(sorted(one.metadata.name for one in processors))
    can_be = f"it can be {names}" if names else "no profile of a processor agrees with them"
    return None, f"has no accelerator, and its labels do not tell the processor: {can_be}"


def _speaks_for_another(
    family: KubernetesProfile, families: Sequence[KubernetesProfile], labels: Mapping[str, str]
) -> bool:
    """Whether a label has a value that other families list, and this one, which lists others, does not."""
    for key, values in family.spec.node_labels.items():
        value = labels.get(key)
        if value is None or not values or value in values:
            continue
        if any(value in other.spec.node_labels.get(key, ()) for other in families):
            return True
    return False


def _kind_labels(families: Sequence[KubernetesProfile], labels: Mapping[str, str]) -> dict[str, str]:
    """Labels that tell kinds of servers with the same chip."""
    return {
        key: value
        for family in families
        for kind in family.spec.node_kinds
        for key, value in kind.labels.items()
        if labels.get(key) == value
    }


def _picking(labels: Mapping[str, str], key: str) -> dict[str, str]:
    """The label that names the chip, with those that tell apart nodes of the same chip."""
    others = (*CHIP_MEMORIES, "accelerator-type")
    return {one: labels[one] for one in (key, *others) if labels.get(one)}


def _feature(instruction: str) -> str:
    """`amx_bf16` is AMXBF16 there."""
    return instruction.replace("_", "").upper()
