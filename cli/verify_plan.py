"""What `headwater verify` compares with: the replicas of a tier as a plan has them, and what the service promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes.errors import Invalid, Refused

if TYPE_CHECKING:
    from orchestrator.api.service import Slo
    from orchestrator.core.placement.result import Group
    from orchestrator.core.verification.expected import Way
    from orchestrator.core.world import Artifact, Configuration
    from orchestrator.offline import Desk
    from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Planned:
    """A tier of a service with its place.

    Attributes:
        ways: its replicas, those that carry most first.
        configuration: of these.
        program: the engine as rows of measurements call it.
        objectives: what a request may take: its title, what it is called in a sample, seconds at most.
        rate_per_s: what the tier must carry.
        carried_per_s: what all its replicas carry, by the middle prediction.
    """

    service: str
    tier: str
    ways: tuple[Way, ...]
    configuration: Configuration
    program: str
    objectives: tuple[tuple[str, str, float], ...]
    rate_per_s: float
    carried_per_s: float
    input_tokens: int
    output_tokens: int

    @property
    def replicas(self) -> int:
        """All of them."""
        return sum(way.replicas for way in self.ways)

    @property
    def slots(self) -> int:
        """Sequences that all replicas run at once."""
        return sum(way.replicas * way.slots for way in self.ways)


def running(service: str, tier: str | None, settings: Settings) -> Planned:
    """The plan of what runs on this machine. Raises Unavailable when nothing does."""
    from cli.control import Control
    from orchestrator.offline import open_desk

    return planned(service, tier, open_desk([], settings, Control(settings).documents()))


def written(service: str, tier: str | None, files: list[Path], settings: Settings) -> Planned:
    """The plan of files."""
    from orchestrator.offline import open_desk

    return planned(service, tier, open_desk(files, settings))


def planned(name: str, tier: str | None, desk: Desk) -> Planned:
    """A tier's place in the plan of everything that is known.

    Raises:
        Invalid: no service has the name, or it has no such tier.
        Refused: the plan has no place for the tier, or no replica.
    """
    from orchestrator.adapters.artifacts import DiskArtifacts
    from orchestrator.api.service import ModelService
    from orchestrator.core.placement.result import Placed
    from orchestrator.lookup import named

    documents = (*desk.kept, *(one.document for one in desk.written))
    services = {one.metadata.name: one for one in documents if isinstance(one, ModelService)}
    service = named(services, name, "service")
    wanted = tier or ("student" if service.spec.student else "teacher")
    chosen = service.spec.student if wanted == "student" else service.spec.teacher
    if chosen is None:
        raise Invalid(f"service {name!r} has no {wanted}; leave --tier out")
    found = next(one for one in desk.plan().tiers if (one.service, one.tier) == (name, wanted))
    if not isinstance(found, Placed):
        raise Refused(f"the plan has no place for {name}/{wanted}; see `headwater plan`")
    if not found.groups:
        raise Refused(f"the plan has no replica of {name}/{wanted}, because no request comes to it")
    artifacts = DiskArtifacts(desk.settings.artifacts).built()
    configuration = found.groups[0].option.configuration
    return Planned(
        service=name,
        tier=wanted,
        ways=tuple(_way(group, desk, artifacts) for group in found.groups),
        configuration=configuration,
        program=desk.catalog.engines[configuration.engine].spec.program,
        objectives=tuple(_objectives(chosen.slo)),
        rate_per_s=found.rate_per_s,
        carried_per_s=sum(group.capacity_per_s for group in found.groups),
        input_tokens=service.spec.demand.input,
        output_tokens=service.spec.demand.output,
    )


def _objectives(slo: Slo) -> Iterator[tuple[str, str, float]]:
    if slo.ttft is not None:
        yield "time to first token", "ttft_s", slo.ttft
    if slo.tpot is not None:
        yield "time per output token", "tpot_s", slo.tpot


def _way(group: Group, desk: Desk, artifacts: Mapping[tuple[str, str], Artifact]) -> Way:
    from orchestrator.core.runners import runner_of
    from orchestrator.core.verification.expected import Way

    option = group.option
    c, link = option.configuration, desk.sites[option.configuration.pool.site].spec.link
    return Way(
        runner_of(c, desk.catalog, artifacts),
        group.replicas,
        c.sequences * (option.apart.decodes if option.apart else 1),
        link.rtt if link else 0.0,
        whole=option.prediction if option.apart else None,
    )
