"""The worker as a real process: its result, its refusal, its sudden end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from runtimes.build import offload
from runtimes.build.build import build
from runtimes.build.job import Job
from runtimes.build.offload import run_worker
from runtimes.errors import Invalid, Refused


def a_job(folder: Path, **changed: object) -> Job:
    for name in ("artifact", "work"):
        (folder / name).mkdir()
    fields = {
        "kind": "gguf",
        "source": str(folder / "none.gguf"),
        "folder": str(folder / "artifact"),
        "work": str(folder / "work"),
        "bits": 4,
        "reading": str(folder / "reading.json"),
    }
    return Job.model_validate(fields | changed)


@pytest.mark.filterwarnings("ignore")  # importing transformers to make the tiny model warns
def test_a_directory_becomes_a_checked_artifact_and_nothing_reaches_the_terminal(
    tmp_path, tiny_model, a_request, steps, capfd
):
    source = tiny_model("llama")
    capfd.readouterr()

    built = build(a_request(source, "int4"), tmp_path / "store", steps)

    assert capfd.readouterr() == ("", "")
    for name, entry in built.manifest.files.items():
        assert hashlib.sha256((built.path / name).read_bytes()).hexdigest() == entry.sha256
    assert built.manifest.quality.greedy_agreement > 0.55
    assert built.manifest.shape.eos_token_ids == (2, 0)
    assert steps.names() == [
        "hash source",
        "read source",
        "export reference",
        "read with reference",
        "calibrate",
        "quantize",
        "evaluate",
        "evaluate with 8-bit caches",
        "measure memory",
        "publish",
    ]
    assert list((tmp_path / "store" / "logs").iterdir()) == []


def test_what_the_worker_refuses_comes_back_with_the_path_of_its_log(tmp_path, steps):
    (tmp_path / "none.gguf").write_text("Dear reader")
    log = tmp_path / "logs" / "build.log"

    with pytest.raises(Invalid, match=r"none\.gguf is not a GGUF file.*\(log: .*build\.log\)"):
        run_worker(a_job(tmp_path), log, steps)
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("kill -9 $$", "was killed, most often because memory ran out"),
        ("kill -15 $$", "was ended by signal 15"),
        ("exit 3", "ended early with status 3"),
    ],
)
def test_a_worker_that_ends_early_is_one_sentence(tmp_path, steps, monkeypatch, script, sentence):
    shell = tmp_path / "python"
    shell.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
    shell.chmod(0o755)
    monkeypatch.setattr(offload.sys, "executable", str(shell))

    with pytest.raises(Refused, match=sentence):
        run_worker(a_job(tmp_path), tmp_path / "build.log", steps)
