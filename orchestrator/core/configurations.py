"""Every way to run a tier, and why others are out. Pure; called by `orchestrator.core.placement`.

Order of the checks: licence before anything, then place and residency, engine, quantization, checkpoint, counts,
memory, speed. The first check that says no is the reason that is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.api.document import Fact
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.api.quantization import Quantization
from orchestrator.api.site import Pool, Site
from orchestrator.core import fit
from orchestrator.core.allocation import accepted_counts
from orchestrator.core.asks import Ask, allowed, not_connected, wrong_place
from orchestrator.core.checkpoints import Checkpoint, checkpoint_for, loss, no_folder, worth_trying
from orchestrator.core.cuts import cuts_of, show_cut
from orchestrator.core.doubts import unverified_numbers
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.memory import (
    STORAGE,
    Memory,
    chip_memory,
    edge_memory,
    reserved_bytes,
    usable_bytes,
    whole_bytes,
)
from orchestrator.core.performance.arithmetic import compute_fact, unknown
from orchestrator.core.performance.runner import Prediction, Runner
from orchestrator.core.performance.step import predict
from orchestrator.core.world import Configuration, PoolId, World

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
    lost_bits: int  # of most weights against the organisation's own; 0 of what the edge build measures itself
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
    engines = [catalog.engines[name] for name in place.profile.spec.engines if name in catalog.engines]
    if not engines:
        yield Rejected(str(place.id), Why.ENGINE, "an engine", f"none known for {place.pool.profile}")
    for engine in engines:
        if engine.spec.recipe is None:
            name = f"{place.id} {place.pool.profile} {engine.metadata.name}"
            yield Rejected(name, Why.ENGINE, "a way to launch it", "none here yet")
            continue
        for quantization in ask.tier.quantization or worth_trying(ask.model, engine, place.profile):
            yield from _with(ask, place, engine, quantization, catalog=catalog, world=world)


def _with(
    ask: Ask, place: Place, engine: Engine, wanted: str, *, catalog: Catalog, world: World
) -> Iterator[Option | Rejected]:
    """Options of one engine and one quantization."""
    profile, architecture = place.profile, ask.model.spec.architecture
    subject = f"{place.id} {place.pool.profile} {engine.metadata.name} {wanted}"
    quantization = known_quantization(wanted)
    if quantization is None:
        yield Rejected(subject, Why.QUANTIZATION, wanted, ", ".join(sorted(STORAGE)))
        return
    if architecture is None:
        yield Rejected(subject, Why.UNKNOWN, f"dimensions of {ask.model_name}", "not published")
        return
    checkpoint = checkpoint_for(ask.model, engine, profile, quantization, subject)
    if isinstance(checkpoint, Rejected):
        yield checkpoint
        return
    if (refused := no_folder(ask.model, engine, checkpoint, subject)) is not None:
        yield refused
        return
    if compute_fact(profile, quantization) is None:
        yield Rejected(subject, Why.DTYPE, f"arithmetic for {quantization}", ", ".join(profile.spec.peaks) or "none")
        return
    missing = unknown(profile, engine, quantization)
    missing += ("memory",) if whole_bytes(profile, place.pool) is None else ()
    if missing:
        hint = f"measure it and write it into a HardwareProfile or Engine of your own, beside {place.pool.profile}"
        yield Rejected(subject, Why.UNKNOWN, ", ".join(missing), "no figure", hint)
        return
    artifact = world.artifacts.get((ask.model_name, quantization))
    needs = artifact.manifest.needs if artifact and engine.spec.recipe == "edge" else None
    counts = accepted_counts(catalog.cluster_of(profile), place.pool)
    cuts = tuple(cuts_of(architecture, profile, place.pool, counts))
    if not cuts:
        yield _no_count(subject, catalog, place, counts)
    for cut, nodes in cuts:
        runner = Runner(architecture, quantization, profile, engine, cut, nodes, needs)
        yield _option(ask, place, runner, f"{subject} {show_cut(cut, nodes)}", checkpoint)


def _no_count(subject: str, catalog: Catalog, place: Place, counts: tuple[int, ...]) -> Rejected:
    """No power of two that the platform accepts divides the heads."""
    cluster = catalog.cluster_of(place.profile)
    unit = cluster.spec.unit if cluster else "chip"
    takes = counts or (cluster.spec.counts if cluster else ())
    return Rejected(
        subject, Why.COUNT, f"{', '.join(map(str, takes))} {unit}s in a pod", f"{place.pool.chips} on a node"
    )


def known_quantization(name: str) -> Quantization | None:
    """The quantization of that name, if there is one."""
    return next((known for known in STORAGE if known == name), None)


def _option(ask: Ask, place: Place, runner: Runner, subject: str, checkpoint: Checkpoint) -> Option | Rejected:
    size = _largest_that_fits(ask, runner, place, subject)
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
        usable_bytes=usable_bytes(place.profile, place.pool),
        prediction=prediction,
        price_per_h=place.pool.price * runner.nodes * share,
        checkpoint=checkpoint.name,
        useful_replicas=place.pool.nodes // runner.nodes * per_group,
        unverified=_unverified(place, runner, ask.model, checkpoint),
        lost_bits=loss(runner.quantization, ask.model.spec.native) if checkpoint.name else 0,
        at_risk=_at_risk(ask, prediction),
    )


def _largest_that_fits(
    ask: Ask, runner: Runner, place: Place, subject: str
) -> tuple[int, int, Memory, Prediction] | Rejected:
    """The most sequences that fit memory and meet the objectives, or the reason the fewest do not."""
    longest = ask.model.spec.context
    wanted = ask.tier.context or CONTEXT_TOKENS
    context = min(wanted, longest or wanted)
    request = ask.workload.input_tokens + ask.workload.output_tokens
    if context < request:
        hint = f"the model allows {longest or context}"
        return Rejected(subject, Why.CONTEXT, f"{request} tokens", f"{context} tokens", hint)
    edge = runner.engine.spec.recipe == "edge"
    link = place.site.spec.link
    round_trip = link.rtt if link else 0.0
    usable = usable_bytes(place.profile, place.pool)
    refused: Rejected | None = None
    for sequences in reversed(EDGE_SEQUENCES if edge else SEQUENCES):
        if edge:
            memory = edge_memory(
                runner.architecture, runner.quantization, runner.needs, sequences=sequences, context_tokens=context
            )
        else:
            memory = chip_memory(
                runner.architecture,
                runner.quantization,
                runner.cut,
                sequences=sequences,
                context_tokens=context,
                reserved_bytes=reserved_bytes(place.profile, place.pool),
                board=runner.profile.spec.place == "edge",
            )
        prediction = predict(runner, ask.workload, sequences=sequences, round_trip_s=round_trip)
        refused = fit.fits(subject, memory.total, usable) or _too_slow(ask, subject, prediction)
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


def _unverified(place: Place, runner: Runner, model: Model, checkpoint: Checkpoint) -> tuple[str, ...]:
    spec, peak = place.profile.spec, compute_fact(place.profile, runner.quantization)
    facts: dict[str, Fact[float] | None] = {"bandwidth": spec.bandwidth}
    facts |= {f"peak {peak[0]}": peak[1]} if peak else {}
    if runner.cut.tensor > 1 and spec.node_link:
        facts["link between chips"] = spec.node_link.bandwidth
    if runner.nodes > 1 and spec.network:
        facts["network"] = spec.network.bandwidth
    reads = () if checkpoint.verified else (f"that {runner.engine.metadata.name} reads {checkpoint.format}",)
    return tuple(sorted({*unverified_numbers(place.profile, place.pool, model, facts), *reads}))
