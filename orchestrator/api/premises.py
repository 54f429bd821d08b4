"""What the Kubernetes cluster at a site has and how weights come to its nodes: the part `kubernetes` of a `Site`.

`headwater discover` writes what can be read from a cluster; the rest is the site's choice. What a family of chips asks
of any cluster is `orchestrator.api.cluster`. Hosts and names of secrets stand here alone: nothing that ships has any.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from orchestrator.api.document import Name, Part
from orchestrator.api.quantities import Memory

Addon = Literal["volcano", "kueue", "hami", "lws", "kuberay", "prometheus"]
Checksum = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ByDigest = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?@sha256:[0-9a-f]{64}$")
]
LabelKey = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
]


class Queue(Part):
    """Where workloads wait for their turn."""

    of: Literal["kueue", "volcano"] = Field(description="whose queue it is")
    name: Name = Field(description="of the LocalQueue of Kueue, or of the Queue of Volcano")


class Weights(Part):
    """How weights come to the nodes; absent: they lie in the site's folder `models` already."""

    claim: Name | None = Field(
        default=None, description="a PersistentVolumeClaim that all nodes can read, in place of the folder on each node"
    )
    size: Memory | None = Field(default=None, description="makes the claim, with room for so much; absent: it is there")
    storage_class: Name | None = Field(default=None, description="of the claim that is made; absent: the cluster's own")
    mirror: str = Field(
        default="",
        pattern=r"^(https?://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?)?$",
        description="address below which each checkpoint has a folder with SHA256SUMS, to fetch what is missing",
    )
    sums: dict[str, Checksum] = Field(
        default_factory=dict, description="SHA-256 of the file SHA256SUMS of a checkpoint, by the checkpoint's name"
    )
    images: dict[str, ByDigest] = Field(
        default_factory=dict,
        description="OCI images by digest that hold a checkpoint or an artifact at their root, by its name",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Weights:
        if self.claim is None and (self.size is not None or self.storage_class is not None):
            raise ValueError("size and storageClass are of a claim; name it with claim")
        if self.storage_class is not None and self.size is None:
            raise ValueError("storageClass is of a claim that is made; give its size")
        if self.sums and not self.mirror:
            raise ValueError("sums are checked when weights are fetched; give the mirror")
        return self


class Premises(Part):
    """What the cluster has, and what pods on it need."""

    has: tuple[Addon, ...] = Field(
        default=(), description="what is installed; a workload that needs more is not rendered, or goes without"
    )
    edge: Literal["kubeedge", "openyurt", "k3s"] | None = Field(
        default=None, description="what joins edge nodes over an unreliable link; pods stay where they are without it"
    )
    host_network: bool = Field(default=False, description="pods use their node's network, where there is no other")
    queue: Queue | None = Field(default=None, description="where workloads wait for their turn; absent: nowhere")
    near: LabelKey | None = Field(
        default=None,
        description="label whose value the nodes of one replica must share, such as that of a rack or a SuperPoD",
    )
    alone: bool = Field(default=False, description="one replica alone in each such group of nodes")
    pull_secrets: tuple[Name, ...] = Field(default=(), description="names of secrets to pull images with")
    weights: Weights = Field(default=Weights(), description="how weights come to the nodes")

    @model_validator(mode="after")
    def _makes_sense(self) -> Premises:
        if self.queue is not None and self.queue.of not in self.has:
            raise ValueError(f"queue is of {self.queue.of}; list {self.queue.of} under has")
        if self.alone and self.near is None:
            raise ValueError("alone is about the groups of nodes that a label makes; give it with near")
        return self
