"""`Engine`: a program that runs models on some chips: what it reads, what it refuses, how it is had.

How fast it is on a chip is a `Calibration`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from orchestrator.api.document import Metadata, Name, Part, Status
from orchestrator.api.hardware import Dtype
from orchestrator.api.quantization import Format, Quantization


class Reads(Part):
    """One kind of checkpoint the engine reads."""

    quantization: Quantization = Field(description="how the weights are stored")
    format: Format = Field(description="how the files are laid out")
    flag: str = Field(default="", description="value of the engine's quantization flag; empty: it sees for itself")
    chips: tuple[Name, ...] = Field(default=(), description="only on these; absent: on every chip of the engine")
    only: Literal["", "dense", "experts"] = Field(default="", description="only models of this kind")
    families: tuple[Name, ...] = Field(default=(), description="only these families of models; absent: any")
    status: Status = Field(default="vendor", description="how far it can be trusted that it works")
    note: str = Field(default="", description="what to know about it")


class Refuses(Part):
    """A quantization or a format the engine cannot run, and what to take instead."""

    quantization: Quantization | None = Field(default=None, description="what it refuses; absent: in every one")
    format: Format | None = Field(default=None, description="the layout it refuses; absent: in every one")
    chips: tuple[Name, ...] = Field(default=(), description="only on these; absent: on every chip of the engine")
    why: str = Field(min_length=1, max_length=400, description="the reason, and what to take instead")

    @model_validator(mode="after")
    def _something_is_refused(self) -> Refuses:
        if self.quantization is None and self.format is None:
            raise ValueError("give quantization, format, or both")
        return self


class EngineSpec(Part):
    """What an engine can do on its chips, and how it is had."""

    program: str = Field(min_length=1, description="such as vLLM")
    recipe: Literal["vllm", "vllm-ascend", "edge"] | None = Field(
        default=None, description="how it is launched; absent: not from here yet"
    )
    apart: bool = Field(default=False, description="its recipe starts prefill and decode apart")
    image: str = Field(default="", description="image name without a registry host; the site's mirror is put before it")
    images: tuple[str, ...] = Field(default=(), description="patterns of image names that are published")
    dtypes: tuple[Dtype, ...] = Field(default=(), description="types it computes in")
    reads: tuple[Reads, ...] = Field(default=(), description="checkpoints it runs")
    refuses: tuple[Refuses, ...] = Field(default=(), description="checkpoints it is known not to run")
    cache: tuple[Dtype, ...] = Field(default=(), description="further types it can keep the key-value cache in")
    flags: tuple[str, ...] = Field(default=(), description="launch flags that matter on these chips")
    environment: dict[str, str] = Field(default_factory=dict, description="environment variables it is started with")
    variables: tuple[str, ...] = Field(default=(), description="further environment variables it listens to")
    versions: str = Field(default="", description="versions of drivers, toolkits and programs it was seen with")
    note: str = Field(default="", description="what to know about it")
    sources: tuple[str, ...] = Field(default=(), description="where it was read")


class Engine(Part):
    """An engine build for a family of chips."""

    api_version: Literal["headwater.dev/v1alpha1"] = Field(description="version of this schema")
    kind: Literal["Engine"] = Field(description="what this document is")
    metadata: Metadata = Field(description="the name that HardwareProfiles list")
    spec: EngineSpec = Field(description="what it can do")
