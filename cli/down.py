"""`headwater down`: end everything `headwater up` started."""

from __future__ import annotations

import typer

from cli.options import DryRunOption
from cli.output import Output, OutputOption, say, tell


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: headwater down")
    def down(output: OutputOption = Output.TABLE, dry_run: DryRunOption = False) -> None:
        """Let running requests finish, then end replicas, gateway, controller and Ray; wanted services are kept."""
        tell({"stopped": stop(dry_run=dry_run)}, output)


def stop(*, dry_run: bool = False) -> bool:
    """End the node. Returns whether there was one that was ended."""
    from orchestrator import local
    from orchestrator.settings import read_settings

    settings = read_settings()
    if dry_run:
        phase = local.state(settings)["phase"]
        say("nothing runs" if phase == "stopped" else f"the node is {phase}; would end it and all it started")
        return False
    stopped = local.down(settings)
    say("stopped" if stopped else "nothing runs")
    return stopped
