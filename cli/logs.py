"""`headwater logs`: what replicas, gateway, controller and node wrote."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from cli.options import service_names
from runtimes.errors import Invalid

PROCESSES = ("node", "controller", "gateway")
POLL_S = 0.3


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Examples: headwater logs assistant -f; headwater logs controller --lines 200")
    def logs(
        name: Annotated[
            str,
            typer.Argument(help="A service, a replica, or node, controller, gateway.", autocompletion=service_names),
        ],
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is added.")] = False,
        lines: Annotated[int, typer.Option(min=0, help="Lines from the end of each log.")] = 50,
    ) -> None:
        """Print logs; works without the controller."""
        from orchestrator.settings import read_settings

        folder = read_settings().logs
        paths = find(folder, name)
        if not paths:
            known = ", ".join(sorted(path.stem for path in folder.glob("*.log"))) or "none yet"
            raise Invalid(f"no log of {name!r} in {folder}; logs: {known}")
        ends = {path: _tail(path, lines, named=len(paths) > 1) for path in paths}
        while follow:
            time.sleep(POLL_S)
            for path in find(folder, name):
                ends[path] = _more(path, ends.get(path, 0), named=len(paths) > 1)


def find(folder: Path, name: str) -> list[Path]:
    """The log of a process or a replica, or of every replica of a service."""
    exact = folder / f"{name}.log"
    if name in PROCESSES or exact.exists():
        return [exact] if exact.exists() else []
    return sorted(
        p for tier in ("student", "teacher") for p in folder.glob("*.log") if p.name.startswith(f"{name}-{tier}-")
    )


def _tail(path: Path, lines: int, *, named: bool) -> int:
    with path.open(errors="replace") as file:
        text = file.readlines()
        _print(path, text[len(text) - lines :] if lines < len(text) else text, named=named)
        return file.tell()


def _more(path: Path, end: int, *, named: bool) -> int:
    if path.stat().st_size < end:  # the file turned over
        end = 0
    with path.open(errors="replace") as file:
        file.seek(end)
        _print(path, file.readlines(), named=named)
        return file.tell()


def _print(path: Path, lines: Iterable[str], *, named: bool) -> None:
    for line in lines:
        typer.echo(f"{path.stem}: {line}" if named else line, nl=False)
