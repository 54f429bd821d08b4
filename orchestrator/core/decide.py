"""The one decision: from what is wanted and what is, to the next moves. Pure; the only door of the core.

Order: place every tier, turn those placed on our fleets into wanted replicas, step each rollout, set routes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass

from orchestrator.api.hardware import HardwareSpec
from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core import rollout
from orchestrator.core.actions import Act, Action, Blocked, Done, Outcome, SetRoutes, Start, Stop
from orchestrator.core.configurations import Option
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.memory import whole_bytes
from orchestrator.core.placement.place import place
from orchestrator.core.placement.result import Group, Placed, Placement, Unplaced
from orchestrator.core.routing import routes
from orchestrator.core.world import Artifact, PoolId, World
from runtimes.contract import Phase, ReplicaReport, ReplicaSpec

QUEUE_PER_SLOT = 8  # a request that would wait longer than eight others is told to come back


@dataclass(frozen=True, slots=True)
class Decision:
    """Where everything goes, what each service's state is, and the moves of this pass in order."""

    placement: Placement
    outcomes: Mapping[str, Outcome]  # by service/tier
    actions: tuple[Action, ...]


def decide(services: Iterable[ModelService], catalog: Catalog, world: World, now_s: float) -> Decision:
    """Decide the next moves.

    Routes are set before anything is stopped, so that no new request reaches a replica that is leaving.
    """
    wanted = sorted(services, key=lambda s: s.metadata.name)
    placement = place(wanted, catalog, world)
    ours = tuple(r for r in world.replicas if r.spec.owner == world.owner and r.phase is not Phase.GONE)
    free = _free_bytes(catalog, world)
    outcomes: dict[str, Outcome] = {}
    moves: list[Action] = []
    held = _held(ours, world)
    known: set[tuple[str, str]] = set()
    for tier in placement.tiers:
        known.add((tier.service, tier.tier))
        here = tuple(r for r in ours if (r.spec.service, r.spec.tier) == (tier.service, tier.tier))
        outcome = _tier_outcome(tier, here, free, world, catalog, now_s=now_s)
        outcomes[f"{tier.service}/{tier.tier}"] = outcome
        if isinstance(outcome, Act):
            moves.extend(outcome.actions)
            _take(free, outcome)
    gone = (r.spec for r in ours if (r.spec.service, r.spec.tier) not in known and r.spec.service not in held)
    orphans = sorted(gone, key=lambda spec: spec.name)
    moves.extend(Stop(spec.name, spec.site, "its service is gone") for spec in orphans)
    leaving = {move.replica for move in moves if isinstance(move, Stop)}
    fronts = held | {s.metadata.name: "student" if s.spec.student else "teacher" for s in wanted}
    table = routes(fronts, ours, leaving)
    return Decision(placement, outcomes, (SetRoutes(table), *moves))


def _held(ours: tuple[ReplicaReport, ...], world: World) -> dict[str, str]:
    """Services that cannot be read, with the tier that answers: their replicas and routes stay as they are."""
    names = [
        name for kind, _, name in (key.partition("/") for key in sorted(world.unreadable)) if kind == "ModelService"
    ]
    return {  # student before teacher
        name: min((r.spec.tier for r in ours if r.spec.service == name), default="student") for name in names
    }


def wanted_replicas(
    tier: Placed, group: Group, artifact: Artifact, chip: HardwareSpec, owner: str
) -> tuple[ReplicaSpec, ...]:
    """The replicas of one group of a student tier; names follow from the variant, so a retry finds its own work."""
    c, memory = group.option.configuration, group.option.memory
    threads, providers = chip.cores or 1, chip.execution_providers
    built = "".join(entry.sha256 for _, entry in sorted(artifact.manifest.files.items()))
    facts = f"{c.model}|{c.quantization}|{built}|{c.pool}|{c.sequences}|{c.context_tokens}|{threads}" + "".join(
        f"|{name}" for name in providers
    )
    variant = hashlib.sha256(facts.encode()).hexdigest()[:8]
    return tuple(
        ReplicaSpec(
            name=f"{tier.service}-{tier.tier}-{variant}-{ordinal}",
            owner=owner,
            service=tier.service,
            tier=tier.tier,
            site=c.pool.site,
            pool=c.pool.index,
            variant=variant,
            artifact=artifact.path,
            slots=c.sequences,
            context_tokens=c.context_tokens,
            threads=threads,
            queue=c.sequences * QUEUE_PER_SLOT,
            memory_bytes=memory.total,
            chip=c.profile,
            chip_share=memory.total / group.option.usable_bytes,
            providers=providers,
        )
        for ordinal in range(group.replicas)
    )


