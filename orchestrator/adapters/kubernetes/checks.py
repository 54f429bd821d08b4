"""What a configuration must satisfy before it is rendered, and the values looked up on the way.

Pure. Used by `render` beside this file. Whether a replica fits and is fast enough is `orchestrator.core`'s business.
Here are the questions whose wrong answer the cluster would refuse late, or run without a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.adapters.kubernetes.amounts import amounts, is_hamis
from orchestrator.api.cluster import KubernetesProfile, PodNeeds
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.api.premises import Premises
from orchestrator.api.quantization import Quantization
from orchestrator.api.site import Pool, Site
from orchestrator.core.allocation import check_count, node_kind
from orchestrator.core.checkpoints import Checkpoint, checkpoint_for, no_folder
from orchestrator.core.fit import Rejected
from orchestrator.core.runners import known_quantization
from orchestrator.core.world import Configuration
from orchestrator.errors import Invalid, Refused

_FOLDER = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_CHECKPOINT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_MIRROR = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*")
_IMAGE = re.compile(
    r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|(API|ACCESS)_?KEY)(_|$)", re.IGNORECASE)
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A configuration with everything it names."""

    engine: Engine
    recipe: str
    pod: PodNeeds
    annotations: Mapping[str, str]  # of the pod, with those that its kind of node asks for
    amounts: Mapping[str, int]  # of extended resources; none for processors and boards that nobody counts
    node_labels: Mapping[str, str]  # of the nodes it may run on
    taints: tuple[str, ...]  # of those nodes
    chip: str
    whole_node: bool  # nothing counts the chips, and one pod takes them all
    scheduler: str  # empty: the cluster's own, or whoever the cluster's webhooks choose
    premises: Premises  # what the cluster has
    checkpoint: str  # name of the weights, below the folder of all
    quantization: str  # value of the engine's flag
    models: str  # folder on the node, and in the pod
    image: str
    interface: str


def resolve(configuration: Configuration, catalog: Catalog, site: Site, artifact: str = "") -> Resolved:
    """Look up what the configuration names and check what the platform will ask.

    Args:
        configuration: of one replica.
        catalog: what the configuration names.
        site: where it runs.
        artifact: name of the artifact that was built for it; empty: it loads a published checkpoint.

    Raises:
        Invalid: a name is unknown, or the site or the engine entry holds text that cannot be used.
        Refused: the engine cannot run the quantization, nobody publishes it, or the chips do not go into a pod.
    """
    if site.metadata.name != configuration.pool.site:
        raise Invalid(
            f"the configuration is for site {configuration.pool.site}, but site {site.metadata.name} was given"
        )
    model = _named(catalog.models, configuration.model, "model")
    engine = _named(catalog.engines, configuration.engine, "engine")
    profile = _named(catalog.profiles, configuration.profile, "hardware profile")
    _no_secrets(engine)
    pool = site.spec.pools[configuration.pool.index]
    cluster = catalog.cluster_of(profile)
    if cluster is None:
        raise Refused(f"{configuration.profile} has no Kubernetes resource, so no pod can ask for it")
    if engine.spec.recipe is None:
        raise Refused(f"{configuration.engine} has no recipe, so nobody here knows how to launch it")
    premises = premises_of(site)
    if configuration.nodes > 1 and "lws" not in premises.has:
        raise Refused(
            f"{configuration.model} spans {configuration.nodes} nodes at {configuration.pool}, and the site lists no "
            f"lws under kubernetes.has; install LeaderWorkerSet and list it"
        )
    _check_chips(configuration, cluster, pool)
    asked = amounts(profile, cluster, pool, premises, configuration.chips_per_node)
    weights = None if artifact else checkpoint(model, engine, profile, configuration.quantization)
    return Resolved(
        engine=engine,
        recipe=engine.spec.recipe,
        pod=cluster.spec.pod,
        annotations=_annotations(configuration, cluster, pool),
        amounts=asked,
        node_labels=profile.spec.node_labels | pool.labels,
        taints=pool.taints,
        chip=configuration.profile,
        whole_node=not asked and cluster.spec.counts == (1,),
        scheduler=_scheduler(cluster, premises, asked, sliced=pool.slice is not None),
        premises=premises,
        checkpoint=weights.name if weights else artifact,
        quantization=weights.flag if weights else "",
        models=models_folder(site),
        image=image_of(engine, site),
        interface=_matching(_INTERFACE, site.spec.interface, f"site {site.metadata.name}: interface", "eth0"),
    )


