"""Names in documents that must mean something: models, hardware profiles, sites, quantizations.

Pure. Called by `orchestrator.offline`, the catalog and the control API after loading, with all files together. Whether
a placement exists is the planner's question; here only names are looked up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.load import Loaded
from orchestrator.api.model import Model
from orchestrator.api.names import nearest_names
from orchestrator.api.scalars import short
from orchestrator.api.service import ModelService, Tier
from orchestrator.api.site import Site
from orchestrator.errors import Problem

LOCAL = "local"
_SHOWN = 8


def check_references(
    loaded: Iterable[Loaded], catalog: Catalog, known_sites: Iterable[str] = ()
) -> tuple[Problem, ...]:
    """Every name that refers to nothing, and every name given twice, in file order.

    Args:
        loaded: the documents of all files given together.
        catalog: what is known besides them.
        known_sites: names of sites that are known besides them; without any site at all, none is looked up.
    """
    together = tuple(loaded)
    documents = [item.document for item in together]
    engines = [*catalog.engines.values(), *(document for document in documents if isinstance(document, Engine))]
    models = {*catalog.models, *(document.metadata.name for document in documents if isinstance(document, Model))}
    profiles = {LOCAL, *catalog.profiles}
    profiles |= {document.metadata.name for document in documents if isinstance(document, HardwareProfile)}
    sites = {*known_sites, *(document.metadata.name for document in documents if isinstance(document, Site))}
    clusters = {*catalog.clusters, *(one.metadata.name for one in documents if isinstance(one, KubernetesProfile))}
    quantizations: set[str] = {reads.quantization for engine in engines for reads in engine.spec.reads}
    found = list(_twice(together))
    for item in together:
        document = item.document
        if isinstance(document, ModelService):
            found += _service(item, document, models, sites, quantizations)
        elif isinstance(document, Site):
            found += [
                item.problem(("spec", "pools", index, "profile"), _nothing("hardware profile", pool.profile, profiles))
                for index, pool in enumerate(document.spec.pools)
                if pool.profile not in profiles
            ]
        elif isinstance(document, HardwareProfile):
            found += _profile(item, document, {engine.metadata.name for engine in engines}, clusters)
    return tuple(sorted(found))


def _service(
    item: Loaded, service: ModelService, models: set[str], sites: set[str], quantizations: set[str]
) -> Iterator[Problem]:
    """Names in the tiers of a service."""
    tiers: list[tuple[str, Tier | None]] = [("student", service.spec.student), ("teacher", service.spec.teacher)]
    for name, tier in tiers:
        if tier is None:
            continue
        if isinstance(tier.model, str) and tier.model not in models:
            hint = "; for weights in no catalog write {source: ..., licence: ...}"
            yield item.problem(("spec", name, "model"), _nothing("model", tier.model, models) + hint)
        if tier.where.site is not None and sites and tier.where.site not in sites:
            yield item.problem(("spec", name, "where", "site"), _nothing("site", tier.where.site, sites))
        for index, quantization in enumerate(tier.quantization):
            if quantizations and quantization not in quantizations:
                path = ("spec", name, "quantization", index)
                yield item.problem(path, _nothing("quantization", quantization, quantizations))


def _profile(item: Loaded, profile: HardwareProfile, engines: set[str], clusters: set[str]) -> Iterator[Problem]:
    if profile.metadata.name == LOCAL:
        yield item.problem(("metadata", "name"), "'local' always means this machine, detected; choose another name")
    for index, name in enumerate(profile.spec.engines):
        if name not in engines:
            yield item.problem(("spec", "engines", index), _nothing("engine", name, engines))
    known = profile.spec.kubernetes
    if known is not None and known not in clusters:
        yield item.problem(("spec", "kubernetes"), _nothing("Kubernetes profile", known, clusters))


def _twice(together: Iterable[Loaded]) -> Iterator[Problem]:
    """Documents that have kind and name of an earlier one in another file."""
    first: dict[tuple[str, str], Loaded] = {}
    for item in together:
        kind, name = item.document.kind, item.document.metadata.name
        earlier = first.setdefault((kind, name), item)
        if earlier is not item:
            path = ("metadata", "name")
            message = f"{kind} {short(name)} is already defined in {earlier.file}:{earlier.line_of(path)}"
            yield item.problem(path, f"{message}; keep one, or give one another name")


def _nothing(what: str, name: str, known: Collection[str]) -> str:
    """That a name refers to nothing, with the nearest names there are."""
    near = nearest_names(name, known)
    shown = sorted(known)
    listed = ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
    meant = f"; did you mean {' or '.join(near)}?" if near else ";"
    return f"unknown {what} {short(name)}{meant} known: {listed or 'none'}"
