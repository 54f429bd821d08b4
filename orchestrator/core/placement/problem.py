"""From tiers and their options to the solver's problem: demands, pools, columns, choices. Pure.

Names of the problem follow from what people wrote, so that its order never depends on the order of files. Called by
`orchestrator.core.placement.place`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import Escalation
from orchestrator.core.asks import Ask
from orchestrator.core.configurations import Option
from orchestrator.core.fit import Rejected
from orchestrator.core.lifecycle import SERVING
from orchestrator.core.solver.problem import Choice, Column, Demand, Pool, Problem, Take, Way
from orchestrator.core.world import PoolId, World

PART_OF_BUDGET = (1.0, 0.75, 0.5, 0.25, 0.0)  # what is tried of a budget when not all of it has room
SHARE_DIGITS = 6
MOVE_H = 1 / 12  # a start is counted like five minutes of the replica
LEAST_MOVE_PER_H = 1e-3  # where replicas cost nothing
AWAY = 1e5  # how much a pool is disliked where nothing of the tier runs while it runs elsewhere
PER_BIT, PER_CHIP, PER_SECOND = 1e3, 1.0, 1.0  # how much a lost bit, a chip and a slow token are disliked
PER_RANK = 1e-2  # of ways that are alike, the largest batch comes first
BY_NAME = 1e-3  # of pools that are alike, the first by name; the last is disliked by as much


_Where = tuple[PoolId, int, int, str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One tier with every way to run it."""

    ask: Ask
    options: tuple[Option, ...]
    rejections: tuple[Rejected, ...]

    @property
    def name(self) -> str:
        """As the problem calls it."""
        return f"{self.ask.service.metadata.name}/{self.ask.name}"


def problem_of(wanted: Iterable[Wanted], catalog: Catalog, world: World) -> tuple[Problem, Mapping[str, Option]]:
    """The problem of all tiers that have an option, and the option behind each column."""
    tiers = [tier for tier in wanted if tier.options]
    every = sorted({option.configuration.pool for tier in tiers for option in tier.options})
    late = {pool_id: BY_NAME * position / len(every) for position, pool_id in enumerate(every)}
    behind: dict[str, Option] = {}
    columns: list[Column] = []
    pools: dict[PoolId, Pool] = {}
    for tier in tiers:
        now = _now(tier, world) or None
        pools_now = {where for where, *_ in now or ()}
        for option in (one for one in tier.options if not one.beaten):
            pool_id = option.configuration.pool
            cpu = shares_machines(option, catalog)
            if pool_id not in pools:
                pool = world.sites[pool_id.site].spec.pools[pool_id.index]
                room = option.usable_bytes if cpu else pool.chips
                pools[pool_id] = Pool(str(pool_id), pool.nodes, room, shared_time=cpu)
            name = f"{tier.name} {pool_id} {option.rank:04d}"
            behind[name] = option
            running = now if now is None else now.get(_where(option, world), 0)
            away = AWAY if pools_now and pool_id not in pools_now else 0.0
            taken = takes(option, catalog)
            columns.append(_column(name, tier, option, taken, running, beside=away + late[pool_id]))
    demands = tuple(_demand(tier) for tier in tiers)
    return Problem(demands, tuple(pools.values()), tuple(columns), tuple(_choices(tiers))), behind


def shares_machines(option: Option, catalog: Catalog) -> bool:
    """Whether replicas share a machine's memory and time, as on CPUs."""
    return catalog.profiles[option.configuration.profile].spec.kind == "cpu"


def takes(option: Option, catalog: Catalog) -> tuple[tuple[int, int], ...]:
    """Nodes of one replica and what it takes on each: bytes of a CPU machine, else chips."""
    return ((1, option.memory.total),) if shares_machines(option, catalog) else option.takes


def _demand(tier: Wanted) -> Demand:
    replicas = tier.ask.tier.replicas
    return Demand(
        name=tier.name,
        rate_per_s=tier.ask.rate_per_s,
        priority=tier.ask.service.spec.priority,
        least=replicas.min,
        most=replicas.max,
        places=replicas.sites,
    )


def _column(
    name: str, tier: Wanted, option: Option, taken: tuple[tuple[int, int], ...], now: int | None, *, beside: float
) -> Column:
    """A tier of which nothing runs (`now` is None) is started wherever it is best; only what runs is moved."""
    c = option.configuration
    return Column(
        name=name,
        capacity_per_s={tier.name: option.prediction.requests_per_s.mid},
        takes=tuple(Take(str(c.pool), nodes, units) for nodes, units in taken),
        cost_per_h=option.price_per_h,
        dislike=PER_BIT * option.lost_bits
        + PER_CHIP * option.chips
        + PER_SECOND * option.prediction.single_stream_tpot_s.mid
        + PER_RANK * option.rank
        + beside,
        place=c.pool.site,
        now=now or 0,
        move_per_h=0.0 if now is None else max(LEAST_MOVE_PER_H, option.price_per_h * MOVE_H),
        most=max(option.useful_replicas, tier.ask.tier.replicas.min),
    )


