"""Order around the worker: look-up, lock, room, publication; the worker itself is replaced here."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from runtimes.build import build as build_module
from runtimes.build import folders
from runtimes.build.build import build
from runtimes.build.cache import BuildRequest, Built, find_built
from runtimes.build.job import Findings, Job, Progress
from runtimes.contract import ArtifactManifest, DecoderShape, Needs, Quality, WeightFormat
from runtimes.errors import Invalid, Refused

FINDINGS = Findings(
    shape=DecoderShape(layers=1, kv_heads=1, head_dim=2, vocabulary=3, context_tokens=4, eos_token_ids=(2,)),
    needs=Needs(weights_bytes=1, resident_bytes=2, kv_bytes_per_token=16),
    quality=Quality(reference="r", tokens=9, perplexity=2.0, reference_perplexity=1.9, greedy_agreement=0.9),
    weights=WeightFormat(bits=8, block=32, symmetric=True, head_bits=8),
)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class Place:
    """A source, a store, and what is asked of them."""

    def __init__(self, root: Path, request: Callable[..., BuildRequest], steps: Progress) -> None:
        self.source, self.store, self.steps, self._request = root / "tiny", root / "store", steps, request
        self.source.mkdir()
        (self.source / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
        (self.source / "tokenizer.json").write_text("{}")
        (self.source / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")

    def build(self, progress: Progress | None = None, **changed: str) -> Built:
        return build(self._request(self.source, **changed), self.store, progress or self.steps)

    def find(self, **changed: str) -> Built | None:
        return find_built(self._request(self.source, **changed), self.store)


@pytest.fixture
def place(tmp_path: Path, a_request: Callable[..., BuildRequest], steps: Progress) -> Place:
    return Place(tmp_path, a_request, steps)


class Worker:
    """Writes what a worker writes, or fails in the middle."""

    def __init__(self, failure: BaseException | None = None, gate: threading.Event | None = None) -> None:
        self.jobs: list[Job] = []
        self.started = threading.Event()
        self._failure = failure
        self._gate = gate

    def __call__(self, job: Job, *_: object) -> Findings:
        self.jobs.append(job)
        self.started.set()
        if self._gate:
            assert self._gate.wait(20)
        Path(job.folder, "model.onnx").write_bytes(b"graph")
        Path(job.work, "scratch").write_bytes(b"large")
        if self._failure:
            raise self._failure
        return FINDINGS


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch):
    def install(**behaviour: object) -> Worker:
        made = Worker(**behaviour)
        monkeypatch.setattr(build_module, "run_worker", made)
        return made

    return install


def visible(store: Path) -> set[str]:
    return {path.name for path in store.iterdir() if path.name not in {".locks", "digests", "logs", "readings"}}


def test_an_artifact_is_published_whole_with_its_manifest(worker, place):
    worker()

    built = place.build()

    manifest = ArtifactManifest.model_validate_json((built.path / "manifest.json").read_bytes())
    assert built.manifest == manifest
    assert not built.cached
    assert built.path.name.startswith("tiny-int8-")
    assert visible(place.store) == {built.path.name}
    assert {path.name for path in built.path.iterdir()} == {"model.onnx", "manifest.json"}
    assert manifest.files["model.onnx"].sha256 == hashlib.sha256(b"graph").hexdigest()
    assert (manifest.source.kind, manifest.source.name, manifest.licence) == ("directory", "tiny", "MIT")
    assert set(manifest.tools) == {"onnxruntime", "onnxruntime-genai", "optimum-onnx", "torch", "transformers"}
    assert place.steps.names() == ["hash source", "publish"]


def test_the_second_build_finds_the_first(worker, place):
    made = worker()
    assert place.find() is None
    first = place.build()

    second, found = place.build(), place.find()

    assert (second.cached, second.path, second.manifest) == (True, first.path, first.manifest)
    assert found is not None
    assert (found.cached, found.path) == (True, first.path)
    assert len(made.jobs) == 1


@pytest.mark.parametrize("changed", [{"quantization": "int4"}, {"model": "other"}], ids=["quantization", "model"])
def test_another_request_is_another_artifact(worker, place, changed):
    worker()
    first = place.build()

    assert place.build(**changed).path != first.path


def test_changed_weights_are_another_artifact(worker, place):
    worker()
    first = place.build()
    (place.source / "tokenizer.json").write_text('{"other": 1}')

    assert place.find() is None
    assert place.build().path != first.path


def test_an_artifact_that_lost_a_file_is_built_again(worker, place):
    made = worker()
    first = place.build()
    (first.path / "model.onnx").unlink()

    assert place.find() is None
    again = place.build()

    assert (again.path, again.cached, len(made.jobs)) == (first.path, False, 2)
    assert visible(place.store) == {first.path.name}


@pytest.mark.parametrize(
    ("failure", "raised", "sentence"),
    [
        pytest.param(Refused("too poor"), Refused, "too poor", id="the worker refuses"),
        pytest.param(OSError(errno.ENOSPC, "No space left"), Refused, "filled up while building", id="disk full"),
        pytest.param(OSError(errno.EACCES, "Permission denied", "/x"), Refused, "/x: Permission denied", id="access"),
        pytest.param(KeyboardInterrupt(), KeyboardInterrupt, None, id="the user stops it"),
    ],
)
def test_a_failed_build_leaves_nothing_half_made(worker, place, failure, raised, sentence):
    worker(failure=failure)

    with pytest.raises(raised, match=sentence):
        place.build()
    assert visible(place.store) == set()


def test_a_disk_that_fills_up_while_publishing_leaves_nothing(worker, place, monkeypatch):
    worker()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders.os, "fsync", full)

    with pytest.raises(Refused, match="filled up while building"):
        place.build()
    assert visible(place.store) == set()


def test_a_disk_too_small_is_refused_with_both_figures_before_work(worker, place, monkeypatch):
    made = worker()
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: Usage(100, 0, 5 << 20))

    with pytest.raises(Refused, match=r"the build needs 256 MiB of disk while it works, .* has 5 MiB free"):
        place.build()
    assert made.jobs == []


def test_two_builds_of_the_same_artifact_do_the_work_once(worker, place):
    gate = threading.Event()
    made = worker(gate=gate)
    waits = threading.Event()

    class Waiting:
        def step(self, name: str, **_: int) -> None:
            if name == "wait for the same build":
                waits.set()

    found = {}
    first = threading.Thread(target=lambda: found.update(first=place.build()))
    first.start()
    assert made.started.wait(20)
    second = threading.Thread(target=lambda: found.update(second=place.build(Waiting())))
    second.start()
    assert waits.wait(20)
    gate.set()
    first.join(20)
    second.join(20)

    assert len(made.jobs) == 1
    assert (found["first"].cached, found["second"].cached) == (False, True)
    assert found["first"].path == found["second"].path


def test_what_a_dead_build_left_is_removed_and_a_living_one_is_spared(worker, place):
    worker()
    place.store.mkdir()
    dead = place.store / ".building-999999999-aaaabbbbcccc"
    living = place.store / f".building-{os.getppid()}-aaaabbbbcccc"
    for folder in (dead, living):
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"half")

    place.build()

    assert not dead.exists()
    assert living.exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"model": "../up"}, "model name '../up': letters, digits"),
        ({"model": ""}, "model name '': letters"),
        ({"quantization": "int2"}, "quantization 'int2': one of int4, int8, fp32 was expected"),
    ],
)
def test_a_request_that_cannot_be_used_is_named(place, changed, sentence):
    with pytest.raises(Invalid, match=sentence):
        place.build(**changed)
    with pytest.raises(Invalid, match=sentence):
        place.find(**changed)
