"""`headwater hardware detect`: what this host or a cluster has, and a `Site` document of it.

The command belongs to the group `headwater hardware`; whoever makes the group calls `register`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import Output, OutputOption, bytes_for_people, draw, say, show
from runtimes.errors import Invalid

if TYPE_CHECKING:
    from orchestrator.adapters.hosts.detect import Found
    from orchestrator.adapters.kubernetes.nodes import Survey
    from orchestrator.adapters.machine import Machine
    from orchestrator.api.hardware import HardwareProfile
    from orchestrator.api.kinds import Catalog
    from orchestrator.api.site import Site
    from orchestrator.settings import Settings

_MOST_NAMES, _MOST_NOTES = 6, 20
_OWN = "write a profile for it into $HEADWATER_HOME/catalog/, starting from `headwater hardware show NAME --document`"

SiteOption = Annotated[str, typer.Option("--site", help="Name of the site.")]
RegionOption = Annotated[str, typer.Option("--region", help="Region of this host; a cluster's nodes tell theirs.")]
MeasureOption = Annotated[
    bool, typer.Option("--measure/--no-measure", help="Measure this machine's memory bandwidth and fp32 peak.")
]
ClusterOption = Annotated[bool, typer.Option("--cluster", help="Look at the nodes of a cluster, not at this host.")]
ContextOption = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.", show_default=False)]
NodesOption = Annotated[
    Path | None,
    typer.Option(
        "--nodes", help="Nodes as `kubectl get nodes -o json` writes them, - for standard input.", show_default=False
    ),
]
CpuOption = Annotated[bool, typer.Option("--cpu", help="Make pools of a cluster's nodes without accelerators too.")]


def register(hardware: typer.Typer) -> None:
    """Add the command to the group."""

    @hardware.command(
        epilog="Examples: headwater hardware detect --output yaml > site.yaml; headwater hardware detect --cluster"
    )
    def detect(
        output: OutputOption = Output.TABLE,
        site: SiteOption = "here",
        region: RegionOption = "local",
        measure: MeasureOption = True,
        cluster: ClusterOption = False,
        context: ContextOption = None,
        nodes: NodesOption = None,
        cpu: CpuOption = False,
    ) -> None:
        """Find chips, by PCI bus, vendors' tools and board files or by a cluster's nodes, and write a Site of them."""
        from orchestrator.settings import read_settings

        settings = read_settings()
        for named, value in (("site", site), ("region", region)):
            check_name(named, value)
        if cluster or nodes or context:
            _cluster(output, site, _nodes(nodes, context), read_known(settings), cpu=cpu)
        else:
            _host(output, site, region, settings, measure=measure)


def _host(output: Output, name: str, region: str, settings: Settings, *, measure: bool) -> None:
    from orchestrator.adapters import machine
    from orchestrator.adapters.hosts import detect, sites

    here = machine.look()
    local = machine.detect(settings.home / "machine.json") if measure else None
    found = detect.look(read_known(settings))
    site = sites.site(name, region, found.chips)
    rows = _rows(found)
    processor = _processor(here, local)
    value = {
        "processor": processor,
        "chips": rows,
        "notes": [*found.notes],
        "sites": [_document(site)],
    }
    say_notes(found.notes)

    def table() -> None:
        draw(
            "This host",
            ("what", "how many", "memory", "profile", "found by", "note"),
            [_processor_row(processor), *(_chip_row(row) for row in rows)],
        )
        _print_sites([site])
        _next(name, unknown=[row["name"] for row in rows if row["profile"] is None])

    _answer(value, output, [site], table)


def _cluster(output: Output, name: str, nodes: list[Any], catalog: Catalog, *, cpu: bool) -> None:
    from orchestrator.adapters.kubernetes.nodes import survey

    found = survey(nodes, catalog, name=name, cpu=cpu)
    value = {
        "nodes": len(nodes),
        "leftOut": [{"node": node, "reason": reason} for node, reason in found.left_out],
        "notes": [*found.notes],
        "sites": [_document(site) for site in found.sites],
    }
    say_notes(found.notes)

    def table() -> None:
        columns = ("site", "profile", "nodes", "chips per node", "memory", "resource", "labels")
        if found.sites:
            draw("Pools", columns, _pool_rows(found))
        if found.left_out:
            draw("Left out", ("nodes", "why"), _left_rows(found))
        if found.sites:
            _print_sites(found.sites)
            _next(name, unknown=[])
        else:
            typer.echo("No node can be planned with, so there is no site.")

    _answer(value, output, found.sites, table)
    if not found.sites:
        raise typer.Exit(1)


def _answer(value: dict[str, Any], output: Output, sites: Any, table: Any) -> None:
    """YAML is the documents alone, so that they can be kept in a file and planned on."""
    if output is Output.YAML:
        typer.echo(_yaml(sites), nl=False)
    else:
        show(value, output, table)


def _rows(found: Found) -> list[dict[str, Any]]:
    from orchestrator.adapters.hosts.sites import groups

    rows = []
    for group in groups(found.chips):
        chip, match = group[0]
        rows.append(
            {
                "vendor": chip.vendor,
                "name": chip.name,
                "count": len(group),
                "memoryBytes": min((one.memory_bytes for one, _ in group if one.memory_bytes), default=None),
                "profile": match.profile,
                "source": chip.source,
                "driver": chip.driver,
                "pciAddresses": [one.pci_address for one, _ in group if one.pci_address],
                "generation": chip.generation,
                "note": match.note,
            }
        )
    return rows


def _processor(here: Machine, local: HardwareProfile | None) -> dict[str, Any]:
    known = local.spec if local else None
    return {
        "name": here.processor,
        "cores": here.cores,
        "memoryBytes": here.memory_bytes,
        "instructions": [*here.instructions],
        "bandwidthBytesPerSecond": known.bandwidth.value if known else None,
        "fp32OperationsPerSecond": known.peaks["fp32"].value if known else None,
    }


def _processor_row(processor: dict[str, Any]) -> tuple[str, ...]:
    measured = processor["bandwidthBytesPerSecond"]
    speed = f"reads {measured / 1e9:.1f} GB/s, measured" if measured else "not measured"
    sets = ", ".join(processor["instructions"]) or "no instruction set that matters"
    cores = f"{processor['cores']} cores"
    return processor["name"], cores, bytes_for_people(processor["memoryBytes"]), "local", "cpuinfo", f"{speed}; {sets}"


def _chip_row(row: dict[str, Any]) -> tuple[str, ...]:
    memory = bytes_for_people(row["memoryBytes"]) if row["memoryBytes"] else "not read"
    name = row["name"] if row["name"].startswith(row["vendor"].split()[0]) else f"{row['vendor']} {row['name']}"
    return name, str(row["count"]), memory, row["profile"] or "unknown", row["source"], row["note"]


def _pool_rows(found: Survey) -> list[tuple[str, ...]]:
    return [
        (
            site.metadata.name,
            pool.profile,
            str(pool.nodes),
            str(pool.chips),
            bytes_for_people(pool.memory) if pool.memory else "as the profile says",
            pool.resource or "the usual",
            ", ".join(f"{key}={value}" for key, value in pool.labels.items()),
        )
        for site in found.sites
        for pool in site.spec.pools
    ]


def _left_rows(found: Survey) -> list[tuple[str, str]]:
    """One line for each reason, with the first names."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for node, reason in found.left_out:
        by_reason[reason].append(node)
    rows = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        rows.append((", ".join(names[:_MOST_NAMES]) + more, reason))
    return rows


