"""A placement as plain values with stable keys: what `plan --output json` prints and tables are drawn from. Pure."""

from __future__ import annotations

import math
from typing import Any

from orchestrator.core.configurations import Option
from orchestrator.core.cuts import show_cut
from orchestrator.core.fit import Rejected, rate, time
from orchestrator.core.nearest import nearest
from orchestrator.core.performance.runner import Band
from orchestrator.core.placement.result import Escalated, Group, Placed, Placement, Unplaced
from orchestrator.core.policy import Terms
from orchestrator.core.world import Configuration

ALTERNATIVES = 24  # told of each tier; a large fleet has thousands, and the rest is counted


def placement_view(placement: Placement) -> dict[str, Any]:
    """The whole plan. Prices are per hour in the unit the sites' prices are written in."""
    return {
        "costPerHour": round(placement.cost_per_h, 6),
        "lowerBoundPerHour": round(placement.bound_per_h, 6),
        "movesPerHour": round(placement.moves_per_h, 6),
        "gap": round(placement.gap, 6),
        "proof": placement.proof,
        "escalations": [escalation_view(one) for one in placement.escalations],
        "tiers": [tier_view(tier) for tier in placement.tiers],
    }


def tier_view(tier: Placed | Unplaced) -> dict[str, Any]:
    """One tier of the plan, with or without a place."""
    return _placed(tier) if isinstance(tier, Placed) else _unplaced(tier)


def rejection_view(rejected: Rejected) -> dict[str, str]:
    """One no with its numbers."""
    view = {"subject": rejected.subject, "rule": rejected.why.value, "need": rejected.need, "have": rejected.have}
    return view | ({"hint": rejected.hint} if rejected.hint else {})


def terms_view(terms: Terms) -> dict[str, Any]:
    """Licence, duties, what was accepted of them, where it is not granted, and what the yes rests on."""
    return {
        "spdx": terms.spdx,
        "status": terms.status,
        "duties": [{"kind": duty.kind, "text": duty.text} for duty in terms.duties],
        "accepted": list(terms.accepted),
        "excluded": list(terms.excluded),
        "notes": list(terms.notes),
    }


def escalation_view(one: Escalated) -> dict[str, Any]:
    """How much of a service goes on to the teacher, and what that is good for."""
    return {
        "service": one.service,
        "share": round(one.share, 6),
        "quality": None if one.quality is None else round(one.quality, 6),
        "wantedShare": round(one.wanted, 6),
        "target": one.target,
    }


def _placed(tier: Placed) -> dict[str, Any]:
    return {
        "service": tier.service,
        "tier": tier.tier,
        "placed": True,
        "why": _reason(tier),
        "gaveUp": list(tier.gave_up),
        "replicas": tier.replicas,
        "costPerHour": round(tier.cost_per_h, 6),
        "demandPerSecond": round(tier.rate_per_s, 6),
        "shortPerSecond": round(tier.short_per_s, 6),
        "licence": terms_view(tier.terms),
        "groups": [_group(group) for group in tier.groups],
        "alternatives": [option_view(option) for option in tier.dearer[:ALTERNATIVES]],
        "moreAlternatives": max(0, len(tier.dearer) - ALTERNATIVES),
        "rejected": [rejection_view(rejected) for rejected in nearest(tier.rejections)],
    }


def _unplaced(tier: Unplaced) -> dict[str, Any]:
    rejected = [rejection_view(rejected) for rejected in nearest(tier.rejections)]
    return {"service": tier.service, "tier": tier.tier, "placed": False, "rejected": rejected}


def _reason(tier: Placed) -> str:
    """Why this way: the order of `orchestrator.core.placement`, with the numbers of the one that comes next."""
    carried = f"{rate(tier.rate_per_s - tier.short_per_s)} of {rate(tier.rate_per_s)}"
    if tier.gave_up:
        return f"the most that there is room for, {carried}" if tier.short_per_s else "the best that there is room for"
    if tier.short_per_s and tier.replicas >= tier.most_replicas:
        many = f"{tier.most_replicas} replica{'s' * (tier.most_replicas > 1)}"
        return f"no more than {many} may run (`replicas.max`), which carry {carried}"
    if tier.short_per_s:
        return f"no way that fits carries more than {carried}"
    if not tier.groups:
        return "no request comes to it, so it needs no replica"
    if len(tier.groups) > 1:
        return _mixed(tier)
    return _against(tier.groups[0].option, tier) if tier.dearer else "the only way that fits"


def _against(chosen: Option, tier: Placed) -> str:
    cost = cost_alone(tier.dearer[0], tier)
    if cost is None or cost > tier.cost_per_h:
        told = f"the cheapest that carries the demand, {tier.cost_per_h:g}/h in all"
        return told if cost is None else f"{told}; the next costs {cost:g}/h"
    if cost < tier.cost_per_h:
        return f"cheapest for all tiers together; the next would cost {cost:g}/h instead of {tier.cost_per_h:g}/h here"
    equal = (other for other in tier.dearer if cost_alone(other, tier) == cost)
    better = next((better for better in (_better(chosen, other) for other in equal) if better), "and first in order")
    return f"as cheap as the next, {better}"


