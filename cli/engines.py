"""`headwater engines`: the programs that run models on chips, what they read, and how they are had."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.catalog import DocumentOption, print_document, read_all
from cli.engine_cards import print_engine, print_engines
from cli.options import chip_names, engine_names, quantization_names
from cli.output import Output, OutputOption, show


def register(app: typer.Typer) -> None:
    """Add the commands."""
    engines_app = typer.Typer(
        help="Show the engines of the catalog.",
        no_args_is_help=True,
        epilog="Examples: headwater engines list --chip ascend-910b3; headwater engines show vllm-ascend-a2",
    )
    _register_list(engines_app)
    _register_show(engines_app)
    app.add_typer(engines_app, name="engines")


def _register_list(engines_app: typer.Typer) -> None:
    @engines_app.command(
        "list",
        epilog="Examples: headwater engines list --chip kunlun-p800; "
        "headwater engines list --quantization w8a8 --format modelslim -o json",
    )
    def list_engines(
        chip: Annotated[str | None, typer.Option(help="Engines that run on a chip.", autocompletion=chip_names)] = None,
        quantization: Annotated[
            str | None, typer.Option(help="Engines that read a quantization.", autocompletion=quantization_names)
        ] = None,
        checkpoint_format: Annotated[
            str | None, typer.Option("--format", help="Engines that read a checkpoint format, such as awq.")
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """List engines: chips, types, what they read, and whether they can be started and predicted from here."""
        from typing import get_args

        from orchestrator.api.quantization import Format, Quantization
        from orchestrator.core.engine_view import engine_row, reads_on
        from orchestrator.lookup import named

        catalog = read_all()
        for wanted, known, what in (
            (chip, catalog.profiles, "hardware profile"),
            (quantization, {name: name for name in get_args(Quantization)}, "quantization"),
            (checkpoint_format, {name: name for name in get_args(Format)}, "format"),
        ):
            if wanted is not None:
                named(known, wanted, what)
        value = []
        for name, engine in sorted(catalog.engines.items()):
            row = engine_row(engine, catalog)
            reads = engine.spec.reads if chip is None else reads_on(engine, chip)
            asked = any(
                quantization in {None, one.quantization} and checkpoint_format in {None, one.format} for one in reads
            )
            if (chip is None or name in catalog.profiles[chip].spec.engines) and (
                asked or (quantization is None and checkpoint_format is None)
            ):
                value.append(row)
        show(value, output, lambda: print_engines(value))


def _register_show(engines_app: typer.Typer) -> None:
    @engines_app.command(
        "show", epilog="Examples: headwater engines show vllm-ascend-a2; headwater engines show mindie -o yaml"
    )
    def show_engine(
        name: Annotated[
            str, typer.Argument(help="An engine of the catalog.", autocompletion=engine_names, show_default=False)
        ],
        document: DocumentOption = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Show an engine: chips, what it reads and refuses, images, flags, environment, versions and sources."""
        from orchestrator.core.engine_view import engine_view
        from orchestrator.lookup import named

        catalog = read_all()
        engine = named(catalog.engines, name, "engine")
        if document:
            print_document(engine)
            return
        value = engine_view(engine, catalog)
        show(value, output, lambda: print_engine(value))
