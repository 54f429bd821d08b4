"""The controller and the gateway as named, detached Ray actors that Ray brings back when their process dies.

Both are ordinary classes wrapped here, and only here. A restarted controller rebuilds itself from the store and adopts
what runs; a restarted gateway reads its route table from disk. Both come back at their former ports.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray

from orchestrator.control.http import Api, serve
from orchestrator.local_ports import remember_port, remembered_port
from orchestrator.logs import to_file
from orchestrator.settings import NAMESPACE, Settings
from runtimes.gateway.run import Gateway, GatewaySettings

CONTROLLER = "controller"
GATEWAY = "gateway"
Build = Callable[[Settings], Api]
log = logging.getLogger("headwater.actor")


class ControllerActor:
    """Runs the control loop and the control API in threads of their own."""

    def __init__(self, settings: Settings, build: Build) -> None:
        _introduce(settings, CONTROLLER)
        api = build(settings)
        port_file = settings.run / "control.port"
        remember_port(port_file, serve(api.app, remembered_port(port_file)))
        threading.Thread(target=api.controller.run, name="control-loop", daemon=True).start()

    def ready(self) -> bool:
        """Answered once the constructor is through."""
        return True


class GatewayActor:
    """Runs the gateway in a thread of its own."""

    def __init__(self, settings: Settings, token: str) -> None:
        _introduce(settings, GATEWAY)
        port_file = settings.run / "gateway-admin.port"
        state = settings.run / "routes.json"
        gateway = Gateway(
            GatewaySettings("127.0.0.1", settings.port, remembered_port(port_file), admin_token=token, state=state)
        )
        gateway.start()
        remember_port(port_file, int(gateway.urls.admin.rpartition(":")[2]))

    def ready(self) -> bool:
        """Answered once the constructor is through."""
        return True


def start_controller(settings: Settings, build: Build) -> None:
    """Start the controller and wait until it is up."""
    _start(CONTROLLER, ControllerActor, settings, build)


def stop_controller() -> None:
    """End the controller for good, so that it brings back nothing that is stopped from here on."""
    with suppress(ValueError):  # there is none
        if ray.is_initialized():
            ray.kill(ray.get_actor(CONTROLLER, namespace=NAMESPACE), no_restart=True)


def start_gateway(settings: Settings, token: str) -> None:
    """Start the gateway and wait until it listens."""
    _start(GATEWAY, GatewayActor, settings, token)


def _introduce(settings: Settings, name: str) -> None:
    """Log to a file, and leave the process id where `status` finds it."""
    to_file(settings.logs / f"{name}.log")
    (settings.run / f"{name}.pid").write_text(str(os.getpid()))
    log.info("%s starts, pid %d", name, os.getpid())


def _start(name: str, actor: type, *arguments: Any) -> None:
    kept = ray.remote(actor).options(
        name=name, namespace=NAMESPACE, lifetime="detached", max_restarts=-1, num_cpus=0, get_if_exists=True
    )
    ray.get(kept.remote(*arguments).ready.remote())
