"""`headwater render`: the Kubernetes manifests of tiers that run on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DryRunOption, FilesArgument
from cli.output import Form, FormOption, Output, say, tell
from cli.tree import Changes, write_tree
from runtimes.errors import Invalid, Refused

if TYPE_CHECKING:
    from orchestrator.offline import Desk

Objects = tuple[dict[str, Any], ...]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater render service.yaml; headwater render service.yaml --to ./manifests; "
        "headwater render service.yaml --kustomize ./base"
    )
    def render(
        files: FilesArgument,
        to: Annotated[
            Path | None, typer.Option(help="Folder to write to, a file a tier.", file_okay=False, show_default=False)
        ] = None,
        kustomize: Annotated[
            Path | None,
            typer.Option(
                help="Folder to write a kustomize base to, a file an object.", file_okay=False, show_default=False
            ),
        ] = None,
        output: FormOption = Form.YAML,
        dry_run: DryRunOption = False,
    ) -> None:
        """Write Kubernetes manifests; the same input gives the same bytes.

        Without a folder they go to standard output. A folder keeps what others put there and loses what the plan lost.
        """
        if to is not None and kustomize is not None:
            raise Invalid("--to and --kustomize exclude each other; give one folder")
        desk = open_files(files)
        objects = placed(desk)
        folder = kustomize or to
        if folder is not None:
            texts = base(objects) if kustomize is not None else by_tier(objects)
            changes = write_tree(folder, texts if objects else {}, dry_run=dry_run)
            _tell_changes(folder, changes, output, dry_run=dry_run)
        elif dry_run or not objects:
            _say_written(objects, dry_run=dry_run)
        else:
            _print(objects, output)
            _say_written(objects, dry_run=False)


def write(files: list[Path], to: Path) -> list[Path]:
    """Render YAML files to a folder, a file a tier; gives the files of the plan."""
    texts = by_tier(placed(open_files(files)))
    write_tree(to, texts, dry_run=False)
    return [to / name for name in sorted(texts)]


def placed(desk: Desk) -> dict[str, Objects]:
    """The objects of a plan, by file name.

    Raises:
        Refused: a licence forbids a tier, or a tier has no place.
    """
    from orchestrator.core.placement.result import Unplaced

    desk.check_licences()
    placement = desk.plan()
    lost = [f"{tier.service}/{tier.tier}" for tier in placement.tiers if isinstance(tier, Unplaced)]
    if lost:
        raise Refused(f"{', '.join(lost)}: no place for it in these sites; `headwater plan` says why")
    return desk.render(placement)


def by_tier(objects: dict[str, Objects]) -> dict[str, str]:
    """Text of every file, as one YAML stream."""
    from orchestrator.adapters.kubernetes.texts import to_yaml

    return {name: to_yaml(found) for name, found in objects.items()}


def base(objects: dict[str, Objects]) -> dict[str, str]:
    """Text of a kustomize base: a file an object, named for its kind and name, and the kustomization of all."""
    from orchestrator.adapters.kubernetes.texts import to_yaml

    files: dict[str, str] = {}
    for found in objects.values():
        for one in found:
            files[f"{one['kind'].lower()}-{one['metadata']['name']}.yaml"] = to_yaml([one])
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(files),
    }
    return files | {"kustomization.yaml": to_yaml([kustomization])}


def open_files(files: list[Path]) -> Desk:
    """Files and catalog on one table."""
    from orchestrator.offline import open_desk
    from orchestrator.settings import read_settings

    return open_desk(files, read_settings())


def _say_written(objects: dict[str, Objects], *, dry_run: bool) -> None:
    names = ", ".join(sorted(objects)) or "nothing: no tier needs Kubernetes"
    where = " to standard output" if objects else ""
    if dry_run or not objects:
        say(f"{'would write' if dry_run else 'wrote'} {names}{where}")


def _tell_changes(folder: Path, changes: Changes, output: Form, *, dry_run: bool) -> None:
    if output is Form.JSON:
        value = {"folder": str(folder), "dryRun": dry_run} | {
            key: [*getattr(changes, key)] for key in ("written", "unchanged", "removed", "kept")
        }
        tell(value, Output.JSON)
    verb = "would write" if dry_run else "wrote"
    if not (changes.written or changes.unchanged or changes.removed):
        say(f"{verb} nothing: no tier needs Kubernetes")
    if changes.written:
        say(f"{verb} {', '.join(str(folder / name) for name in changes.written)}")
    if changes.unchanged:
        say(f"unchanged: {', '.join(changes.unchanged)}")
    if changes.removed:
        say(f"{'would remove' if dry_run else 'removed'} {', '.join(changes.removed)}: not in the plan any more")
    for name in changes.kept:
        say(f"{folder / name} is not in the plan any more, and somebody changed it; remove it yourself")


def _print(objects: dict[str, Objects], output: Form) -> None:
    if output is Form.JSON:
        items = [one for name in sorted(objects) for one in objects[name]]
        tell({"apiVersion": "v1", "kind": "List", "items": items}, Output.JSON)
    else:
        texts = by_tier(objects)
        typer.echo("".join(texts[name] for name in sorted(texts)), nl=False)
