"""`Site`: a place with pools of identical nodes, an edge site or a cloud region."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestrator.api.document import Metadata, Name, Part
from orchestrator.api.quantities import Bandwidth, Duration, Price

Role = Literal["edge", "cloud"]


class Pool(Part):
    """Identical nodes."""

    profile: Name = Field(description="a HardwareProfile; `local` is this machine, detected")
    nodes: int = Field(default=1, gt=0, le=100_000)
    chips: int = Field(default=1, gt=0, le=1024, description="chips per node")
    price: Price = Field(default=0.0, validate_default=False, description="per node")


class SiteLink(Part):
    """The way from the gateway to the site."""

    rtt: Duration
    bandwidth: Bandwidth


class SiteSpec(Part):
    """What is there and who runs things there."""

    role: Role
    region: Name
    fleet: Literal["ray", "kubernetes", "agent", "none"] = Field(
        description="none: described only, planned but not run"
    )
    pools: tuple[Pool, ...] = Field(min_length=1)
    link: SiteLink | None = None
    images: str = Field(default="", description="image mirror put before image names, such as registry.example/mirror")
    models: str = Field(default="/models", description="folder on every node where teacher weights lie")
    interface: str = Field(default="eth0", description="network interface of pods that span nodes")


class Site(Part):
    """A place where replicas run."""

    api_version: Literal["headwater.dev/v1alpha1"]
    kind: Literal["Site"]
    metadata: Metadata
    spec: SiteSpec
