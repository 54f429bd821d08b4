"""Every port in memory: for tests, and for deciding without touching anything.

Replicas here start at once or when told, and drain when their work is set to zero.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping

from orchestrator.api.kinds import Document
from orchestrator.core.world import Artifact
from orchestrator.errors import NotOurs
from orchestrator.ports import Event
from runtimes.contract import Phase, ReplicaReport, ReplicaSpec, RouteTable

FIRST_PORT = 10_000
EVENTS_KEPT = 10_000


class MemoryFleet:
    """Replicas as values. `ready_at_once=False` leaves them STARTING until `set_phase`."""

    def __init__(self, *, ready_at_once: bool = True) -> None:
        self._replicas: dict[str, ReplicaReport] = {}
        self._first = Phase.READY if ready_at_once else Phase.STARTING
        self._started = 0

    def observe(self) -> tuple[ReplicaReport, ...]:
        """All replicas in order of name."""
        return tuple(self._replicas[name] for name in sorted(self._replicas))

    def sites(self) -> frozenset[str] | None:
        """Everywhere."""
        return None

    def start(self, spec: ReplicaSpec) -> None:
        """Start unless it runs."""
        found = self._replicas.get(spec.name)
        if found is not None:
            if found.spec.owner != spec.owner:
                raise NotOurs(f"replica {spec.name} belongs to {found.spec.owner}, not to {spec.owner}")
            return
        self._started += 1
        url = f"http://127.0.0.1:{FIRST_PORT + self._started}"
        self._replicas[spec.name] = ReplicaReport(spec=spec, phase=self._first, url=url)

    def stop(self, replica: str) -> None:
        """End it when it is idle, else let it drain."""
        found = self._replicas.get(replica)
        if found is None:
            return
        if found.running:
            self.set_phase(replica, Phase.DRAINING)
        else:
            del self._replicas[replica]

    def set_phase(self, replica: str, phase: Phase, *, running: int | None = None, message: str = "") -> None:
        """What the replica says of itself from now on."""
        found = self._replicas[replica]
        busy = found.running if running is None else running
        self._replicas[replica] = found.model_copy(update={"phase": phase, "running": busy, "message": message})


class MemoryRouter:
    """Keeps the last table."""

    def __init__(self) -> None:
        self.table = RouteTable()

    def set_routes(self, table: RouteTable) -> None:
        """Replace the table."""
        self.table = table


@dataclasses.dataclass(slots=True)
class MemoryArtifacts:
    """A fixed set of artifacts."""

    known: Mapping[tuple[str, str], Artifact] = dataclasses.field(default_factory=dict)

    def built(self) -> Mapping[tuple[str, str], Artifact]:
        """By (model, quantization)."""
        return self.known


class MemoryStore:
    """Documents and events in dictionaries."""

    def __init__(self, owner: str = "memory") -> None:
        self._owner = owner
        self._documents: dict[tuple[str, str], Document] = {}
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)

    def owner(self) -> str:
        """The instance id."""
        return self._owner

    def documents(self) -> tuple[Document, ...]:
        """In order of kind and name."""
        return tuple(self._documents[key] for key in sorted(self._documents))

    def unreadable(self) -> tuple[str, ...]:
        """Nothing: what is here was never written down."""
        return ()

    def put(self, documents: tuple[Document, ...]) -> tuple[str, ...]:
        """Keep documents; returns those that changed."""
        keyed: dict[tuple[str, str], Document] = {
            (document.kind, document.metadata.name): document for document in documents
        }
        changed = tuple("/".join(key) for key, document in keyed.items() if self._documents.get(key) != document)
        self._documents.update(keyed)
        return changed

    def delete(self, kind: str, name: str) -> bool:
        """Forget a document."""
        return self._documents.pop((kind, name), None) is not None

    def note(self, event: Event) -> None:
        """Append, and forget the oldest beyond the limit."""
        self._events.append(event)

    def events(self, limit: int) -> tuple[Event, ...]:
        """The newest, oldest first."""
        return tuple(self._events)[max(0, len(self._events) - limit) :]
