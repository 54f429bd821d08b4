"""The frozen snapshot one decision may use, and nothing else.

Pure. Made by `orchestrator.control.cycle` from the store, the catalog and the fleets; read by everything in the core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.api.site import Site
from runtimes.contract import ArtifactManifest, ReplicaReport

TierName = Literal["student", "teacher"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A built variant that replicas on this fleet can load."""

    path: str
    manifest: ArtifactManifest


@dataclass(frozen=True, slots=True)
class Parallelism:
    """How a replica is cut: chips = tensor x pipeline x data."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: bool = False

    @property
    def chips(self) -> int:
        """Chips of one replica."""
        return self.tensor * self.pipeline * self.data


@dataclass(frozen=True, slots=True, order=True)
class PoolId:
    """A pool of a site, by position."""

    site: str
    index: int

    def __str__(self) -> str:
        return f"{self.site}/{self.index}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to run one replica: what runs, on what, cut how, sized for how much."""

    model: str
    quantization: str
    engine: str
    profile: str
    pool: PoolId
    parallelism: Parallelism
    nodes: int
    context_tokens: int
    sequences: int  # decoded together

    @property
    def chips_per_node(self) -> int:
        """Chips the replica takes on each of its nodes."""
        return self.parallelism.chips // self.nodes


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a replica failed in a row, when last, and what it said."""

    count: int
    last_s: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """Everything one decision may use."""

    sites: Mapping[str, Site]
    artifacts: Mapping[tuple[str, str], Artifact] = field(default_factory=dict)  # by (model, quantization)
    replicas: tuple[ReplicaReport, ...] = ()
    failures: Mapping[str, Failures] = field(default_factory=dict)  # by replica
    connected: frozenset[str] | None = None  # sites of those fleets with a machine; None when nobody looked
    fleets: frozenset[str] = frozenset()  # kinds of fleet this controller runs; other sites are planned on paper
    owner: str = ""  # instance id: replicas with another owner are never touched
    unreadable: frozenset[str] = frozenset()  # `kind/name` of documents in the store that another version wrote
