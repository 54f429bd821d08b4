"""The generation probe, run against a server on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from runtimes.recipes.generation import one_token


class Engine(BaseHTTPRequestHandler):
    """Answers every completion with the same status and body, and remembers what it was asked."""

    status: ClassVar[int] = 200
    answer: ClassVar[bytes] = b""
    asked: ClassVar[list[tuple[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, json.loads(body)))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *args: Any) -> None:
        del args


@contextmanager
def an_engine(status: int, answer: bytes) -> Iterator[tuple[int, list[tuple[str, Any]]]]:
    asked: list[tuple[str, Any]] = []
    handler = type("Handler", (Engine,), {"status": status, "answer": answer, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def exit_code(port: int) -> int:
    command = (sys.executable, *one_token(port, "assistant", 5)[1:])
    surroundings = {"http_proxy": "http://127.0.0.1:1"}  # a proxy nobody runs: the probe must not go there
    return subprocess.run(command, env=surroundings, capture_output=True, timeout=30, check=False).returncode


@pytest.mark.parametrize(
    ("status", "answer", "ready"),
    [
        pytest.param(200, b'{"usage": {"completion_tokens": 1}}', True, id="one token is ready"),
        pytest.param(200, b'{"usage": {"completion_tokens": 0}}', False, id="no token is not ready"),
        pytest.param(200, b"<html>", False, id="something else on the port is not ready"),
        pytest.param(503, b'{"usage": {"completion_tokens": 1}}', False, id="an error is not ready"),
    ],
)
def test_the_probe_says(status: int, answer: bytes, ready: bool) -> None:  # noqa: FBT001 a column of the table
    with an_engine(status, answer) as (port, asked):
        code = exit_code(port)

    assert (code == 0) is ready
    assert asked == [
        ("/v1/completions", {"model": "assistant", "prompt": "1", "max_tokens": 1, "temperature": 0}),
    ]


def test_a_closed_port_is_not_ready() -> None:
    with an_engine(200, b"") as (port, _):
        pass

    assert exit_code(port) != 0
