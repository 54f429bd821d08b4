"""Broken files by the hundred: each is read or refused with a sentence, in bounded memory.

Ten thousand of them and their times are the business of `benchmarks/fuzz_import.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
MOST_BYTES = 500_000_000


def test_hostile_files_end_in_a_sentence_and_stay_small() -> None:
    """Promise 9: bad input of any kind gets a clear error."""
    done = subprocess.run(
        [sys.executable, "benchmarks/fuzz_import.py", "--count", "600", "--seed", "20261123"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout)

    assert summary["tracebacks"] == []
    assert summary["maxResidentBytes"] < MOST_BYTES
    for kind in ("config", "safetensors", "gguf"):
        assert {f"{kind} Invalid", f"{kind} Refused", f"{kind} read"} <= summary["ends"].keys()
