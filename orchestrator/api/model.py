"""`Model`: a card with architecture, licence, lineage and where weights come from.

Dimensions are stored, totals are not: `orchestrator.core.architecture` computes them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestrator.api.architecture import Architecture, Component
from orchestrator.api.document import Metadata, Name, Part
from orchestrator.api.quantities import Memory
from orchestrator.api.quantization import Format, Quantization
from orchestrator.api.spdx import Spdx
from orchestrator.api.territory import Territory

Modality = Literal["text", "image", "audio", "video", "3d"]


class Duty(Part):
    """Something the licence asks of whoever uses the weights."""

    kind: Literal["display", "notice", "acceptance", "registration", "users", "revenue", "use"] = Field(
        description="display a name, keep a notice, accept terms, register, a limit of users or revenue, barred uses"
    )
    text: str = Field(min_length=1, max_length=400, description="what is asked, in one sentence")


class Licence(Part):
    """The licence of the weights."""

    spdx: Spdx = Field(description="SPDX expression; LicenseRef-… for other texts, NOASSERTION for none")
    status: Literal["verified", "secondary", "unverified"] = Field(
        description="whether the text itself was read, somebody else's word was taken, or neither"
    )
    duties: tuple[Duty, ...] = Field(default=(), description="what it asks of whoever uses the weights")
    excluded: tuple[Territory, ...] = Field(
        default=(), description="territories it is not granted in: eu, or country codes"
    )
    outputs_may_train: bool | None = Field(
        default=None, description="whether answers may train other models; absent: the text does not forbid it"
    )
    note: str = Field(default="", description="what to know about it")
    sources: tuple[str, ...] = Field(default=(), description="where it was read")


class Release(Part):
    """A checkpoint somebody published."""

    quantization: Quantization = Field(description="how its weights are stored")
    format: Format = Field(description="how its files are laid out")
    name: str = Field(description="hub name of the checkpoint")
    of: str = Field(default="", description="the checkpoint it was made from, when that is not the card's own")
    chips: tuple[Name, ...] = Field(default=(), description="only on these; absent: whatever reads the format")
    note: str = Field(default="", description="what to know about it")
    sources: tuple[str, ...] = Field(default=(), description="where it was read")


class PublishedCounts(Part):
    """Parameter counts as the organisation states them, to hold the computed ones against."""

    total: int = Field(gt=0, description="all parameters")
    active: int | None = Field(default=None, gt=0, description="those that work on one token; absent: not stated")
    note: str = Field(default="", description="what the organisation counts, and why it differs where it does")
    sources: tuple[str, ...] = Field(default=(), description="where it was read")


class Footprint(Part):
    """Memory that one published setting of a model needed."""

    setting: str = Field(min_length=1, max_length=200, description="resolution, length, precision and so on")
    memory: Memory = Field(description="what it needed of one chip")
    sources: tuple[str, ...] = Field(default=(), description="where it was read")


class ModelSpec(Part):
    """The card."""

    family: Name = Field(description="the series it belongs to")
    organisation: str = Field(description="who made it")
    inputs: tuple[Modality, ...] = Field(default=("text",), description="what it takes; absent: text")
    outputs: tuple[Modality, ...] = Field(default=("text",), description="what it gives; absent: text")
    reasoning: bool = Field(default=False, description="thinks in tokens before it answers")
    licence: Licence = Field(description="what may be done with the weights")
    hub: str = Field(default="", description="name on the hub, such as Qwen/Qwen3-0.6B")
    also: tuple[str, ...] = Field(default=(), description="other checkpoints with the same dimensions")
    source: str = Field(default="", description="where the edge build takes weights: package://, hf://, a path")
    architecture: Architecture | None = Field(
        default=None, description="absent: not published, or the model is no decoder"
    )
    components: tuple[Component, ...] = Field(default=(), description="parts of a model that is no decoder")
    footprints: tuple[Footprint, ...] = Field(
        default=(), description="memory that published settings needed, where it cannot be computed"
    )
    context: int | None = Field(default=None, gt=0, description="longest context in tokens")
    native: Quantization | None = Field(default=None, description="how the organisation's own weights are stored")
    native_format: Format = Field(default="plain", description="how the organisation's own files are laid out")
    published: PublishedCounts | None = Field(
        default=None, description="parameter counts as the organisation states them"
    )
    base: tuple[str, ...] = Field(default=(), description="models whose weights this one started from")
    teachers: tuple[str, ...] = Field(default=(), description="models this one was distilled from")
    students: tuple[str, ...] = Field(default=(), description="models distilled from this one")
    releases: tuple[Release, ...] = Field(default=(), description="checkpoints in other quantizations or formats")
    confidence: Literal["high", "medium", "low"] = Field(
        default="medium", description="of the dimensions: read and cross-checked, in part inferred, or from one note"
    )
    unverified: tuple[str, ...] = Field(default=(), description="what nobody verified")
    sources: tuple[str, ...] = Field(default=(), description="where it was read")


class Model(Part):
    """A model as the catalog knows it."""

    api_version: Literal["headwater.dev/v1alpha1"] = Field(description="version of this schema")
    kind: Literal["Model"] = Field(description="what this document is")
    metadata: Metadata = Field(description="the model's name in services")
    spec: ModelSpec = Field(description="the card")
