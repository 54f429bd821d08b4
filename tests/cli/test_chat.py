"""What `chat` says of an answer and of a service that has no replica; the gateway is a small stand-in."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import chat, control
from cli.control import Control
from cli.main import app
from orchestrator.settings import Settings
from runtimes.errors import Refused, Unavailable

NOT_READY = {
    "error": {"message": "no replica of 'a' is ready: send the request again in 2 s", "code": "no_ready_replica"}
}
USAGE = {"choices": [], "usage": {"prompt_tokens": 37, "completion_tokens": 2}}


@pytest.fixture
def gateway() -> Iterator[Callable[[int, bytes], int]]:
    """Starts a server that gives everyone the same answer; returns its port."""
    servers: list[http.server.HTTPServer] = []

    def start(status: int, content: bytes) -> int:
        class Door(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        servers.append(http.server.HTTPServer(("127.0.0.1", 0), Door))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def says(monkeypatch: pytest.MonkeyPatch, *tiers: tuple[str, str, str]) -> None:
    """What the controller says of service `a`."""
    listed = [{"tier": tier, "state": state, "why": why} for tier, state, why in tiers]
    monkeypatch.setattr(Control, "status", lambda _: {"services": [{"name": "a", "tiers": listed}]})


@pytest.mark.parametrize(
    ("tiers", "error", "said"),
    [
        pytest.param([("student", "blocked", "tpot: 1 ms")], Refused, "student is blocked: tpot: 1 ms", id="blocked"),
        pytest.param([("student", "waiting", "a slot")], Unavailable, "student is waiting: a slot", id="waiting"),
        pytest.param([("student", "progressing", "loads")], Unavailable, "student is progressing: loads", id="loads"),
        pytest.param([("student", "done", "1 of 1 ready")], Unavailable, "send the request again", id="just gone"),
        pytest.param([("teacher", "blocked", "no pool")], Unavailable, "send the request again", id="other tier"),
        pytest.param([], Unavailable, "send the request again", id="unknown"),
    ],
)
def test_a_service_without_a_replica_is_told_with_the_reason_of_its_tier(
    monkeypatch: pytest.MonkeyPatch, tiers: list[tuple[str, str, str]], error: type[Exception], said: str
) -> None:
    says(monkeypatch, *tiers)
    told = chat.explained(chat.NotReady(NOT_READY["error"]["message"]), "a", Settings())

    assert isinstance(told, error)
    assert said in str(told)


def test_a_controller_that_is_away_leaves_the_gateways_word(tmp_path: Path) -> None:
    not_ready = chat.NotReady("no replica")

    assert chat.explained(not_ready, "a", Settings(home=tmp_path)) is not_ready


def test_only_a_service_without_a_replica_is_not_ready(gateway: Callable[[int, bytes], int]) -> None:
    busy = {"error": {"message": "all slots are busy", "code": "overloaded"}}
    with pytest.raises(chat.NotReady, match="no replica"):
        chat.ask(gateway(503, json.dumps(NOT_READY).encode()), "a", "hi", max_tokens=1)
    for content in (json.dumps(busy).encode(), b"[]", b'{"error": []}'):
        with pytest.raises(Unavailable) as raised:
            chat.ask(gateway(503, content), "a", "hi", max_tokens=1)
        assert type(raised.value) is Unavailable


def test_an_answer_for_programs_has_rounded_speed_and_both_lengths(
    gateway: Callable[[int, bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[dict[str, Any]] = [{"choices": [{"delta": {"content": text}}]} for text in ("Pa", "ris")]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in [*pieces, USAGE]) + "data: [DONE]\n\n"
    port = gateway(200, stream.encode())
    monkeypatch.setattr(control, "endpoint_port", lambda _: port)
    value = json.loads(CliRunner().invoke(app, ["chat", "a", "hi", "-o", "json"]).stdout)

    assert (value["answer"], value["promptTokens"], value["tokens"]) == ("Paris", 37, 2)
    assert value["firstTokenSeconds"] == round(value["firstTokenSeconds"], 4) > 0
    assert value["tokensPerSecond"] == round(value["tokensPerSecond"], 1) > 0
