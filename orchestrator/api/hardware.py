"""`HardwareProfile`: a chip as planner and scheduler must know it. Each number carries status and source.

A profile of this very machine is detected by `orchestrator.adapters.machine`. What Kubernetes needs to know is
`orchestrator.api.cluster`, which engines do on a chip is `orchestrator.api.engine`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestrator.api.document import Fact, Metadata, Name, Part
from orchestrator.api.quantities import Bandwidth, Compute, Duration, Memory, Power, Share

Dtype = Literal["fp32", "bf16", "fp16", "fp8", "int8", "fp4", "int4"]


class Link(Part):
    """What connects chips: one direction, per chip, to all peers together."""

    name: str = Field(description="as the vendor calls it")
    bandwidth: Fact[Bandwidth] = Field(description="one direction, of one chip, to all its peers together")
    latency: Fact[Duration] | None = Field(default=None, description="time of the smallest transfer")
    efficiency: Fact[Share] | None = Field(default=None, description="share of the bandwidth that transfers reach")
    group: int = Field(default=1, gt=0, description="chips that reach each other over it")
    note: str = Field(default="", description="what to know about it")


class Reached(Part):
    """Shares of the peaks that the vendor's own planning tools reckon with."""

    compute: Fact[Share] | None = Field(default=None, description="share of the peak compute rate")
    memory: Fact[Share] | None = Field(default=None, description="share of the memory bandwidth")


class PciIds(Part):
    """How the chip appears on the bus."""

    vendors: tuple[str, ...] = Field(default=(), description="as 0x19e5")
    devices: tuple[str, ...] = Field(default=(), description="as 3686, without vendor; absent: not known")


class HardwareSpec(Part):
    """The numbers of one chip as Kubernetes counts it (for a CPU: of one whole machine)."""

    vendor: str = Field(description="who makes it")
    family: str = Field(description="the series it belongs to")
    names: tuple[str, ...] = Field(default=(), description="as tools and sellers call it")
    kind: Literal["cpu", "gpu", "npu"] = Field(description="what it is")
    place: Literal["datacenter", "edge"] = Field(default="datacenter", description="where it is at home")
    architecture: str = Field(default="", description="as compilers and tools name it")
    pci: PciIds = Field(default=PciIds(), description="its ids on the bus")
    memory: Fact[Memory] = Field(description="of one chip; of a CPU: of the whole machine")
    allocatable: Fact[Memory] | None = Field(default=None, description="what programs can have of it, when less")
    memory_sizes: tuple[Memory, ...] = Field(
        default=(), description="every size sold under this name, when there are several: the node says which"
    )
    bandwidth: Fact[Bandwidth] = Field(description="between the chip and its memory")
    peaks: dict[Dtype, Fact[Compute]] = Field(
        default_factory=dict, description="dense; a dtype without entry has no path"
    )
    reached: Reached = Field(
        default=Reached(), description="what the vendor's tools reckon programs reach of the peaks"
    )
    power: Fact[Power] | None = Field(default=None, description="at full load")
    cores: int | None = Field(default=None, gt=0, description="physical cores of a CPU")
    instructions: tuple[str, ...] = Field(default=(), description="instruction sets of a CPU that matter to engines")
    node_link: Link | None = Field(default=None, description="between chips of one node")
    network: Link | None = Field(default=None, description="between nodes")
    kubernetes: Name | None = Field(default=None, description="a KubernetesProfile")
    node_labels: dict[str, str] = Field(default_factory=dict, description="labels that nodes with this chip carry")
    execution_providers: tuple[str, ...] = Field(
        default=(), description="ONNX Runtime execution providers to try, best first; the CPU is always the last"
    )
    engines: tuple[Name, ...] = Field(default=(), description="Engines that run on it")
    note: str = Field(default="", description="what to know about it")


class HardwareProfile(Part):
    """A chip as the catalog knows it."""

    api_version: Literal["headwater.dev/v1alpha1"] = Field(description="version of this schema")
    kind: Literal["HardwareProfile"] = Field(description="what this document is")
    metadata: Metadata = Field(description="the chip's name in plans and sites")
    spec: HardwareSpec = Field(description="its numbers")
