"""Where each tier goes: filter, price, take the cheapest that is free. Pure; called by `orchestrator.core.decide`.

Services are served in order of name, tiers student first. A tier takes one configuration and as many replicas of it as
its demand needs, within its bounds. The lower bound takes every tier alone on empty pools at its cheapest option that
carries the demand (any option, for a tier that is placed short): no plan of this form that carries as much can cost
less, so the gap says what contention costs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.core.asks import Ask, asks
from orchestrator.core.configurations import Option, enumerate_options
from orchestrator.core.fit import Rejected, Why, size
from orchestrator.core.lifecycle import SERVING
from orchestrator.core.policy import Terms, terms
from orchestrator.core.world import PoolId, TierName, World


@dataclass(frozen=True, slots=True)
class Placed:
    """A tier with its place."""

    service: str
    tier: TierName
    option: Option
    replicas: int
    cost_per_h: float
    rate_per_s: float  # what the tier must carry
    short_per_s: float  # what of it the replicas cannot carry, by the middle prediction
    rejections: tuple[Rejected, ...]  # every other way, and why not
    dearer: tuple[Option, ...]  # ways that fit too, ranked after it
    terms: Terms  # of the licence it runs under, with what was accepted


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A tier without a place."""

    service: str
    tier: TierName
    rejections: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """All tiers of all services, and what the whole costs."""

    tiers: tuple[Placed | Unplaced, ...]
    cost_per_h: float
    bound_per_h: float

    @property
    def gap(self) -> float:
        """How far the cost is from the lower bound, as a share of the cost: 0 when no plan can be cheaper."""
        return (self.cost_per_h - self.bound_per_h) / self.cost_per_h if self.cost_per_h else 0.0


@dataclass(slots=True)
class _Room:
    """What is left on the nodes of each pool: chips of accelerators; bytes and time of CPU machines.

    Replicas share a CPU machine by memory, but not its time: what one tier keeps busy carries nothing for the next.
    """

    world: World
    catalog: Catalog
    left: dict[PoolId, Counter[int]] = field(default_factory=dict)  # how many nodes have how much left
    busy: dict[PoolId, float] = field(default_factory=dict)  # CPU machines that earlier tiers keep busy

    def carried_per_s(self, option: Option, replicas: int) -> float:
        """What so many replicas would carry beside everything placed before."""
        useful = float(min(replicas, option.useful_replicas))
        if self._cpu(option):
            useful = min(useful, max(0.0, option.useful_replicas - self.busy.get(option.configuration.pool, 0.0)))
        return useful * option.prediction.requests_per_s.mid

    def short(self, ask: Ask, option: Option) -> bool:
        """Whether the option would leave some of the demand uncarried."""
        return self.carried_per_s(option, replicas_for(ask, option)) < ask.rate_per_s

    def shortage(self, option: Option, replicas: int) -> Rejected | None:
        """None when the pool still has room for them."""
        fit, _ = self._settle(option, replicas)
        if fit == replicas:
            return None
        c = option.configuration
        subject = f"{c.pool} {replicas} x {c.quantization} on {c.engine}"
        each = size(self._unit(option)) if self._cpu(option) else f"{c.parallelism.chips} chips"
        return Rejected(subject, Why.CAPACITY, f"room for {replicas} of {each}", f"room for {fit}")

    def take(self, option: Option, replicas: int, carried_per_s: float) -> None:
        """Take the room of replicas that fit, and the time of what they carry."""
        pool = option.configuration.pool
        _, self.left[pool] = self._settle(option, replicas)
        self.busy[pool] = self.busy.get(pool, 0.0) + carried_per_s / option.prediction.requests_per_s.mid

    def _settle(self, option: Option, replicas: int) -> tuple[int, Counter[int]]:
        """How many of the replicas find nodes, fullest nodes first, and what is left after."""
        c, unit = option.configuration, self._unit(option)
        left = self._nodes(option)
        for settled in range(replicas):
            for _ in range(c.nodes):
                node = min((free for free in left if free >= unit), default=None)
                if node is None:
                    return settled, left
                left -= Counter((node,))
                left[node - unit] += 1
        return replicas, left

    def _nodes(self, option: Option) -> Counter[int]:
        pool_id = option.configuration.pool
        if pool_id in self.left:
            return Counter(self.left[pool_id])
        pool = self.world.sites[pool_id.site].spec.pools[pool_id.index]
        whole = option.usable_bytes if self._cpu(option) else pool.chips
        return Counter({whole: pool.nodes})

    def _unit(self, option: Option) -> int:
        return option.memory.total if self._cpu(option) else option.configuration.chips_per_node

    def _cpu(self, option: Option) -> bool:
        return self.catalog.profiles[option.configuration.profile].spec.kind == "cpu"


