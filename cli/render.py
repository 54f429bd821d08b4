"""`headwater render`: the Kubernetes manifests of tiers that run on accelerator pools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.files import write_whole
from cli.options import DryRunOption, FilesArgument
from cli.output import Form, FormOption, Output, say, tell
from runtimes.errors import Refused


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Examples: headwater render service.yaml; headwater render service.yaml --to ./manifests")
    def render(
        files: FilesArgument,
        to: Annotated[
            Path | None, typer.Option(help="Folder to write to; standard output without it.", file_okay=False)
        ] = None,
        output: FormOption = Form.YAML,
        dry_run: DryRunOption = False,
    ) -> None:
        """Write Kubernetes manifests; the same input gives the same bytes."""
        written = write(files, to, output, dry_run=dry_run)
        if to is not None or dry_run or not written:
            names = ", ".join(map(str, written)) or "nothing: no tier needs Kubernetes"
            where = " to standard output" if written and to is None else ""
            say(f"{'would write' if dry_run else 'wrote'} {names}{where}")


def write(files: list[Path], to: Path | None, output: Form = Form.YAML, *, dry_run: bool = False) -> list[Path]:
    """Render YAML files to a folder, or to standard output without one; there JSON is a list that kubectl takes too."""
    from orchestrator.core.placement.result import Unplaced
    from orchestrator.offline import open_desk
    from orchestrator.settings import read_settings

    desk = open_desk(files, read_settings())
    desk.check_licences()
    placement = desk.plan()
    lost = [f"{tier.service}/{tier.tier}" for tier in placement.tiers if isinstance(tier, Unplaced)]
    if lost:
        raise Refused(f"{', '.join(lost)}: no place for it in these sites; `headwater plan` says why")
    rendered = desk.render(placement)
    if to is None:
        if not dry_run:
            _print("---\n".join(rendered[name] for name in sorted(rendered)), output)
        return [Path(name) for name in sorted(rendered)]
    if not dry_run:
        to.mkdir(parents=True, exist_ok=True)
        for name, text in sorted(rendered.items()):
            write_whole(to / name, text)
    return [to / name for name in sorted(rendered)]


def _print(text: str, output: Form) -> None:
    if output is Form.JSON:
        import yaml

        objects = [one for one in yaml.safe_load_all(text) if one]
        tell({"apiVersion": "v1", "kind": "List", "items": objects}, Output.JSON)
    else:
        typer.echo(text, nl=False)
