"""A whole plan as Kubernetes objects, by file: one for each tier, one for the weights of a site, one for its Ray.

Pure. Called by `orchestrator.offline`. One group of replicas is `render` beside this file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.adapters.kubernetes.artifacts import Built
from orchestrator.adapters.kubernetes.checks import checkpoint
from orchestrator.adapters.kubernetes.pods import Object
from orchestrator.adapters.kubernetes.ray_site import ray_cluster
from orchestrator.adapters.kubernetes.render import Setting, render
from orchestrator.adapters.kubernetes.stock import shared_objects
from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.placement.result import Group, Placed, Placement
from orchestrator.core.world import PoolId
from orchestrator.errors import Refused


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan speaks of, by name; artifacts of this machine by model and quantization."""

    services: Mapping[str, ModelService]
    sites: Mapping[str, Site]
    catalog: Catalog
    built: Mapping[tuple[str, str], Built]


def bundle(placement: Placement, known: Known) -> dict[str, tuple[Object, ...]]:
    """Objects of every placed tier of these services on a site that Kubernetes may run, by file name, in order.

    Tiers of other services are left out.

    Raises:
        Invalid: a text cannot be used.
        Refused: a recipe or the platform cannot do what the plan wants, or an artifact is not built yet.
    """
    files: dict[str, tuple[Object, ...]] = {}
    fetched: dict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
    for tier in placement.tiers:
        if not isinstance(tier, Placed) or tier.service not in known.services:
            continue
        parts = Counter[PoolId]()
        objects: list[Object] = []
        for group in tier.groups:
            pool = group.option.configuration.pool
            site = known.sites[pool.site]
            if not group.option.checkpoint and site.spec.fleet != "kubernetes":
                continue  # Ray starts what was built here
            setting = Setting(known.services[tier.service], tier.tier, known.catalog, site, parts[pool])
            objects += _group(setting, group, known)
            parts[pool] += 1
            if group.option.checkpoint:
                name, labels = _fetched(group, known.catalog, site)
                fetched[pool.site].setdefault(name, labels)
        if objects:
            files[f"{tier.service}-{tier.tier}.yaml"] = tuple(objects)
    return dict(sorted((files | _of_sites(known, fetched)).items()))


def _of_sites(known: Known, fetched: Mapping[str, Mapping[str, Mapping[str, str]]]) -> dict[str, tuple[Object, ...]]:
    """What a site has once, however many services are there."""
    files: dict[str, tuple[Object, ...]] = {}
    for name, site in known.sites.items():
        shared = shared_objects(site, known.catalog, fetched[name]) if name in fetched else ()
        if shared:
            files[f"{name}.weights.yaml"] = shared
        if site.spec.fleet == "ray" and site.spec.kubernetes is not None:
            files[f"{name}.ray.yaml"] = ray_cluster(site, known.catalog)
    return files


def _group(setting: Setting, group: Group, known: Known) -> tuple[Object, ...]:
    c = group.option.configuration
    where = f"{setting.service.metadata.name}/{setting.tier}"
    if group.option.apart is not None:
        raise Refused(f"{where}: no recipe starts prefill and decode apart from here")
    if group.option.checkpoint:
        return render(setting, c, replicas=group.replicas)
    artifact = known.built.get((c.model, c.quantization))
    if artifact is None:
        raise Refused(
            f"{where}: {c.model} in {c.quantization} is not built yet, and its pods are told its checksums; run "
            f"`headwater build {c.model} --quantization {c.quantization}` first"
        )
    return render(setting, c, replicas=group.replicas, built=artifact)


def _fetched(group: Group, catalog: Catalog, site: Site) -> tuple[str, Mapping[str, str]]:
    """Name of the checkpoint, and labels of nodes that need it."""
    c = group.option.configuration
    profile = catalog.profiles[c.profile]
    weights = checkpoint(catalog.models[c.model], catalog.engines[c.engine], profile, c.quantization)
    return weights.name, profile.spec.node_labels | site.spec.pools[c.pool.index].labels
