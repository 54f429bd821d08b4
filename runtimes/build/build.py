"""Source weights to a checked edge artifact in the store, or the one that is there already.

This module decides and keeps order: look-up, lock, room, worker, manifest, publication. It imports no build tool; those
live in the worker process (`runtimes.build.worker`). Called by the CLI.
"""

from __future__ import annotations

import errno
import time
from pathlib import Path

from runtimes.build.cache import (
    QUANTIZATIONS,
    RECIPE,
    BuildRequest,
    Built,
    artifact_path,
    build_key,
    check_request,
    read_artifact,
    tool_versions,
)
from runtimes.build.folders import check_room, one_at_a_time, publish, unfinished_folder
from runtimes.build.job import Findings, Job, Progress
from runtimes.build.offload import run_worker
from runtimes.build.sources import ResolvedSource, check_source, hash_file, resolve_source
from runtimes.build.tasks import check_quantization, task_of
from runtimes.contract import MANIFEST_FILE, ArtifactManifest, FileEntry, Source
from runtimes.errors import Refused

__all__ = ["BuildRequest", "Built", "Progress", "build"]

WORK_BYTES_PER_WEIGHT = 10  # float32 staged and exported side by side (4 + 5), then the artifact
SPARE_BYTES = 256 << 20
LOGS_FOLDER = "logs"
READINGS_FOLDER = "readings"


def build(request: BuildRequest, store: Path, progress: Progress) -> Built:
    """Builds an artifact, or finds it.

    Args:
        request: which model, from where, how quantized.
        store: folder of artifacts; made if absent.
        progress: hears each step.

    Raises:
        Invalid: the request or the source cannot be used as it is.
        Refused: a model that is not built here, a disk too small, a result too poor, or a failing exporter.
        Unavailable: the hub does not answer.
    """
    started_s = time.monotonic()
    check_request(request)
    try:
        store.mkdir(parents=True, exist_ok=True)
        progress.step("hash source", total=1, done=0)
        source = resolve_source(request.source, store, download=True)
        progress.step("hash source", total=1, done=1)
        path = artifact_path(request, source, store)
        key = build_key(request, source)[:12]
        with one_at_a_time(store, key, lambda: progress.step("wait for the same build", total=1, done=0)):
            found = read_artifact(path)
            manifest = found[1] if found else _build(request, source, store, path, progress)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Refused(f"the disk that holds {store} filled up while building; free some space") from None
        raise Refused(f"{error.filename or store}: {error.strerror or error}") from None
    return Built(path, manifest, cached=found is not None, wall_s=time.monotonic() - started_s)


def _build(
    request: BuildRequest, source: ResolvedSource, store: Path, path: Path, progress: Progress
) -> ArtifactManifest:
    parameters = check_source(source)
    task = task_of(source.path)
    check_quantization(task, request.quantization)
    check_room(store, parameters * WORK_BYTES_PER_WEIGHT + SPARE_BYTES)
    key = path.name.rpartition("-")[2]
    with unfinished_folder(store, key) as unfinished:
        folder, work = unfinished / "artifact", unfinished / "work"
        folder.mkdir()
        work.mkdir()
        job = Job(
            kind=source.kind,
            source=str(source.path.resolve()),
            folder=str(folder),
            work=str(work),
            bits=QUANTIZATIONS[request.quantization],
            task=task,
            reading=str(_reading_path(store, source)),
        )
        findings = run_worker(job, store / LOGS_FOLDER / f"{path.name}.log", progress)
        progress.step("publish", total=1, done=0)
        manifest = _manifest(request, source, task, findings, folder)
        (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1) + "\n")
        publish(folder, path)
    progress.step("publish", total=1, done=1)
    return manifest


def _reading_path(store: Path, source: ResolvedSource) -> Path:
    versions = "-".join(version for _, version in sorted(tool_versions().items()))
    return store / READINGS_FOLDER / f"{source.sha256[:24]}-{RECIPE}-{versions}.json"


def _manifest(
    request: BuildRequest, source: ResolvedSource, task: str, findings: Findings, folder: Path
) -> ArtifactManifest:
    files = {
        path.name: FileEntry(sha256=hash_file(path), size_bytes=path.stat().st_size)
        for path in sorted(folder.iterdir())
    }
    return ArtifactManifest(
        model=request.model,
        quantization=request.quantization,
        licence=request.licence,
        source=Source(kind=source.kind, name=source.name, sha256=source.sha256, size_bytes=source.size_bytes),
        task=task,
        shape=findings.shape,
        needs=findings.needs,
        quality=findings.quality,
        weights=findings.weights,
        files=files,
        tools=tool_versions(),
    )
