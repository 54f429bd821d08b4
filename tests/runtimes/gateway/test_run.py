"""Starting and stopping: as a thread, and as a process."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest

from runtimes.errors import Invalid, Refused

CHAT = "/v1/chat/completions"
STREAM = {"model": "assistant", "stream": True}


@pytest.mark.parametrize("which", ["port", "admin_port"])
def test_a_taken_port_is_named(idle_lab, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Invalid, match=f"port {port} on 127.0.0.1 is taken; choose another port"):
            idle_lab.start(**{which: port})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "localhost", "example.org"])
def test_it_refuses_to_listen_beyond_loopback(idle_lab, host: str) -> None:
    with pytest.raises(Refused, match="no API keys yet"):
        idle_lab.start(host=host)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"admin_token": ""}, "admin token is empty", id="no token"),
        pytest.param({"port": 70000}, "port 70000 does not exist", id="a port too high"),
        pytest.param({"admin_port": -1}, "port -1 does not exist", id="a negative port"),
    ],
)
def test_settings_are_refused_with_a_sentence(idle_lab, changes: dict, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        idle_lab.start(**changes)


def test_the_token_is_not_shown_with_the_settings(lab) -> None:
    assert "the-admin-token" not in repr(lab.gateway._settings)


def test_malformed_requests_do_not_fill_the_log(lab, caplog: pytest.LogCaptureFixture) -> None:
    address = urlsplit(lab.gateway.urls.public)
    caplog.clear()
    with socket.create_connection((address.hostname, address.port), timeout=10) as client:
        client.sendall(b"nonsense\r\n\r\n")

        assert b" 400 " in client.recv(100)
    assert caplog.records == []


def test_stopping_lets_a_running_stream_finish_and_takes_nothing_new(lab) -> None:
    replica = lab.replica("a", "slow_stream")
    lab.route(assistant=[replica])
    held = lab.send("POST", CHAT, body=STREAM)
    stopping = threading.Thread(target=lab.gateway.stop, args=(10,))
    stopping.start()
    lab.eventually(lambda: not accepts(lab.gateway.urls.public), "it still takes connections")

    lab.release(replica)

    assert held.read() == b"data: first\n\ndata: last\n\n"
    held.connection.close()
    stopping.join(5)
    assert not lab.gateway.running


def test_stopping_cuts_off_what_runs_too_long(lab) -> None:
    replica = lab.replica("a", "slow_stream")
    lab.route(assistant=[replica])
    held = lab.send("POST", CHAT, body=STREAM)

    lab.gateway.stop(0.1)

    assert not lab.gateway.running
    assert replica.cancelled.wait(5)
    held.connection.close()


def accepts(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return False
    return True


def a_process(state, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "runtimes.gateway.main", "--port", "0", "--admin-port", "0", "--state", str(state)]
    plain = {k: v for k, v in os.environ.items() if k != "HEADWATER_GATEWAY_TOKEN"}
    return subprocess.Popen(command, env=plain | environment, stderr=subprocess.PIPE, text=True)


def test_a_process_without_a_token_says_so_and_ends(tmp_path) -> None:
    with a_process(tmp_path / "routes.json") as process:
        _, said = process.communicate(timeout=30)

    assert process.returncode == 2
    assert said.splitlines() == ["the admin token is empty; give the gateway the token that the controller sends"]


def test_sigterm_lets_a_process_finish_what_runs(idle_lab) -> None:
    replica = idle_lab.replica("a", "slow_stream")
    with a_process(idle_lab.state, HEADWATER_GATEWAY_TOKEN="the-admin-token") as process:
        lines = iter(process.stderr.readline, "")
        found = next(m for m in (re.search(r"clients at (\S+), controller at (\S+)", line) for line in lines) if m)
        idle_lab.gateway = Elsewhere(*found.groups())
        idle_lab.route(assistant=[replica])
        held = idle_lab.send("POST", CHAT, body=STREAM)

        process.send_signal(signal.SIGTERM)
        idle_lab.eventually(lambda: not accepts(found[1]), "it still takes connections")
        idle_lab.release(replica)

        assert held.read() == b"data: first\n\ndata: last\n\n"
        held.connection.close()
        assert process.wait(10) == 0
        idle_lab.gateway = None


class Elsewhere:
    """A gateway in another process."""

    def __init__(self, public: str, admin: str) -> None:
        self.urls = type("Urls", (), {"public": public, "admin": admin})


def test_it_starts_without_the_control_planes_and_engines_libraries() -> None:
    unwanted = ["torch", "ray", "kubernetes", "onnxruntime", "transformers", "orchestrator"]
    code = f"import sys, runtimes.gateway.main; print(*[m for m in {unwanted} if m in sys.modules])"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.split() == []
