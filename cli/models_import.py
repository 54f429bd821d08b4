"""`headwater models import`: a card from a folder, a `config.json`, weight headers or a hub, with what it means.

Reading is `orchestrator.adapters.imports.card`. Called by `cli.models`, which has the other commands for models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.files import write_whole
from cli.output import Output, OutputOption, bytes_for_people, draw, say, show
from runtimes.errors import Invalid, Refused

FOLDER = "imported"  # below the user's catalog


def register(models: typer.Typer) -> None:
    """Add the command."""

    @models.command(
        name="import",
        epilog="Examples: headwater models import ./Qwen3-8B --save; headwater models import config.json -o json; "
        "headwater models import model.gguf --licence Apache-2.0 --to card.yaml; "
        "headwater models import hf://Qwen/Qwen3-8B@main",
    )
    def import_(
        source: Annotated[
            str,
            typer.Argument(
                help="A model folder, a config.json, a .safetensors or .gguf file, or hf://organisation/name@revision.",
                show_default=False,
            ),
        ],
        name: Annotated[str | None, typer.Option(help="Name of the card; made from the source without it.")] = None,
        licence: Annotated[
            str | None, typer.Option(help="SPDX expression of the weights; what the files say without it.")
        ] = None,
        organisation: Annotated[str | None, typer.Option(help="Who made the model.")] = None,
        hub: Annotated[
            str | None, typer.Option(help="Name of the weights on a hub and on the sites' nodes, such as org/name.")
        ] = None,
        to: Annotated[Path | None, typer.Option(help="Write the card to this file.", dir_okay=False)] = None,
        save: Annotated[bool, typer.Option("--save", help="Add the card to your catalog.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Replace a card that says something else.")] = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Read a model's dimensions from its files, without loading weights, and print what follows from them."""
        from orchestrator.adapters.imports.card import import_model
        from orchestrator.adapters.imports.view import card_text, import_view

        if to is not None and save:
            raise Invalid("give --to or --save, not both")
        found = import_model(source, name=name, licence=licence, organisation=organisation, hub=hub)
        value = import_view(found)
        path = _in_catalog(value["name"], force=force) if save else to
        if path is not None:
            _write(path, card_text(found.card), force=force)
            if not found.card.spec.hub:
                say("to plan it on accelerators, say with --hub ORG/NAME what its weights are called on the nodes")
        show(value, output, lambda: print_import(value))


def print_import(value: dict[str, Any]) -> None:
    """Draw the figures for a person."""
    weights = value["weightBytes"]
    stored = value["storedBytesByType"]
    rows = [
        ("family, licence", f"{value['family']}, {value['licence']}"),
        ("parameters", f"{value['totalParameters']:,}"),
        ("declared in the headers", _count(value["declaredParameters"])),
        ("active for a token", f"{value['activeParameters']:,}"),
        ("active without embedding and head", f"{value['activeParametersWithoutTables']:,}"),
        ("key-value cache of a token, bf16", f"{value['kvBytesPerToken']:,} B"),
        ("index of a token", _bytes(value["indexBytesPerToken"])),
        ("state of a sequence", _bytes(value["stateBytesPerSequence"])),
        ("longest context", f"{value['contextTokens']:,} tokens" if value["contextTokens"] else "not said"),
        ("weights as stored", ", ".join(f"{kind} {bytes_for_people(count)}" for kind, count in stored.items())),
        *((f"weights in {kind}", bytes_for_people(count)) for kind, count in weights.items()),
    ]
    draw(f"Model {value['name']}", ("what", "how much"), [row for row in rows if row[1]])
    for note in value["notes"]:
        typer.echo(f"  note: {note}")


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _bytes(number: int) -> str:
    return f"{number:,} B" if number else ""


def _in_catalog(name: str, *, force: bool) -> Path:
    """Where a card lies in the user's catalog. Raises Refused for the name of a model that ships."""
    from orchestrator.adapters.catalog import read_catalog
    from orchestrator.settings import read_settings

    if name in read_catalog().models and not force:
        raise Refused(f"{name} is a model of the catalog that ships; choose another --name, or replace it with --force")
    return read_settings().home / "catalog" / FOLDER / f"{name}.yaml"


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write a card; the same card again changes nothing, another one under the name needs a word."""
    try:
        there = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        there = None
    if there == text:
        say(f"unchanged: {path}")
        return
    if there is not None and not force:
        raise Refused(f"{path} holds another card; choose another --name, or replace it with --force")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    say(f"written: {path}")
