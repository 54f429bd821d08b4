"""Chips as plain values with stable keys: what `hardware list` and `show` print. Pure.

Each number is exact, in one unit, with its status and its sources; one that nobody verified can be told from the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.api.document import Fact
from orchestrator.api.hardware import Dtype, HardwareProfile, Link
from orchestrator.api.kinds import Catalog, as_json
from orchestrator.api.quantities import BANDWIDTH, COMPUTE, DURATION, MEMORY, POWER
from orchestrator.core.engine_view import reads_on, reads_view, refuses_on, refuses_view

WHOLE_NUMBERS: tuple[Dtype, ...] = ("int8", "int4")  # their rates are operations, not floating-point ones
WIDTHS: tuple[Dtype, ...] = ("bf16", "fp16", "fp32")  # whose rate a list shows: the first that is known


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a chip with its name, and how it is written."""

    name: str
    unit: str
    fact: Fact[float]
    write: Callable[[float], str]


def numbers(profile: HardwareProfile) -> Iterator[Number]:
    """Every number of a chip that stands in its profile, in the order of the schema."""
    spec = profile.spec
    yield Number("memory", "bytes", spec.memory, MEMORY.show)
    if spec.allocatable is not None:
        yield Number("allocatable memory", "bytes", spec.allocatable, MEMORY.show)
    yield Number("bandwidth", "bytes/s", spec.bandwidth, BANDWIDTH.show)
    for dtype, peak in spec.peaks.items():
        yield Number(f"peak {dtype}", "operations/s", peak, _rate(dtype))
    for what, reached in (("compute", spec.reached.compute), ("memory", spec.reached.memory)):
        if reached is not None:
            yield Number(f"reached {what}", "share", reached, _share)
    if spec.power is not None:
        yield Number("power", "W", spec.power, POWER.show)
    yield from _link("node link", spec.node_link)
    yield from _link("network", spec.network)


def hardware_row(profile: HardwareProfile) -> dict[str, Any]:
    """What a list says of a chip; a number that is not known is None."""
    spec = profile.spec
    shown = next((dtype for dtype in WIDTHS if dtype in spec.peaks and spec.peaks[dtype].value is not None), None)
    return {
        "name": profile.metadata.name,
        "vendor": spec.vendor,
        "family": spec.family,
        "kind": spec.kind,
        "place": spec.place,
        "memoryBytes": _whole(spec.memory.value),
        "bandwidthBytesPerSecond": _whole(spec.bandwidth.value),
        "peak": None if shown is None else {"dtype": shown, "perSecond": _whole(spec.peaks[shown].value)},
        "dtypes": list(spec.peaks),
        "engines": list(spec.engines),
        "kubernetes": spec.kubernetes,
        "unverified": [number.name for number in numbers(profile) if number.fact.status == "unverified"],
    }


def hardware_view(profile: HardwareProfile, catalog: Catalog) -> dict[str, Any]:
    """Everything the catalog says of a chip, of what Kubernetes does with it, and of its engines."""
    spec, name = profile.spec, profile.metadata.name
    cluster = catalog.cluster_of(profile)
    return hardware_row(profile) | {
        "names": list(spec.names),
        "architecture": spec.architecture,
        "pci": {"vendors": list(spec.pci.vendors), "devices": list(spec.pci.devices)},
        "numbers": [_number(one) for one in numbers(profile)],
        "memorySizesBytes": [int(size) for size in spec.memory_sizes],
        "cores": spec.cores,
        "instructions": list(spec.instructions),
        "nodeLink": _link_words(spec.node_link),
        "network": _link_words(spec.network),
        "nodeLabels": dict(sorted(spec.node_labels.items())),
        "executionProviders": list(spec.execution_providers),
        "kubernetesProfile": None if cluster is None else as_json(cluster)["spec"],
        "engineDetails": [_engine(engine, name, catalog) for engine in spec.engines],
        "note": spec.note,
    }


def _link(what: str, link: Link | None) -> Iterator[Number]:
    if link is None:
        return
    yield Number(f"{what} bandwidth", "bytes/s", link.bandwidth, BANDWIDTH.show)
    if link.latency is not None:
        yield Number(f"{what} latency", "s", link.latency, DURATION.show)
    if link.efficiency is not None:
        yield Number(f"{what} efficiency", "share", link.efficiency, _share)


def _link_words(link: Link | None) -> dict[str, Any] | None:
    return None if link is None else {"name": link.name, "group": link.group, "note": link.note}


def _number(number: Number) -> dict[str, Any]:
    fact = number.fact
    return {
        "name": number.name,
        "value": _whole(fact.value),
        "unit": number.unit,
        "text": "" if fact.value is None else number.write(fact.value),
        "status": fact.status,
        "sources": list(fact.sources),
        "note": fact.note,
    }


def _engine(name: str, chip: str, catalog: Catalog) -> dict[str, Any]:
    """What one engine reads and refuses on a chip; one that the catalog does not know reads nothing we know of."""
    engine = catalog.engines.get(name)
    if engine is None:
        return {"name": name, "program": None, "recipe": None, "reads": [], "refuses": []}
    return {
        "name": name,
        "program": engine.spec.program,
        "recipe": engine.spec.recipe,
        "reads": [reads_view(one) for one in reads_on(engine, chip)],
        "refuses": [refuses_view(one) for one in refuses_on(engine, chip)],
    }


def _rate(dtype: Dtype) -> Callable[[float], str]:
    def write(value: float) -> str:
        text = COMPUTE.show(value)
        return text.replace("TFLOPS", "TOPS") if dtype in WHOLE_NUMBERS else text

    return write


def _share(value: float) -> str:
    return f"{value * 100:g}%"


def _whole(value: float | None) -> float | int | None:
    """Whole numbers without a point."""
    return int(value) if value is not None and value == int(value) else value
