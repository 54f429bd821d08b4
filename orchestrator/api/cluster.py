"""`KubernetesProfile`: what nodes with a family of chips publish, and what a pod on them must ask for and carry."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestrator.api.document import Metadata, Part
from orchestrator.api.quantities import Memory


class Resource(Part):
    """An extended resource that a device plugin publishes. Which plugin runs, the node's allocatable map says."""

    plugin: str = Field(min_length=1, description="who publishes it, such as mindcluster or hami")
    name: str = Field(min_length=1, description="as in the allocatable map, such as huawei.com/Ascend910")
    counts: Literal["units", "slices", "memory", "share"] = Field(
        default="units", description="what one of it is; a replica asks for units"
    )
    each: Memory | None = Field(default=None, description="memory that one of it stands for, when it counts memory")
    chips: tuple[str, ...] = Field(default=(), description="as the vendor names them; absent: all of the profile")


class NodeKind(Part):
    """Nodes that differ from the rest of their profile, known by their labels."""

    labels: dict[str, str] = Field(min_length=1, description="labels that tell them apart")
    counts: tuple[int, ...] = Field(
        default=(), description="units per pod that they accept; absent: as the profile says"
    )
    annotations: dict[str, str] = Field(default_factory=dict, description="annotations that pods on them must carry")
    block: str = Field(
        default="", description="annotation that takes the chips of a replica over whole nodes, to lie in one SuperPoD"
    )
    note: str = Field(default="", description="what to know about them")


class Slice(Part):
    """A part of one chip that a plugin hands out."""

    name: str = Field(description="as the plugin calls it, such as vir05_1c_16g")
    memory: Memory | None = Field(default=None, description="memory of the slice; absent: not known")
    chips: tuple[str, ...] = Field(default=(), description="as the vendor names them; absent: all of the profile")


class Sharing(Part):
    """How chips are cut into slices."""

    multi_card: bool = Field(default=False, description="one pod may hold slices of several chips")
    slices: tuple[Slice, ...] = Field(default=(), description="sizes that can be had; absent: any")
    note: str = Field(default="", description="what to know about it")


class Detection(Part):
    """How a host shows that it has such chips."""

    tool: str = Field(default="", description="the vendor's command, such as npu-smi")
    pci_vendors: tuple[str, ...] = Field(default=(), description="as 0x10de")
    files: tuple[str, ...] = Field(default=(), description="files that exist where a driver is installed")
    driver_label: str = Field(default="", description="label of nodes that tells the driver's version")


class PodNeeds(Part):
    """What a pod that uses the chips must carry."""

    labels: dict[str, str] = Field(default_factory=dict, description="labels of the pod")
    annotations: dict[str, str] = Field(default_factory=dict, description="annotations of the pod")
    scheduler: str = Field(default="", description="name of the scheduler; absent: the cluster's own")
    runtime_class: str = Field(default="", description="name of the RuntimeClass; absent: none")
    environment: dict[str, str] = Field(default_factory=dict, description="environment variables of its containers")
    devices: tuple[str, ...] = Field(default=(), description="device nodes, when no container runtime adds them")
    host_paths: tuple[str, ...] = Field(default=(), description="driver files mounted read-only from the node")
    multi_node_host_paths: tuple[str, ...] = Field(
        default=(), description="further files a group over several nodes needs"
    )
    shared_memory: Memory | None = Field(default=None, description="size of /dev/shm; absent: as it comes")
    root: str = Field(
        default="", description="why containers keep the user of their image, which may be root; absent: never root"
    )
    privileged: str = Field(default="", description="why containers are privileged; absent: they are not")


class KubernetesSpec(Part):
    """What the platform does with a family of chips."""

    resources: tuple[Resource, ...] = Field(
        default=(), description="in order of preference; the first that counts units is asked for by default"
    )
    unit: Literal["chip", "die", "board", "device"] = Field(default="chip", description="what one of the resource is")
    counts: tuple[int, ...] = Field(default=(), description="units per pod that the platform accepts; absent: any")
    numa_group: int | None = Field(
        default=None, gt=0, description="units of one NUMA half; smaller requests must not span two"
    )
    node_kinds: tuple[NodeKind, ...] = Field(default=(), description="nodes that differ from the rest")
    node_labels: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="labels of such nodes and values seen; no value: it varies"
    )
    pod: PodNeeds = Field(default=PodNeeds(), description="what a pod on them must carry")
    sharing: Sharing = Field(default=Sharing(), description="whether and how one chip serves several pods")
    detection: Detection = Field(default=Detection(), description="how a host shows that it has such chips")
    note: str = Field(default="", description="what to know about it")
    sources: tuple[str, ...] = Field(default=(), description="where it was read")


class KubernetesProfile(Part):
    """A family of chips as Kubernetes knows it."""

    api_version: Literal["headwater.dev/v1alpha1"] = Field(description="version of this schema")
    kind: Literal["KubernetesProfile"] = Field(description="what this document is")
    metadata: Metadata = Field(description="the name that HardwareProfiles refer to")
    spec: KubernetesSpec = Field(description="what the platform does with the chips")
