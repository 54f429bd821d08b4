"""What `headwater explain` says of one service: why here, why not there, what it rests on, and what if. Pure.

Every "what if" is planned anew and compared, never guessed. A saving is told only when the new plan costs less than the
lower bound of the plan as it is: then it comes from the change, and not from a better search.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.core.configurations import Option
from orchestrator.core.explain.changes import Change, loads, loosened, losses, tier_of
from orchestrator.core.explain.grounds import grounds
from orchestrator.core.explain.reasons import grouped
from orchestrator.core.explain.view import cost_alone, cut_of, escalation_view, tier_view
from orchestrator.core.fit import rate
from orchestrator.core.nearest import nearest
from orchestrator.core.placement.result import Placed, Placement, Unplaced
from orchestrator.core.world import TierName, World

NEXT = 5  # other ways shown beside the chosen one
LITTLE = 1e-6  # of a cost or a rate: less is the same
NAMED = ("site", "pool", "profile", "engine", "quantization", "parallelism", "nodes", "sequences", "contextTokens")

Planner = Callable[[Sequence[ModelService], Catalog, World], Placement]
Tell = Callable[[int, int, str], None]
"""Called before each plan with its number, how many there are, and what it asks."""


@dataclass(frozen=True, slots=True)
class Question:
    """A service, or one tier of it, among all services and sites."""

    service: ModelService
    tier: TierName | None  # None: both
    services: Sequence[ModelService]
    catalog: Catalog
    world: World


def answer(question: Question, planner: Planner, tell: Tell) -> dict[str, Any]:
    """The whole explanation as plain values.

    Args:
        question: what to explain.
        planner: places services; called once for the plan as it is and once for each change.
        tell: hears of progress.
    """
    q, name = question, question.service.metadata.name
    tell(0, 0, "the plan as it is")
    now = planner(q.services, q.catalog, q.world)
    tiers = [tier for tier in now.tiers if tier.service == name and q.tier in {None, tier.tier}]
    sites = [group.option.configuration.pool.site for tier in tiers for group in _groups(tier)]
    wishes = [(tier, list(loosened(q.service, tier.tier, q.services, q.catalog, q.world))) for tier in tiers]
    other_loads, without = [*loads(q.service, q.services, q.world)], [*losses(sites, q.services, q.world)]
    total = sum(len(changes) for _, changes in wishes) + len(other_loads) + len(without)
    count = 0

    def planned(change: Change) -> Placement:
        nonlocal count
        count += 1
        tell(count, total, change.what)
        return planner(change.services, q.catalog, change.world)

    views = [_tier(tier, q, [(change, planned(change)) for change in changes], now) for tier, changes in wishes]
    return {
        "service": name,
        "costPerHour": round(now.cost_per_h, 6),
        "lowerBoundPerHour": round(now.bound_per_h, 6),
        "gap": round(now.gap, 6),
        "proof": now.proof,
        "escalations": [escalation_view(one) for one in now.escalations if one.service == name],
        "tiers": views,
        "load": [{"factor": factor, **_then(planned(change), now, name)} for factor, change in other_loads],
        "without": [{"site": site, **_then(planned(change), now, name)} for site, change in without],
    }


def _tier(
    tier: Placed | Unplaced, question: Question, tried: Iterable[tuple[Change, Placement]], now: Placement
) -> dict[str, Any]:
    """One tier: what it has, what comes next, what does not fit, what it rests on, what would help."""
    whole = tier_view(tier)
    view = {key: value for key, value in whole.items() if key not in {"alternatives", "rejected"}}
    asked = tier_of(question.service, tier.tier)
    objectives = {"ttftSeconds": asked.slo.ttft, "tpotSeconds": asked.slo.tpot} if asked else {}
    view["objectives"] = {key: value for key, value in objectives.items() if value is not None}
    if isinstance(tier, Placed):
        view["next"], view["more"] = _next(tier)
        view["restsOn"] = grounds([group.option for group in tier.groups], question.catalog)
    view["rejected"] = grouped(whole["rejected"])
    priority = question.service.spec.priority
    later = {one.metadata.name for one in question.services if one.spec.priority < priority}
    view["wouldHelp"] = _helping(tier, tried, now, later)
    return view


def _next(tier: Placed) -> tuple[list[dict[str, Any]], int]:
    """The other ways that come first, each kind once, and how many are not shown."""
    kinds: dict[tuple[object, ...], list[Option]] = {}
    for option in tier.dearer:
        c = option.configuration
        kinds.setdefault((c.profile, c.engine, c.quantization, cut_of(option)), []).append(option)
    shown = [_other(options, tier) for options in list(kinds.values())[:NEXT]]
    return shown, max(0, len(kinds) - NEXT)


def _other(alike: Sequence[Option], tier: Placed) -> dict[str, Any]:
    option = alike[0]
    c, p, cost = option.configuration, option.prediction, cost_alone(option, tier)
    return {
        "site": c.pool.site,
        "pool": c.pool.index,
        "otherPools": len({one.configuration.pool for one in alike}) - 1,
        "profile": c.profile,
        "engine": c.engine,
        "quantization": c.quantization,
        "parallelism": cut_of(option),
        "sequences": c.sequences,
        "pricePerHour": round(option.price_per_h, 6),
        "costPerHour": None if cost is None else round(cost, 6),
        "mostPerSecond": float(f"{option.useful_replicas * p.requests_per_s.mid:.4g}"),
        "ttftSeconds": float(f"{p.ttft_s.mid:.4g}"),
        "tpotSeconds": float(f"{p.tpot_s.mid:.4g}"),
    }


def _helping(
    tier: Placed | Unplaced, tried: Iterable[tuple[Change, Placement]], now: Placement, later: Collection[str]
) -> list[dict[str, Any]]:
    """Changes that place the tier, let it carry more or save, the best first; of one kind the mildest.

    Services that come later by priority may pay for them, and are named.
    """
    found: list[tuple[tuple[float, ...], dict[str, Any]]] = []
    best: dict[str, tuple[float, ...]] = {}
    for change, then in tried:
        gain = _gain(tier, then, now, later)
        if gain is None or (change.kind in best and not _more(gain, best[change.kind])):
            continue
        best[change.kind] = gain
        after = next(one for one in then.tiers if (one.service, one.tier) == (tier.service, tier.tier))
        view = {
            "change": change.what,
            "places": bool(gain[0]),
            "moreCarriedPerSecond": round(gain[1], 6),
            "savingPerHour": round(now.cost_per_h - then.cost_per_h, 6),
            "costPerHour": round(then.cost_per_h, 6),
            "groups": [_short(group) for group in tier_view(after).get("groups", ())],
            "givesWay": _giving_way(then, now, tier.service),
        }
        found.append((gain, view))
    return [view for _, view in sorted(found, key=lambda one: [-part for part in one[0]])]


def _more(gain: tuple[float, ...], before: tuple[float, ...]) -> bool:
    """Whether a stronger change gains more than a milder one did, beyond rounding."""
    return any(a > b + LITTLE * max(1.0, abs(b)) for a, b in zip(gain, before, strict=True))


def _gain(tier: Placed | Unplaced, then: Placement, now: Placement, later: Collection[str]) -> tuple[float, ...] | None:
    """(placed, more carried, saving); None when nothing is gained, or a service that comes no later pays for it."""
    key = tier.service, tier.tier
    before, after = _lacks(now), _lacks(then)
    others = (other for other in before if other != key and other[0] not in later)
    if any(after[other] > before[other] * (1 + LITTLE) + LITTLE for other in others):
        return None
    if isinstance(tier, Unplaced):
        placed = key in {(one.service, one.tier) for one in then.tiers if isinstance(one, Placed)}
        return (1.0, 0.0, now.cost_per_h - then.cost_per_h) if placed else None
    carried = before[key] - after[key]
    if carried > LITTLE * tier.rate_per_s:
        return 0.0, carried, now.cost_per_h - then.cost_per_h
    saving = now.cost_per_h - then.cost_per_h
    proven = now.bound_per_h - then.cost_per_h - then.moves_per_h
    if carried < -LITTLE * tier.rate_per_s or saving <= LITTLE or proven <= LITTLE * now.cost_per_h:
        return None
    return 0.0, 0.0, saving


def _lacks(placement: Placement) -> Mapping[tuple[str, str], float]:
    """Requests per second that no replica carries, by tier; infinite for a tier without a place."""
    return {
        (tier.service, tier.tier): tier.short_per_s if isinstance(tier, Placed) else float("inf")
        for tier in placement.tiers
    }


def _then(then: Placement, now: Placement, service: str) -> dict[str, Any]:
    """What another plan comes to: the service's own tiers, and what else gives way."""
    own = [_after(tier_view(tier)) for tier in then.tiers if tier.service == service]
    return {
        "costPerHour": round(then.cost_per_h, 6),
        "moreCostPerHour": round(then.cost_per_h - now.cost_per_h, 6),
        "tiers": own,
        "givesWay": _giving_way(then, now, service),
    }


