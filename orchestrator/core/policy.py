"""What the policy of a service says to a model and to a site: every rule looked at, with what it found. Pure.

Rules: the licence is allowed, its duties are accepted, it is granted where the users and the sites are, the teacher's
answers may train other models when they will, and the site lies where the policy lets data be. Whether anything fits is
no question here. Called by `orchestrator.core.asks` for planning, by `orchestrator.offline` before anything is built,
and by `headwater policy check`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.api import spdx
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Duty, Licence, Model
from orchestrator.api.service import ModelService, Policy, Source, Tier, Where
from orchestrator.api.site import Site
from orchestrator.api.territory import EU, MEMBERS, overlap, territory_of
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.world import TierName

NOTICE_ONLY = frozenset(("0bsd", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "isc", "mit", "mit-0", "zlib"))
"""Licences that ask for no more than to keep their notice: nothing that has to be accepted."""
UNSTATED = frozenset(("noassertion", "none"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule asked about one tier, or about one tier at one site."""

    tier: TierName
    model: str
    rule: Why
    allowed: bool
    need: str
    have: str
    hint: str = ""
    site: str = ""  # empty: said of the model, wherever it runs

    def rejected(self, subject: str) -> Rejected:
        """The verdict as planning says no."""
        return Rejected(subject, self.rule, self.need, self.have, self.hint)


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a placed tier runs, for the record."""

    spdx: str
    status: str
    duties: tuple[Duty, ...]
    accepted: tuple[str, ...]  # licence and duties, as `accepted` says them
    excluded: tuple[str, ...]
    notes: tuple[str, ...]  # what the yes rests on


def check(service: ModelService, catalog: Catalog, sites: Mapping[str, Site]) -> tuple[Verdict, ...]:
    """Every rule for every tier, student first, and for every site its `where` allows, by name."""
    verdicts: list[Verdict] = []
    for tier, wanted in _tiers(service):
        if isinstance(wanted.model, Source):
            name, stated = wanted.model.source, Licence(spdx=wanted.model.licence, status="unverified")
        elif wanted.model in catalog.models:
            name, stated = wanted.model, catalog.models[wanted.model].spec.licence
        else:
            name, need = wanted.model, f"model {wanted.model}"
            verdicts.append(Verdict(tier, name, Why.PLACE, allowed=False, need=need, have="no such model"))
            continue
        licence = known_terms(stated, catalog)
        verdicts += of_model(service.spec.policy, tier, name, licence)
        for site in (sites[key] for key in sorted(sites)):
            if elsewhere(wanted.where, site) is None:
                verdicts += of_site(service.spec.policy, tier, name, licence, site)
    return tuple(verdicts)


def refusals(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts that leave a tier nowhere to run: no to its model, or no to every site that was looked at."""
    given = tuple(verdicts)
    no = [verdict for verdict in given if not verdict.allowed]
    looked = {(verdict.tier, verdict.site) for verdict in given if verdict.site}
    free = {tier for tier, _ in looked - {(verdict.tier, verdict.site) for verdict in no}}
    return tuple(verdict for verdict in no if not verdict.site or verdict.tier not in free)


def of_model(policy: Policy, tier: TierName, model: str, licence: Licence) -> tuple[Verdict, ...]:
    """The rules that hold wherever the model runs: licence, duties, users, training."""
    found = [_licence, _duties, _users, *([_training] if tier == "teacher" else [])]
    return tuple(Verdict(tier, model, *rule(policy, licence)) for rule in found)


def of_site(policy: Policy, tier: TierName, model: str, licence: Licence, site: Site) -> tuple[Verdict, ...]:
    """The rules that depend on the place: residency, and territories the licence is not granted in."""
    region = site.spec.region
    rules = (_residency(policy, region), _ground(licence, region))
    return tuple(Verdict(tier, model, *rule, site=site.metadata.name) for rule in rules)


def elsewhere(where: Where, site: Site) -> tuple[str, str] | None:
    """What the tier asked for and what the site is, where they differ; None when the tier may use the site."""
    pairs = ((where.site, site.metadata.name), (where.role, site.spec.role), (where.region, site.spec.region))
    return next(((wanted, there) for wanted, there in pairs if wanted is not None and wanted != there), None)


