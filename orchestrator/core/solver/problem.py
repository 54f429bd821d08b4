"""The placement problem as numbers: what must be carried, what there is room for, and ways to do it. Pure.

Nothing here knows models or chips: `orchestrator.core.placement` makes a problem from options and reads the solution.
All names are unique within their kind and give every order; the order of the tuples never matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests that must be carried: one tier of one service.

    Attributes:
        rate_per_s: what comes in; with a choice, `Choice` says how much of it there is in each of its ways.
        priority: of two demands that do not both fit, the larger number is carried first.
        least, most: bounds on the replicas of all its columns together; 0 replicas is always possible when nothing
            fits, and is reported as a shortage. A demand whose rate is 0 in the way that is taken needs no replica.
        places: at least so many different places (`Column.place`) must have a replica.
    """

    name: str
    rate_per_s: float
    priority: int = 0
    least: int = 0
    most: int | None = None
    places: int = 1


@dataclass(frozen=True, slots=True)
class Way:
    """One way of a choice: what each demand must carry in it.

    Attributes:
        rates_per_s: by demand.
        loss: what is given up in this way, in the unit of `Choice.worth_per_h`; 0 for nothing.
    """

    name: str
    rates_per_s: Mapping[str, float]
    loss: float = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Demands whose rates hang together, such as student and teacher of one service: exactly one way is taken.

    Of two ways the one with less loss is taken when there is room for it, else the cheaper.
    """

    name: str
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """Identical nodes.

    Attributes:
        room: of one node, in the unit of `Take.units`: chips, or bytes.
        shared_time: replicas share a node's time, so together they carry no more than one that has it alone (CPU
            machines); otherwise what they take is theirs.
    """

    name: str
    nodes: int
    room: int
    shared_time: bool = False


@dataclass(frozen=True, slots=True)
class Take:
    """What one replica takes of a pool: so many units on each of so many different nodes."""

    pool: str
    nodes: int
    units: int


@dataclass(frozen=True, slots=True)
class Column:
    """One way to run replicas.

    Attributes:
        capacity_per_s: by demand, what one replica carries when it does nothing else; a replica that serves several
            demands shares its time between them.
        takes: of one pool, or of several (prefill and decode apart).
        cost_per_h: of one replica.
        dislike: between plans of equal cost the smaller sum is taken; 0 or more.
        place: failure domain, such as the site.
        now: replicas of it that run; a replica more or less than now costs `move_per_h`.
        most: replicas that are of use at most; None leaves it to the pools.
    """

    name: str
    capacity_per_s: Mapping[str, float]
    takes: tuple[Take, ...]
    cost_per_h: float
    dislike: float = 0.0
    place: str = ""
    now: int = 0
    move_per_h: float = 0.0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything the solver may use."""

    demands: tuple[Demand, ...]
    pools: tuple[Pool, ...]
    columns: tuple[Column, ...]
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Solution:
    """Counts that keep every rule, and what is proven about them.

    Attributes:
        replicas: by column; columns with none are absent.
        carried_per_s: by demand, at most its rate.
        ways: the way taken, by choice.
        cost_per_h: of all replicas, moves not included.
        moves_per_h: what the moves were counted with.
        bound_per_h: no plan that carries as much, and gives up no more, can have less cost and moves together.
        proof: how the bound was proven: "optimal", "relaxation", "bundles" and so on, for people.
    """

    replicas: Mapping[str, int]
    carried_per_s: Mapping[str, float]
    ways: Mapping[str, str] = field(default_factory=dict)
    cost_per_h: float = 0.0
    moves_per_h: float = 0.0
    bound_per_h: float = 0.0
    proof: str = "optimal"

    @property
    def gap(self) -> float:
        """How far the plan is from the bound, as a share of the plan; 0 when no plan can be cheaper."""
        total = self.cost_per_h + self.moves_per_h
        return max(0.0, total - self.bound_per_h) / total if total > 0 else 0.0
