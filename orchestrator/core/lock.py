"""The lock: a plan with hashes of everything it was made from. Same inputs, same bytes. Pure.

Documents and settings come in, text goes out and back in; files are the command line's. Two locks are compared in
`orchestrator.core.difference`. What is prose in a plan and what was not taken is left out: it follows from the inputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from orchestrator.api.kinds import Catalog, as_json
from orchestrator.api.service import ModelService, Source, Tier
from orchestrator.api.site import Site
from orchestrator.core.performance.lookup import best
from orchestrator.core.world import Artifact
from orchestrator.errors import Invalid, Refused

SCHEMA = "headwater.dev/lock/v1"
MAX_BYTES = 32 << 20  # room for 30,000 groups of replicas; larger files are not read, and not written
SHOWN = 120  # characters of what was wrong that an error repeats

Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]  # it is printed to terminals
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1 << 62)]


class _Part(BaseModel):
    """Strict and frozen; written as plans are, in camel case."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class LockedBand(_Part):
    """A prediction: 10th percentile, middle, 90th percentile."""

    p10: Amount
    p50: Amount
    p90: Amount


class LockedPrediction(_Part):
    """What one replica will do."""

    ttft_seconds: LockedBand
    tpot_seconds: LockedBand
    single_stream_tpot_seconds: LockedBand
    requests_per_second: LockedBand


class LockedGroup(_Part):
    """Replicas that are alike."""

    replicas: Count
    cost_per_hour: Amount
    model: Text
    quantization: Text
    checkpoint: Text
    site: Text
    pool: Count
    profile: Text
    engine: Text
    parallelism: Text
    nodes: Count
    chips: Count
    context_tokens: Count
    sequences: Count
    price_per_hour: Amount
    memory_bytes: Count
    predicted: LockedPrediction


class LockedTier(_Part):
    """One tier with its place."""

    service: Text
    tier: Literal["student", "teacher"]
    replicas: Count
    cost_per_hour: Amount
    demand_per_second: Amount
    short_per_second: Amount
    gave_up: tuple[Text, ...]
    licence: Text
    accepted: tuple[Text, ...]
    groups: tuple[LockedGroup, ...]


class LockedUnplaced(_Part):
    """One tier without a place; never in a file, only in what a file is compared with."""

    service: Text
    tier: Literal["student", "teacher"]
    why: Text


class LockedEscalation(_Part):
    """What share of a service goes to the teacher."""

    service: Text
    share: Amount
    quality: Amount | None
    wanted_share: Amount
    target: Amount | None


class LockedPlan(_Part):
    """The plan itself."""

    cost_per_hour: Amount
    lower_bound_per_hour: Amount
    moves_per_hour: Amount
    gap: Amount
    escalations: tuple[LockedEscalation, ...]
    tiers: tuple[LockedTier, ...]
    unplaced: tuple[LockedUnplaced, ...]


class Lock(_Part):
    """A plan and what it was made from."""

    lock_schema: Literal["headwater.dev/lock/v1"] = Field(alias="schema")
    headwater: Text = Field(description="version of the program")
    inputs: dict[Text, dict[Text, Sha]] = Field(description="hash of every document used, by kind and name")
    artifacts: dict[Text, dict[Text, Sha]] = Field(description="hashes of the files of what is built here")
    plan: LockedPlan


def lock_of(
    view: Mapping[str, Any],
    services: Iterable[ModelService],
    sites: Iterable[Site],
    catalog: Catalog,
    artifacts: Iterable[Artifact],
    *,
    version: str,
) -> Lock:
    """The lock of a plan.

    Args:
        view: what `orchestrator.core.explain.view.placement_view` says of it.
        services: everything that was planned.
        sites: everything it could be planned on.
        catalog: where their models, chips, engines and calibrations are found.
        artifacts: what is built.
        version: of this program.
    """
    given, there = tuple(services), tuple(sites)
    inputs: dict[str, dict[str, str]] = {}
    for document in (*given, *there, *_used(given, there, catalog)):
        inputs.setdefault(document.kind, {})[document.metadata.name] = digest(as_json(document))
    models = inputs.get("Model", {})
    mine = sorted((one for one in artifacts if one.manifest.model in models), key=_name)
    for one in mine:
        inputs.setdefault("Artifact", {})[_name(one)] = digest(one.manifest.model_dump(mode="json"))
    return Lock(
        schema=SCHEMA,
        headwater=version,
        inputs=inputs,
        artifacts={_name(one): {file: entry.sha256 for file, entry in one.manifest.files.items()} for one in mine},
        plan=_plan(view),
    )


