"""What every document has in common: apiVersion, kind, a name, and facts with their source."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

API_VERSION = "headwater.dev/v1alpha1"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
"""Lower-case letters, digits, dots and dashes, at most 63: also a valid Kubernetes name."""

Status = Literal["vendor", "measured", "derived", "secondary", "unverified"]
"""How far a number can be trusted; `unverified` is never planned on silently."""


class Part(BaseModel):
    """A frozen piece of a document. Unknown fields are refused. YAML is camelCase, Python snake_case."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Metadata(Part):
    """Who this is."""

    name: Name = Field(description="lower-case letters, digits, dots and dashes, at most 63")
    labels: dict[str, str] = Field(default_factory=dict, description="free marks; nothing is decided by them")


T = TypeVar("T")


class Fact(Part, Generic[T]):
    """One number with where it comes from."""

    value: T | None = Field(default=None, description="absent: no public figure was found")
    status: Status = Field(description="how far it can be trusted")
    sources: tuple[str, ...] = Field(default=(), description="where it was read or measured")
    note: str = Field(default="", description="what to know about it")

    @property
    def known(self) -> T:
        """The value where it has been checked that there is one; raises ValueError otherwise."""
        if self.value is None:
            raise ValueError("no figure is known")
        return self.value
