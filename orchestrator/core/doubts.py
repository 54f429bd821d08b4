"""What an answer rests on that nobody verified. Pure; called for plans and for `headwater fit`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.api.document import Fact
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.model import Model
from orchestrator.api.site import Pool
from orchestrator.core import fit


def unverified_numbers(
    profile: HardwareProfile, pool: Pool, model: Model, further: Mapping[str, Fact[float] | None]
) -> Iterator[str]:
    """Numbers an answer rests on that nobody verified.

    Args:
        profile: its memory is looked at, unless the pool says it.
        pool: what its nodes report goes before the profile.
        model: its licence and dimensions are looked at.
        further: other numbers of the profile that were used, by what they are.
    """
    spec, name = profile.spec, profile.metadata.name
    memory = spec.allocatable or spec.memory
    if pool.memory is None and pool.slice is None and memory.value is not None:
        if len(spec.memory_sizes) > 1:
            sizes = ", ".join(fit.size(size) for size in spec.memory_sizes)
            yield f"{name} memory {fit.size(memory.value)} (sold with {sizes}; the node's tool says which)"
        elif memory.status == "unverified":
            yield f"{name} memory"
    for what, fact in further.items():
        if fact is not None and fact.status == "unverified":
            yield f"{name} {what}"
    if model.spec.licence.status == "unverified":
        yield f"{model.metadata.name} licence"
    if model.spec.confidence == "low":
        yield f"{model.metadata.name} dimensions"
