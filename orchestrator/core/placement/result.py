"""What a placement says: for each tier its groups of replicas and what they cost, or why it has none. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.configurations import Option
from orchestrator.core.fit import Rejected
from orchestrator.core.policy import Terms
from orchestrator.core.world import TierName


@dataclass(frozen=True, slots=True)
class Group:
    """Replicas of one tier that are alike."""

    option: Option
    replicas: int

    @property
    def cost_per_h(self) -> float:
        """Of all of them."""
        return self.option.price_per_h * self.replicas

    @property
    def capacity_per_s(self) -> float:
        """Requests they carry when they have their machines alone, by the middle prediction."""
        return self.option.prediction.requests_per_s.mid * self.replicas


@dataclass(frozen=True, slots=True)
class Placed:
    """A tier with its place."""

    service: str
    tier: TierName
    groups: tuple[Group, ...]  # the one that carries most first
    rate_per_s: float  # what the tier must carry
    short_per_s: float  # what of it the replicas cannot carry, by the middle prediction
    rejections: tuple[Rejected, ...]  # every other way, and why not
    dearer: tuple[Option, ...]  # ways that fit too, ranked by what the tier would cost with them alone
    terms: Terms  # of the licence it runs under, with what was accepted
    most_replicas: int  # that it may have
    gave_up: tuple[str, ...] = ()  # against what it would have alone in these pools, with the numbers

    @property
    def cost_per_h(self) -> float:
        """Of all its replicas."""
        return sum(group.cost_per_h for group in self.groups)

    @property
    def replicas(self) -> int:
        """Of all groups."""
        return sum(group.replicas for group in self.groups)


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A tier without a place."""

    service: str
    tier: TierName
    rejections: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class Escalated:
    """What share of a service's requests the plan sends on to the teacher."""

    service: str
    share: float
    quality: float | None  # of all answers, as a share of the teacher's; None where nobody measured it
    wanted: float  # the share that meets the target or comes nearest, or the budget without a curve
    target: float | None  # of quality; None where nobody measured what a share gives


@dataclass(frozen=True, slots=True)
class Placement:
    """All tiers of all services, and what the whole costs."""

    tiers: tuple[Placed | Unplaced, ...]
    cost_per_h: float
    bound_per_h: float  # nothing that carries as much can cost less
    moves_per_h: float = 0.0  # what starting and stopping replicas was counted with
    proof: str = ""  # how the bound was proven
    escalations: tuple[Escalated, ...] = ()

    @property
    def gap(self) -> float:
        """How far the cost is from the lower bound, as a share of the cost: 0 when no plan can be cheaper."""
        whole = self.cost_per_h + self.moves_per_h
        return max(0.0, whole - self.bound_per_h) / whole if whole else 0.0