def _better(chosen: Option, after: Option) -> str:
    """What the first of two ways of the same cost is better at, in the order of what is weighed; empty for nothing."""
    c, other = chosen.configuration, after.configuration
    if chosen.lost_bits < after.lost_bits:
        return f"and {c.quantization} loses less than {other.quantization}"
    if chosen.chips < after.chips and chosen.lost_bits == after.lost_bits:
        return f"on {chosen.chips} instead of {after.chips} chips"
    carries, less = (o.prediction.requests_per_s.mid for o in (chosen, after))
    alone, slower = (o.prediction.single_stream_tpot_s.mid for o in (chosen, after))
    if alone < slower:
        return f"and {time(alone)} per token alone against {time(slower)}"
    if carries > less:
        return f"and a replica carries {rate(carries)} instead of {rate(less)}"
    return ""


def _mixed(tier: Placed) -> str:
    """Why several ways beside each other: what the best of the others would cost alone, where one can carry it all."""
    told = f"{len(tier.groups)} ways beside each other cost {tier.cost_per_h:g}/h in all"
    ways = (*(group.option for group in tier.groups), *tier.dearer)
    alone = min((cost for cost in (cost_alone(way, tier) for way in ways) if cost is not None), default=None)
    if alone is None:
        return f"{told}; no single way carries {rate(tier.rate_per_s)}"
    return f"{told}; the cheapest single way costs {alone:g}/h" if alone > tier.cost_per_h else told


def cost_alone(option: Option, tier: Placed) -> float | None:
    """What a tier would cost in as many replicas of one way as carry it; None when the pool has not so many.

    A tier that has more replicas than its demand needs has them for its minimum, and would have them in any way.
    """
    wanted = _needed(option, tier.rate_per_s)
    if len(tier.groups) == 1 and tier.replicas > _needed(tier.groups[0].option, tier.rate_per_s):
        wanted = max(wanted, tier.replicas)
    return option.price_per_h * wanted if wanted <= option.useful_replicas else None


def _needed(option: Option, rate_per_s: float) -> int:
    return max(1, math.ceil(rate_per_s / option.prediction.requests_per_s.mid))


def _group(group: Group) -> dict[str, Any]:
    return {
        "replicas": group.replicas,
        "costPerHour": round(group.cost_per_h, 6),
        "capacityPerSecond": float(f"{group.capacity_per_s:.4g}"),
        **option_view(group.option),
    }


def option_view(option: Option) -> dict[str, Any]:
    """One way to run a replica, with its numbers."""
    c, p, m = option.configuration, option.prediction, option.memory
    return {
        "model": c.model,
        "quantization": c.quantization,
        "checkpoint": option.checkpoint,
        "site": c.pool.site,
        "pool": c.pool.index,
        "profile": c.profile,
        "engine": c.engine,
        "parallelism": cut_of(option),
        "roles": _roles(option),
        "nodes": sum(nodes for nodes, _ in option.takes),
        "chips": option.chips,
        "contextTokens": c.context_tokens,
        "sequences": c.sequences,
        "pricePerHour": round(option.price_per_h, 6),
        "memory": {
            "weightsBytes": m.weights,
            "kvCacheBytes": m.kv_cache,
            "activationsBytes": m.activations,
            "buffersBytes": m.buffers,
            "engineBytes": m.engine,
            "totalBytes": m.total,
            "usableBytes": option.usable_bytes,
            "measured": m.measured,
        },
        "predicted": {
            "ttftSeconds": _band(p.ttft_s),
            "tpotSeconds": _band(p.tpot_s),
            "singleStreamTpotSeconds": _band(p.single_stream_tpot_s),
            "requestsPerSecond": _band(p.requests_per_s),
        },
        "unverified": list(option.unverified),
        "atRisk": list(option.at_risk),
    }


def cut_of(option: Option) -> str:
    """How a replica is cut over chips and nodes; both halves where prompts are read apart."""
    c = option.configuration
    decode = show_cut(c.parallelism, c.nodes)
    if option.apart is None:
        return decode
    prefill = show_cut(option.apart.prefill.parallelism, option.apart.prefill.nodes)
    return f"prefill {option.apart.prefills} x {prefill}, decode {option.apart.decodes} x {decode}"


def _roles(option: Option) -> list[dict[str, Any]]:
    """What one replica is made of: itself, or so many that read prompts and so many that answer."""
    if option.apart is None:
        return [_role("aggregated", 1, option.configuration)]
    prefill = _role("prefill", option.apart.prefills, option.apart.prefill)
    return [prefill, _role("decode", option.apart.decodes, option.configuration)]


def _role(name: str, count: int, c: Configuration) -> dict[str, Any]:
    cut = {"parallelism": show_cut(c.parallelism, c.nodes), "nodes": c.nodes, "chips": c.parallelism.chips}
    return {"role": name, "count": count, **cut, "sequences": c.sequences}


def _band(band: Band) -> dict[str, float]:
    return {"p10": float(f"{band.low:.4g}"), "p50": float(f"{band.mid:.4g}"), "p90": float(f"{band.high:.4g}")}
