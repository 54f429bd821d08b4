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


def _catalog_names(kind: str, incomplete: str) -> list[str]:
    """Names of the catalog, for completion in the shell; nothing when it cannot be read."""
    from orchestrator.adapters.catalog import read_catalog
    from orchestrator.settings import read_settings
    from runtimes.errors import HeadwaterError

    try:
        added = read_settings().home / "catalog"
        catalog = read_catalog([added] if added.is_dir() else [])
    except HeadwaterError:
        return []
    return sorted(name for name in getattr(catalog, kind) if name.startswith(incomplete))


def model_names(incomplete: str) -> list[str]:
    """Models, for completion in the shell."""
    return _catalog_names("models", incomplete)


def chip_names(incomplete: str) -> list[str]:
    """Hardware profiles, for completion in the shell."""
    return [*_catalog_names("profiles", incomplete), *(["local"] if "local".startswith(incomplete) else [])]


def engine_names(incomplete: str) -> list[str]:
    """Engines, for completion in the shell."""
    return _catalog_names("engines", incomplete)


def quantization_names(incomplete: str) -> list[str]:
    """Quantizations, for completion in the shell."""
    from typing import get_args

    from orchestrator.api.quantization import Quantization

    return [name for name in get_args(Quantization) if name.startswith(incomplete)]
