"""Placements without a solver: each tier alone at its first choice; what explains, locks and draws plans needs no more.

Called by tests of what is done with a plan; where plans come from is tested beside the solver.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from worlds import a_catalog, a_service, a_world

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.core.asks import Ask, asks
from orchestrator.core.configurations import Option
from orchestrator.core.enumeration import Enumeration
from orchestrator.core.fit import Rejected
from orchestrator.core.placement.problem import alone, replicas_for
from orchestrator.core.placement.result import Group, Placed, Placement, Unplaced
from orchestrator.core.policy import terms
from orchestrator.core.world import Configuration, World


def enumerate_options(ask: Ask, catalog: Catalog, world: World) -> tuple[tuple[Option, ...], tuple[Rejected, ...]]:
    """All options of one tier over all sites, and all rejections."""
    return Enumeration(catalog, world).of(ask)


def carried_per_s() -> float:
    """Requests per second that one replica with its largest batch carries on one machine of the lab."""
    (ask,) = asks(a_service(), a_catalog())
    assert not isinstance(ask, Rejected)
    options, _ = enumerate_options(ask, a_catalog(), a_world())
    return max(option.prediction.requests_per_s.mid for option in options)


def plan_alone(services: Iterable[ModelService], catalog: Catalog, world: World) -> Placement:
    """Every tier as if it had the pools to itself."""
    tiers: list[Placed | Unplaced] = []
    for service in sorted(services, key=lambda one: one.metadata.name):
        for ask in asks(service, catalog):
            assert not isinstance(ask, Rejected)
            options, rejections = enumerate_options(ask, catalog, world)
            ranked = sorted(options, key=lambda option: alone(ask, option))
            if not ranked:
                tiers.append(Unplaced(service.metadata.name, ask.name, rejections))
                continue
            group = Group(ranked[0], replicas_for(ask, ranked[0]))
            tiers.append(
                Placed(
                    service=service.metadata.name,
                    tier=ask.name,
                    groups=(group,),
                    rate_per_s=ask.rate_per_s,
                    short_per_s=max(0.0, ask.rate_per_s - group.capacity_per_s),
                    rejections=rejections,
                    dearer=tuple(option for option in ranked[1:] if _but_batch(option) != _but_batch(ranked[0])),
                    terms=terms(service, ask.name, ask.model),
                    most_replicas=ask.tier.replicas.max,
                )
            )
    cost = sum(tier.cost_per_h for tier in tiers if isinstance(tier, Placed))
    return Placement(tuple(tiers), cost, cost, proof="each tier alone")


def _but_batch(option: Option) -> Configuration:
    return replace(option.configuration, sequences=0)
