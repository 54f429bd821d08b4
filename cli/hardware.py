"""`headwater hardware`: the chips of the catalog, each number with its status, and which of them are here."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli import hardware_detect
from cli.catalog import DocumentOption, alike, print_document, read_all
from cli.hardware_cards import print_chip, print_chips
from cli.options import chip_names, engine_names
from cli.output import Output, OutputOption, show
from runtimes.errors import Invalid


class Kind(StrEnum):
    """What a chip is."""

    CPU = "cpu"
    GPU = "gpu"
    NPU = "npu"


class Place(StrEnum):
    """Where a chip is at home."""

    DATACENTER = "datacenter"
    EDGE = "edge"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    hardware_app = typer.Typer(
        help="Show the chips of the catalog, and find those that are here.",
        no_args_is_help=True,
        epilog="Examples: headwater hardware list --place edge; headwater hardware show ascend-910b3; "
        "headwater hardware detect",
    )
    _register_list(hardware_app)
    _register_show(hardware_app)
    hardware_detect.register(hardware_app)
    app.add_typer(hardware_app, name="hardware")


def _register_list(hardware_app: typer.Typer) -> None:
    @hardware_app.command(
        "list",
        epilog="Examples: headwater hardware list --vendor huawei --min-memory 64GiB; "
        "headwater hardware list --dtype fp8 --engine vllm -o json",
    )
    def list_chips(
        vendor: Annotated[str | None, typer.Option(help="Chips of a vendor, such as Huawei.")] = None,
        place: Annotated[Place | None, typer.Option(help="Chips for data centres or for the edge.")] = None,
        kind: Annotated[Kind | None, typer.Option(help="Chips of a kind.")] = None,
        min_memory: Annotated[
            str | None, typer.Option(help="Chips with at least so much memory, such as 64GiB.")
        ] = None,
        dtype: Annotated[str | None, typer.Option(help="Chips with a path for a type, such as fp8.")] = None,
        engine: Annotated[
            str | None, typer.Option(help="Chips that an engine runs on.", autocompletion=engine_names)
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """List chips: memory, bandwidth, peak and types, with a mark on every number that nobody verified."""
        from orchestrator.core.hardware_view import hardware_row
        from orchestrator.lookup import named

        catalog = read_all()
        least = _bytes(min_memory)
        if engine is not None:
            named(catalog.engines, engine, "engine")
        if dtype is not None:
            _check_dtype(dtype)
        vendors = alike(vendor, (one.spec.vendor for one in catalog.profiles.values()), "vendor")
        rows = [hardware_row(catalog.profiles[name]) for name in sorted(catalog.profiles)]
        value = [
            row
            for row in rows
            if row["vendor"] in vendors
            and (place is None or row["place"] == place.value)
            and (kind is None or row["kind"] == kind.value)
            and (least is None or (row["memoryBytes"] or 0) >= least)
            and (dtype is None or dtype in row["dtypes"])
            and (engine is None or engine in row["engines"])
        ]
        show(value, output, lambda: print_chips(value))


def _register_show(hardware_app: typer.Typer) -> None:
    @hardware_app.command(
        "show",
        epilog="Examples: headwater hardware show kunlun-p800; "
        "headwater hardware show nvidia-h20 --document > my-chip.yaml",
    )
    def show_chip(
        name: Annotated[
            str,
            typer.Argument(
                help="A hardware profile; `local` is this machine.", autocompletion=chip_names, show_default=False
            ),
        ],
        document: DocumentOption = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Show a chip: every number with status and sources, its Kubernetes profile, and what its engines read."""
        from orchestrator.core.hardware_view import hardware_view
        from orchestrator.lookup import named

        catalog = read_all()
        profile = named(catalog.profiles, name, "hardware profile")
        if document:
            print_document(profile)
            return
        value = hardware_view(profile, catalog)
        show(value, output, lambda: print_chip(value))


def _bytes(written: str | None) -> float | None:
    from orchestrator.api.quantities import MEMORY

    try:
        return None if written is None else MEMORY.parse(written)
    except ValueError as exc:
        raise Invalid(f"--min-memory: {exc}") from exc


def _check_dtype(dtype: str) -> None:
    from typing import get_args

    from orchestrator.api.hardware import Dtype
    from orchestrator.lookup import named

    named({name: name for name in get_args(Dtype)}, dtype, "type")
