"""From a decision to the scene a trace is played on: every placed replica, ready, behind the routes it would get. Pure.

Places come from `orchestrator.core.decide`, routes from `orchestrator.core.routing`, paces from
`orchestrator.core.performance`. Called by the command line before `orchestrator.core.simulation.run`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.core.cache import sequence_bytes
from orchestrator.core.cuts import show_cut
from orchestrator.core.decide import QUEUE_PER_SLOT, decide
from orchestrator.core.memory import BATCHED_TOKENS, STORAGE
from orchestrator.core.performance.pace import pace
from orchestrator.core.performance.runner import Runner
from orchestrator.core.placement.result import Group, Placed, Placement
from orchestrator.core.routing import routes
from orchestrator.core.runners import runner_of
from orchestrator.core.simulation.engine import Limits
from orchestrator.core.simulation.pace import RankPace
from orchestrator.core.simulation.prefixes import BLOCK_TOKENS
from orchestrator.core.simulation.scene import Crew, Scene, Stage
from orchestrator.core.simulation.tally import ANYTHING, Goal
from orchestrator.core.world import PoolId, TierName, World
from orchestrator.errors import Refused
from runtimes.contract import Phase, ReplicaReport, ReplicaSpec

EDGE_CHUNK_TOKENS = 16  # a usual piece of a prompt in the edge engine while others decode; alone the pieces only add up
OWNER = "simulation"


def scenes(
    services: Iterable[ModelService], catalog: Catalog, world: World, *, only: str | None, shared_prefixes: bool
) -> tuple[Scene, ...]:
    """Decide where everything goes and open every service that is to be played.

    Args:
        services: all that are planned together.
        catalog: cards, chips and engines.
        world: sites and what is built; its fleets are left alone, everything is on paper.
        only: name of the service that gets the whole trace; None for all.
        shared_prefixes: replicas of a tier share what they keep of prompts.

    Raises:
        Refused: a tier to be played has no place, or reads prompts apart from decoding.
    """
    wanted = sorted(services, key=lambda service: service.metadata.name)
    placement = decide(wanted, catalog, world, now_s=0.0).placement
    _check(placement, only)
    tiers = [tier for tier in placement.tiers if isinstance(tier, Placed)]
    names = {(t.service, t.tier): tuple(_names(t, group, at) for at, group in enumerate(t.groups)) for t in tiers}
    ready = [
        _report(tier, group, name)
        for tier in tiers
        for group, mine in zip(tier.groups, names[tier.service, tier.tier], strict=True)
        for name in mine
    ]
    shares = {one.service: one.share for one in placement.escalations}
    opened = []
    for service in wanted:
        name = service.metadata.name
        if only in {None, name}:
            stages: dict[TierName, Stage] = {}
            for tier in (one for one in tiers if one.service == name):
                crews = _routed(tier, names[name, tier.tier], ready, catalog, world)
                stages[tier.tier] = Stage(crews, _goal(service, tier), tier.rate_per_s, shared_prefixes)
            front: TierName = "student" if service.spec.student else "teacher"
            demand = service.spec.demand
            lengths = (demand.input, demand.output)
            opened.append(Scene(name, front, stages, shares.get(name, 0.0), lengths, demand.rate))
    return tuple(opened)


def crowded(placed: Iterable[Crew], world: World, catalog: Catalog) -> tuple[str, ...]:
    """What the simulation does not know: replicas that share the processors of one machine."""
    there: Counter[str] = Counter()
    for crew in placed:
        there[crew.where] += len(crew.names)
    notes = []
    for name, site in sorted(world.sites.items()):
        for index, pool in enumerate(site.spec.pools):
            where = str(PoolId(name, index))
            if there[where] > pool.nodes and catalog.profiles[pool.profile].spec.kind == "cpu":
                machines = f"{pool.nodes} machine{'s' if pool.nodes > 1 else ''} of {where}"
                notes.append(f"{there[where]} replicas share {machines}; each is played as if it had one alone")
    return tuple(notes)


def _check(placement: Placement, only: str | None) -> None:
    homeless = [
        f"{tier.service}/{tier.tier}"
        for tier in placement.tiers
        if not isinstance(tier, Placed) and only in {None, tier.service}
    ]
    if homeless:
        raise Refused(
            f"{', '.join(homeless)}: no place, so nothing to simulate; `headwater plan --why` says why, and a "
            "file without the tier plays the rest"
        )
    apart = [
        f"{tier.service}/{tier.tier}"
        for tier in placement.tiers
        if isinstance(tier, Placed) and only in {None, tier.service} and any(one.option.apart for one in tier.groups)
    ]
    if apart:
        hint = "simulate it with `disaggregation: never`"
        raise Refused(f"{', '.join(apart)}: planned with prefill and decode apart, which cannot be played; {hint}")


def _names(tier: Placed, group: Group, at: int) -> tuple[str, ...]:
    return tuple(f"{tier.service}-{tier.tier}-{at}-{ordinal}" for ordinal in range(group.replicas))


def _report(tier: Placed, group: Group, name: str) -> ReplicaReport:
    """A replica as it would report once it is ready."""
    c = group.option.configuration
    spec = ReplicaSpec(
        name=name,
        owner=OWNER,
        service=tier.service,
        tier=tier.tier,
        site=c.pool.site,
        pool=c.pool.index,
        variant=c.quantization,
        artifact=c.model,
        slots=c.sequences,
        context_tokens=c.context_tokens,
        threads=1,
        queue=c.sequences * QUEUE_PER_SLOT,
        memory_bytes=max(1, group.option.memory.total),
        chip=c.profile,
    )
    return ReplicaReport(spec=spec, phase=Phase.READY, url=f"http://{name}:80")


def _goal(service: ModelService, tier: Placed) -> Goal:
    written = service.spec.student if tier.tier == "student" else service.spec.teacher
    return Goal(written.slo.ttft, written.slo.tpot) if written else ANYTHING


def _routed(
    tier: Placed, names: tuple[tuple[str, ...], ...], ready: Iterable[ReplicaReport], catalog: Catalog, world: World
) -> tuple[Crew, ...]:
    """The replicas of the tier that its route lists, by group."""
    (route,) = routes({tier.service: tier.tier}, ready, ()).routes
    routed = {upstream.name for upstream in route.upstreams}
    return tuple(
        _crew(group, tuple(name for name in mine if name in routed), catalog, world)
        for group, mine in zip(tier.groups, names, strict=True)
    )


def _crew(group: Group, names: tuple[str, ...], catalog: Catalog, world: World) -> Crew:
    c = group.option.configuration
    link = world.sites[c.pool.site].spec.link
    edge = catalog.engines[c.engine].spec.recipe == "edge"
    runner = runner_of(c, catalog, world.artifacts)
    ranks = c.parallelism.data
    timing = RankPace(pace(runner, c.sequences), ranks)
    whole = BATCHED_TOKENS if timing.mixed else c.context_tokens  # who does not mix reads a prompt in one piece
    limits = Limits(
        context_tokens=c.context_tokens,
        chunk_tokens=EDGE_CHUNK_TOKENS if edge else whole,
        queue=c.sequences * QUEUE_PER_SLOT if edge else None,
    )
    return Crew(
        names=names,
        where=str(c.pool),
        what=f"{c.model} {c.quantization}, {c.engine} on {c.profile} {show_cut(c.parallelism, c.nodes)}",
        pace=timing,
        limits=limits,
        round_trip_s=link.rtt if link else 0.0,
        price_per_h=group.option.price_per_h,
        prefix_blocks=0 if edge else _blocks_left(group, runner),  # the edge engine reads every prompt whole
        ranks=ranks,
    )


def _blocks_left(group: Group, runner: Runner) -> int:
    """Blocks of prompts that fit into what the chips of one data rank have left."""
    left = group.option.usable_bytes - group.option.memory.total
    kv, cut = STORAGE[runner.quantization].kv, runner.cut
    block = sequence_bytes(runner.architecture, BLOCK_TOKENS, kv, tensor=cut.tensor) / cut.pipeline
    return int(left / block) if block and left > 0 else 0
