"""Engines as plain values with stable keys: what `engines list` and `show` print, what they read on a chip. Pure."""

from __future__ import annotations

from typing import Any

from orchestrator.api.engine import Engine, Reads, Refuses
from orchestrator.api.kinds import Catalog


def engine_row(engine: Engine, catalog: Catalog) -> dict[str, Any]:
    """What a list says of an engine."""
    spec = engine.spec
    return {
        "name": engine.metadata.name,
        "program": spec.program,
        "recipe": spec.recipe,
        "chips": chips_of(engine.metadata.name, catalog),
        "dtypes": list(spec.dtypes),
        "quantizations": list(dict.fromkeys(one.quantization for one in spec.reads)),
        "formats": list(dict.fromkeys(one.format for one in spec.reads)),
        "predicted": spec.recipe is not None,
    }


def engine_view(engine: Engine, catalog: Catalog) -> dict[str, Any]:
    """Everything the catalog says of an engine."""
    spec = engine.spec
    return engine_row(engine, catalog) | {
        "reads": [reads_view(one) for one in spec.reads],
        "refuses": [refuses_view(one) for one in spec.refuses],
        "cache": list(spec.cache),
        "image": spec.image,
        "images": list(spec.images),
        "flags": list(spec.flags),
        "environment": dict(sorted(spec.environment.items())),
        "variables": list(spec.variables),
        "calibrations": sorted(name for name, one in catalog.calibrations.items() if one.spec.engine == spec.program),
        "versions": spec.versions,
        "note": spec.note,
        "sources": list(spec.sources),
    }


def chips_of(engine: str, catalog: Catalog) -> list[str]:
    """Profiles that name an engine, sorted."""
    return sorted(name for name, profile in catalog.profiles.items() if engine in profile.spec.engines)


def reads_view(reads: Reads) -> dict[str, Any]:
    """One kind of checkpoint an engine reads."""
    return {
        "quantization": reads.quantization,
        "format": reads.format,
        "flag": reads.flag,
        "chips": list(reads.chips),
        "only": reads.only,
        "status": reads.status,
        "note": reads.note,
    }


def refuses_view(refuses: Refuses) -> dict[str, Any]:
    """One kind of checkpoint an engine refuses."""
    return {
        "quantization": refuses.quantization,
        "format": refuses.format,
        "chips": list(refuses.chips),
        "why": refuses.why,
    }


def reads_on(engine: Engine, chip: str) -> tuple[Reads, ...]:
    """What an engine reads on one chip."""
    return tuple(one for one in engine.spec.reads if not one.chips or chip in one.chips)


def refuses_on(engine: Engine, chip: str) -> tuple[Refuses, ...]:
    """What an engine refuses on one chip."""
    return tuple(one for one in engine.spec.refuses if not one.chips or chip in one.chips)
