"""The main job on one machine: Ray, controller, gateway and a real student; then everything that can die, dies.

One node is started for the whole file and the tests run in order: each leaves the service ready. At the end no process
and no port is left.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from orchestrator.local_ports import port_is_free

pytestmark = [pytest.mark.e2e, pytest.mark.model]

QUICKSTART = Path(__file__).parents[2] / "manifests" / "examples" / "quickstart.yaml"
BACK_WITHIN_S = 10.0


@dataclass(slots=True)
class Node:
    """A node of our own: home, port, and the command."""

    home: Path
    port: int
    file: Path

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            capture_output=True,
            text=True,
            env=os.environ | {"HEADWATER_HOME": str(self.home), "HEADWATER_PORT": str(self.port)},
            timeout=200,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--output", "json").stdout))

    def replicas(self) -> list[dict[str, Any]]:
        return list(self.status()["replicas"])

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none", max_retries=0, timeout=60)

    def ask(self, client: openai.OpenAI, prompt: str = "What is the capital of France?", tokens: int = 30) -> str:
        answer = client.chat.completions.create(
            model="assistant",
            messages=[{"role": "user", "content": prompt}],
            max_tokens=tokens,
            temperature=0,
        )
        return answer.choices[0].message.content or ""


def until(true: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait for a condition; returns how long it took."""
    started_s = time.monotonic()
    while time.monotonic() - started_s < within_s:
        if true():
            return time.monotonic() - started_s
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {what}")


@pytest.fixture(scope="module")
def node(artifact_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    home = tmp_path_factory.mktemp("home")
    (home / "artifacts").symlink_to(artifact_store)
    file = home / "service.yaml"
    file.write_text(QUICKSTART.read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    node = Node(home, port, file)
    before = {process.pid for process in psutil.process_iter()}
    try:
        node.run("up")
        node.run("deploy", str(file))
        yield node
    finally:
        node.run("down")
        ours = [
            p for p in psutil.process_iter() if p.pid not in before and _mentions(p, ("ray::", "headwater-", str(home)))
        ]
        assert ours == []
        assert port_is_free(port)


def _mentions(process: psutil.Process, words: tuple[str, ...]) -> bool:
    try:
        return any(word in " ".join(process.cmdline()) for word in words)
    except psutil.Error:
        return False


def test_the_openai_client_works_unchanged(node: Node) -> None:
    client = node.client()
    said = client.chat.completions.create(
        model="assistant",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
    )
    pieces, usage = [], None
    for event in said:
        pieces += [choice.delta.content or "" for choice in event.choices]
        usage = event.usage or usage

    assert "Paris" in "".join(pieces)
    assert len([piece for piece in pieces if piece]) > 1
    assert usage is not None
    assert usage.completion_tokens <= 20


def test_completions_stop_strings_seeds_and_usage_work_through_the_gateway(node: Node) -> None:
    client = node.client()
    wish = {"model": "assistant", "prompt": "One, two, three,", "max_tokens": 12}
    first = client.completions.create(**wish, seed=7, temperature=0.9)
    second = client.completions.create(**wish, seed=7, temperature=0.9)
    stopped = client.completions.create(**wish, temperature=0, stop=[","])

    assert first.choices[0].text == second.choices[0].text
    assert "," not in stopped.choices[0].text
    assert stopped.choices[0].finish_reason == "stop"
    assert first.usage is not None
    assert first.usage.total_tokens == first.usage.prompt_tokens + first.usage.completion_tokens
    assert [model.id for model in client.models.list()] == ["assistant"]


def test_an_unknown_model_is_404_and_a_bad_body_400(node: Node) -> None:
    client = node.client()
    with pytest.raises(openai.NotFoundError, match="assistant"):
        client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": "hi"}], temperature=9)


def test_deploying_the_same_file_twice_does_nothing_and_says_so(node: Node) -> None:
    """Promise 7: a change is safe to repeat."""
    before = node.replicas()
    done = node.run("deploy", str(node.file))

    assert "nothing to change" in done.stderr
    assert [replica["pid"] for replica in node.replicas()] == [replica["pid"] for replica in before]


def test_a_killed_replica_is_back_and_answering_while_nothing_else_restarts(node: Node) -> None:
    client, before = node.client(), node.status()
    os.kill(before["replicas"][0]["pid"], signal.SIGKILL)
    started_s = time.monotonic()
    answer = node.ask(client)

    assert "Paris" in answer
    assert time.monotonic() - started_s < BACK_WITHIN_S
    until(lambda: node.replicas()[0]["phase"] == "ready", BACK_WITHIN_S, "ready again")
    after = node.status()
    assert after["replicas"][0]["pid"] != before["replicas"][0]["pid"]
    assert [after["node"][key] for key in ("gatewayPid", "controllerPid", "pid")] == [
        before["node"][key] for key in ("gatewayPid", "controllerPid", "pid")
    ]


def test_a_killed_controller_comes_back_adopts_what_runs_and_restarts_nothing(node: Node) -> None:
    """Promise 5: nothing healthy is stopped because the controller is away."""
    before, client = node.status(), node.client()
    os.kill(before["node"]["controllerPid"], signal.SIGKILL)

    assert "Paris" in node.ask(client)
    until(
        lambda: _answers(node) and _pid(node, "controllerPid") != before["node"]["controllerPid"], 20, "controller back"
    )
    until(lambda: bool(node.replicas()) and node.replicas()[0]["phase"] == "ready", BACK_WITHIN_S, "adopted")
    after = node.status()
    assert [(r["name"], r["pid"]) for r in after["replicas"]] == [(r["name"], r["pid"]) for r in before["replicas"]]
    assert after["node"]["gatewayPid"] == before["node"]["gatewayPid"]
    assert after["services"][0]["state"] == "done"


def _answers(node: Node) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "status"],
        capture_output=True,
        check=False,
        env=os.environ | {"HEADWATER_HOME": str(node.home)},
    )
    return done.returncode == 0


