"""Every way to run a tier in one kind of pool, and why others are out. Pure; called by `orchestrator.core.enumeration`.

Order of the checks: licence before anything, then place and residency, engine, quantization, checkpoint, counts,
memory, speed; the quality a student keeps comes before counts. The first check that says no is the reason that is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from orchestrator.api.document import Fact
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.api.quantization import Quantization
from orchestrator.api.service import Teacher
from orchestrator.api.site import Pool, Site
from orchestrator.core import fit
from orchestrator.core.allocation import accepted_counts
from orchestrator.core.apart import Unit, units
from orchestrator.core.asks import Ask
from orchestrator.core.batches import Batch, Way, batches, compiled_way, context_of, held
from orchestrator.core.checkpoints import Checkpoint, checkpoint_for, loss, no_folder, worth_trying
from orchestrator.core.cuts import cuts_of, has_experts, show_cut
from orchestrator.core.doubts import unverified_numbers
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.memory import STORAGE, Memory, usable_bytes, whole_bytes
from orchestrator.core.performance.arithmetic import compute_fact, unknown
from orchestrator.core.performance.runner import Prediction, Runner
from orchestrator.core.quality import too_poor
from orchestrator.core.runners import known_quantization, runner
from orchestrator.core.world import Configuration, Parallelism, PoolId, World


@dataclass(frozen=True, slots=True)
class Apart:
    """A replica of a tier whose prompts are read by other engines than those that answer."""

    prefill: Configuration
    prefills: int
    decodes: int
    memory: Memory  # of the fullest chip that reads prompts


@dataclass(frozen=True, slots=True)
class Option:
    """A configuration that fits and meets the objectives."""

    configuration: Configuration
    memory: Memory
    usable_bytes: int
    prediction: Prediction
    checkpoint: str  # published checkpoint, or empty when it is built here
    unverified: tuple[str, ...]  # facts the numbers rest on that nobody verified
    lost_bits: int  # of most weights against the organisation's own; 0 of what the edge build measures itself
    at_risk: tuple[str, ...]  # objectives met by the middle of the prediction, and not at its 90th percentile
    takes: tuple[tuple[int, int], ...]  # nodes of one replica and chips on each, for each of its roles
    chips: int  # of one replica, all roles together
    apart: Apart | None = None  # then the configuration is of the replicas that decode
    price_per_h: float = 0.0  # of one replica
    useful_replicas: int = 0  # more carry nothing: the chips are gone, the machines are busy, or the tier has its most
    rank: int = 0  # in the order they were found in a pool
    beaten: bool = False  # another way of the same pool carries more for no more chips and loses no more


@dataclass(frozen=True, slots=True)
class Place:
    """A pool with its site and chip."""

    site: Site
    id: PoolId
    pool: Pool
    profile: HardwareProfile

    @property
    def round_trip_s(self) -> float:
        """From the gateway to the site and back."""
        return self.site.spec.link.rtt if self.site.spec.link else 0.0


@dataclass(slots=True)
class Ways:
    """Finds ways; a way to run a model is compiled once, whatever the objectives of those who ask."""

    catalog: Catalog
    world: World
    compiled: dict[tuple[object, ...], Way] = field(default_factory=dict)

    def in_pool(self, ask: Ask, place: Place) -> Iterator[Option | Rejected]:
        """Options and rejections of a tier in a pool; subjects lack the pool's name."""
        known = [self.catalog.engines[name] for name in place.profile.spec.engines if name in self.catalog.engines]
        if not known:
            yield Rejected("", Why.ENGINE, "an engine", f"none known for {place.pool.profile}")
        for engine in known:
            if engine.spec.recipe is None:
                name = f"{place.pool.profile} {engine.metadata.name}"
                yield Rejected(name, Why.ENGINE, "a way to launch it", "none here yet")
                continue
            for wanted in ask.tier.quantization or worth_trying(ask.model, engine, place.profile):
                subject = f"{place.pool.profile} {engine.metadata.name} {wanted}"
                checkpoint = _loadable(ask, place, engine, wanted, subject)
                if isinstance(checkpoint, Checkpoint):
                    checkpoint = too_poor(ask, checkpoint, self.world.artifacts, subject) or checkpoint
                if isinstance(checkpoint, Rejected):
                    yield checkpoint
                else:
                    yield from self._cut(ask, place, engine, checkpoint, subject)

    def _cut(
        self, ask: Ask, place: Place, engine: Engine, checkpoint: Checkpoint, subject: str
    ) -> Iterator[Option | Rejected]:
        """Options of one engine and one checkpoint, for every cut; then those of prefill and decode apart."""
        architecture, counts = ask.model.spec.architecture, self._counts(place)
        cuts = tuple(cuts_of(architecture, place.profile, place.pool, counts)) if architecture else ()
        if not cuts:
            yield _no_count(subject, self.catalog, place, counts)
        compiled: list[Way] = []
        together = 0.0
        for cut in cuts:
            one = self._compile(ask, place, engine, checkpoint.quantization, cut=cut)
            if one.runner.cut.pipeline > 1 and any(held(way, place.pool, context_of(ask)) for way in compiled):
                continue  # stages over nodes are for what has no room on fewer
            compiled.append(one)
            named = f"{subject} {show_cut(one.runner.cut, one.runner.nodes)}"
            for found in batches(ask, one, place.pool, place.round_trip_s, named):
                if isinstance(found, Rejected):
                    yield found
                    continue
                option = _option(ask, place, one.runner, found, checkpoint)
                together = max(together, option.prediction.requests_per_s.mid / option.chips)
                yield option
        told = engine.spec.apart or (architecture is not None and has_experts(architecture))  # where it would pay most
        if told and isinstance(ask.tier, Teacher) and ask.tier.disaggregation == "auto" and place.pool.chips > 1:
            for unit in units(ask, compiled, place.pool, place.round_trip_s):
                if unit.rate_per_chip > together:
                    yield (
                        _apart(ask, place, unit, checkpoint)
                        if engine.spec.apart
                        else _not_apart(subject, unit, together)
                    )

    def _counts(self, place: Place) -> tuple[int, ...]:
        return accepted_counts(self.catalog.cluster_of(place.profile), place.pool)

    def _compile(
        self, ask: Ask, place: Place, engine: Engine, quantization: Quantization, *, cut: tuple[Parallelism, int]
    ) -> Way:
        """One cut over its nodes, compiled once."""
        key = (ask.model_name, quantization, engine.metadata.name, place.pool.profile, cut)
        if key not in self.compiled:
            self.compiled[key] = compiled_way(
                runner(
                    ask.model,
                    place.profile,
                    engine,
                    quantization=quantization,
                    cut=cut,
                    catalog=self.catalog,
                    artifacts=self.world.artifacts,
                )
            )
        return self.compiled[key]


