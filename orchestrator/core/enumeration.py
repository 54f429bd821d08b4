"""Every way to run each tier over all pools; what is alike is looked at once. Pure.

Called by `orchestrator.core.placement`. What can be done in one pool is `orchestrator.core.configurations`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from orchestrator.api.kinds import Catalog
from orchestrator.api.site import Pool, Site
from orchestrator.core.asks import Ask, allowed, not_connected, wrong_place
from orchestrator.core.configurations import Option, Place, Ways
from orchestrator.core.cuts import spanned
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.quality import floor_of
from orchestrator.core.world import Configuration, PoolId, World

MIXED = 16  # replicas more than the demand needs, when it is carried by a mix of ways


@dataclass(frozen=True, slots=True)
class _Found:
    """What one kind of pool comes to for one kind of tier; subjects lack the pool's name."""

    options: tuple[Option, ...]
    rejections: tuple[Rejected, ...]


@dataclass(slots=True)
class Enumeration:
    """All ways of many tiers. What was found for one tier and one kind of pool is not looked for again."""

    catalog: Catalog
    world: World
    ways: Ways = field(init=False)
    found: dict[tuple[object, ...], _Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ways = Ways(self.catalog, self.world)

    def of(self, ask: Ask) -> tuple[tuple[Option, ...], tuple[Rejected, ...]]:
        """All options of a tier over all sites, and all rejections, both in a fixed order."""
        refused = allowed(ask)
        if refused is not None:
            return (), (refused,)
        options: list[Option] = []
        rejections: list[Rejected] = []
        kinds: dict[tuple[object, ...], list[Place]] = {}
        for site in (self.world.sites[name] for name in sorted(self.world.sites)):
            refused = wrong_place(ask, site) or not_connected(ask, site, self.world)
            if refused is not None:
                rejections.append(refused)
                continue
            for index, pool in enumerate(site.spec.pools):
                where = PoolId(site.metadata.name, index)
                profile = self.catalog.profiles.get(pool.profile)
                if profile is None:
                    rejections.append(Rejected(str(where), Why.PLACE, f"profile {pool.profile}", "no such profile"))
                    continue
                kinds.setdefault(_kind(site, pool), []).append(Place(site, where, pool, profile))
        asked = _asked(ask)
        for kind, places in kinds.items():
            key = (*asked, *kind)
            if key not in self.found:
                self.found[key] = self._look(ask, places[0])
            found = self.found[key]
            more = f" and {len(places) - 1} more like it" if len(places) > 1 else ""
            rejections += [
                replace(no, subject=f"{places[0].id}{more} {no.subject}".rstrip()) for no in found.rejections
            ]
            here = [
                replace(one, beaten=True) if _outnumbered(ask, one, found.options) else one for one in found.options
            ]
            most = ask.tier.replicas.max
            options += [_there(option, places[0], most) for option in here]
            options += [_there(one, place, most) for place in places[1:] for one in here if not one.beaten]
        return tuple(
            sorted(options, key=lambda o: (o.configuration.pool.site, o.configuration.pool.index, o.rank))
        ), tuple(rejections)

    def _look(self, ask: Ask, place: Place) -> _Found:
        results = list(self.ways.in_pool(ask, place))
        options = tuple(one for one in results if isinstance(one, Option))
        return _Found(
            tuple(
                replace(one, rank=i, beaten=beaten)
                for i, (one, beaten) in enumerate(zip(options, _beaten(options), strict=True))
            ),
            tuple(one for one in results if isinstance(one, Rejected)),
        )


def _beaten(options: tuple[Option, ...]) -> tuple[bool, ...]:
    """For each option whether another is no worse in anything a plan weighs; of equal ones the fastest stays."""
    order = sorted(range(len(options)), key=lambda i: (*_weighed(options[i]), _alone_s(options[i]), i))
    kept: list[tuple[float, ...]] = []
    beaten = [True] * len(options)
    for i in order:
        mine = _weighed(options[i])
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) for other in kept):
            kept.append(mine)
            beaten[i] = False
    return tuple(beaten)


def _outnumbered(ask: Ask, option: Option, options: tuple[Option, ...]) -> bool:
    """Whether several replicas of a smaller way carry as much on the same chips, when the tier may have so many."""
    if option.beaten or not option.checkpoint:
        return option.beaten
    mu = option.prediction.requests_per_s.mid
    for other in options:
        each = other.prediction.requests_per_s.mid
        times, rest = divmod(option.chips, other.chips)
        wider = _span(other) > _span(option) or other.lost_bits > option.lost_bits
        if times < 2 or rest or other.beaten or wider:  # noqa: PLR2004
            continue
        if times * each >= mu and ask.rate_per_s / each + MIXED <= ask.tier.replicas.max:
            return True
    return False


def _weighed(option: Option) -> tuple[float, ...]:
    """What a plan weighs of a way within one pool, smaller is better: room, loss, what it does not carry."""
    shared_bytes = 0 if option.checkpoint else option.memory.total  # only machines that are shared count bytes
    return _span(option), option.chips, shared_bytes, option.lost_bits, -option.prediction.requests_per_s.mid


def _span(option: Option) -> int:
    """Nodes that one replica must have at once."""
    return sum(nodes for nodes, _ in option.takes)


def _alone_s(option: Option) -> float:
    return option.prediction.single_stream_tpot_s.mid


def _asked(ask: Ask) -> tuple[object, ...]:
    """What of a tier decides what can be done in a pool that it may use."""
    tier = ask.tier
    return ask.model_name, tier.quantization, tier.slo.ttft, tier.slo.tpot, tier.context, floor_of(tier), ask.workload


def _kind(site: Site, pool: Pool) -> tuple[object, ...]:
    """What of a pool decides what can be done in it; its price and its number of nodes come after."""
    link = site.spec.link.rtt if site.spec.link else 0.0
    labels = tuple(sorted(pool.labels.items()))
    return pool.profile, pool.chips, pool.memory, pool.slice, pool.resource, labels, spanned(pool), link


def _there(option: Option, place: Place, most: int) -> Option:
    """The option in another pool of the same kind, of which the tier may have so many replicas at most."""
    cpu = place.profile.spec.kind == "cpu"  # its profile is the whole machine, and so is its price
    nodes, chips = place.pool.nodes, place.pool.chips
    held = nodes if cpu else min(nodes * (chips // each) // span for span, each in option.takes)
    c = option.configuration
    there = Configuration(
        c.model, c.quantization, c.engine, c.profile, place.id, c.parallelism, c.nodes, c.context_tokens, c.sequences
    )
    apart = option.apart and replace(option.apart, prefill=replace(option.apart.prefill, pool=place.id))
    return replace(
        option,
        configuration=there,
        apart=apart,
        price_per_h=place.pool.price * (1.0 if cpu else option.chips / place.pool.chips),
        useful_replicas=min(most, held),
    )
