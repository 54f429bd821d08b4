"""The outcome of a simulation as plain values with stable keys: what `simulate --output json` prints. Pure."""

from __future__ import annotations

from array import array
from typing import Any

from orchestrator.core.simulation.run import Outcome, Played
from orchestrator.core.simulation.scene import Crew
from orchestrator.core.simulation.tally import Goal, Tally, distribution
from orchestrator.core.world import TierName

MILLION = 1_000_000
SECONDS_PER_H = 3600


def simulation_view(outcome: Outcome, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """The whole answer. Prices are in the unit the sites' prices are written in."""
    return {
        "requests": outcome.requests,
        "seconds": _number(outcome.seconds),
        "services": [_service(played, outcome.seconds) for played in outcome.services],
        "notes": list(notes),
    }


def _service(played: Played, seconds: float) -> dict[str, Any]:
    scene, whole = played.scene, played.whole
    cost = sum(_cost(crew, seconds) for stage in scene.stages.values() for crew in stage.crews)
    front = played.tiers[scene.front]
    return {
        "service": scene.service,
        "requests": whole.asked,
        "answered": whole.answered,
        "refused": whole.asked - whole.answered,
        "meanTokens": {
            "input": _mean(played.asked_tokens[0], whole.asked),
            "output": _mean(played.asked_tokens[1], whole.asked),
            "plannedInput": scene.planned_tokens[0],
            "plannedOutput": scene.planned_tokens[1],
        },
        "escalated": {
            "plannedShare": _number(scene.share),
            "requests": played.escalated,
            "share": _number(played.escalated / front.answered) if front.answered else 0.0,
        },
        "ttftSeconds": _times(whole.ttft_s),
        "latencySeconds": _times(whole.latency_s),
        "cost": _number(cost),
        "costPerMillionRequests": _per_million(cost, whole.answered),
        "costPerMillionOutputTokens": _per_million(cost, whole.output_tokens),
        "tiers": [_tier(played, tier, seconds) for tier in sorted(played.tiers)],
    }


def _tier(played: Played, tier: TierName, seconds: float) -> dict[str, Any]:
    stage, tally = played.scene.stages[tier], played.tiers[tier]
    return {
        "tier": tier,
        "plannedPerSecond": _number(stage.planned_per_s),
        "askedPerSecond": _rate(tally.asked, seconds),
        "requests": tally.asked,
        "answered": tally.answered,
        "refused": {"full": tally.full, "tooLong": tally.too_long, "noReplica": tally.nowhere},
        "objectives": _objectives(tally, stage.goal),
        "queueSeconds": _times(tally.queue_s),
        "ttftSeconds": _times(tally.ttft_s),
        "tpotSeconds": _times(tally.tpot_s),
        "latencySeconds": _times(tally.latency_s),
        "inputTokensPerSecond": _rate(tally.input_tokens, seconds),
        "outputTokensPerSecond": _rate(tally.output_tokens, seconds),
        "cachedShare": _number(tally.cached_tokens / tally.input_tokens) if tally.input_tokens else 0.0,
        "groups": [_group(played, crew, seconds) for crew in stage.crews],
    }


def _objectives(tally: Tally, goal: Goal) -> dict[str, Any]:
    """What was wanted, and the share of all requests that got it; a refused request got nothing."""
    asked = tally.asked or 1
    return {
        "ttftSeconds": goal.ttft_s,
        "tpotSeconds": goal.tpot_s,
        "ttftMet": _number(tally.met_ttft / asked),
        "tpotMet": _number(tally.met_tpot / asked),
        "met": _number(tally.met / asked),
    }


def _group(played: Played, crew: Crew, seconds: float) -> dict[str, Any]:
    engines = [played.engines[name] for name in crew.engines]
    time_s = seconds * len(crew.names) or 1.0
    return {
        "pool": crew.where,
        "runs": crew.what,
        "replicas": len(crew.names),
        "slots": crew.pace.slots * crew.ranks,
        "busy": _number(sum(engine.busy_s for engine in engines) / crew.ranks / time_s),
        "running": _number(sum(engine.running_s for engine in engines) / time_s),
        "longestQueue": max((engine.longest_queue for engine in engines), default=0),
        "cost": _number(_cost(crew, seconds)),
    }


def _cost(crew: Crew, seconds: float) -> float:
    return crew.price_per_h * len(crew.names) * seconds / SECONDS_PER_H


def _times(times: array[float]) -> dict[str, float] | None:
    found = distribution(times)
    return {name: _number(value) for name, value in found.items()} if found else None


def _per_million(cost: float, count: int) -> float | None:
    return _number(cost / count * MILLION) if count else None


def _mean(tokens: int, requests: int) -> float | None:
    return _number(tokens / requests) if requests else None


def _rate(count: int, seconds: float) -> float | None:
    return _number(count / seconds) if seconds else None


def _number(value: float) -> float:
    return float(f"{value:.6g}")
