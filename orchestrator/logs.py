"""Logging, set up only when a process starts: one line per event, time, level, name, message."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

_LINE = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
LARGEST_BYTES = 10_000_000


def to_file(path: Path) -> None:
    """Send this process's log to a file that turns over at 10 MB, keeping three."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _use(logging.handlers.RotatingFileHandler(path, maxBytes=LARGEST_BYTES, backupCount=3))


def to_terminal() -> None:
    """Send this process's log to standard error."""
    _use(logging.StreamHandler(sys.stderr))


def _use(handler: logging.Handler) -> None:
    handler.setFormatter(_LINE)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # a line per request is metrics' work
