"""What each tier asks for, and whether it may have it at all: the model card, the policy, the site. Pure.

Called by `orchestrator.core.configurations` and `orchestrator.core.placement`, and by the command line for the licence
gate before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.api.service import ModelService, Source, Tier
from orchestrator.api.site import Site
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.performance import Workload
from orchestrator.core.world import TierName, World


@dataclass(frozen=True, slots=True)
class Ask:
    """One tier of one service, with its model card resolved."""

    service: ModelService
    name: TierName
    tier: Tier
    model_name: str
    model: Model
    workload: Workload
    rate_per_s: float  # requests this tier must carry


def asks(service: ModelService, catalog: Catalog) -> Iterator[Ask | Rejected]:
    """The tiers a service asks for, student first; a tier whose model is unknown is a rejection."""
    spec = service.spec
    share = spec.escalation.budget if spec.escalation else 1.0
    tiers: tuple[tuple[TierName, Tier | None, float], ...] = (
        ("student", spec.student, spec.demand.rate),
        ("teacher", spec.teacher, spec.demand.rate * (share if spec.student else 1.0)),
    )
    for name, tier, rate in tiers:
        if tier is None:
            continue
        wanted = tier.model.source if isinstance(tier.model, Source) else tier.model
        model = catalog.models.get(wanted)
        if model is None:
            hint = "import it into the catalog, or name one of: " + ", ".join(sorted(catalog.models))
            yield Rejected(f"{service.metadata.name}/{name}", Why.PLACE, f"model {wanted}", "no such model", hint)
            continue
        workload = Workload(spec.demand.input, spec.demand.output)
        yield Ask(service, name, tier, wanted, model, workload, rate)


def allowed(ask: Ask) -> Rejected | None:
    """The policy gate: nothing is built, planned or started for a licence the policy does not allow."""
    policy, spdx = ask.service.spec.policy, ask.model.spec.licence.spdx
    if policy.licences and spdx not in policy.licences:
        need = f"one of {', '.join(policy.licences)}"
        return Rejected(f"{ask.service.metadata.name}/{ask.name} {ask.model_name}", Why.LICENCE, need, spdx)
    return None


def wrong_place(ask: Ask, site: Site) -> Rejected | None:
    """None when the tier may use the site: the place it asked for, in a region its policy allows."""
    where, name, spec = ask.tier.where, site.metadata.name, site.spec
    for wanted, there in ((where.site, name), (where.role, spec.role), (where.region, spec.region)):
        if wanted is not None and wanted != there:
            return Rejected(name, Why.PLACE, wanted, there)
    residency = ask.service.spec.policy.residency
    if residency and not any(spec.region == r or spec.region.startswith(r + "-") for r in residency):
        return Rejected(name, Why.RESIDENCY, f"a region in {', '.join(residency)}", spec.region)
    return None


def not_connected(ask: Ask, site: Site, world: World) -> Rejected | None:
    """A site of our fleets without a machine takes nothing new; one where the tier runs is not given up for silence."""
    name, service = site.metadata.name, ask.service.metadata.name
    if world.connected is None or site.spec.fleet not in world.fleets or name in world.connected:
        return None
    if (service, ask.name, name) in {(r.spec.service, r.spec.tier, r.spec.site) for r in world.replicas}:
        return None
    have = f"machines of {', '.join(sorted(world.connected)) or 'no site'}"
    hint = f"start one with `headwater up --site {name}`, or forget the site with `headwater delete Site/{name}`"
    return Rejected(name, Why.CONNECTED, f"a machine of {name}", have, hint)
