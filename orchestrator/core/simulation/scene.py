"""What a trace is played on: services with their tiers, and for each the replicas that are alike. Pure.

Made from a decision by `orchestrator.core.simulation.opening`, or by whoever measured a pace.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.simulation.engine import Limits
from orchestrator.core.simulation.pace import Pace
from orchestrator.core.simulation.tally import ANYTHING, Goal
from orchestrator.core.world import TierName


@dataclass(frozen=True, slots=True)
class Crew:
    """Replicas of one tier that are alike."""

    names: tuple[str, ...]  # of the replicas, as the route table has them
    where: str  # pool
    what: str  # model, quantization, engine and chips, for people
    pace: Pace  # of one data rank
    limits: Limits  # of one data rank
    round_trip_s: float = 0.0  # from the gateway to the site and back
    price_per_h: float = 0.0  # of one replica
    prefix_blocks: int = 0  # of prompts, that fit into what memory one data rank has left
    ranks: int = 1  # data ranks of one replica: each has its own queue, slots and cache

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of all that read and decode by themselves: replicas, or the data ranks of each."""
        if self.ranks == 1:
            return self.names
        return tuple(f"{name}/{rank}" for name in self.names for rank in range(self.ranks))


@dataclass(frozen=True, slots=True)
class Stage:
    """One tier."""

    crews: tuple[Crew, ...]
    goal: Goal = ANYTHING
    planned_per_s: float = 0.0  # requests the plan was made for
    shared_prefixes: bool = False  # all replicas find what any of them has read


@dataclass(frozen=True, slots=True)
class Scene:
    """One service."""

    service: str
    front: TierName  # answers first
    stages: dict[TierName, Stage]
    share: float = 0.0  # of what the front answers, that goes on to the teacher
    planned_tokens: tuple[int, int] = (0, 0)  # prompt and answer of the request that the plan was made for
    weight: float = 1.0  # of its part in the trace, when several services share it
