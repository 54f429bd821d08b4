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
from orchestrator.core import policy
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.performance.runner import Workload
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
        yield Ask(service, name, tier, wanted, _with_terms(model, catalog), workload, rate)


def _with_terms(model: Model, catalog: Catalog) -> Model:
    """The card with what the catalog knows of its licence, where only the licence's name was given."""
    licence = policy.known_terms(model.spec.licence, catalog)
    if licence is model.spec.licence:
        return model
    return model.model_copy(update={"spec": model.spec.model_copy(update={"licence": licence})})


def allowed(ask: Ask) -> Rejected | None:
    """The policy gate: nothing is built, planned or started for a model that the policy does not allow."""
    subject = f"{ask.service.metadata.name}/{ask.name} {ask.model_name}"
    verdicts = policy.of_model(ask.service.spec.policy, ask.name, ask.model_name, ask.model.spec.licence)
    return next((verdict.rejected(subject) for verdict in verdicts if not verdict.allowed), None)


def wrong_place(ask: Ask, site: Site) -> Rejected | None:
    """None when the tier may use the site: the place it asked for, in a region its policy and its licence allow."""
    name = site.metadata.name
    other = policy.elsewhere(ask.tier.where, site)
    if other is not None:
        return Rejected(name, Why.PLACE, *other)
    verdicts = policy.of_site(ask.service.spec.policy, ask.name, ask.model_name, ask.model.spec.licence, site)
    return next((verdict.rejected(name) for verdict in verdicts if not verdict.allowed), None)


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
