"""Every metric of the control plane: name, unit, labels, meaning. The orchestrator's home of prometheus_client."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

PASSES = Counter("headwater_controller_passes", "Passes of the control loop.", ["outcome"], registry=REGISTRY)
PASS_SECONDS = Histogram("headwater_controller_pass_seconds", "Time of one pass.", registry=REGISTRY)
ACTIONS = Counter("headwater_controller_actions", "Moves carried out.", ["action", "outcome"], registry=REGISTRY)
SERVICES = Gauge("headwater_services", "Tiers by state.", ["state"], registry=REGISTRY)
REPLICAS = Gauge("headwater_replicas", "Replicas by phase.", ["phase"], registry=REGISTRY)
COST = Gauge("headwater_plan_cost_per_hour", "Cost of the current plan, in the sites' price unit.", registry=REGISTRY)
BOUND = Gauge("headwater_plan_lower_bound_per_hour", "Proven lower bound of the plan's cost.", registry=REGISTRY)


def exposition() -> bytes:
    """All metrics in the text format."""
    return bytes(generate_latest(REGISTRY))
