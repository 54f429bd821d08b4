"""`headwater doctor`: what a cluster lacks for a plan, and how to get it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.hardware_detect import ContextOption
from cli.options import FilesArgument
from cli.output import Output, OutputOption, draw, say, show
from cli.render import open_files, placed
from runtimes.errors import Invalid

if TYPE_CHECKING:
    from orchestrator.adapters.kubernetes.surroundings import Surroundings

SnapshotOption = Annotated[
    Path | None,
    typer.Option(
        "--snapshot",
        help="Objects of the cluster, as `kubectl get nodes,runtimeclasses,storageclasses,crds -o json` writes them.",
        dir_okay=False,
        exists=True,
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater doctor service.yaml site.yaml; "
        "headwater doctor service.yaml site.yaml --snapshot cluster.json --output json"
    )
    def doctor(
        files: FilesArgument,
        output: OutputOption = Output.TABLE,
        context: ContextOption = None,
        snapshot: SnapshotOption = None,
        namespace: Annotated[str, typer.Option(help="Where the objects would be made.")] = "default",
    ) -> None:
        """Hold what a plan wants against what a cluster has: kinds, chips, runtimes, drivers, storage, rights.

        Ends with 1 when anything lacks. What could not be looked at is told and does not count.
        """
        from orchestrator.adapters.kubernetes.wants import rights, wants

        desk = open_files(files)
        objects = [one for found in placed(desk).values() for one in found]
        there = seen(snapshot, context, rights=rights(objects), namespace=namespace)
        found = wants(objects, there, desk.catalog)
        rows = [asdict(one) for one in found]
        lacking = [one for one in found if one.state == "lacking"]
        value = {"lacking": len(lacking), "unknown": sum(one.state == "unknown" for one in found), "wants": rows}

        def table() -> None:
            draw("Wanted of the cluster", ("", "what", "seen", "how to get it"), [
                (one.state, one.what, one.seen, one.how) for one in found
            ])  # fmt: skip

        show(value, output, table)
        if lacking:
            raise typer.Exit(1)
        say("nothing lacks that was looked at")


def seen(
    snapshot: Path | None,
    context: str | None,
    *,
    rights: tuple[tuple[str, str, str], ...] = (),
    namespace: str = "default",
) -> Surroundings:
    """What a cluster has, from a file or from itself.

    Raises:
        Invalid: both a file and a context are given, or neither can be read.
    """
    if snapshot is None:
        from orchestrator.adapters.kubernetes.client import look

        return look(rights, namespace=namespace, context=context)
    if context is not None:
        raise Invalid("--context and --snapshot exclude each other: give the context of a cluster, or a file")
    from orchestrator.adapters.kubernetes.node_files import MOST_BYTES, nodes_from_text
    from orchestrator.adapters.kubernetes.surroundings import surroundings

    with snapshot.open("rb") as stream:
        read = stream.read(MOST_BYTES + 1)
    if len(read) > MOST_BYTES:
        raise Invalid(f"{snapshot} has more than {MOST_BYTES >> 20} MiB; give the objects of one cluster")
    return surroundings(nodes_from_text(read.decode("utf-8", errors="replace"), str(snapshot)))
