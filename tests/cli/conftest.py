"""The real command in a home and a working folder of its own, and what it leaves there."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from orchestrator.adapters.catalog import read_catalog
from orchestrator.adapters.machine import detect

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "manifests" / "examples" / "quickstart.yaml"
REMEMBERED = {"digests", ".locks", "cache"}  # what was understood before; of artifacts: sha256 and empty lock files
DROP_FROM_BOUNDING_SET = 24  # of prctl
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2


@dataclass(slots=True)
class Command:
    """`headwater` with its own home, working folder and port."""

    home: Path
    folder: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self, *arguments: str | Path, code: int = 0, before: Callable[[], None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
            | {"HEADWATER_HOME": str(self.home), "HEADWATER_PORT": str(self.port), "PYTHONPATH": str(ROOT)}
            | {"HF_HUB_OFFLINE": "1", "TERM": "dumb", "COLUMNS": "200"}
            | self.environment,
            preexec_fn=before,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr + done.stdout
        assert done.returncode == code, done.stderr
        return done

    def refused(self, *arguments: str | Path, code: int = 1, before: Callable[[], None] | None = None) -> str:
        """What the command says when it refuses: nothing on standard output, nothing left behind."""
        left = self.files()
        done = self.run(*arguments, code=code, before=before)
        assert done.stdout == ""
        assert self.files() == left
        assert self.processes() == []
        if code == 2:
            return done.stderr
        lines = done.stderr.rstrip().split("\n")
        assert sum(line.startswith("error: ") for line in lines) == 1, done.stderr
        first = next(number for number, line in enumerate(lines) if line.startswith("error: "))
        return "\n".join(lines[first:]).removeprefix("error: ")

    def files(self) -> dict[str, tuple[int, float]]:
        """Every file of home and working folder, with size and time of change."""
        found = {}
        for path in sorted([*self.home.rglob("*"), *self.folder.rglob("*")]):
            if path.is_file() and not REMEMBERED & set(path.parts):
                found[str(path)] = (path.lstat().st_size, path.lstat().st_mtime)
        return found

    def processes(self) -> list[str]:
        """What runs with our home."""
        return [p.name() for p in psutil.process_iter() if _home(p) == str(self.home)]

    def write(self, text: str | bytes, name: str = "service.yaml") -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def quickstart(self, *changes: tuple[str, str]) -> Path:
        """The example with texts replaced."""
        text = QUICKSTART.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return self.write(text)


def _home(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("HEADWATER_HOME")
    except psutil.Error:
        return None


@pytest.fixture
def without_privilege() -> Callable[[], None]:
    """Even root must ask the permission bits of files from here on."""

    def drop() -> None:
        if os.geteuid() == 0:
            libc = ctypes.CDLL(None, use_errno=True)
            for capability in (DAC_OVERRIDE, DAC_READ_SEARCH):
                libc.prctl(DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)

    return drop


@pytest.fixture
def with_no_room(command: Command) -> Callable[[], None]:
    """No file may grow beyond 4 KiB from here on; Python, which would keep half a compiled module, keeps none."""
    command.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """This machine, measured once."""
    path = tmp_path_factory.mktemp("machine") / "machine.json"
    detect(path)
    return path.read_bytes()


@pytest.fixture(scope="session")
def understood(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The shipped catalog as the first command keeps it for the next."""
    kept = tmp_path_factory.mktemp("catalog") / "catalog.json"
    read_catalog(kept=kept)
    return kept.read_bytes()


@pytest.fixture(scope="session")
def new_command(machine: bytes, understood: bytes) -> Callable[[Path], Command]:
    """Makes a command with its folders below a path."""

    def make(path: Path) -> Command:
        for name in ("home", "folder"):
            (path / name).mkdir()
        (path / "home" / "machine.json").write_bytes(machine)
        (path / "home" / "cache").mkdir()
        (path / "home" / "cache" / "catalog.json").write_bytes(understood)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        return Command(path / "home", path / "folder", port)

    return make


@pytest.fixture
def command(tmp_path: Path, new_command: Callable[[Path], Command]) -> Command:
    return new_command(tmp_path)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])