def _where(option: Option, world: World) -> _Where:
    c = option.configuration
    built = world.artifacts.get((c.model, c.quantization))
    return c.pool, c.sequences, c.context_tokens, c.profile, built.path if built else ""


def _now(tier: Wanted, world: World) -> Mapping[_Where, int]:
    """Replicas of the tier that serve, by what of their configuration they report."""
    service, counts = tier.ask.service.metadata.name, dict[_Where, int]()
    for replica in world.replicas:
        spec = replica.spec
        if replica.phase in SERVING and (spec.service, spec.tier) == (service, tier.ask.name):
            key = (PoolId(spec.site, spec.pool), spec.slots, spec.context_tokens, spec.chip, spec.artifact)
            counts[key] = counts.get(key, 0) + 1
    return counts


def _choices(tiers: list[Wanted]) -> Iterator[Choice]:
    """How much each service sends from student to teacher, where both can be had."""
    by_service: dict[str, dict[str, Wanted]] = {}
    for tier in tiers:
        by_service.setdefault(tier.ask.service.metadata.name, {})[tier.ask.name] = tier
    for name, both in by_service.items():
        escalation = next(iter(both.values())).ask.service.spec.escalation
        if escalation is None or len(both) < 2:  # noqa: PLR2004  student and teacher
            continue
        student, teacher = both["student"], both["teacher"]
        rate = teacher.ask.service.spec.demand.rate
        yield Choice(
            name,
            tuple(
                Way(f"{share:.{SHARE_DIGITS}f}", {student.name: rate, teacher.name: rate * share}, lost)
                for share, lost in shares(escalation, _most_per_s(teacher) / rate if rate else 1.0)
            ),
        )


def _most_per_s(tier: Wanted) -> float:
    """What a tier could carry at most with all pools to itself."""
    by_pool: dict[PoolId, float] = {}
    for option in tier.options:
        pool_id = option.configuration.pool
        carried = option.useful_replicas * option.prediction.requests_per_s.mid
        by_pool[pool_id] = max(by_pool.get(pool_id, 0.0), carried)
    best = max((option.prediction.requests_per_s.mid for option in tier.options), default=0.0)
    return min(sum(by_pool.values()), tier.ask.tier.replicas.max * best)


def shares(escalation: Escalation, most: float = 1.0) -> tuple[tuple[float, float], ...]:
    """Shares that may go to the teacher, each with what of the quality target it gives up.

    With a measured curve: its points within the budget. Without one the budget is what the target needs, and parts of
    it are what can be tried when there is no room.

    Args:
        escalation: target, budget, curve.
        most: share that the teacher could carry with all pools to itself; less than that is tried in parts.
    """
    if escalation.curve:
        allowed = [point for point in escalation.curve if point.share <= escalation.budget]
        points = [(point.share, max(0.0, escalation.target - point.quality)) for point in allowed]
    else:
        reach = min(escalation.budget, math.floor(most * 10**SHARE_DIGITS) / 10**SHARE_DIGITS)
        tried = {escalation.budget, *(reach * part for part in PART_OF_BUDGET)}
        points = [(share, 1 - share / escalation.budget if escalation.budget else 0.0) for share in sorted(tried)]
    found: dict[float, float] = {}
    for point, lost in points or [(0.0, escalation.target)]:
        share = round(point, SHARE_DIGITS)
        found[share] = min(lost, found.get(share, lost))
    better: list[tuple[float, float]] = []
    for share, lost in sorted(found.items()):  # a larger share that gives up no less is no use
        if not better or lost < better[-1][1]:
            better.append((share, lost))
    return tuple(better)


def alone(ask: Ask, option: Option) -> tuple[bool, float, int, int, float, tuple[object, ...]]:
    """The order of options for a tier that has the pools to itself, and by which alternatives are shown.

    What carries the demand, the cheapest, what loses least, fewest chips, fastest; then by name.
    """
    c, replicas = option.configuration, replicas_for(ask, option)
    name = (c.pool.site, c.pool.index, c.quantization, c.engine, c.nodes, c.parallelism.tensor, option.rank)
    carried = min(replicas, option.useful_replicas) * option.prediction.requests_per_s.mid
    return (
        carried < ask.rate_per_s,
        replicas * option.price_per_h,
        option.lost_bits,
        option.chips * replicas,
        option.prediction.single_stream_tpot_s.mid,
        name,
    )


def replicas_for(ask: Ask, option: Option) -> int:
    """Enough replicas for the demand by the middle prediction, within the bounds and what the pool can make use of."""
    wanted = math.ceil(ask.rate_per_s / option.prediction.requests_per_s.mid - 1e-9)
    return max(ask.tier.replicas.min, min(ask.tier.replicas.max, wanted, option.useful_replicas))
