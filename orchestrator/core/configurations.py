"""Every way to run a tier, and why others are out. Pure; called by `orchestrator.core.placement`.

Order of the checks: licence before anything, then place and residency, engine, quantization, checkpoint, counts,
memory, speed. The first check that says no is the reason that is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.api.hardware import Engine, HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.api.site import Pool, Site
from orchestrator.core import fit
from orchestrator.core.asks import Ask, allowed, not_connected, wrong_place
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.memory import STORAGE, Memory, chip_memory, edge_memory, usable_bytes
from orchestrator.core.performance import Prediction, Runner, compute_peak, predict
from orchestrator.core.world import Configuration, Parallelism, PoolId, World

SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128)  # running together, tried from the largest
EDGE_SEQUENCES = (1, 2, 4, 8)  # beyond 8 a CPU decodes no faster in total
CONTEXT_TOKENS = 4096  # when the tier does not say


@dataclass(frozen=True, slots=True)
class Option:
    """A configuration that fits and meets the objectives."""

    configuration: Configuration
    memory: Memory
    usable_bytes: int
    prediction: Prediction
    price_per_h: float  # of one replica
    checkpoint: str  # published checkpoint, or empty when it is built here
    useful_replicas: int  # more of them in the pool carry nothing more: its chips are gone, or its machines all busy
    unverified: tuple[str, ...]  # facts the numbers rest on that nobody verified
    at_risk: tuple[str, ...]  # objectives met by the middle of the prediction, and not at its 90th percentile


@dataclass(frozen=True, slots=True)
class Place:
    """A pool with its site and chip."""

    site: Site
    id: PoolId
    pool: Pool
    profile: HardwareProfile


def enumerate_options(ask: Ask, catalog: Catalog, world: World) -> tuple[tuple[Option, ...], tuple[Rejected, ...]]:
    """All options of a tier over all sites, and all rejections, both in a fixed order."""
    refused = allowed(ask)
    if refused is not None:
        return (), (refused,)
    options: list[Option] = []
    rejections: list[Rejected] = []
    for site in (world.sites[name] for name in sorted(world.sites)):
        refused = wrong_place(ask, site) or not_connected(ask, site, world)
        if refused is not None:
            rejections.append(refused)
            continue
        for index, pool in enumerate(site.spec.pools):
            where = PoolId(site.metadata.name, index)
            profile = catalog.profiles.get(pool.profile)
            if profile is None:
                rejections.append(Rejected(str(where), Why.PLACE, f"profile {pool.profile}", "no such profile"))
                continue
            for found in _in_pool(ask, Place(site, where, pool, profile), catalog, world):
                if isinstance(found, Option):
                    options.append(found)
                else:
                    rejections.append(found)
    return tuple(options), tuple(rejections)


def _in_pool(ask: Ask, place: Place, catalog: Catalog, world: World) -> Iterator[Option | Rejected]:
    profile = place.profile
    engines = [catalog.engines[name] for name in profile.spec.engines if name in catalog.engines]
    if not engines:
        yield Rejected(str(place.id), Why.ENGINE, "an engine", f"none known for {place.pool.profile}")
    for engine in engines:
        for quantization in ask.tier.quantization or tuple(sorted(engine.spec.quantizations)):
            subject = f"{place.id} {place.pool.profile} {engine.metadata.name} {quantization}"
            checkpoint = _checkpoint(ask, engine, quantization, subject)
            if isinstance(checkpoint, Rejected):
                yield checkpoint
            elif compute_peak(profile, quantization) is None:
                have = ", ".join(profile.spec.peaks) or "none"
                yield Rejected(subject, Why.DTYPE, f"arithmetic for {quantization}", have)
            else:
                artifact = world.artifacts.get((ask.model_name, quantization))
                needs = artifact.manifest.needs if artifact and engine.spec.recipe == "edge" else None
                cuts = tuple(_parallelisms(ask.model, profile, place.pool))
                if not cuts:
                    yield Rejected(subject, Why.COUNT, _chip_counts(profile), f"{place.pool.chips} chips per node")
                for cut, nodes in cuts:
                    runner = Runner(ask.model.spec.architecture, quantization, profile, engine, cut, nodes, needs)
                    yield _option(ask, place, runner, f"{subject} {show_cut(cut, nodes)}", checkpoint)


def _checkpoint(ask: Ask, engine: Engine, quantization: str, subject: str) -> str | Rejected:
    """The published checkpoint to load, empty for what the edge build makes itself."""
    if quantization in engine.spec.refused:
        return Rejected(subject, Why.QUANTIZATION, quantization, "refused", engine.spec.refused[quantization])
    if quantization not in engine.spec.quantizations or quantization not in STORAGE:
        return Rejected(subject, Why.QUANTIZATION, quantization, ", ".join(sorted(engine.spec.quantizations)))
    if engine.spec.recipe == "edge":
        return ""
    card = ask.model.spec
    if quantization == card.native and card.hub:
        return card.hub
    released = [release.name for release in card.releases if release.quantization == quantization]
    if not released:
        native = {card.native} if card.hub else set()
        have = ", ".join(sorted(native | {release.quantization for release in card.releases})) or "nothing"
        return Rejected(subject, Why.CHECKPOINT, quantization, f"published: {have}")
    return released[0]


def _option(ask: Ask, place: Place, runner: Runner, subject: str, checkpoint: str) -> Option | Rejected:
    size = _largest_that_fits(ask, runner, place.site, subject)
    if isinstance(size, Rejected):
        return size
    sequences, context, memory, prediction = size
    configuration = Configuration(
        model=ask.model_name,
        quantization=runner.quantization,
        engine=runner.engine.metadata.name,
        profile=place.pool.profile,
        pool=place.id,
        parallelism=runner.cut,
        nodes=runner.nodes,
        context_tokens=context,
        sequences=sequences,
    )
    cpu = place.profile.spec.kind == "cpu"  # its profile is the whole machine, and so is its price
    share = 1.0 if cpu else configuration.chips_per_node / place.pool.chips
    per_group = 1 if cpu else place.pool.chips // configuration.chips_per_node
    return Option(
        configuration=configuration,
        memory=memory,
        usable_bytes=usable_bytes(place.profile),
        prediction=prediction,
        price_per_h=place.pool.price * runner.nodes * share,
        checkpoint=checkpoint,
        useful_replicas=place.pool.nodes // runner.nodes * per_group,
        unverified=_unverified(place.profile, ask.model),
        at_risk=_at_risk(ask, prediction),
    )


def _parallelisms(model: Model, profile: HardwareProfile, pool: Pool) -> Iterator[tuple[Parallelism, int]]:
    """Ways to cut a replica: powers of two within a node; whole nodes beyond, for mixtures of experts.

    Over several nodes each node is one data rank and the experts are spread over all chips, as the engines document it.
    """
    if profile.spec.kind == "cpu":
        yield Parallelism(), 1
        return
    experts = model.spec.architecture.experts is not None
    counts = profile.spec.pod.counts if profile.spec.pod else tuple(range(1, pool.chips + 1))
    tensor = 1
    while tensor <= pool.chips:
        if tensor in counts and model.spec.architecture.heads % tensor == 0:
            yield Parallelism(tensor=tensor, expert=experts and tensor > 1), 1
        tensor *= 2
    nodes = 2
    while experts and nodes <= pool.nodes and pool.chips in counts:
        yield Parallelism(tensor=pool.chips, data=nodes, expert=True), nodes
        nodes *= 2


def _chip_counts(profile: HardwareProfile) -> str:
    counts = profile.spec.pod.counts if profile.spec.pod else ()
    return f"{', '.join(map(str, counts))} chips in a pod"


def _largest_that_fits(
    ask: Ask, runner: Runner, site: Site, subject: str
) -> tuple[int, int, Memory, Prediction] | Rejected:
    """The most sequences that fit memory and meet the objectives, or the reason the fewest do not."""
    longest = ask.model.spec.context
    context = min(ask.tier.context or CONTEXT_TOKENS, longest)
    request = ask.workload.input_tokens + ask.workload.output_tokens
    if context < request:
        return Rejected(subject, Why.CONTEXT, f"{request} tokens", f"{context} tokens", f"the model allows {longest}")
    edge = runner.engine.spec.recipe == "edge"
    round_trip = site.spec.link.rtt if site.spec.link else 0.0
    refused: Rejected | None = None
    for sequences in reversed(EDGE_SEQUENCES if edge else SEQUENCES):
        if edge:
            memory = edge_memory(
                runner.architecture, runner.quantization, runner.needs, sequences=sequences, context_tokens=context
            )
        else:
            memory = chip_memory(
                runner.architecture, runner.quantization, runner.cut, sequences=sequences, context_tokens=context
            )
        prediction = predict(runner, ask.workload, sequences=sequences, round_trip_s=round_trip)
        refused = fit.fits(subject, memory.total, usable_bytes(runner.profile)) or _too_slow(ask, subject, prediction)
        if refused is None:
            return sequences, context, memory, prediction
    return refused or Rejected(subject, Why.COUNT, "1 sequence", "0")


def _too_slow(ask: Ask, subject: str, prediction: Prediction) -> Rejected | None:
    slo = ask.tier.slo
    if slo.ttft is not None and prediction.ttft_s.mid > slo.ttft:
        return Rejected(
            subject, Why.TTFT, f"at most {fit.time(slo.ttft)}", f"{fit.time(prediction.ttft_s.mid)} predicted"
        )
    if slo.tpot is not None and prediction.tpot_s.mid > slo.tpot:
        return Rejected(
            subject, Why.TPOT, f"at most {fit.time(slo.tpot)}", f"{fit.time(prediction.tpot_s.mid)} predicted"
        )
    return None


def _at_risk(ask: Ask, prediction: Prediction) -> tuple[str, ...]:
    slo = ask.tier.slo
    held = (("first token", slo.ttft, prediction.ttft_s.high), ("per token", slo.tpot, prediction.tpot_s.high))
    return tuple(
        f"{what} at most {fit.time(most)}, {fit.time(high)} at the 90th percentile"
        for what, most, high in held
        if most is not None and high > most
    )


def _unverified(profile: HardwareProfile, model: Model) -> tuple[str, ...]:
    spec = profile.spec
    facts = {"memory": spec.memory, "bandwidth": spec.bandwidth} | {
        f"peak {name}": fact for name, fact in spec.peaks.items()
    }
    named = [f"{profile.metadata.name} {name}" for name, fact in facts.items() if fact.status == "unverified"]
    if model.spec.licence.status == "unverified":
        named.append(f"{model.metadata.name} licence")
    return tuple(sorted(named))


def show_cut(cut: Parallelism, nodes: int) -> str:
    """`TP8 DP2 EP on 2 nodes`, for people."""
    parts = [f"TP{cut.tensor}"]
    parts += [f"PP{cut.pipeline}"] if cut.pipeline > 1 else []
    parts += [f"DP{cut.data}"] if cut.data > 1 else []
    parts += ["EP"] if cut.expert else []
    return f"{' '.join(parts)} on {nodes} node{'s' if nodes > 1 else ''}"
