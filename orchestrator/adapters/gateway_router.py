"""`Router` over HTTP: pushes the route table to the gateway's admin port.

The port is read before every push: a gateway that came back may have had to take another one.
"""

from __future__ import annotations

import http.client
from pathlib import Path

from orchestrator.errors import Refused, Unavailable
from orchestrator.local_ports import known_port
from runtimes.contract import RouteTable

PATIENCE_S = 3.0


class GatewayRouter:
    """The gateway of this machine, whose admin port stands in a file."""

    def __init__(self, port_file: Path, token: str) -> None:
        self._port_file, self._token = port_file, token

    def set_routes(self, table: RouteTable) -> None:
        """Replace the table; the gateway keeps it on disk."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        port = known_port(self._port_file)
        if port is None:
            raise Unavailable("the gateway has not started yet")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("PUT", "/admin/routes", table.model_dump_json(), headers)
            answer = connection.getresponse()
            body = answer.read(2000)
        except (OSError, http.client.HTTPException) as exc:
            raise Unavailable(f"the gateway's admin port {port} does not answer: {exc}") from exc
        finally:
            connection.close()
        if answer.status >= 300:  # noqa: PLR2004  HTTP's own border between success and the rest
            raise Refused(f"the gateway refused the routes: {answer.status} {body.decode(errors='replace')}")