def _loadable(ask: Ask, place: Place, engine: Engine, wanted: str, subject: str) -> Checkpoint | Rejected:
    """What the engine would load for this quantization, when everything that a plan needs is known."""
    profile, quantization = place.profile, known_quantization(wanted)
    if quantization is None:
        return Rejected(subject, Why.QUANTIZATION, wanted, ", ".join(sorted(STORAGE)))
    if ask.model.spec.architecture is None:
        return Rejected(subject, Why.UNKNOWN, f"dimensions of {ask.model_name}", "not published")
    checkpoint = checkpoint_for(ask.model, engine, profile, quantization, subject)
    if isinstance(checkpoint, Rejected):
        return checkpoint
    return no_folder(ask.model, engine, checkpoint, subject) or _computable(place, checkpoint, subject)


def _computable(place: Place, checkpoint: Checkpoint, subject: str) -> Checkpoint | Rejected:
    """The checkpoint, when the chip computes in its type and every number that a plan needs is known."""
    profile, quantization = place.profile, checkpoint.quantization
    if compute_fact(profile, quantization) is None:
        return Rejected(subject, Why.DTYPE, f"arithmetic for {quantization}", ", ".join(profile.spec.peaks) or "none")
    missing = unknown(profile, quantization)
    missing += ("memory",) if whole_bytes(profile, place.pool) is None else ()
    if missing:
        hint = f"measure it and write it into a HardwareProfile of your own, beside {place.pool.profile}"
        return Rejected(subject, Why.UNKNOWN, ", ".join(missing), "no figure", hint)
    return checkpoint


def _not_apart(subject: str, unit: Unit, together: float) -> Rejected:
    """What prefill and decode apart would carry, when no recipe starts them."""
    read, write = unit.prefill.runner, unit.decode.runner
    how = f"{unit.prefills} x {show_cut(read.cut, read.nodes)} to read"
    then = f"{unit.decodes} x {show_cut(write.cut, write.nodes)} to answer"
    gain = f"it would carry {unit.rate_per_chip:.3g}/s on a chip against {together:.3g}/s together"
    return Rejected(f"{subject} apart, {how}, {then}", Why.ENGINE, "a recipe for both roles", "none here yet", gain)


def _no_count(subject: str, catalog: Catalog, place: Place, counts: tuple[int, ...]) -> Rejected:
    """No power of two that the platform accepts divides the heads."""
    cluster = catalog.cluster_of(place.profile)
    unit = cluster.spec.unit if cluster else "chip"
    takes = counts or (cluster.spec.counts if cluster else ())
    return Rejected(
        subject, Why.COUNT, f"{', '.join(map(str, takes))} {unit}s in a pod", f"{place.pool.chips} on a node"
    )


def _option(ask: Ask, place: Place, runner: Runner, batch: Batch, checkpoint: Checkpoint) -> Option:
    return Option(
        configuration=_configuration(ask, place, runner, batch),
        memory=batch.memory,
        usable_bytes=usable_bytes(place.profile, place.pool),
        prediction=batch.prediction,
        checkpoint=checkpoint.name,
        unverified=_unverified(place, runner, ask.model, checkpoint),
        lost_bits=loss(runner.quantization, ask.model.spec.native) if checkpoint.name else 0,
        at_risk=_at_risk(ask, batch.prediction),
        takes=((runner.nodes, runner.cut.chips // runner.nodes),),
        chips=runner.cut.chips,
    )


def _configuration(ask: Ask, place: Place, runner: Runner, batch: Batch) -> Configuration:
    return Configuration(
        model=ask.model_name,
        quantization=runner.quantization,
        engine=runner.engine.metadata.name,
        profile=place.pool.profile,
        pool=place.id,
        parallelism=runner.cut,
        nodes=runner.nodes,
        context_tokens=batch.context_tokens,
        sequences=batch.sequences,
    )


def _apart(ask: Ask, place: Place, unit: Unit, checkpoint: Checkpoint) -> Option:
    """One unit of prefill and decode as one replica."""
    prefill = _configuration(ask, place, unit.prefill.runner, unit.prefill.batch)
    whole = replace(unit.decode.batch, prediction=unit.prediction)
    option = _option(ask, place, unit.decode.runner, whole, checkpoint)
    (nodes, each), read = option.takes[0], unit.prefill.runner
    takes = ((unit.prefills * read.nodes, read.cut.chips // read.nodes), (unit.decodes * nodes, each))
    return replace(
        option,
        takes=takes,
        chips=sum(count * each for count, each in takes),
        apart=Apart(prefill, unit.prefills, unit.decodes, unit.prefill.batch.memory),
    )


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