def known_terms(licence: Licence, catalog: Catalog) -> Licence:
    """The licence with what the catalog knows of the same text, when only its name was given.

    Weights that are in no catalog come with the name of a licence, which must not be a way around its duties.
    """
    if licence.status == "verified" or licence.duties or licence.excluded or licence.outputs_may_train is not None:
        return licence
    ours = _asking(licence)
    if not ours:
        return licence
    others = [catalog.models[name].spec.licence for name in sorted(catalog.models)]
    same = [other for other in others if ours >= _asking(other) > frozenset()]  # the empty set is no text at all
    return licence.model_copy(
        update={
            "duties": tuple(dict.fromkeys(duty for other in same for duty in other.duties)),
            "excluded": tuple(sorted({place for other in same for place in other.excluded})),
            "outputs_may_train": False if any(other.outputs_may_train is False for other in same) else None,
        }
    )


def accepted(service: ModelService, model: Model) -> tuple[str, ...]:
    """Which licence was accepted and each of its duties; empty when there was nothing to accept, or it was not."""
    licence = model.spec.licence
    duties = _binding(licence)
    if not duties or not _agreed(spdx.parse(licence.spdx), _parsed(service.spec.policy.accepted)):
        return ()
    return (licence.spdx, *map(_text, duties))


def terms(service: ModelService, tier: TierName, model: Model) -> Terms:
    """Under which terms a tier runs."""
    policy, licence = service.spec.policy, model.spec.licence
    found = stated(licence)
    notes = ["users were not declared"] if licence.excluded and not policy.users else []
    if tier == "teacher" and policy.train_on_outputs and licence.outputs_may_train is None:
        notes.append("it does not say whether its answers may train other models")
    return replace(found, accepted=accepted(service, model), notes=(*found.notes, *notes))


def stated(licence: Licence) -> Terms:
    """What a licence says to whoever asks, without a service and its policy."""
    notes = [] if licence.status == "verified" else [_UNSURE[licence.status]]
    if licence.excluded:
        notes.append(f"not granted in {', '.join(licence.excluded)}")
    if licence.outputs_may_train is False:
        notes.append("its answers must not train other models")
    return Terms(licence.spdx, licence.status, licence.duties, (), licence.excluded, tuple(notes))


_UNSURE = {"unverified": "nobody verified the licence", "secondary": "the licence is known from a copy or a catalogue"}
_Found = tuple[Why, bool, str, str, str]  # rule, allowed, need, have, hint


def _licence(policy: Policy, licence: Licence) -> _Found:
    have = licence.spdx + ("" if licence.status == "verified" else f" ({licence.status})")
    if not policy.licences:
        return Why.LICENCE, True, "any licence", have, ""
    need = f"one of {', '.join(policy.licences)}"
    expression = spdx.parse(licence.spdx)
    lacking = spdx.missing(_parsed(policy.licences), expression)
    if not lacking:
        return Why.LICENCE, True, need, have, ""
    return Why.LICENCE, False, need, licence.spdx, _licence_hint(policy, expression, lacking)


def _licence_hint(policy: Policy, expression: spdx.Expression, lacking: tuple[spdx.Term, ...]) -> str:
    """What the two numbers of the sentence do not say: which part, a slip of the pen, or that nothing is stated."""
    if any(term.id.lower() in UNSTATED for term in lacking):
        return "no licence is stated for these weights; name NOASSERTION only when you have the right to use them"
    near = difflib.get_close_matches(str(lacking[0]), policy.licences, n=1, cutoff=0.75)
    if near:
        return f"the policy says {near[0]}; is {lacking[0]} meant?"
    return "" if isinstance(expression, spdx.Term) else f"not allowed: {', '.join(map(str, lacking))}"


def _duties(policy: Policy, licence: Licence) -> _Found:
    duties = _binding(licence)
    if not duties:
        return Why.DUTY, True, "every duty accepted", "no duties", ""
    expression = spdx.parse(licence.spdx)
    ids = tuple(dict.fromkeys(_to_accept(expression))) or (str(expression),)
    asked = "; ".join(map(_text, duties))
    need = f"{' and '.join(ids)} accepted, which asks: {asked}"
    if _agreed(expression, _parsed(policy.accepted)):
        return Why.DUTY, True, need, "accepted", ""
    hint = f"when you accept that, write policy: {{accepted: [{', '.join(dict.fromkeys((*policy.accepted, *ids)))}]}}"
    have = f"only {', '.join(policy.accepted)} accepted" if policy.accepted else "nothing accepted"
    return Why.DUTY, False, need, have, hint