def _tier_outcome(
    tier: Placed | Unplaced,
    here: tuple[ReplicaReport, ...],
    free: Mapping[PoolId, int],
    world: World,
    catalog: Catalog,
    *,
    now_s: float,
) -> Outcome:
    """Blocked tiers keep what runs: a bad edit never stops a healthy replica."""
    unreadable = sorted({f"Site/{r.spec.site}" for r in here} & world.unreadable)
    if unreadable:
        hint = "deploy it again, or delete it"
        return Blocked(
            tuple(
                Rejected(name, Why.UNREADABLE, "a document this version can read", "one of another", hint)
                for name in unreadable
            )
        )
    if isinstance(tier, Unplaced):
        return Blocked(tier.rejections)
    specs, paper, refused = _wanted(tier, world, catalog)
    if refused:
        return Blocked(refused)
    ours = bool(specs) or not paper
    outcome = rollout.step(specs, here, free_bytes=free, world=world, now_s=now_s) if ours else Done("")
    if not isinstance(outcome, Done):
        return outcome
    return Done("; ".join(filter(None, (outcome.note, *paper))) + _shortage(tier))


def _wanted(
    tier: Placed, world: World, catalog: Catalog
) -> tuple[tuple[ReplicaSpec, ...], tuple[str, ...], tuple[Rejected, ...]]:
    """Replicas that our fleets run, what is said of those they do not, and what forbids to go on."""
    specs: list[ReplicaSpec] = []
    paper: dict[str, None] = {}
    for group in tier.groups:
        c = group.option.configuration
        site = world.sites[c.pool.site]
        if site.spec.fleet not in world.fleets or group.option.checkpoint:
            paper[_on_paper(group.option, site)] = None
            continue
        artifact = world.artifacts.get((c.model, c.quantization))
        if artifact is None:
            return (), (), (_not_built(tier, group.option),)
        specs += wanted_replicas(tier, group, artifact, catalog.profiles[c.profile].spec, world.owner)
    return tuple(specs), tuple(paper), _taken(specs, world)


def _not_built(tier: Placed, option: Option) -> Rejected:
    c = option.configuration
    hint = f"run: headwater build {c.model} --quantization {c.quantization}"
    need = f"{c.model} {c.quantization}"
    return Rejected(f"{tier.service}/{tier.tier}", Why.NOT_BUILT, need, "no artifact", hint)


def _shortage(tier: Placed) -> str:
    """What is wanted and not carried; never left unsaid."""
    if not tier.short_per_s:
        return ""
    return f"; carries {tier.rate_per_s - tier.short_per_s:.3g}/s of the {tier.rate_per_s:g}/s wanted"


def _on_paper(option: Option, site: Site) -> str:
    """Why nothing is started here, and what starts it."""
    if option.checkpoint:
        return "planned, not started: `headwater render` writes its manifests for Kubernetes"
    return f"planned, not started: site {site.metadata.name} has fleet {site.spec.fleet}"


def _taken(specs: Iterable[ReplicaSpec], world: World) -> tuple[Rejected, ...]:
    """Names that another controller's replicas have; waiting would not free them."""
    owners = {r.spec.name: r.spec.owner for r in world.replicas if r.phase is not Phase.GONE}
    hint = "let that controller delete its service, or give this one another name"
    return tuple(
        Rejected(spec.name, Why.OWNER, f"owner {world.owner}", f"owner {owners[spec.name]}", hint)
        for spec in specs
        if owners.get(spec.name, world.owner) != world.owner
    )


def _take(free: MutableMapping[PoolId, int], outcome: Act) -> None:
    """What one tier starts in this pass is no longer free for the next tier."""
    for move in outcome.actions:
        if isinstance(move, Start):
            free[PoolId(move.spec.site, move.spec.pool)] -= move.spec.memory_bytes


def _free_bytes(catalog: Catalog, world: World) -> dict[PoolId, int]:
    """Memory left in each pool beside everything that runs there, whoever owns it."""
    free: dict[PoolId, int] = {}
    for name, site in world.sites.items():
        for index, pool in enumerate(site.spec.pools):
            profile = catalog.profiles.get(pool.profile)
            if profile is not None:
                chips = 1 if profile.spec.kind == "cpu" else pool.chips
                free[PoolId(name, index)] = pool.nodes * chips * (whole_bytes(profile, pool) or 0)
    for replica in world.replicas:
        pool_id = PoolId(replica.spec.site, replica.spec.pool)
        if pool_id in free and replica.phase is not Phase.GONE:
            free[pool_id] -= replica.spec.memory_bytes
    return free