def whole_text(lock: Lock) -> str:
    """The lock as a file.

    Raises:
        Refused: when a tier has no place, since half a plan is not locked, or when it is too large to be read again.
    """
    for tier in lock.plan.unplaced:
        raise Refused(f"not locked: {tier.service}/{tier.tier} has no place: {tier.why}")
    text = lock_text(lock)
    if len(text.encode()) > MAX_BYTES:
        raise Refused(
            f"not locked: the lock would be larger than {MAX_BYTES >> 20} MiB; lock parts of it, file by file"
        )
    return text


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def lock_text(lock: Lock) -> str:
    """The lock as a file: JSON with sorted keys."""
    return json.dumps(lock.model_dump(mode="json", by_alias=True), sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def read_lock(text: str, where: str) -> Lock:
    """The lock in a text. Raises Invalid when it is none, and says what is wrong.

    Args:
        text: what the file holds.
        where: how to call the file.
    """
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        cut = "; it ends too early" if text.lstrip()[:1] in {"", "{"} and text.rstrip()[-1:] != "}" else ""
        raise Invalid(f"{where}: not a lock{cut}; write one with `headwater plan --lock`") from exc
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(schema, str):
        raise Invalid(f"{where}: not a lock; write one with `headwater plan --lock`")
    if schema != SCHEMA:
        raise Invalid(f"{where}: a lock of schema {schema[:SHOWN]!r}, this program reads {SCHEMA}; lock the plan again")
    try:
        return Lock.model_validate_json(text, strict=True)
    except ValidationError as exc:
        first = exc.errors()[0]
        what = ": ".join(part[:SHOWN] for part in (".".join(map(str, first["loc"])), first["msg"]) if part)
        raise Invalid(f"{where}: {what}; lock the plan again") from exc


def _no_number(name: str) -> None:
    raise ValueError(name)


def _used(services: Iterable[ModelService], sites: Iterable[Site], catalog: Catalog) -> Iterator[Any]:
    """Documents of the catalog that the plan rests on: models asked for, what stands in the pools, how fast it is."""
    tiers = [tier for one in services for tier in (one.spec.student, one.spec.teacher) if tier is not None]
    models = {_model(tier) for tier in tiers}
    pools = {pool.profile for site in sites for pool in site.spec.pools}
    profiles = [catalog.profiles[name] for name in sorted(pools & catalog.profiles.keys())]
    yield from (catalog.models[name] for name in sorted(models & catalog.models.keys()))
    yield from profiles
    clusters = {one.spec.kubernetes for one in profiles if one.spec.kubernetes}
    yield from (catalog.clusters[name] for name in sorted(clusters & catalog.clusters.keys()))
    engines = {name for one in profiles for name in one.spec.engines} & catalog.engines.keys()
    yield from (catalog.engines[name] for name in sorted(engines))
    cases = product(sorted(engines), profiles, sorted(models))
    found = (best(catalog.calibrations, catalog.engines[name].spec.program, chip, model) for name, chip, model in cases)
    yield from {one.metadata.name: one for one in found if one is not None}.values()


def _model(tier: Tier) -> str:
    return tier.model.source if isinstance(tier.model, Source) else tier.model


def _name(artifact: Artifact) -> str:
    return f"{artifact.manifest.model} {artifact.manifest.quantization}"


def _plan(view: Mapping[str, Any]) -> LockedPlan:
    keys = ("costPerHour", "lowerBoundPerHour", "movesPerHour", "gap", "escalations")
    tiers = {
        "tiers": [_tier(one) for one in view["tiers"] if one["placed"]],
        "unplaced": [_unplaced(one) for one in view["tiers"] if not one["placed"]],
    }
    return LockedPlan.model_validate({key: view[key] for key in keys} | tiers)


def _unplaced(view: Mapping[str, Any]) -> dict[str, str]:
    """With the reason that tells most."""
    whys = (f"{no['subject']} ({no['rule']}): needs {no['need']}, has {no['have']}" for no in view["rejected"])
    return {"service": view["service"], "tier": view["tier"], "why": next(whys, "no site is known")}


def _tier(view: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("service", "tier", "replicas", "costPerHour", "demandPerSecond", "shortPerSecond", "gaveUp")
    licence = {"licence": view["licence"]["spdx"], "accepted": view["licence"]["accepted"]}
    return {key: view[key] for key in keys} | licence | {"groups": [_group(one) for one in view["groups"]]}


def _group(view: Mapping[str, Any]) -> dict[str, Any]:
    left_out = {"capacityPerSecond", "roles", "memory", "unverified", "atRisk"}
    kept = {key: value for key, value in view.items() if key not in left_out}
    return kept | {"memoryBytes": view["memory"]["totalBytes"]}
