"""`Site`: a place with pools of identical nodes, an edge site or a cloud region."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from orchestrator.api.document import Metadata, Name, Part
from orchestrator.api.premises import Premises
from orchestrator.api.quantities import Bandwidth, Duration, Memory, Price

Role = Literal["edge", "cloud"]
Taint = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]*(=[A-Za-z0-9._-]*)?:(NoSchedule|NoExecute)$")
]


class Pool(Part):
    """Identical nodes."""

    profile: Name = Field(description="a HardwareProfile; `local` is this machine, detected")
    nodes: int = Field(default=1, gt=0, le=100_000, description="how many there are")
    chips: int = Field(default=1, gt=0, le=1024, description="chips per node")
    price: Price = Field(default=0.0, validate_default=False, description="per node")
    memory: Memory | None = Field(
        default=None, description="of one chip as the node's tool reports it, over what the profile says"
    )
    slice: Memory | None = Field(default=None, description="nodes hand out slices of a chip with this much memory")
    resource: str = Field(default="", description="resource name in the nodes' allocatable map, over the profile's")
    labels: dict[str, str] = Field(default_factory=dict, description="labels that the nodes carry")
    taints: tuple[Taint, ...] = Field(
        default=(), description="taints that the nodes carry and pods tolerate, as key=value:NoSchedule"
    )


class SiteLink(Part):
    """The way from the gateway to the site."""

    rtt: Duration = Field(description="time there and back")
    bandwidth: Bandwidth = Field(description="what goes through")


class SiteSpec(Part):
    """What is there and who runs things there."""

    role: Role = Field(description="edge: near the users; cloud: where the large models are")
    region: Name = Field(description="where it is, such as cn-east; policies and services choose by it")
    fleet: Literal["ray", "kubernetes", "agent", "none"] = Field(
        description="none: described only, planned but not run"
    )
    pools: tuple[Pool, ...] = Field(min_length=1, description="the nodes, by kind")
    link: SiteLink | None = Field(default=None, description="the way from the gateway; absent: it costs nothing")
    images: str = Field(default="", description="image mirror put before image names, such as registry.example/mirror")
    models: str = Field(default="/models", description="folder on every node where teacher weights lie")
    interface: str = Field(default="eth0", description="network interface of pods that span nodes")
    kubernetes: Premises | None = Field(
        default=None, description="what its cluster has; absent: whatever the chips ask for"
    )


class Site(Part):
    """A place where replicas run."""

    api_version: Literal["headwater.dev/v1alpha1"] = Field(description="version of this schema")
    kind: Literal["Site"] = Field(description="what this document is")
    metadata: Metadata = Field(description="the site's name")
    spec: SiteSpec = Field(description="what is there")
