"""The local node as others see it: start its process, read its state, end it, and clear what a crash left.

Called by the CLI. The process itself is `orchestrator.node`. Only processes that the node wrote down are ever ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from orchestrator.errors import Invalid, Refused, Unavailable
from orchestrator.local_ports import port_is_free
from orchestrator.settings import Settings, forget_run, ray_folder

START_S = 60.0
STOP_S = 40.0
POLL_S = 0.05


def state(settings: Settings) -> dict[str, Any]:
    """What the node says it is doing; `phase` is `stopped` when there is none, `broken` when its Ray has ended.

    A broken node has a `message` that says what to do.
    """
    if not _lives(settings):
        return {"phase": "stopped"}
    found = {path.stem + "Pid": _number_in(path) for path in sorted(settings.run.glob("*.pid"))}
    pids = {name: pid for name, pid in found.items() if pid is not None}
    return {"phase": "starting"} | _said(settings) | pids


def up(settings: Settings, site: str, step: Callable[[str], None]) -> bool:
    """Start the node and wait until it is ready. Returns False when it ran already.

    Raises Invalid when the gateway's port is taken, Refused when the node says why it cannot start or is broken.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with _alone(settings.home):  # of two that start at once, the second finds what the first has started
        if _lives(settings):
            _wait_ready(settings, step)
            return False
        _clear(settings)
        check_port(settings)
        _wait_ready(settings, step, _spawn(settings, site))
    return True


def _spawn(settings: Settings, site: str) -> subprocess.Popen[bytes]:
    settings.logs.mkdir(parents=True, exist_ok=True)
    with (settings.logs / "node.out").open("ab") as out:
        return subprocess.Popen(  # noqa: S603  our own interpreter and module, nothing a user typed but the site
            [sys.executable, "-m", "orchestrator.node", site],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=_environment(settings),
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; waits for whoever holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def check_port(settings: Settings) -> None:
    """Raises Invalid when a node could not start here because the gateway's port is taken."""
    if not _lives(settings) and not port_is_free(settings.port):
        raise Invalid(f"port {settings.port} is taken by another program; choose a free one with --port")


def down(settings: Settings) -> bool:
    """End the node and everything it started. Returns False when nothing ran."""
    if not _lives(settings):
        return _clear(settings)
    node = _process(_said(settings).get("pid", 0))
    if node is None:
        raise Unavailable("the node is just starting; try again", retry_in_s=1)
    started = [node, *node.children(recursive=True), *_written(settings)]
    node.terminate()
    _, left = psutil.wait_procs([node], timeout=STOP_S)
    for process in left:
        process.kill()
    _end(started)
    _tidy(settings)
    shutil.rmtree(ray_folder(settings.home), ignore_errors=True)  # Ray writes there until its last process is gone
    return True


def _wait_ready(
    settings: Settings, step: Callable[[str], None], process: subprocess.Popen[bytes] | None = None
) -> None:
    deadline_s, last = time.monotonic() + START_S, ""
    while time.monotonic() < deadline_s:
        ended = process is not None and process.poll() is not None
        said = _said(settings)
        if said.get("phase") == "ready" and _lives(settings):
            return
        if said.get("phase") == "broken" and _lives(settings):
            raise Refused(str(said["message"]))
        if said.get("phase") == "failed" or ended:
            message = said.get("message") or "it ended without a word"
            raise Refused(f"the node could not start: {message} (log: {settings.logs / 'node.log'})")
        if said.get("step", "") != last:
            last = said.get("step", "")
            step(last)
        time.sleep(POLL_S)
    raise Unavailable(f"the node is not ready after {START_S:.0f} s (log: {settings.logs / 'node.log'})")


def _lives(settings: Settings) -> bool:
    """Whether a process holds the node's lock."""
    try:
        with (settings.run / "node.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as exc:
        raise Invalid(
            f"{settings.home} cannot be used ({exc.strerror}); set HEADWATER_HOME to a folder of your own"
        ) from exc
    return False


def _said(settings: Settings) -> dict[str, Any]:
    try:
        said = json.loads((settings.run / "node.json").read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _number_in(path: Path) -> int | None:
    """The number in a file; None while it is being written or when it was removed just now."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _clear(settings: Settings) -> bool:
    """End what a node that was killed left behind. Returns whether there was anything."""
    found = _written(settings)
    _end(found)
    _tidy(settings)
    return bool(found)


def _written(settings: Settings) -> list[psutil.Process]:
    """What still is of the processes that the node wrote down; those of a Ray that ended may be nobody's children."""
    written = (_process(pid, born_s) for pid, born_s in _said(settings).get("processes", []))
    return [process for process in written if process is not None]


def _tidy(settings: Settings) -> None:
    """Remove what only a running node has."""
    forget_run(settings)
    (settings.run / "node.json").unlink(missing_ok=True)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        if process.is_running():
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=5)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=5)


def _process(pid: int, born_s: float | None = None) -> psutil.Process | None:
    """The process, unless it is gone or the number belongs to another one by now."""
    try:
        process = psutil.Process(pid)
        return process if born_s is None or abs(process.create_time() - born_s) < 1 else None
    except (psutil.NoSuchProcess, ValueError):
        return None


def _environment(settings: Settings) -> dict[str, str]:
    return os.environ | {"HEADWATER_HOME": str(settings.home), "HEADWATER_PORT": str(settings.port)}
