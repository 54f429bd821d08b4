"""`headwater up`: start the node on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DryRunOption, PortOption
from cli.output import Output, OutputOption, say, tell
from runtimes.errors import Refused

if TYPE_CHECKING:
    from orchestrator.settings import Settings

HERE = "here"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: headwater up --port 9000")
    def up(
        site: Annotated[
            str | None, typer.Option(help="The site this machine is; here without it.", show_default=False)
        ] = None,
        port: PortOption = None,
        output: OutputOption = Output.TABLE,
        dry_run: DryRunOption = False,
    ) -> None:
        """Start Ray, the controller and the gateway on this machine; safe to repeat."""
        from orchestrator import local
        from orchestrator.settings import read_settings

        started = start(site, port, dry_run=dry_run)
        said = local.state(read_settings())
        tell({"started": started} | {key: said.get(key) for key in ("phase", "site", "port")}, output)


def start(site: str | None, port: int | None, *, dry_run: bool = False) -> bool:
    """Start the node unless it runs. Returns whether it was started now.

    Raises Refused when it runs as another site or on another port than was asked for.
    """
    from orchestrator import local
    from orchestrator.settings import read_settings

    settings = read_settings()
    settings = settings.model_copy(update={"port": port}) if port else settings
    check(local.state(settings), site, port)
    if dry_run:
        _preview(settings, site or HERE)
        return False
    started = local.up(settings, site or HERE, say)
    said = local.state(settings)
    check(said, site, port)  # another command may have started it meanwhile
    say(f"{'started' if started else 'runs already'}: site {said['site']}, endpoint http://127.0.0.1:{said['port']}/v1")
    return started


def check(said: dict[str, Any], site: str | None, port: int | None) -> None:
    """Raises Refused when what the node says of itself differs from what is asked for; None asks for nothing."""
    if said["phase"] == "ready" and (said["site"], said["port"]) != (site or said["site"], port or said["port"]):
        raise Refused(f"it runs as site {said['site']} on port {said['port']}; `headwater down` first")


def _preview(settings: Settings, site: str) -> None:
    from orchestrator import local

    said = local.state(settings)
    if said["phase"] == "stopped":
        local.check_port(settings)
        say(f"would start site {site} with its endpoint at port {settings.port}")
    else:
        say(f"the node is {said['phase']} already, endpoint http://127.0.0.1:{said.get('port', settings.port)}/v1")
