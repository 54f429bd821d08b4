"""What the node's process says and leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from orchestrator import local, node
from orchestrator.errors import Refused
from orchestrator.local import state
from orchestrator.node import _last_line
from orchestrator.settings import Settings, forget_run


@pytest.mark.parametrize(
    ("message", "said"),
    [
        pytest.param("store x: no database", "store x: no database", id="a sentence of ours"),
        pytest.param(
            "ray::A.__init__()\n  File x\nruntimes.errors.Unavailable: store x: no database\n",
            "store x: no database",
            id="an error that came through Ray",
        ),
        pytest.param("", "RuntimeError", id="an error without a word"),
    ],
)
def test_an_error_is_told_in_its_own_sentence(message: str, said: str) -> None:
    assert _last_line(RuntimeError(message)) == said


def test_a_run_leaves_its_lock_and_its_last_word(tmp_path: Path) -> None:
    """A stale route or port could lead a prompt to another program."""
    settings = Settings(home=tmp_path)
    settings.run.mkdir()
    for name in ("token", "control.port", "gateway.pid", "a.spec", "routes.json", "node.lock", "node.json"):
        (settings.run / name).touch()

    forget_run(settings)

    assert sorted(path.name for path in settings.run.iterdir()) == ["node.json", "node.lock"]


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "LOOK_AT_RAY_S", 0.01)


@pytest.mark.usefixtures("quick_looks")
def test_a_ray_that_ends_is_noticed_once_and_the_node_waits_on() -> None:
    told, noticed, said, ends = threading.Event(), threading.Event(), [], []

    def say(message: str) -> None:
        said.append(message)
        noticed.set()

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as raylet:
        watched = {"raylet": psutil.Process(raylet.pid), "gcs_server": psutil.Process()}
        watch = threading.Thread(target=lambda: ends.append(node._watch(told, watched, say)))
        watch.start()
        assert not noticed.wait(0.1)

        raylet.kill()  # and nobody reaps it, as in the node
        assert noticed.wait(5)
        assert watch.is_alive()
        told.set()
        watch.join(5)

    assert (said, ends) == ([node.BROKEN], [True])


@pytest.mark.usefixtures("quick_looks")
def test_a_node_that_is_told_to_stop_has_no_broken_ray() -> None:
    told = threading.Event()
    told.set()

    assert not node._watch(told, {"raylet": psutil.Process()}, pytest.fail)


def test_a_broken_node_is_not_up_and_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.run.mkdir()
    code = f"import fcntl; lock = open({str(settings.run / 'node.lock')!r}, 'w'); fcntl.flock(lock, fcntl.LOCK_EX)"
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code + "; print(1, flush=True); input()"], stdin=pipe, stdout=pipe
    ) as at:
        assert at.stdout is not None
        at.stdout.readline()
        (settings.run / "node.json").write_text(json.dumps({"pid": at.pid, "phase": "broken", "message": node.BROKEN}))

        assert state(settings) == {"phase": "broken", "message": node.BROKEN, "pid": at.pid}
        with pytest.raises(Refused, match=r"^Ray has ended; `headwater down` and then `headwater up`"):
            local.up(settings, "here", pytest.fail)
        at.kill()

    assert state(settings) == {"phase": "stopped"}
