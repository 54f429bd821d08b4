"""The process behind `headwater up`: holds Ray, starts gateway and controller, and ends all of it on SIGTERM.

It decides nothing. What it is doing stands in `run/node.json`, which the CLI reads; a lock says whether it lives.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from orchestrator import wiring
from orchestrator.logs import to_file
from orchestrator.settings import Settings, forget_run, read_settings

log = logging.getLogger("headwater.node")
LOOKS, LOOK_S = 20, 0.05
LOOK_AT_RAY_S = 2.0
RAYS = frozenset({"gcs_server", "raylet"})
BROKEN = "Ray has ended; `headwater down` and then `headwater up` start it again"


def run(settings: Settings, site: str) -> int:
    """Run until told to stop. Returns the exit code."""
    settings.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    to_file(settings.logs / "node.log")
    lock = (settings.run / "node.lock").open("w")
    for _ in range(LOOKS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:  # another one lives, or a command is looking just now whether one does
            time.sleep(LOOK_S)
    else:
        return 0  # the CLI reads the state of the other one
    told, broken = threading.Event(), False
    _listen(told)
    last: dict[str, str] = {"phase": "stopped"}
    try:
        ready = _start(settings, site)
        _listen(told)  # again: Ray puts handlers of its own in place when it starts
        broken = _watch(
            told, _of_ray(), lambda message: _say(settings, **ready | {"phase": "broken", "message": message})
        )
    except Exception as exc:  # whatever it is, the CLI must be able to say it
        log.exception("start failed")
        last = {"phase": "failed", "message": _last_line(exc)}
    _stop(settings, ray_lives=not broken)
    _say(settings, **last)
    return int(last["phase"] == "failed")


def _listen(told: threading.Event) -> None:
    """Take a signal as the word to stop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())


def _of_ray() -> dict[str, psutil.Process]:
    """Ray's own processes by name: without one of them nothing can be started, watched or brought back."""
    named = {process.name(): process for process in psutil.Process().children()}
    return {name: process for name, process in named.items() if name in RAYS}


def _watch(told: threading.Event, watched: Mapping[str, psutil.Process], say: Callable[[str], None]) -> bool:
    """Wait for the word to stop; tell once when a watched process has ended. Returns whether one has."""
    while not told.wait(LOOK_AT_RAY_S):
        ended = [name for name, process in watched.items() if not _runs(process)]
        if ended:
            log.error("%s of Ray ended", " and ".join(ended))
            say(BROKEN)
            told.wait()
            return True
    return False


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _start(settings: Settings, site: str) -> dict[str, Any]:
    """Start everything. Returns what the node says from then on."""
    from orchestrator.adapters import ray_node  # noqa: PLC0415  Ray takes a second to import; say that we start first
    from orchestrator.control import actor  # noqa: PLC0415

    _say(settings, phase="starting", step="detecting this machine")
    wiring.catalog(settings)
    token = secrets.token_urlsafe(24)
    path = settings.run / "token"
    path.touch(mode=0o600)
    path.write_text(token)
    _say(settings, phase="starting", step="starting Ray")
    address = ray_node.start(settings.home, site, "local")
    _say(settings, phase="starting", step="starting the gateway")
    actor.start_gateway(settings, token)
    _say(settings, phase="starting", step="starting the controller")
    actor.start_controller(settings, wiring.control_api)
    started = psutil.Process().children(recursive=True)
    ready: dict[str, Any] = {
        "phase": "ready",
        "site": site,
        "ray": address,
        "port": settings.port,
        "processes": [(process.pid, process.create_time()) for process in started],
    }
    _say(settings, **ready)
    log.info("ready")
    return ready


def _stop(settings: Settings, *, ray_lives: bool) -> None:
    """End what was started; a Ray that has ended can be asked for nothing, and `local.down` ends what it left."""
    from orchestrator.adapters import ray_node  # noqa: PLC0415  imported already when there is something to stop
    from orchestrator.control import actor  # noqa: PLC0415

    _say(settings, phase="stopping")
    if ray_lives:
        actor.stop_controller()
        ray_node.stop(settings.home)
    forget_run(settings)


def _last_line(exc: Exception) -> str:
    """The sentence of an error: Ray puts a whole traceback and the name of the class before it."""
    line = next((line for line in reversed(str(exc).splitlines()) if line.strip()), type(exc).__name__)
    return re.sub(r"^(?:\w+\.)+\w+: ", "", line)


def _say(settings: Settings, **state: Any) -> None:
    path = settings.run / "node.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"pid": os.getpid(), **state}))
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(run(read_settings(), sys.argv[1] if len(sys.argv) > 1 else "here"))
