"""`HardwareProfile`: a chip as planner and scheduler must know it; `Engine`: a program that runs models on some chips.

Each number carries status and source. A profile of this very machine is detected by `orchestrator.adapters.machine`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from orchestrator.api.document import Fact, Metadata, Name, Part
from orchestrator.api.quantities import Bandwidth, Compute, Duration, Memory, Share

Dtype = Literal["fp32", "bf16", "fp16", "fp8", "int8", "int4"]


class Link(Part):
    """What connects chips: one direction, per chip, to all peers together."""

    name: str
    bandwidth: Fact[Bandwidth]
    latency: Fact[Duration] | None = None
    group: int = Field(default=1, gt=0, description="chips that reach each other over it")


class PodNeeds(Part):
    """What a pod that uses the chip must ask for and carry."""

    resource: str = Field(description="extended resource the device plugin publishes")
    counts: tuple[int, ...] = Field(description="chips per pod that the platform accepts")
    node_labels: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    scheduler: str = ""
    runtime_class: str = ""
    host_paths: tuple[str, ...] = Field(default=(), description="driver files mounted read-only from the node")
    multi_node_host_paths: tuple[str, ...] = Field(
        default=(), description="further files a group over several nodes needs"
    )
    shared_memory: Memory | None = None
    sources: tuple[str, ...] = ()


class HardwareSpec(Part):
    """The numbers of one chip (for a CPU: of one whole machine)."""

    vendor: str
    family: str
    kind: Literal["cpu", "gpu", "npu"]
    memory: Fact[Memory]
    bandwidth: Fact[Bandwidth]
    peaks: dict[Dtype, Fact[Compute]] = Field(
        default_factory=dict, description="dense; a dtype without entry has no path"
    )
    cores: int | None = Field(default=None, gt=0, description="physical cores of a CPU")
    instructions: tuple[str, ...] = Field(default=(), description="instruction sets of a CPU that matter to engines")
    node_link: Link | None = Field(default=None, description="between chips of one node")
    network: Link | None = Field(default=None, description="between nodes")
    pod: PodNeeds | None = None
    engines: tuple[Name, ...] = ()
    note: str = ""


class HardwareProfile(Part):
    """A chip as the catalog knows it."""

    api_version: Literal["headwater.dev/v1alpha1"]
    kind: Literal["HardwareProfile"]
    metadata: Metadata
    spec: HardwareSpec


class Efficiency(Part):
    """Share of a peak that the engine reaches: middle, and the 10th and 90th percentile."""

    value: Share
    low: Share
    high: Share
    status: Literal["measured", "derived", "unverified"]
    sources: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Efficiency:
        if not 0 < self.low <= self.value <= self.high:
            raise ValueError(f"expected 0 < low <= value <= high, got {self.low}, {self.value}, {self.high}")
        return self


class EngineSpec(Part):
    """What an engine can do on its chips, and how it is had."""

    recipe: Literal["vllm", "vllm-ascend", "edge"]
    image: str = Field(default="", description="image name without a registry host; the site's mirror is put before it")
    dtypes: tuple[Dtype, ...]
    quantizations: dict[str, str] = Field(
        description="quantization the engine runs, and the flag value it needs (may be empty)"
    )
    refused: dict[str, str] = Field(default_factory=dict, description="quantization it cannot run, and why")
    environment: dict[str, str] = Field(default_factory=dict)
    memory_efficiency: Efficiency
    compute_efficiency: Efficiency
    step_overhead: Duration = Field(description="time per engine step that neither memory nor compute explains")
    sources: tuple[str, ...] = ()


class Engine(Part):
    """An engine build for a family of chips."""

    api_version: Literal["headwater.dev/v1alpha1"]
    kind: Literal["Engine"]
    metadata: Metadata
    spec: EngineSpec
