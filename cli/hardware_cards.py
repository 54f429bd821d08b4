"""Chips drawn for people; the values come from `orchestrator.core.hardware_view`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer

from cli.catalog import UNKNOWN, heading, listed, many
from cli.engine_cards import print_reads
from cli.output import bytes_for_people, draw, time_for_people

UNVERIFIED = "?"
SCALES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))
POD = {  # of a Kubernetes profile: what a person calls it
    "labels": "labels",
    "annotations": "annotations",
    "scheduler": "scheduler",
    "runtimeClass": "runtime class",
    "environment": "environment",
    "devices": "devices",
    "hostPaths": "host paths",
    "multiNodeHostPaths": "host paths over several nodes",
    "sharedMemory": "shared memory",
}


def print_chips(rows: list[dict[str, Any]]) -> None:
    """Draw a list of chips for a person."""
    columns = ("name", "vendor", "kind", "place", "memory", "bandwidth", "peak", "types", "engines")
    draw(many(len(rows), "chip"), columns, [_cells(row) for row in rows])
    marked = any(UNVERIFIED in cell for row in rows for cell in _cells(row)[4:8])
    if marked:
        typer.echo(f"{UNVERIFIED} nobody verified this number; `headwater hardware show` says where it comes from")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    doubtful = set(row["unverified"])
    return (
        row["name"],
        row["vendor"],
        row["kind"],
        "" if row["kind"] == "cpu" else row["place"],
        _marked(row["memoryBytes"], "bytes", "memory" in doubtful),
        _marked(row["bandwidthBytesPerSecond"], "bytes/s", "bandwidth" in doubtful),
        _peak(row["peak"], doubtful),
        ", ".join(name + (UNVERIFIED if f"peak {name}" in doubtful else "") for name in row["dtypes"]),
        str(len(row["engines"])),
    )


def _peak(peak: dict[str, Any] | None, doubtful: set[str]) -> str:
    if peak is None:
        return UNKNOWN
    dtype = peak["dtype"]
    return f"{_marked(peak['perSecond'], 'operations/s', f'peak {dtype}' in doubtful)} {dtype}"


def _marked(value: float | None, unit: str, doubtful: bool) -> str:
    if value is None:
        return UNKNOWN
    return for_people(value, unit) + (f" {UNVERIFIED}" if doubtful else "")


def for_people(value: float, unit: str, name: str = "") -> str:
    """A number of a chip: `64.0 GiB`, `1.6 TB/s`, `313 TFLOPS`, `350 W`, `70%`."""
    match unit:
        case "bytes":
            return bytes_for_people(value)
        case "bytes/s":
            return _scaled(value, "B/s")
        case "operations/s":
            return _scaled(value, "OPS" if name.startswith("peak int") else "FLOPS")
        case "s":
            return time_for_people(value)
        case "share":
            return f"{value * 100:.3g}%"
        case _:
            return f"{value:g} {unit}"


def _scaled(value: float, unit: str) -> str:
    size, letter = next(((size, letter) for size, letter in SCALES if value >= size), (1.0, ""))
    if letter == "P":  # people compare chips in TFLOPS
        size, letter = 1e12, "T"
    return f"{value / size:.4g} {letter}{unit}"


def print_chip(value: dict[str, Any]) -> None:
    """Draw a chip for a person."""
    heading(
        f"{value['name']}: {value['vendor']}, {value['family']}",
        {
            "kind": value["kind"] if value["kind"] == "cpu" else f"{value['kind']}, {value['place']}",
            "called": value["names"],
            "architecture": value["architecture"],
            "PCI vendors": value["pci"]["vendors"],
            "PCI devices": value["pci"]["devices"],
            "cores": value["cores"],
            "instructions": value["instructions"],
            "sold with": [bytes_for_people(size) for size in value["memorySizesBytes"]],
            "between chips": _link(value["nodeLink"]),
            "between nodes": _link(value["network"]),
            "node labels": value["nodeLabels"],
            "note": value["note"],
        },
    )
    sources: dict[str, int] = {}
    rows = [_number(number, sources) for number in value["numbers"]]
    draw("Numbers", ("number", "value", "status", "sources", "note"), rows)
    listed("Sources", (f"[{index}] {source}" for source, index in sources.items()))
    if value["kubernetesProfile"]:
        _print_kubernetes(value["kubernetes"], value["kubernetesProfile"])
    else:
        typer.echo("Kubernetes: nobody wrote down what it does with this chip")
    for engine in value["engineDetails"]:
        _print_engine(engine)


def _number(number: dict[str, Any], sources: dict[str, int]) -> tuple[str, ...]:
    """A row; sources become numbers, because the same one often stands at many rows."""
    marks = [f"[{sources.setdefault(source, len(sources) + 1)}]" for source in number["sources"]]
    known = number["value"] is not None
    text = for_people(number["value"], number["unit"], number["name"]) if known else UNKNOWN
    return number["name"], text, number["status"], " ".join(marks), number["note"]


def _link(link: dict[str, Any] | None) -> str:
    if link is None:
        return ""
    group = f", {link['group']} chips reach each other" if link["group"] > 1 else ""
    note = f" ({link['note']})" if link["note"] else ""
    return f"{link['name']}{group}{note}"


def _print_kubernetes(name: str, profile: dict[str, Any]) -> None:
    accepted = ", ".join(map(str, profile["counts"])) or "any number"
    heading(
        f"Kubernetes: {name}",
        {
            "resources": [f"{one['name']} ({one['plugin']}, counts {one['counts']})" for one in profile["resources"]],
            "one unit is": f"a {profile['unit']}",
            "units a pod may ask for": accepted,
            "one NUMA half has": f"{profile['numaGroup']} units" if profile["numaGroup"] else "",
            "node labels": [f"{key}={'|'.join(values) or '*'}" for key, values in profile["nodeLabels"].items()],
        }
        | {f"pods need {said}": profile["pod"][key] for key, said in POD.items()}
        | {
            "slices": list(_slices(profile["sharing"]["slices"])),
            "sharing": profile["sharing"]["note"],
            "seen by": profile["detection"]["tool"],
            "note": profile["note"],
            "sources": profile["sources"],
        },
    )
    for kind in profile["nodeKinds"]:
        heading(
            f"  Nodes with {', '.join(f'{key}={value}' for key, value in kind['labels'].items())}",
            {
                "  units a pod may ask for": list(kind["counts"]),
                "  pods need annotations": kind["annotations"],
                "  note": kind["note"],
            },
        )


def _slices(slices: Iterable[dict[str, Any]]) -> Iterable[str]:
    for one in slices:
        yield f"{one['name']} of {one['memory']}" if one["memory"] else one["name"]


def _print_engine(engine: dict[str, Any]) -> None:
    if engine["program"] is None:
        typer.echo(f"Engine {engine['name']}: not in the catalog")
        return
    started = "" if engine["recipe"] else "; cannot be started from here yet"
    typer.echo(f"Engine {engine['name']}: {engine['program']}{started}")
    print_reads(engine["reads"], engine["refuses"])