def premises_of(site: Site) -> Premises:
    """What the site's cluster has; of a cluster nobody described, what the chips ask for is taken to be there."""
    return site.spec.kubernetes or Premises(has=("lws", "volcano"))


def models_folder(site: Site) -> str:
    """Where weights lie, on nodes and in pods."""
    return _matching(_FOLDER, site.spec.models.rstrip("/"), f"site {site.metadata.name}: models", "/models")


def _annotations(configuration: Configuration, cluster: KubernetesProfile, pool: Pool) -> dict[str, str]:
    """Those of the chip, of its kind of node, and of the SuperPoD that a replica over whole nodes must lie in."""
    kind = node_kind(cluster, pool)
    if kind is None:
        return dict(cluster.spec.pod.annotations)
    whole = configuration.nodes > 1 and configuration.chips_per_node == pool.chips
    block = {kind.block: str(configuration.parallelism.chips)} if kind.block and whole else {}
    return cluster.spec.pod.annotations | kind.annotations | block


def _scheduler(cluster: KubernetesProfile, premises: Premises, asked: Mapping[str, int], *, sliced: bool) -> str:
    """The scheduler that the chips want, where the cluster has it. HAMi's webhook names its own in pods it is for."""
    wanted = cluster.spec.pod.scheduler
    hamis = sliced or ("hami" in premises.has and any(is_hamis(cluster, resource) for resource in asked))
    return wanted if wanted in premises.has and not hamis else ""


def checkpoint(model: Model, engine: Engine, profile: HardwareProfile, quantization: str) -> Checkpoint:
    """The published weights to load.

    Raises:
        Refused: the engine cannot run it, or nobody publishes it.
        Invalid: the name in the card is no path.
    """
    name = model.metadata.name
    subject = f"{name} {quantization} on {engine.metadata.name}"
    known: Quantization | None = known_quantization(quantization)
    if known is None:
        raise Refused(f"{subject}: no such quantization")
    found = checkpoint_for(model, engine, profile, known, subject)
    refused = found if isinstance(found, Rejected) else no_folder(model, engine, found, subject)
    if isinstance(found, Rejected) or refused is not None:
        raise Refused(str(refused))
    _matching(_CHECKPOINT, found.name, f"model {name}: {quantization} weights", "org/name")
    return found


def _check_chips(configuration: Configuration, cluster: KubernetesProfile, pool: Pool) -> None:
    cut = configuration.parallelism
    if configuration.nodes < 1 or cut.chips % configuration.nodes:
        raise Refused(f"{cut.chips} chips do not divide into {configuration.nodes} pods of equal size")
    refused = check_count(cluster, pool, configuration.chips_per_node, configuration.profile)
    if refused is not None:
        raise Refused(str(refused))


def _no_secrets(engine: Engine) -> None:
    """The rendered text is read and compared by people, and kept in places that are not made for secrets."""
    where = f"engine {engine.metadata.name}: environment"
    for name in sorted(engine.spec.environment):
        _matching(_VARIABLE, name, where, "HCCL_BUFFSIZE")
        if _SECRET.search(name):
            raise Invalid(f"{where} has {name}; a catalog entry holds no secrets, so leave it out")


def image_of(engine: Engine, site: Site) -> str:
    """The engine's image, from the site's mirror where it has one.

    Raises:
        Invalid: image or mirror cannot be used.
    """
    image = _matching(_IMAGE, engine.spec.image, f"engine {engine.metadata.name}: image", "ascend/vllm-ascend:v0.11.0")
    return mirrored(image, site)


def mirrored(image: str, site: Site) -> str:
    """The name of an image at the site."""
    mirror = site.spec.images.rstrip("/")
    if not mirror:
        return image
    return f"{_matching(_MIRROR, mirror, f'site {site.metadata.name}: images', 'registry.example/mirror')}/{image}"


def _named(known: Mapping[str, T], name: str, kind: str) -> T:
    if name not in known:
        raise Invalid(f"no {kind} is named {name[:64]!r}; known are {', '.join(sorted(known)) or 'none'}")
    return known[name]


def _matching(pattern: re.Pattern[str], written: str, where: str, example: str) -> str:
    if not pattern.fullmatch(written):
        shown = (
            f"…{written[written.rindex('@') :][:80]}" if "@" in written else written[:80]
        )  # a password is not repeated
        raise Invalid(f"{where} is {shown!r}; write it like {example}")
    return written
