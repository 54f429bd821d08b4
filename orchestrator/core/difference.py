"""What changed from one lock to another: inputs, services, places, counts, costs and predictions. Pure.

Called by `headwater diff`, and by `headwater plan --locked` to say why a lock no longer holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.core.lock import Lock, LockedEscalation, LockedGroup, LockedPrediction, LockedTier

ROUNDING = 1e-3  # predictions are written with four digits; less is no change
WHAT = ("site", "pool", "profile", "engine", "quantization", "parallelism", "model", "sequences", "context_tokens")
NAMES = {
    "profile": "chip",
    "parallelism": "cut",
    "sequences": "sequences at once",
    "context_tokens": "context tokens",
    "cost_per_hour": "cost per hour",
    "demand_per_second": "demand per second",
    "short_per_second": "not carried per second",
    "price_per_hour": "price of a replica per hour",
    "memory_bytes": "memory bytes",
    "gave_up": "gave up",
    "ttft_seconds": "first token",
    "tpot_seconds": "time per token",
    "single_stream_tpot_seconds": "time per token alone",
    "requests_per_second": "requests per second",
}


def difference(old: Lock, new: Lock) -> dict[str, Any]:
    """Everything that differs, as plain values; `same` says whether nothing does."""
    before, after = _by_name(old), _by_name(new)
    inputs = [*_inputs("", old.inputs, new.inputs), *_inputs("file of ", old.artifacts, new.artifacts)]
    tiers = [_tier(key, before[key], after[key]) for key in sorted(before.keys() & after.keys())]
    services = _services(old), _services(new)
    view: dict[str, Any] = {
        "same": old == new,
        "headwater": {"old": old.headwater, "new": new.headwater},
        "costPerHour": {"old": old.plan.cost_per_hour, "new": new.plan.cost_per_hour},
        "lowerBoundPerHour": {"old": old.plan.lower_bound_per_hour, "new": new.plan.lower_bound_per_hour},
        "servicesAdded": sorted(services[1] - services[0]),
        "servicesRemoved": sorted(services[0] - services[1]),
        "tiersAdded": [_named(after[key]) for key in sorted(after.keys() - before.keys())],
        "tiersRemoved": [_named(before[key]) for key in sorted(before.keys() - after.keys())],
        "tiersChanged": [tier for tier in tiers if tier["changes"]],
        "unplaced": [{"service": one.service, "tier": one.tier, "why": one.why} for one in new.plan.unplaced],
        "escalations": list(_escalations(old, new)),
        "inputs": inputs,
    }
    return view


def _services(lock: Lock) -> set[str]:
    return {tier.service for tier in lock.plan.tiers} | {tier.service for tier in lock.plan.unplaced}


def _by_name(lock: Lock) -> dict[tuple[str, str], LockedTier]:
    return {(tier.service, tier.tier): tier for tier in lock.plan.tiers}


def _inputs(
    kind_of: str, old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]
) -> Iterator[dict[str, str]]:
    """Documents and files that came, went or changed."""
    for kind in sorted(old.keys() | new.keys()):
        before, after = old.get(kind, {}), new.get(kind, {})
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                change = "added" if name not in before else "removed" if name not in after else "changed"
                yield {"kind": f"{kind_of}{kind}", "name": name, "change": change}


def _named(tier: LockedTier) -> dict[str, Any]:
    """A tier that came or went."""
    return {
        "service": tier.service,
        "tier": tier.tier,
        "costPerHour": tier.cost_per_hour,
        "groups": [_group_text(group) for group in tier.groups],
    }


def _tier(key: tuple[str, str], old: LockedTier, new: LockedTier) -> dict[str, Any]:
    changes: list[dict[str, Any]] = []
    for field in (
        "replicas",
        "cost_per_hour",
        "demand_per_second",
        "short_per_second",
        "licence",
        "accepted",
        "gave_up",
    ):
        changes += _change(field, getattr(old, field), getattr(new, field), "")
    kept, pairs, gone, come = _matched(old.groups, new.groups)
    for before, after in (*kept, *pairs):
        changes += _group(before, after, _where(after) if len(new.groups) > 1 else "")
    changes += [{"what": "group", "old": _group_text(group), "new": None} for group in gone]
    changes += [{"what": "group", "old": None, "new": _group_text(group)} for group in come]
    return {"service": key[0], "tier": key[1], "changes": changes}


Pairs = list[tuple[LockedGroup, LockedGroup]]


def _matched(
    old: Sequence[LockedGroup], new: Sequence[LockedGroup]
) -> tuple[Pairs, Pairs, list[LockedGroup], list[LockedGroup]]:
    """Groups that are the same way; the others paired in their order; those that went; those that came."""
    left: dict[tuple[Any, ...], list[LockedGroup]] = {}
    for group in old:
        left.setdefault(_way(group), []).append(group)
    kept: Pairs = []
    come: list[LockedGroup] = []
    for group in new:
        same = left.get(_way(group))
        if same:
            kept.append((same.pop(0), group))
        else:
            come.append(group)
    gone = [group for groups in left.values() for group in groups]
    pairs = list(zip(gone, come, strict=False))
    return kept, pairs, gone[len(pairs) :], come[len(pairs) :]


def _way(group: LockedGroup) -> tuple[Any, ...]:
    return tuple(getattr(group, field) for field in WHAT)


def _group(old: LockedGroup, new: LockedGroup, where: str) -> Iterator[dict[str, Any]]:
    """Fields of a group that differ; its replicas and cost only when the tier has several, which says them itself."""
    counted = ("replicas", "cost_per_hour") if where else ()
    for field in (*WHAT, *counted, "checkpoint", "price_per_hour", "memory_bytes"):
        yield from _change(field, getattr(old, field), getattr(new, field), where)
    for field in LockedPrediction.model_fields:
        before, after = getattr(old.predicted, field), getattr(new.predicted, field)
        for point in ("p10", "p50", "p90"):
            a, b = getattr(before, point), getattr(after, point)
            if abs(a - b) > ROUNDING * max(a, b):
                yield from _change(field, a, b, f"{where} {point}".strip())


def _change(field: str, old: Any, new: Any, where: str) -> Iterator[dict[str, Any]]:
    if old != new:
        what = f"{NAMES.get(field, field)} {where}".strip()
        yield {"what": what, "old": _plain(old), "new": _plain(new)}


def _plain(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, tuple) else value


def _where(group: LockedGroup) -> str:
    return f"at {group.site}/{group.pool}"


def _group_text(group: LockedGroup) -> str:
    how = f"{group.profile}, {group.engine}, {group.quantization}, {group.parallelism}"
    return f"{group.replicas} x {group.site}/{group.pool} {how}"


def _escalations(old: Lock, new: Lock) -> Iterator[dict[str, Any]]:
    """Services that send another share to their teacher."""
    before = {one.service: one for one in old.plan.escalations}
    after = {one.service: one for one in new.plan.escalations}
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield {"service": name, "old": _escalated(before[name]), "new": _escalated(after[name])}


def _escalated(one: LockedEscalation) -> str:
    quality = "" if one.quality is None else f" for quality {one.quality:.4g}"
    return f"{one.share:.4g}{quality}"