def say_notes(notes: tuple[str, ...]) -> None:
    """What a person should know, on standard error, the first of it."""
    for note in notes[:_MOST_NOTES]:
        say(f"note: {note}")
    if len(notes) > _MOST_NOTES:
        say(f"and {len(notes) - _MOST_NOTES} more notes, with --output json")


def _print_sites(sites: Any) -> None:
    typer.echo(_yaml(sites))


def _yaml(sites: Any) -> str:
    import yaml

    return "---\n".join(yaml.safe_dump(_document(site), sort_keys=False, allow_unicode=True) for site in sites)


def _document(site: Site) -> dict[str, Any]:
    """The site as people write it: without what is usual anyway."""
    return site.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _next(name: str, *, unknown: list[str]) -> None:
    for chip in dict.fromkeys(unknown):
        say(f"{chip} is in no pool: {_OWN}")
    say("no price is known: with `price: 11.2/h`, of one node, at each pool a plan can compare costs")
    say(f"keep this with --output yaml > {name}.yaml, then: headwater plan service.yaml {name}.yaml")


def _nodes(path: Path | None, context: str | None) -> list[Any]:
    from orchestrator.adapters.kubernetes.node_files import MOST_BYTES, nodes_from_text

    if path is None:
        from orchestrator.adapters.kubernetes.client import list_nodes

        return list_nodes(context)
    if context is not None:
        raise Invalid("--context and --nodes exclude each other: give the context of a cluster, or a file")
    where = "standard input" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            read = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with path.open("rb") as stream:
                read = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Invalid(f"{where} cannot be read: {error.strerror}") from error
    if len(read) > MOST_BYTES:
        raise Invalid(f"{where} has more than {MOST_BYTES >> 20} MiB; give the nodes of one cluster")
    return nodes_from_text(read.decode("utf-8", errors="replace"), where)


def read_known(settings: Settings) -> Catalog:
    """What ships and what the user added; this machine is no part of what is looked for."""
    from orchestrator.adapters.catalog import read_catalog

    added = settings.home / "catalog"
    return read_catalog([added] if added.is_dir() else [])


def check_name(what: str, name: str) -> None:
    """Raises Invalid for what is no name of a document."""
    from pydantic import TypeAdapter, ValidationError

    from orchestrator.api.document import Name

    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise Invalid(f"--{what} {name!r} is no name; use lower-case letters, digits, dots and dashes") from error
