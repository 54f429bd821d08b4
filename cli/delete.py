"""`headwater delete`: want a service, or any other document, no more."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import DryRunOption, service_names
from cli.output import Output, OutputOption, say, tell
from runtimes.errors import Invalid

GONE_S = 60.0
NAME_HELP = "A service, or KIND/NAME with Site, Model, HardwareProfile or Engine, such as Site/here."


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Examples: headwater delete assistant; headwater delete Site/here")
    def delete(
        name: Annotated[
            str,
            typer.Argument(help=NAME_HELP, autocompletion=service_names),
        ],
        output: OutputOption = Output.TABLE,
        dry_run: DryRunOption = False,
    ) -> None:
        """Delete a service: its replicas finish what they have, then end. Or forget another document."""
        from cli.control import Control
        from orchestrator.api.kinds import KINDS
        from orchestrator.settings import read_settings

        kind, slash, bare = name.rpartition("/")
        kind = kind if slash else "ModelService"
        if kind not in KINDS:
            raise Invalid(f"{name}: {kind or 'nothing'} is no kind; write NAME or KIND/NAME with {', '.join(KINDS)}")
        control = Control(read_settings())
        control.delete(kind, bare, dry_run=dry_run)
        ends = [r["name"] for r in control.status()["replicas"] if (kind, bare) == ("ModelService", r["service"])]
        if dry_run:
            say(f"would delete {name}" + (f" and end {', '.join(ends)}" if ends else ""))
            tell({"deleted": [], "ends": ends}, output)
            return
        if kind == "ModelService":
            control.wait(lambda status: _gone(status, bare), GONE_S, f"{name} still has replicas")
        say(f"deleted {name}")
        tell({"deleted": [f"{kind}/{bare}"], "ends": ends}, output)


def _gone(status: dict[str, list[dict[str, str]]], name: str) -> bool:
    named = [s["name"] for s in status["services"]] + [r["service"] for r in status["replicas"]]
    return name not in named
