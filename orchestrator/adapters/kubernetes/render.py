"""A configuration as Kubernetes objects: account, address, workload, disruption budget, and what its weights need.

Pure: values in, dictionaries out; nothing here talks to a cluster. The same input gives the same objects. Owner
references and the namespace are added by whoever applies them. A whole plan is `bundle` beside this file, text is
`texts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.adapters.kubernetes import fronts, naming
from orchestrator.adapters.kubernetes.artifacts import Built, memory_bytes, named
from orchestrator.adapters.kubernetes.checks import Resolved, resolve
from orchestrator.adapters.kubernetes.pods import Node, Object
from orchestrator.adapters.kubernetes.seats import service_annotations
from orchestrator.adapters.kubernetes.stock import stock
from orchestrator.adapters.kubernetes.workloads import workload
from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.world import Configuration, TierName
from orchestrator.errors import Invalid
from runtimes.contract import MANIFEST_FILE
from runtimes.recipes import Job, Launch, recipe_for


@dataclass(frozen=True, slots=True)
class Setting:
    """What a group of replicas is for, where it stands, and what it may look up."""

    service: ModelService
    tier: TierName
    catalog: Catalog
    site: Site
    part: int = 0  # of several configurations of the tier in one pool


def render(
    setting: Setting, configuration: Configuration, *, replicas: int, built: Built | None = None
) -> tuple[Object, ...]:
    """The objects that run `replicas` replicas of one tier in one pool, in the order to apply them.

    Args:
        setting: what they are for.
        configuration: of one replica.
        replicas: how many.
        built: the artifact that a replica loads; None: it loads a published checkpoint.

    Raises:
        Invalid: a name is unknown, a text cannot be used, or `replicas` is negative.
        Refused: the engine, the recipe or the platform cannot do what the configuration says.
    """
    service = setting.service.metadata.name
    if replicas < 0:
        raise Invalid(f"{service}: replicas is {replicas}; give 0 or more")
    resolved = resolve(configuration, setting.catalog, setting.site, named(built) if built else "")
    launch = recipe_for(resolved.recipe)(_job(service, configuration, resolved))
    name = naming.object_name(service, setting.tier, configuration.pool, setting.part)
    labels = naming.labels(
        name, service=service, tier=setting.tier, pool=configuration.pool, engine=configuration.engine
    )
    return group(setting, configuration, resolved, launch, name=name, labels=labels, replicas=replicas, built=built)


def group(
    setting: Setting,
    configuration: Configuration,
    resolved: Resolved,
    launch: Launch,
    *,
    name: str,
    labels: Mapping[str, str],
    replicas: int,
    built: Built | None = None,
) -> tuple[Object, ...]:
    """The objects of one group of equal replicas."""
    manifest = f"{name}-{built.digest[:8]}" if built else ""
    spans = configuration.nodes > 1
    profile = setting.catalog.profiles[configuration.profile]
    node = Node(
        resolved,
        launch,
        stock(resolved, setting.catalog, setting.site, manifest),
        spans_nodes=spans,
        account=name,
        memory_bytes=memory_bytes(built, configuration) if built else 0,
        cores=(profile.spec.cores or 1) if built and profile.spec.kind == "cpu" else 0,
    )
    marks = dict(labels)
    objects = [fronts.account(name, marks), fronts.service(name, marks, service_annotations(resolved))]
    if built:
        objects.append(fronts.config_map(manifest, marks, {MANIFEST_FILE: built.text}))
    objects.append(workload(name, marks, node, replicas, configuration.nodes))
    objects.append(fronts.disruption_budget(name, marks))
    if "prometheus" in resolved.premises.has:
        objects.append(fronts.pod_monitor(name, marks, port="http", path="/metrics"))
    return tuple(objects)


def _job(service: str, configuration: Configuration, resolved: Resolved) -> Job:
    cut = configuration.parallelism
    return Job(
        service=service,
        checkpoint=f"{resolved.models}/{resolved.checkpoint}",
        served_name=service,
        quantization=resolved.quantization,
        tensor=cut.tensor,
        pipeline=cut.pipeline,
        data=cut.data,
        expert=cut.expert,
        nodes=configuration.nodes,
        chips_per_node=configuration.chips_per_node,
        context_tokens=configuration.context_tokens,
        sequences=configuration.sequences,
        port=fronts.PORT,
        environment=resolved.engine.spec.environment,
        interface=resolved.interface,
    )
