"""What the inside needs from outside, in our words. Adapters implement these; the core never sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator.api.kinds import Catalog, Document
from orchestrator.core.world import Artifact
from runtimes.contract import ReplicaReport, ReplicaSpec, RouteTable


class Fleet(Protocol):
    """Somewhere replicas run. Every call is safe to repeat."""

    def observe(self) -> tuple[ReplicaReport, ...]:
        """What every replica says of itself, in order of name; one that does not answer in time is reported SILENT."""
        ...

    def sites(self) -> frozenset[str] | None:
        """Sites with a machine that replicas can start on now; None when every site has."""
        ...

    def start(self, spec: ReplicaSpec) -> None:
        """Start a replica; nothing happens when it runs. Raises NotOurs when someone else has the name."""
        ...

    def stop(self, replica: str) -> None:
        """Let a replica finish what it has, then end it: call again until it is no longer observed."""
        ...


class Router(Protocol):
    """The front door's table."""

    def set_routes(self, table: RouteTable) -> None:
        """Replace the table. Raises Unavailable when the gateway does not answer."""
        ...


class Artifacts(Protocol):
    """Built variants this controller's fleets can load."""

    def built(self) -> Mapping[tuple[str, str], Artifact]:
        """By (model, quantization), the newest of each."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth keeping: when, about what, which kind, in one sentence."""

    at_s: float
    subject: str
    kind: str
    text: str


class Store(Protocol):
    """The few facts that survive a restart."""

    def owner(self) -> str:
        """The instance id, made once."""
        ...

    def documents(self) -> tuple[Document, ...]:
        """Everything that is wanted or known, in order of kind and name; without what cannot be read."""
        ...

    def unreadable(self) -> tuple[str, ...]:
        """`kind/name` of documents that this version cannot read, in order."""
        ...

    def put(self, documents: tuple[Document, ...]) -> tuple[str, ...]:
        """Keep documents, all or none. Returns the `kind/name` of those that changed."""
        ...

    def delete(self, kind: str, name: str) -> bool:
        """Forget a document. Returns whether there was one."""
        ...

    def note(self, event: Event) -> None:
        """Append to the log of events; only the newest are kept."""
        ...

    def events(self, limit: int) -> tuple[Event, ...]:
        """The newest events, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything outside that one controller uses."""

    fleets: Mapping[str, Fleet]  # by the fleet kind of a site
    router: Router
    artifacts: Artifacts
    store: Store
    catalog: Catalog  # what ships, and this machine; documents in the store come on top
