"""What the operator writes into the status of a `ModelService` or a `Site` that lives in Kubernetes.

People never write it, so it is no part of a document; `orchestrator.api.crds` gives it to the API server as a schema.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestrator.api.document import Name, Part

Timestamp = str
"""RFC 3339, as the API server writes it."""


class Condition(Part):
    """One thing that is or is not so, in the form that every Kubernetes tool knows."""

    type: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9]*$", max_length=316, description="what it is about: Ready, Planned or Stalled"
    )
    status: Literal["True", "False", "Unknown"] = Field(description="whether it is so")
    observed_generation: int = Field(default=0, ge=0, description="generation of the spec it speaks of")
    last_transition_time: Timestamp = Field(
        json_schema_extra={"format": "date-time"}, description="when the status last changed"
    )
    reason: str = Field(
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024, description="one word for programs"
    )
    message: str = Field(max_length=32768, description="one sentence for people, with the numbers")


class TierStatus(Part):
    """How one tier of a service is."""

    tier: Literal["student", "teacher"] = Field(description="which tier")
    model: Name | None = Field(default=None, description="the Model it runs")
    quantization: str = Field(default="", description="the quantization that was picked")
    site: Name | None = Field(default=None, description="where it runs; absent: it has no place")
    wanted: int = Field(default=0, ge=0, description="replicas it should have")
    ready: int = Field(default=0, ge=0, description="replicas that answer")


class ServiceStatus(Part):
    """How a service is."""

    observed_generation: int = Field(default=0, ge=0, description="generation of the spec this status speaks of")
    conditions: tuple[Condition, ...] = Field(
        default=(), json_schema_extra={"x-kubernetes-list-map-keys": ["type"]}, description="what is and is not so"
    )
    url: str = Field(default="", description="where the service answers")
    plan: str = Field(default="", description="hash of the plan in force")
    tiers: tuple[TierStatus, ...] = Field(
        default=(), json_schema_extra={"x-kubernetes-list-map-keys": ["tier"]}, description="how each tier is"
    )


class SiteStatus(Part):
    """How a site is."""

    observed_generation: int = Field(default=0, ge=0, description="generation of the spec this status speaks of")
    conditions: tuple[Condition, ...] = Field(
        default=(), json_schema_extra={"x-kubernetes-list-map-keys": ["type"]}, description="what is and is not so"
    )
    nodes: int = Field(default=0, ge=0, description="nodes of all pools that are there")
    chips: int = Field(default=0, ge=0, description="chips on these nodes")
    free_chips: int = Field(default=0, ge=0, description="of them, those that no replica uses")
