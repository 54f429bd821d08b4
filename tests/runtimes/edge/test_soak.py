"""Random load on a real replica; `HEADWATER_SOAK_S` says for how long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.model
def test_under_random_load_no_answer_is_lost_or_crossed_and_memory_stays(artifact: Path) -> None:
    seconds = os.environ.get("HEADWATER_SOAK_S", "20")
    command = [sys.executable, "benchmarks/soak.py", "--artifact", str(artifact), "--seconds", seconds]
    # A short run still meets new mixtures of lengths at its end.
    growth = "0.03" if float(seconds) >= 600 else "0.15"
    ended = subprocess.run([*command, "--growth", growth], cwd=ROOT, capture_output=True, text=True, check=False)

    told = json.loads(ended.stdout or "{}")
    assert (ended.returncode, told.get("wrong")) == (0, []), ended.stderr[-2000:]
    assert min(told["requests"].values()) > 0
