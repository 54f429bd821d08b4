"""`headwater status`: what is, what is wanted, what stands between."""

from __future__ import annotations

import time
from typing import Any

import typer

from cli.output import Output, OutputOption, draw, say, show
from runtimes.errors import Unavailable


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Examples: headwater status; headwater status --output json")
    def status(output: OutputOption = Output.TABLE) -> None:
        """Show services, replicas and the last events."""
        from cli.control import Control
        from orchestrator import local
        from orchestrator.settings import read_settings

        settings = read_settings()
        value = Control(settings).status() | {"node": local.state(settings)}
        show(value, output, lambda: _tables(value))
        if value["node"]["phase"] == "broken":
            raise Unavailable(value["node"]["message"])


def _tables(value: dict[str, Any]) -> None:
    node = value["node"]
    say(f"site {node.get('site')}, endpoint http://127.0.0.1:{node.get('port')}/v1")
    if value["error"]:
        say(f"the last pass failed: {value['error']}")
    for name in value["unreadable"]:
        say(f"{name} cannot be read by this version; what runs goes on; deploy it again, or `headwater delete {name}`")
    rows = [
        (service["name"], tier["tier"], tier["state"], tier["why"])
        for service in value["services"]
        for tier in service["tiers"]
    ]
    draw("Services", ("service", "tier", "state", "why"), rows)
    replicas = [
        (r["name"], r["site"], r["phase"], str(r["running"]), str(r["waiting"]), r["url"], str(r["pid"]), r["message"])
        for r in value["replicas"]
    ]
    draw("Replicas", ("replica", "site", "phase", "running", "waiting", "address", "pid", "note"), replicas)
    events = [
        (time.strftime("%H:%M:%S", time.localtime(e["at"])), e["subject"], e["kind"], e["text"])
        for e in value["events"][-8:]
    ]
    draw("Last events", ("at", "what", "became", "note"), events)
