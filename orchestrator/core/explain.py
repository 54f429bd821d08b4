"""A placement as plain values with stable keys: what `plan --output json` prints and tables are drawn from. Pure."""

from __future__ import annotations

from typing import Any

from orchestrator.core.configurations import Option
from orchestrator.core.cuts import show_cut
from orchestrator.core.fit import Rejected, time
from orchestrator.core.nearest import nearest
from orchestrator.core.performance.runner import Band
from orchestrator.core.placement import Placed, Placement, Unplaced
from orchestrator.core.policy import Terms


def placement_view(placement: Placement) -> dict[str, Any]:
    """The whole plan. Prices are per hour in the unit the sites' prices are written in."""
    return {
        "costPerHour": round(placement.cost_per_h, 6),
        "lowerBoundPerHour": round(placement.bound_per_h, 6),
        "gap": round(placement.gap, 6),
        "tiers": [_placed(tier) if isinstance(tier, Placed) else _unplaced(tier) for tier in placement.tiers],
    }


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


def _placed(tier: Placed) -> dict[str, Any]:
    return {
        "service": tier.service,
        "tier": tier.tier,
        "placed": True,
        "why": _reason(tier),
        "replicas": tier.replicas,
        "costPerHour": round(tier.cost_per_h, 6),
        "demandPerSecond": round(tier.rate_per_s, 6),
        "shortPerSecond": round(tier.short_per_s, 6),
        "licence": terms_view(tier.terms),
        **_option(tier.option),
        "alternatives": [_option(option) for option in tier.dearer],
        "rejected": [rejection_view(rejected) for rejected in nearest(tier.rejections)],
    }


def _reason(tier: Placed) -> str:
    """Why this way: the order of `orchestrator.core.placement`, with the numbers of the one that comes next."""
    if tier.short_per_s:
        return f"no way that fits carries {tier.rate_per_s:g}/s; this is the cheapest of them"
    if not tier.dearer:
        return "the only way that fits"
    chosen, after = tier.option, tier.dearer[0]
    if chosen.price_per_h != after.price_per_h:
        return f"the cheapest that carries the demand, {tier.cost_per_h:g}/h in all"
    c, other = chosen.configuration, after.configuration
    if chosen.lost_bits != after.lost_bits:
        return f"as cheap as the next, and {c.quantization} loses less than {other.quantization}"
    if c.parallelism.chips != other.parallelism.chips:
        return f"as cheap as the next, on {c.parallelism.chips} instead of {other.parallelism.chips} chips"
    alone, slower = (o.prediction.single_stream_tpot_s.mid for o in (chosen, after))
    return f"as cheap as the next, and {time(alone)} per token alone against {time(slower)}"


def _unplaced(tier: Unplaced) -> dict[str, Any]:
    rejected = [rejection_view(rejected) for rejected in nearest(tier.rejections)]
    return {"service": tier.service, "tier": tier.tier, "placed": False, "rejected": rejected}


def _option(option: Option) -> dict[str, Any]:
    c, p, m = option.configuration, option.prediction, option.memory
    return {
        "model": c.model,
        "quantization": c.quantization,
        "checkpoint": option.checkpoint,
        "site": c.pool.site,
        "pool": c.pool.index,
        "profile": c.profile,
        "engine": c.engine,
        "parallelism": show_cut(c.parallelism, c.nodes),
        "nodes": c.nodes,
        "chips": c.parallelism.chips,
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


def _band(band: Band) -> dict[str, float]:
    return {"p10": float(f"{band.low:.4g}"), "p50": float(f"{band.mid:.4g}"), "p90": float(f"{band.high:.4g}")}
