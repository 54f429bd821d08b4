"""A whole plan as Kubernetes objects, by file: one for each tier, and one for each site that fetches weights itself.

Pure. Called by `orchestrator.offline`. One group of replicas is `render` beside this file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from orchestrator.adapters.kubernetes.artifacts import Built
from orchestrator.adapters.kubernetes.checks import checkpoint
from orchestrator.adapters.kubernetes.pods import Object
from orchestrator.adapters.kubernetes.render import Setting, render
from orchestrator.adapters.kubernetes.stock import shared_objects
from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.placement.result import Group, Placed, Placement
from orchestrator.core.world import PoolId
from orchestrator.errors import Refused

Variants = Mapping[tuple[str, str], Built]


def bundle(
    placement: Placement,
    services: Mapping[str, ModelService],
    sites: Mapping[str, Site],
    catalog: Catalog,
    built: Variants,
) -> dict[str, tuple[Object, ...]]:
    """Objects of every placed tier of these services on a site that Kubernetes may run, by file name, in order.

    Args:
        placement: the plan; tiers of other services are left out.
        services: by name.
        sites: by name.
        catalog: what the plan names.
        built: artifacts of this machine, by model and quantization.

    Raises:
        Invalid: a text cannot be used.
        Refused: a recipe or the platform cannot do what the plan wants, or an artifact is not built yet.
    """
    files: dict[str, tuple[Object, ...]] = {}
    fetched: dict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
    for tier in placement.tiers:
        if not isinstance(tier, Placed) or tier.service not in services:
            continue
        parts = Counter[PoolId]()
        objects: list[Object] = []
        for group in tier.groups:
            pool = group.option.configuration.pool
            site = sites[pool.site]
            if not group.option.checkpoint and site.spec.fleet != "kubernetes":
                continue  # Ray starts it
            setting = Setting(services[tier.service], tier.tier, catalog, site, parts[pool])
            objects += _group(setting, group, built)
            parts[pool] += 1
            if group.option.checkpoint:
                name, labels = _fetched(group, catalog, site)
                fetched[pool.site].setdefault(name, labels)
        if objects:
            files[f"{tier.service}-{tier.tier}.yaml"] = tuple(objects)
    for name in sorted(fetched):
        if shared := shared_objects(sites[name], catalog, fetched[name]):
            files[f"{name}.weights.yaml"] = shared
    return dict(sorted(files.items()))


def _group(setting: Setting, group: Group, built: Variants) -> tuple[Object, ...]:
    c = group.option.configuration
    where = f"{setting.service.metadata.name}/{setting.tier}"
    if group.option.apart is not None:
        raise Refused(f"{where}: no recipe starts prefill and decode apart from here")
    if group.option.checkpoint:
        return render(setting, c, replicas=group.replicas)
    artifact = built.get((c.model, c.quantization))
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