def place(services: Iterable[ModelService], catalog: Catalog, world: World) -> Placement:
    """Place every tier of every service; the order of the input does not matter."""
    room = _Room(world, catalog)
    tiers: list[Placed | Unplaced] = []
    bound = 0.0
    for service in sorted(services, key=lambda s: s.metadata.name):
        for ask in asks(service, catalog):
            if isinstance(ask, Rejected):
                tiers.append(Unplaced(service.metadata.name, _tier_of(ask), (ask,)))
                continue
            options, rejections = enumerate_options(ask, catalog, world)
            tier = _cheapest(ask, options, rejections, room)
            tiers.append(tier)
            if isinstance(tier, Placed):
                bound += _bound(ask, tier, options, _Room(world, catalog))
    cost = sum(tier.cost_per_h for tier in tiers if isinstance(tier, Placed))
    return Placement(tuple(tiers), cost, bound)


def _bound(ask: Ask, placed: Placed, options: tuple[Option, ...], empty: _Room) -> float:
    """The least an option can cost that carries as much as the placed one and finds room in empty pools."""
    enough = (o for o in options if placed.short_per_s or not empty.short(ask, o))
    free = (o for o in enough if empty.shortage(o, replicas_for(ask, o)) is None)
    return min(o.price_per_h * replicas_for(ask, o) for o in free)


def replicas_for(ask: Ask, option: Option) -> int:
    """Enough replicas for the demand by the middle prediction, within the bounds and what the pool can make use of."""
    wanted = math.ceil(ask.rate_per_s / option.prediction.requests_per_s.mid)
    return max(ask.tier.replicas.min, min(ask.tier.replicas.max, wanted, option.useful_replicas))


def _cheapest(
    ask: Ask, options: tuple[Option, ...], rejections: tuple[Rejected, ...], room: _Room
) -> Placed | Unplaced:
    full: list[Rejected] = []
    ranked = sorted(options, key=lambda option: _rank(ask, option, room))
    for position, option in enumerate(ranked):
        replicas = replicas_for(ask, option)
        shortage = room.shortage(option, replicas)
        if shortage is not None:
            full.append(shortage)
            continue
        carried_per_s = min(ask.rate_per_s, room.carried_per_s(option, replicas))
        room.take(option, replicas, carried_per_s)
        return Placed(
            service=ask.service.metadata.name,
            tier=ask.name,
            option=option,
            replicas=replicas,
            cost_per_h=replicas * option.price_per_h,
            rate_per_s=ask.rate_per_s,
            short_per_s=ask.rate_per_s - carried_per_s,
            rejections=(*rejections, *full),
            dearer=tuple(ranked[position + 1 :]),
            terms=terms(ask.service, ask.name, ask.model),
        )
    return Unplaced(ask.service.metadata.name, ask.name, (*rejections, *full))


def _rank(ask: Ask, option: Option, room: _Room) -> tuple[bool, float, bool, int, int, float, tuple[object, ...]]:
    """What carries the demand, the cheapest, where the tier runs now, what loses least, fewest chips, fastest; name."""
    c = option.configuration
    name = (c.pool, c.quantization, c.engine, c.nodes, c.parallelism.tensor)
    now = {
        PoolId(r.spec.site, r.spec.pool)
        for r in room.world.replicas
        if r.phase in SERVING and (r.spec.service, r.spec.tier) == (ask.service.metadata.name, ask.name)
    }
    return (
        room.short(ask, option),
        replicas_for(ask, option) * option.price_per_h,
        bool(now) and c.pool not in now,
        option.lost_bits,
        c.parallelism.chips,
        option.prediction.single_stream_tpot_s.mid,
        name,
    )


def _tier_of(rejected: Rejected) -> TierName:
    return "teacher" if rejected.subject.endswith("/teacher") else "student"
