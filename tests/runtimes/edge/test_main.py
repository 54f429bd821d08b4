"""The foreground command as an operator runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtimes.edge.main import main


def test_a_folder_that_is_no_artifact_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--artifact", str(tmp_path), "--name", "tiny"]) == 1
    assert capsys.readouterr().err == f"{tmp_path} is not an artifact: it has no manifest.json.\n"


def test_the_edge_engine_needs_no_torch_ray_or_kubernetes() -> None:
    code = "import runtimes.edge.main, sys; print({'torch', 'ray', 'kubernetes', 'transformers'} & set(sys.modules))"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "set()\n"


@pytest.mark.model
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_success(artifact: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "runtimes.edge.main", "--artifact", str(artifact), "--name", "tiny", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        told = [server.stderr.readline() for _ in range(3)]
        assert f"starts: process {server.pid}, artifact {artifact}" in told[0]
        assert "is ready at http://127.0.0.1:" in told[2]
        server.send_signal(number)

        assert server.wait(30) == 0
        assert "draining" in server.stderr.readline()