def _giving_way(then: Placement, now: Placement, service: str) -> list[dict[str, str]]:
    """What tiers of other services lose, or where else they run."""
    before = {(tier.service, tier.tier): tier for tier in now.tiers}
    others = [(tier, before.get((tier.service, tier.tier))) for tier in then.tiers if tier.service != service]
    return [told for tier, was in others if (told := _gives_way(tier, was)) is not None]


def _after(view: Mapping[str, Any]) -> dict[str, Any]:
    """A tier of a changed plan, in short: what it has, or the one reason that tells most."""
    kept = {key: view[key] for key in ("tier", "placed")}
    if not view["placed"]:
        return kept | {"rejected": view["rejected"][:1]}
    counted = {key: view[key] for key in ("replicas", "costPerHour", "demandPerSecond", "shortPerSecond", "gaveUp")}
    return kept | counted | {"groups": [_short(group) for group in view["groups"]]}


def _short(group: Mapping[str, Any]) -> dict[str, Any]:
    return {"replicas": group["replicas"], "costPerHour": group["costPerHour"]} | {key: group[key] for key in NAMED}


def _gives_way(tier: Placed | Unplaced, was: Placed | Unplaced | None) -> dict[str, str] | None:
    """What another service's tier loses, or that it runs elsewhere; None when nothing changes for it."""
    named = {"service": tier.service, "tier": tier.tier}
    if not isinstance(was, Placed):
        return None
    if isinstance(tier, Unplaced):
        why = nearest(tier.rejections)
        return named | {"what": f"has no place: {why[0]}" if why else "has no place"}
    if tier.short_per_s > was.short_per_s * (1 + LITTLE) + LITTLE:
        return named | {"what": f"{rate(tier.short_per_s)} of {rate(tier.rate_per_s)} not carried"}
    lost = [what for what in tier.gave_up if what not in was.gave_up]
    if lost:
        return named | {"what": lost[0]}
    places, before = _places(tier), _places(was)
    return named | {"what": f"runs at {places} instead of {before}"} if places != before else None


def _places(tier: Placed) -> str:
    return ", ".join(f"{group.replicas} x {group.option.configuration.pool}" for group in tier.groups)


def _groups(tier: Placed | Unplaced) -> tuple[Any, ...]:
    return tier.groups if isinstance(tier, Placed) else ()
