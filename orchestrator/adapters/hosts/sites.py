"""What was found on a host as a `Site` that can be planned on: the processor as `local`, chips grouped into pools.

Pure. Called by the command line.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.adapters.hosts.chips import Chip
from orchestrator.api.document import API_VERSION, Metadata
from orchestrator.api.quantities import MEMORY
from orchestrator.api.site import Pool, Site, SiteSpec
from orchestrator.core.recognition import Match, differs


def groups(chips: Iterable[tuple[Chip, Match]]) -> list[list[tuple[Chip, Match]]]:
    """Chips of the same kind and size together, in order of first sight; sizes may differ by what a driver keeps."""
    found: list[list[tuple[Chip, Match]]] = []
    for chip, match in chips:
        for group in found:
            other, its = group[0]
            alike = (other.vendor, other.name, other.source, its.profile) == (
                chip.vendor,
                chip.name,
                chip.source,
                match.profile,
            )
            if alike and _same_size(other.memory_bytes, chip.memory_bytes):
                group.append((chip, match))
                break
        else:
            found.append([(chip, match)])
    return found


def site(name: str, region: str, chips: Iterable[tuple[Chip, Match]]) -> Site:
    """The host as an edge site that Ray runs on: pool 0 is its processor; chips without profile are left out."""
    pools = [Pool(profile="local")]
    for group in groups(chips):
        profile = group[0][1].profile
        if profile is not None:
            pool = {"profile": profile, "nodes": 1, "chips": len(group), "memory": memory_over(group)}
            pools.append(Pool.model_validate(pool))
    spec = SiteSpec(role="edge", region=region, fleet="ray", pools=tuple(pools))
    return Site(api_version=API_VERSION, kind="Site", metadata=Metadata(name=name), spec=spec)


def memory_over(group: list[tuple[Chip, Match]]) -> str | None:
    """Memory to plan with, when it is another than the profile's: that of the smallest chip, such as 43693MiB."""
    read = [match.memory_bytes for _, match in group if match.memory_bytes is not None]
    return MEMORY.show(min(read)) if read else None


def _same_size(one: int | None, other: int | None) -> bool:
    return one is other is None or (one is not None and other is not None and not differs(one, other))
