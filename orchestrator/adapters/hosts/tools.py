"""Ask a vendor's tool: found on the search path or in the vendor's own place, never through a shell, and bounded.

A tool of a broken driver can hang, print without end or print nonsense; the caller gets what it said within the time,
or one sentence why not. Called by `detect` beside this file.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 15.0  # mx-smi and npu-smi take seconds on servers with many chips
MOST_BYTES = 1 << 20
_CHUNK = 1 << 16
_LAST_WORDS_S = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool printed, and in one sentence what went wrong, if anything did."""

    text: str
    problem: str = ""


def find(name: str, places: Iterable[str], root: Path = Path("/")) -> Path | None:
    """The tool's absolute path: from the search path, else from the places, which may have wildcards."""
    found = shutil.which(name)
    if found is not None and Path(found).is_absolute():
        return Path(found)
    for place in places:
        for path in sorted(root.glob(f"{place.lstrip('/')}/{name}")):
            if path.is_file() and os.access(path, os.X_OK):
                return path
    return None


def ask(
    tool: Path,
    arguments: Sequence[str],
    *,
    timeout_s: float = TIMEOUT_S,
    most_bytes: int = MOST_BYTES,
    lines: int | None = None,
) -> Answer:
    """Run a tool and read what it prints on both outputs.

    Args:
        tool: absolute path.
        arguments: given to the tool as they are.
        timeout_s: the tool is ended after this many seconds.
        most_bytes: it is ended when it printed more.
        lines: it is ended as soon as it printed this many lines, for tools that go on until they are stopped.
    """
    try:
        running = subprocess.Popen(  # noqa: S603  a list without a shell, and the path was looked up by us
            [str(tool), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Answer("", f"{tool} cannot be started: {error.strerror}")
    deadline_s = time.monotonic() + timeout_s
    said, problem = _read(running, deadline_s, most_bytes, lines)
    if not problem and lines is None:
        problem = _ended(running, deadline_s)
    _end(running)
    text = said.decode("utf-8", errors="replace")
    return Answer(text, f"{tool.name} {problem}" if problem else "")


def _read(running: subprocess.Popen[bytes], deadline_s: float, most_bytes: int, lines: int | None) -> tuple[bytes, str]:
    """Output until its end, the time or a bound; and which of the two last it was."""
    said = b""
    if running.stdout is None:
        return said, "has no output"
    with selectors.DefaultSelector() as ready:
        ready.register(running.stdout, selectors.EVENT_READ)
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not ready.select(left_s):
                return said, "did not answer in time"
            chunk = os.read(running.stdout.fileno(), _CHUNK)
            said += chunk
            if not chunk or (lines is not None and said.count(b"\n") >= lines):
                return said, ""
            if len(said) > most_bytes:
                return said[:most_bytes], f"printed more than {most_bytes} bytes"


def _ended(running: subprocess.Popen[bytes], deadline_s: float) -> str:
    try:
        code = running.wait(max(0.0, deadline_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "did not end in time"
    return f"ended with code {code}" if code else ""


def _end(running: subprocess.Popen[bytes]) -> None:
    """End the tool and what it started; one that hangs in its driver is left to the system."""
    if running.stdout is not None:
        running.stdout.close()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(running.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        running.wait(_LAST_WORDS_S)
