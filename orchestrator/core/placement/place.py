"""Where each tier goes: all tiers, pools and prices as one problem, solved, and read back. Pure.

What is wanted most is decided first: carried requests by priority, then the quality of escalation, then cost with what
moves cost, then what loses least, takes fewest chips and answers fastest. The bound is the solver's: no plan that
carries as much can cost less. Called by `orchestrator.core.decide` and `orchestrator.offline`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import Escalation, ModelService
from orchestrator.core.asks import Ask, asks
from orchestrator.core.configurations import Option
from orchestrator.core.enumeration import Enumeration
from orchestrator.core.fit import Rejected, Why, size
from orchestrator.core.placement.problem import (
    SHARE_DIGITS,
    Wanted,
    alone,
    problem_of,
    replicas_for,
    shares,
    shares_machines,
)
from orchestrator.core.placement.result import Escalated, Group, Placed, Placement, Unplaced
from orchestrator.core.placement.room import Room
from orchestrator.core.policy import terms
from orchestrator.core.solver.problem import Solution
from orchestrator.core.solver.solve import solve
from orchestrator.core.world import TierName, World

EPSILON = 1e-5  # of a rate: what is less short than this is carried


def place(services: Iterable[ModelService], catalog: Catalog, world: World) -> Placement:
    """Place every tier of every service; the order of the input does not matter."""
    ways = Enumeration(catalog, world)
    ordered = sorted(services, key=lambda s: s.metadata.name)
    tiers_asked = (ask for service in ordered for ask in asks(service, catalog))
    known = [ask if isinstance(ask, Rejected) else Wanted(ask, *ways.of(ask)) for ask in tiers_asked]
    wanted = [tier for tier in known if isinstance(tier, Wanted)]
    problem, behind = problem_of(wanted, catalog, world)
    solution = solve(problem)
    groups = _groups(solution, behind)
    room = Room(catalog, world)
    room.settle(groups)
    tiers = tuple(
        Unplaced(one.subject.partition("/")[0], _tier_of(one), (one,))
        if isinstance(one, Rejected)
        else _read(one, groups.get(one.name, ()), solution, room)
        for one in known
    )
    return Placement(
        tiers=tiers,
        cost_per_h=sum(tier.cost_per_h for tier in tiers if isinstance(tier, Placed)),
        bound_per_h=solution.bound_per_h,
        moves_per_h=solution.moves_per_h,
        proof=solution.proof,
        escalations=tuple(_escalations(wanted, solution)),
    )


def _groups(solution: Solution, behind: Mapping[str, Option]) -> Mapping[str, tuple[Group, ...]]:
    """Groups of each tier, the one that carries most first."""
    found: dict[str, list[Group]] = {}
    for column, count in sorted(solution.replicas.items()):
        found.setdefault(column.partition(" ")[0], []).append(Group(behind[column], count))
    return {
        tier: tuple(sorted(groups, key=lambda g: (-g.capacity_per_s, g.option.configuration.pool, g.option.rank)))
        for tier, groups in found.items()
    }


def _read(tier: Wanted, groups: tuple[Group, ...], solution: Solution, room: Room) -> Placed | Unplaced:
    """What the solution says of one tier."""
    ask = tier.ask
    ranked = sorted(tier.options, key=lambda option: alone(ask, option))
    left = [room.left_for(tier.name, option) for option in ranked]
    beside = list(zip(ranked, left, strict=True))
    tight = [(option, free) for option, free in beside if free < replicas_for(ask, option)]
    full = tuple(dict.fromkeys(_crowded(ask, option, free, catalog=room.catalog) for option, free in tight))
    service = ask.service.metadata.name
    rate = _rate(tier, solution)
    if not groups and not _spared(tier, solution) and (ask.rate_per_s > 0 or ask.tier.replicas.min):
        return Unplaced(service, ask.name, (*tier.rejections, *full))
    short = max(0.0, rate - solution.carried_per_s.get(tier.name, 0.0))
    return Placed(
        service=service,
        tier=ask.name,
        groups=groups,
        rate_per_s=rate,
        short_per_s=short if short > EPSILON * rate else 0.0,
        rejections=(*tier.rejections, *full),
        dearer=_different(ranked, besides=[*(option for option, _ in tight), *(group.option for group in groups)]),
        terms=terms(ask.service, ask.name, ask.model),
        most_replicas=ask.tier.replicas.max,
        gave_up=tuple(_gave_up(ask, groups, ranked, left[0] if left else 0)) if groups else (),
    )


def _spared(tier: Wanted, solution: Solution) -> bool:
    """Whether nothing is sent to a teacher because nothing need be."""
    escalation = tier.ask.service.spec.escalation
    way = solution.ways.get(tier.ask.service.metadata.name)
    none = escalation is not None and way is not None and float(way) == _full(escalation) == 0
    return none and tier.ask.name == "teacher"


def _different(options: Iterable[Option], *, besides: Iterable[Option]) -> tuple[Option, ...]:
    """Ways that differ in more than the batch from those besides and from each other, in their order."""
    seen = {_but_batch(option) for option in besides}
    first: dict[tuple[object, ...], Option] = {}
    for option in options:
        if (way := _but_batch(option)) not in seen:
            first.setdefault(way, option)
    return tuple(first.values())


def _but_batch(option: Option) -> tuple[object, ...]:
    c = option.configuration
    return c.pool, c.engine, c.quantization, c.parallelism, c.nodes


def _rate(tier: Wanted, solution: Solution) -> float:
    """What the tier must carry in the way of escalation that was taken."""
    way = solution.ways.get(tier.ask.service.metadata.name)
    if way is None or tier.ask.name == "student":
        return tier.ask.rate_per_s
    return tier.ask.service.spec.demand.rate * float(way)


def _crowded(ask: Ask, option: Option, left: int, *, catalog: Catalog) -> Rejected:
    """There is no room beside the whole plan for all that the option would need alone."""
    replicas, c = replicas_for(ask, option), option.configuration
    each = size(option.memory.total) if shares_machines(option, catalog) else _chips(option)
    subject = f"{c.pool} {replicas} x {c.quantization} on {c.engine}"
    return Rejected(subject, Why.CAPACITY, f"room for {replicas} of {each}", f"room for {left}")


def _chips(option: Option) -> str:
    return f"{option.chips} chip{'s' if option.chips > 1 else ''}"


def _gave_up(ask: Ask, groups: tuple[Group, ...], ranked: list[Option], left: int) -> Iterable[str]:
    """What the tier would have alone in these pools and does not have."""
    bounds, count = ask.tier.replicas, sum(group.replicas for group in groups)
    if count < bounds.min:
        yield f"{count} of at least {bounds.min} replicas"
    sites = {group.option.configuration.pool.site for group in groups}
    if len(sites) < bounds.sites:
        yield f"replicas at {len(sites)} of at least {bounds.sites} sites"
    worst = max((group.option.lost_bits for group in groups), default=0)
    first = ranked[0] if ranked else None
    if first is not None and worst > first.lost_bits and left < replicas_for(ask, first):
        c, replicas = first.configuration, replicas_for(ask, first)
        yield f"{c.quantization} on {c.pool}, its first choice alone: room for {left} of {replicas} beside the others"


def _escalations(wanted: list[Wanted], solution: Solution) -> Iterable[Escalated]:
    for tier in wanted:
        service = tier.ask.service
        way, escalation = solution.ways.get(service.metadata.name), service.spec.escalation
        if tier.ask.name != "teacher" or way is None or escalation is None:
            continue
        share = float(way)
        quality = {point.share: point.quality for point in escalation.curve}
        point = next((known for known in quality if round(known, SHARE_DIGITS) == share), None)
        reached = None if point is None else quality[point]
        target = escalation.target if escalation.curve else None
        yield Escalated(service.metadata.name, share, reached, _full(escalation), target)


def _full(escalation: Escalation) -> float:
    """The share that is sent on where there is room: the least that gives up least of the target."""
    return min(shares(escalation), key=lambda one: (one[1], one[0]))[0]


def _tier_of(rejected: Rejected) -> TierName:
    return "teacher" if rejected.subject.endswith("/teacher") else "student"
