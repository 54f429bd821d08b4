"""From names of the catalog to what the performance model predicts. Pure.

One place, so that planning, simulating and verifying speak of the same thing. Called by
`orchestrator.core.configurations`, `simulation` and `verification`.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.api.quantization import Quantization
from orchestrator.core.memory import STORAGE
from orchestrator.core.performance.lookup import applied
from orchestrator.core.performance.runner import Runner
from orchestrator.core.world import Artifact, Configuration, Parallelism

Artifacts = Mapping[tuple[str, str], Artifact]


def known_quantization(name: str) -> Quantization | None:
    """The quantization of that name, if there is one."""
    return next((known for known in STORAGE if known == name), None)


def runner(
    card: Model,
    profile: HardwareProfile,
    engine: Engine,
    *,
    quantization: Quantization,
    cut: tuple[Parallelism, int],
    catalog: Catalog,
    artifacts: Artifacts,
) -> Runner:
    """One way to run a model, cut over so many nodes. Raises ValueError when nobody knows its dimensions."""
    name, architecture = card.metadata.name, card.spec.architecture
    if architecture is None:
        raise ValueError(f"nobody knows the dimensions of {name}")
    built = artifacts.get((name, quantization)) if engine.spec.recipe == "edge" else None
    return Runner(
        architecture=architecture,
        quantization=quantization,
        profile=profile,
        engine=engine,
        cut=cut[0],
        nodes=cut[1],
        needs=built.manifest.needs if built else None,
        applied=applied(catalog.calibrations, engine, profile, name),
    )


def runner_of(configuration: Configuration, catalog: Catalog, artifacts: Artifacts) -> Runner:
    """The runner of a configuration that was planned over this catalog. Raises ValueError for one that was not."""
    c = configuration
    quantization = known_quantization(c.quantization)
    if quantization is None:
        raise ValueError(f"nobody planned {c.model} {c.quantization}")
    return runner(
        catalog.models[c.model],
        catalog.profiles[c.profile],
        catalog.engines[c.engine],
        quantization=quantization,
        cut=(c.parallelism, c.nodes),
        catalog=catalog,
        artifacts=artifacts,
    )
