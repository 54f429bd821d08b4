"""`headwater demo`: what a newcomer runs first."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import yaml

from orchestrator.local_ports import port_is_free
from orchestrator.settings import ray_folder

pytestmark = [pytest.mark.e2e, pytest.mark.model]


def test_the_demo_answers_paris_writes_manifests_and_leaves_nothing_behind(
    artifact_store: Path, tmp_path: Path
) -> None:
    home, manifests = tmp_path / "home", tmp_path / "manifests"
    home.mkdir()
    (home / "artifacts").symlink_to(artifact_store)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    before = set(psutil.pids())
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "--port", str(port), "--to", str(manifests)],
        capture_output=True,
        text=True,
        env=os.environ | {"HEADWATER_HOME": str(home)},
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    assert "predicted (p10 - p90)" in done.stdout
    kinds = [document["kind"] for path in manifests.glob("*.yaml") for document in yaml.safe_load_all(path.read_text())]
    assert kinds == ["ServiceAccount", "Service", "LeaderWorkerSet", "PodDisruptionBudget"]
    assert port_is_free(port)
    assert not ray_folder(home).exists()
    assert [
        process.cmdline() for process in psutil.process_iter() if process.pid not in before and _ours(process, home)
    ] == []
    with closing(sqlite3.connect(home / "state.db")) as store:
        assert store.execute("SELECT name FROM documents").fetchall() == []


def _ours(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get("HEADWATER_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