def _pid(node: Node, which: str) -> int:
    return int(node.status()["node"][which])


def test_a_killed_gateway_comes_back_with_its_routes(node: Node) -> None:
    before, client = node.status(), node.client()
    os.kill(before["node"]["controllerPid"], signal.SIGSTOP)  # so that nobody can push the routes again
    try:
        os.kill(before["node"]["gatewayPid"], signal.SIGKILL)
        until(lambda: _can_ask(node, client), 15, "gateway back")
    finally:
        os.kill(before["node"]["controllerPid"], signal.SIGCONT)
    after = node.status()

    assert after["node"]["gatewayPid"] != before["node"]["gatewayPid"]
    assert after["replicas"][0]["pid"] == before["replicas"][0]["pid"]


def _can_ask(node: Node, client: openai.OpenAI) -> bool:
    try:
        return "Paris" in node.ask(client)
    except openai.APIError:
        return False


def test_prompts_are_answered_while_the_controller_stands_still(node: Node) -> None:
    """Promise 5: the data plane goes on without the control plane; status says who does not answer."""
    pid, client = _pid(node, "controllerPid"), node.client()
    replica = node.replicas()[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(5):
            assert "Paris" in node.ask(client)
        assert "keep serving" in node.run("status", code=3).stderr
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: node.replicas()[0]["phase"] == "ready", BACK_WITHIN_S, "controller goes on")

    assert node.replicas()[0]["pid"] == replica


@dataclass(slots=True)
class Load:
    """Several clients that never stop asking, and what they got."""

    node: Node
    answers: int = 0
    errors: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        client = self.node.client()
        while not self.over.is_set():
            try:
                self.node.ask(client, "Name a colour.", tokens=8)
                self.answers += 1
            except openai.APIError as exc:
                self.errors.append(repr(exc))


def test_changing_the_quantization_under_load_fails_no_request(node: Node) -> None:
    """Promise 10: no request is lost while one variant replaces another."""
    before = node.replicas()[0]["name"]
    load = Load(node)
    clients = [threading.Thread(target=load.ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        node.file.write_text(QUICKSTART.read_text().replace("[int4, int8]", "[int8]"))
        node.run("deploy", str(node.file))
        until(
            lambda: [r["name"] for r in node.replicas()] != [before] and len(node.replicas()) == 1, 30, "old one gone"
        )
        answered = load.answers
        until(lambda: load.answers > answered + 3, 30, "answers from the new one")
    finally:
        load.over.set()
        for client in clients:
            client.join()

    assert load.errors == []
    assert load.answers > 10


def test_a_bad_edit_changes_nothing_that_runs(node: Node) -> None:
    """Promise 9: bad input gets a clear error; nothing already running is lost."""
    before = node.replicas()
    bad = node.home / "bad.yaml"
    bad.write_text(node.file.read_text().replace("ttft: 500ms", "ttft: 500"))
    done = node.run("deploy", str(bad), code=1)

    assert "spec.student.slo.ttft" in done.stderr
    assert [r["pid"] for r in node.replicas()] == [r["pid"] for r in before]


def test_a_deleted_service_leaves_no_replica_and_no_route(node: Node) -> None:
    node.run("delete", "assistant")

    assert node.replicas() == []
    with pytest.raises(openai.NotFoundError):
        node.ask(node.client())
    assert "assistant" in node.run("logs", "node").stdout or node.run("logs", "controller").stdout


def test_up_twice_is_up_once(node: Node) -> None:
    pid = node.status()["node"]["pid"]

    assert "runs already" in node.run("up").stderr
    assert node.status()["node"]["pid"] == pid
