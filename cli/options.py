"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FilesArgument = Annotated[
    list[Path],
    typer.Argument(help="YAML files with services and sites.", exists=True, dir_okay=False, show_default=False),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, help="Port of the OpenAI endpoint; $HEADWATER_PORT or 8400 without it.", show_default=False
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")]


def service_names(incomplete: str) -> list[str]:
    """Names of running services, for completion in the shell; nothing when nothing runs."""
    from cli.control import Control
    from orchestrator.settings import read_settings
    from runtimes.errors import HeadwaterError

    try:
        services = Control(read_settings()).status()["services"]
    except HeadwaterError:
        return []
    return [service["name"] for service in services if service["name"].startswith(incomplete)]


ServiceArgument = Annotated[
    str, typer.Argument(help="Name of a service.", autocompletion=service_names, show_default=False)
]