def _users(policy: Policy, licence: Licence) -> _Found:
    where = f"users in {', '.join(policy.users)}" if policy.users else "users not declared"
    if not licence.excluded:
        return Why.TERRITORY, True, "users anywhere", where, ""
    need = f"users outside {', '.join(licence.excluded)}"
    if not policy.users:
        hint = "the regions of the sites alone count; say where the users are, such as policy: {users: [cn]}"
        return Why.TERRITORY, True, need, where, hint
    inside = [user for user in policy.users if overlap(user, licence.excluded)]
    hint = "the licence is not granted there; choose another model for them" if inside else ""
    return Why.TERRITORY, not inside, need, f"users in {', '.join(inside)}" if inside else where, hint


def _training(policy: Policy, licence: Licence) -> _Found:
    said = {True: "a licence that allows it", False: "a licence that forbids it", None: "the licence does not say"}
    have = said[licence.outputs_may_train]
    if not policy.train_on_outputs:
        return Why.TRAINING, True, "nothing, its answers train no other model", have, ""
    refused = licence.outputs_may_train is False
    hint = "choose another teacher, or leave out trainOnOutputs and train nothing on its answers" if refused else ""
    return Why.TRAINING, not refused, "answers that may train other models", have, hint


def _residency(policy: Policy, region: str) -> _Found:
    if not policy.residency:
        return Why.RESIDENCY, True, "any region", region, ""
    ground = territory_of(region)
    inside = any(
        region == prefix or region.startswith(prefix + "-") or (prefix == EU and ground in MEMBERS)
        for prefix in policy.residency
    )
    return Why.RESIDENCY, inside, f"a region in {', '.join(policy.residency)}", region, ""


def _ground(licence: Licence, region: str) -> _Found:
    if not licence.excluded:
        return Why.TERRITORY, True, "a region anywhere", region, ""
    need = f"a region outside {', '.join(licence.excluded)}"
    territory = territory_of(region)
    if territory is None:
        hint = f"its country is not known; start the region with it, such as cn-{region}"
        return Why.TERRITORY, False, need, region, hint
    inside = overlap(territory, licence.excluded)
    return Why.TERRITORY, not inside, need, region, f"the licence is not granted in {', '.join(inside)}" * bool(inside)


def _tiers(service: ModelService) -> Iterator[tuple[TierName, Tier]]:
    if service.spec.student is not None:
        yield "student", service.spec.student
    if service.spec.teacher is not None:
        yield "teacher", service.spec.teacher


def _binding(licence: Licence) -> tuple[Duty, ...]:
    """Duties that have to be accepted: all but the notices of licences that ask for nothing else."""
    plain = not _asking(licence)
    return tuple(duty for duty in licence.duties if not (plain and duty.kind == "notice"))


def _text(duty: Duty) -> str:
    return f"{duty.text} ({duty.kind})"


def _asking(licence: Licence) -> frozenset[str]:
    """Licences in the expression that may ask for something."""
    named = {str(term).lower() for term in spdx.terms(spdx.parse(licence.spdx))}
    return frozenset(named - NOTICE_ONLY - UNSTATED)


def _agreed(expression: spdx.Expression, agreed: tuple[spdx.Expression, ...]) -> bool | None:
    """True: accepted. False: something in it is not. None: it asks for nothing, and nobody accepted it by name."""
    if any(spdx.same(one, expression) for one in agreed):
        return True
    if isinstance(expression, spdx.Term):
        return None if str(expression).lower() in NOTICE_ONLY else False
    parts = [_agreed(part, agreed) for part in expression.parts]
    order = (False, True, None) if isinstance(expression, spdx.AllOf) else (True, None, False)
    return next(answer for answer in order if answer in parts)


def _to_accept(expression: spdx.Expression) -> Iterator[str]:
    """Ids to accept; of a choice the first."""
    if isinstance(expression, spdx.Term):
        if str(expression).lower() not in NOTICE_ONLY:
            yield str(expression)
    else:
        for part in expression.parts if isinstance(expression, spdx.AllOf) else expression.parts[:1]:
            yield from _to_accept(part)


def _parsed(texts: Iterable[str]) -> tuple[spdx.Expression, ...]:
    return tuple(map(spdx.parse, texts))
