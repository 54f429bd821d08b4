"""One pass: observe, decide, act, report. Knows ports, never adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.api.kinds import Catalog, Document
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.control.act import Carried, act
from orchestrator.core.decide import Decision, decide
from orchestrator.core.world import Failures, World
from orchestrator.ports import Fleet, Outside


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: what is wanted, what is known, what is."""

    services: tuple[ModelService, ...]
    catalog: Catalog
    world: World


@dataclass(frozen=True, slots=True)
class Report:
    """What one pass saw, decided and did."""

    seen: Seen
    decision: Decision
    carried: tuple[Carried, ...]
    at_s: float


def cycle(outside: Outside, failures: Mapping[str, Failures], now_s: float) -> Report:
    """One pass: observe, decide, act, report."""
    seen = observe(outside, failures)
    decision = decide(seen.services, seen.catalog, seen.world, now_s)
    carried = act(decision, seen.world, outside)
    return Report(seen, decision, carried, now_s)


def observe(outside: Outside, failures: Mapping[str, Failures], extra: tuple[Document, ...] = ()) -> Seen:
    """Look once; nothing is read again while deciding. Raises Unavailable when a fleet or the store is away.

    `extra` documents are seen as if they were in the store, for a preview.
    """
    documents = [*outside.store.documents(), *extra]
    sites = {d.metadata.name: d for d in documents if isinstance(d, Site)}
    world = World(
        sites=sites,
        artifacts=outside.artifacts.built(),
        replicas=tuple(replica for _, fleet in sorted(outside.fleets.items()) for replica in fleet.observe()),
        failures=failures,
        connected=_connected(sites, outside.fleets),
        fleets=frozenset(outside.fleets),
        owner=outside.store.owner(),
        unreadable=frozenset(outside.store.unreadable()) - {f"{d.kind}/{d.metadata.name}" for d in extra},
    )
    services = {d.metadata.name: d for d in documents if isinstance(d, ModelService)}
    return Seen(tuple(services.values()), outside.catalog.with_documents(documents), world)


def _connected(sites: Mapping[str, Site], fleets: Mapping[str, Fleet]) -> frozenset[str]:
    there = {kind: fleet.sites() for kind, fleet in fleets.items()}
    known = {name: there[site.spec.fleet] for name, site in sites.items() if site.spec.fleet in there}
    return frozenset(name for name, reached in known.items() if reached is None or name in reached)
