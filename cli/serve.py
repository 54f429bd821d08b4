"""`headwater serve`: one edge server in the foreground, without controller, Ray or gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import bytes_for_people, say
from runtimes.errors import Invalid, Refused

if TYPE_CHECKING:
    from runtimes.contract import ArtifactManifest


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: headwater serve ~/.headwater/artifacts/smollm2-135m-instruct-int4-… --port 8500")
    def serve(
        artifact: Annotated[Path, typer.Argument(help="Folder of a built artifact.", exists=True, file_okay=False)],
        port: Annotated[int, typer.Option(min=1, max=65535, help="Port on loopback.")] = 8500,
        slots: Annotated[int, typer.Option(min=1, max=4096, help="Sequences decoded together.")] = 4,
        context: Annotated[
            int | None,
            typer.Option(
                min=16,
                help="Tokens per sequence, prompt and answer together; 4096 or what the model allows without it.",
            ),
        ] = None,
        provider: Annotated[
            list[str] | None,
            typer.Option(help="ONNX Runtime execution provider to try, best first; the CPU is always the last."),
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, start nothing.")] = False,
    ) -> None:
        """Serve an artifact over the OpenAI protocol until interrupted."""
        from orchestrator import logs
        from orchestrator.core.batches import CONTEXT_TOKENS
        from runtimes.contract import ReplicaSpec
        from runtimes.edge.artifact import open_artifact
        from runtimes.edge.main import serve as run

        manifest = open_artifact(artifact).manifest
        context = context or min(CONTEXT_TOKENS, manifest.shape.context_tokens)
        needs = manifest.needs
        memory_bytes = needs.resident_bytes + slots * context * needs.kv_bytes_per_token
        cores = _check(manifest, port, context, memory_bytes)
        spec = ReplicaSpec(
            name=manifest.model,
            owner="serve",
            service=manifest.model,
            tier="student",
            site="here",
            pool=0,
            variant="",
            artifact=str(artifact.absolute()),
            slots=slots,
            context_tokens=context,
            threads=cores,
            queue=slots * 8,
            memory_bytes=memory_bytes,
            providers=tuple(provider or ()),
        )
        size = f"{bytes_for_people(spec.memory_bytes)} for {slots} x {context} tokens"
        say(f"{manifest.model} {manifest.quantization}: {size}")
        if dry_run:
            return
        logs.to_terminal()
        say(f"http://127.0.0.1:{port}/v1")
        raise typer.Exit(run(spec, "127.0.0.1", port))


def _check(manifest: ArtifactManifest, port: int, context: int, memory_bytes: int) -> int:
    """Physical cores to use. Raises Invalid or Refused when this machine cannot serve what is asked for."""
    from orchestrator.adapters.machine import detect
    from orchestrator.local_ports import port_is_free
    from orchestrator.settings import read_settings

    if context > manifest.shape.context_tokens:
        longest = manifest.shape.context_tokens
        raise Invalid(f"--context {context} is more than {manifest.model} was built for; at most {longest}")
    machine = detect(read_settings().home / "machine.json").spec
    if memory_bytes > machine.memory.known:
        needed, there = bytes_for_people(memory_bytes), bytes_for_people(machine.memory.known)
        raise Refused(f"that needs {needed} of memory, this machine has {there}; lower --slots or --context")
    if not port_is_free(port):
        raise Invalid(f"port {port} is taken by another program; choose a free one with --port")
    return machine.cores or 1
