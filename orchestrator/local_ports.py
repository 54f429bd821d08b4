"""Loopback ports: whether one is free, and small files that let a restarted process come back at its former one."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def remember_port(path: Path, port: int) -> None:
    """Keep the port; writes only when it changed, and never half."""
    if not path.exists() or path.read_text() != str(port):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(str(port))
        fresh.replace(path)


def known_port(path: Path) -> int | None:
    """The port kept there, if any."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def remembered_port(path: Path) -> int:
    """The port of the former life, or 0 when there was none or someone else has it now."""
    port = known_port(path)
    return port if port and port_is_free(port) else 0


def port_is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True
