"""The push of routes over HTTP, against a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from orchestrator.adapters.gateway_router import GatewayRouter
from orchestrator.errors import Refused, Unavailable
from runtimes.contract import Route, RouteTable, Upstream

TABLE = RouteTable(routes=(Route(service="chat", upstreams=(Upstream(name="a", url="http://127.0.0.1:1"),)),))


class Admin(BaseHTTPRequestHandler):
    """Answers as told and keeps what it was asked."""

    status: ClassVar[int] = 200
    asked: ClassVar[list[tuple[str, str | None, RouteTable]]] = []

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, self.headers["Authorization"], RouteTable.model_validate_json(body)))
        if self.status == 0:
            return
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"schema 2 is unknown")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def a_gateway(status: int) -> Iterator[HTTPServer]:
    Admin.status, Admin.asked = status, []
    with HTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def port_file(tmp_path: Path) -> Path:
    return tmp_path / "gateway-admin.port"


def push(port_file: Path, port: int) -> None:
    port_file.write_text(str(port))
    GatewayRouter(port_file, "secret").set_routes(TABLE)


@pytest.mark.parametrize("status", [200, 204])
def test_the_whole_table_is_put_with_the_token(status: int, port_file: Path) -> None:
    with a_gateway(status) as server:
        push(port_file, server.server_port)

    assert Admin.asked == [("/admin/routes", "Bearer secret", TABLE)]


@pytest.mark.parametrize("status", [400, 401, 500])
def test_an_answer_that_is_no_yes_is_refused_with_what_was_said(status: int, port_file: Path) -> None:
    with a_gateway(status) as server, pytest.raises(Refused, match=f"refused the routes: {status} schema 2 is unknown"):
        push(port_file, server.server_port)


def test_a_gateway_that_hangs_up_is_unavailable(port_file: Path) -> None:
    with a_gateway(0) as server, pytest.raises(Unavailable, match=f"admin port {server.server_port} does not answer"):
        push(port_file, server.server_port)


def test_a_gateway_that_is_not_there_is_unavailable(port_file: Path) -> None:
    with a_gateway(200) as server:
        port = server.server_port

    with pytest.raises(Unavailable, match=f"admin port {port} does not answer"):
        push(port_file, port)


def test_a_gateway_that_came_back_at_another_port_is_found(port_file: Path) -> None:
    router = GatewayRouter(port_file, "secret")
    with pytest.raises(Unavailable, match="has not started yet"):
        router.set_routes(TABLE)
    with a_gateway(200) as first, a_gateway(200) as second:
        for server in (first, second):
            port_file.write_text(str(server.server_port))
            router.set_routes(TABLE)

    assert len(Admin.asked) == 2
