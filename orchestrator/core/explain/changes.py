"""Questions of the form "what if": the same services and sites with one thing changed. Pure.

Licences, duties and residency are never changed: they are rules, not wishes. Called by
`orchestrator.core.explain.answer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import Escalation, ModelService, Tier
from orchestrator.core.asks import Ask, asks
from orchestrator.core.enumeration import Enumeration
from orchestrator.core.fit import time
from orchestrator.core.quality import floor_of, wanted
from orchestrator.core.world import TierName, World

RELAXED = (1.25, 1.5, 2.0)  # times an objective
LOADS = (2.0, 0.5)  # times the demand
WIDER = {"site": "any site", "role": "edge and cloud alike", "region": "any region"}


@dataclass(frozen=True, slots=True)
class Change:
    """What is changed, and what is planned then."""

    what: str
    kind: str  # of changes of one kind the mildest that gains as much is told
    services: tuple[ModelService, ...]
    world: World


def loosened(
    service: ModelService, name: TierName, services: Sequence[ModelService], catalog: Catalog, world: World
) -> Iterator[Change]:
    """One wish of one tier given up at a time, the mildest of each kind first; only where that opens other ways."""
    tier = tier_of(service, name)
    if tier is None:
        return
    enumeration = Enumeration(catalog, world)
    before = _ways(service, name, enumeration)
    for what, kind, changed in _wishes(tier, service, catalog, world):
        then = service.model_copy(update={"spec": service.spec.model_copy(update={name: changed})})
        if changed.replicas != tier.replicas or _ways(then, name, enumeration) != before:
            yield Change(what, kind, _with(then, services), world)
    if name == "teacher" and service.spec.escalation is not None:
        for what, escalation in _fewer(service.spec.escalation):
            spec = service.spec.model_copy(update={"escalation": escalation})
            yield Change(what, "escalation", _with(service.model_copy(update={"spec": spec}), services), world)


def _ways(service: ModelService, name: TierName, enumeration: Enumeration) -> frozenset[object]:
    """Every way to run the tier that fits and meets its objectives."""
    asked = next((ask for ask in asks(service, enumeration.catalog) if isinstance(ask, Ask) and ask.name == name), None)
    options = enumeration.of(asked)[0] if asked else ()
    return frozenset((option.configuration, option.apart) for option in options)


def loads(service: ModelService, services: Sequence[ModelService], world: World) -> Iterator[tuple[float, Change]]:
    """Other demands of the service, each with the factor."""
    for factor in LOADS:
        demand = service.spec.demand.model_copy(update={"rate": service.spec.demand.rate * factor})
        spec = service.spec.model_copy(update={"demand": demand})
        what = f"demand x {factor:g}, {demand.rate:g}/s"
        yield factor, Change(what, "load", _with(service.model_copy(update={"spec": spec}), services), world)


def losses(sites: Iterable[str], services: Sequence[ModelService], world: World) -> Iterator[tuple[str, Change]]:
    """The world without one of the sites, and without what runs there."""
    for name in sorted(set(sites)):
        left = {other: site for other, site in world.sites.items() if other != name}
        replicas = tuple(replica for replica in world.replicas if replica.spec.site != name)
        yield name, Change(f"without {name}", "site", tuple(services), replace(world, sites=left, replicas=replicas))


def tier_of(service: ModelService, name: TierName) -> Tier | None:
    """The tier as the service has it."""
    return service.spec.student if name == "student" else service.spec.teacher


def _with(changed: ModelService, services: Sequence[ModelService]) -> tuple[ModelService, ...]:
    return tuple(changed if one.metadata.name == changed.metadata.name else one for one in services)


def _wishes(tier: Tier, service: ModelService, catalog: Catalog, world: World) -> Iterator[tuple[str, str, Tier]]:
    """(what, kind, the tier then)."""
    for objective, words in (("ttft", "first token"), ("tpot", "time per token")):
        now: float | None = getattr(tier.slo, objective)
        for factor in RELAXED if now is not None else ():
            then = (now or 0.0) * factor
            slo = tier.slo.model_copy(update={objective: then})
            yield f"{words} within {time(then)} instead of {time(now or 0.0)}", objective, _copy(tier, slo=slo)
    for quantization in _readable(catalog, world) if tier.quantization else ():
        if quantization not in tier.quantization:
            allowed = (*tier.quantization, quantization)
            yield f"{quantization} allowed", f"quantization {quantization}", _copy(tier, quantization=allowed)
    floor = floor_of(tier)
    if floor is not None:
        yield f"any quality instead of {wanted(floor)}", "quality", _copy(tier, quality=None)
    for field, words in WIDER.items():
        if getattr(tier.where, field) is not None:
            where = tier.where.model_copy(update={field: None})
            yield f"{words} instead of {getattr(tier.where, field)}", f"where {field}", _copy(tier, where=where)
    yield from _counts(tier, needed=1 if service.spec.demand.rate else 0)
    request = service.spec.demand.input + service.spec.demand.output
    if tier.context is not None and tier.context // 2 >= request:
        yield f"context of {tier.context // 2} tokens", "context", _copy(tier, context=tier.context // 2)


def _counts(tier: Tier, *, needed: int) -> Iterator[tuple[str, str, Tier]]:
    """One replica more at most, one fewer at least, one site fewer."""
    r = tier.replicas
    more = r.model_copy(update={"max": r.max + 1})
    yield f"at most {r.max + 1} replicas instead of {r.max}", "replicas max", _copy(tier, replicas=more)
    if r.min > needed:
        fewer = r.model_copy(update={"min": r.min - 1})
        yield f"at least {r.min - 1} replicas instead of {r.min}", "replicas min", _copy(tier, replicas=fewer)
    if r.sites > 1:
        fewer = r.model_copy(update={"sites": r.sites - 1})
        yield f"at {r.sites - 1} sites instead of {r.sites}", "replicas sites", _copy(tier, replicas=fewer)


def _fewer(escalation: Escalation) -> Iterator[tuple[str, Escalation]]:
    """Half of what may go to the teacher."""
    budget = escalation.budget / 2
    if budget:
        told = f"at most {budget:.4g} of requests to the teacher instead of {escalation.budget:.4g}"
        yield told, escalation.model_copy(update={"budget": budget})


def _readable(catalog: Catalog, world: World) -> list[str]:
    """Quantizations that some engine of some pool reads."""
    profiles = {pool.profile for site in world.sites.values() for pool in site.spec.pools} & catalog.profiles.keys()
    engines = {name for profile in profiles for name in catalog.profiles[profile].spec.engines}
    return sorted(
        {one.quantization for name in engines & catalog.engines.keys() for one in catalog.engines[name].spec.reads}
    )


def _copy(tier: Tier, **fields: object) -> Tier:
    return tier.model_copy(update=fields)
