"""The heavy part of a build, in a process of its own: `python -m runtimes.build.worker FD` with a `Job` on stdin.

A process of its own gives torch's memory back when it ends, keeps the exporters' chatter off the terminal, and dies
alone. Order: stage the source, read the reference (or reuse its reading), fuse, calibrate and quantize, evaluate with
float and with 8-bit caches, measure. Called by `runtimes.build.offload`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from runtimes.build.caches import cache_reach, narrow_caches
from runtimes.build.classifiers import work_classifier
from runtimes.build.encoders import work_encoder
from runtimes.build.evaluate import Advanced, Reading, agreement, evaluation_text, fused_logits, read, windows_of
from runtimes.build.fuse import GRAPH_FILE, write_fused
from runtimes.build.job import Findings, Job, Line, Progress
from runtimes.build.quantize import weight_format
from runtimes.build.reference import NAME, keep_reading, load_reading, read_reference
from runtimes.build.speech import work_speech
from runtimes.build.staging import TEMPLATE_FILE, TOKENIZER_FILE, Staged, stage
from runtimes.build.strengths import calibration_text
from runtimes.build.tasks import CLASSIFICATION, EMBEDDING, RERANK, TRANSCRIPTION
from runtimes.contract import DecoderShape, Needs, Quality
from runtimes.errors import HeadwaterError, Refused

MOST_WORSE = 2.0  # perplexity against the reference; a graph beyond that is broken, not merely quantized
MOST_WORSE_NARROW = 1.01  # of 8-bit caches against float ones; beyond that they stay float
KV_BYTES = {"float32": 4, "int8": 1}
# Tasks whose graphs optimum exports; a model that generates text is built here.
WORK: dict[str, Callable[[Job, Progress], Findings]] = {
    EMBEDDING: work_encoder,
    RERANK: work_classifier,
    CLASSIFICATION: work_classifier,
    TRANSCRIPTION: work_speech,
}
DISK_FULL = "the disk filled up while building; free some space and build again"


def work(job: Job, progress: Progress) -> Findings:
    """Builds and measures; `model.onnx`, its weights, tokenizer and template are in the job's folder afterwards.

    Raises:
        Invalid, Refused: the source cannot be built, or the result is far worse than the reference.
    """
    if job.task in WORK:
        return WORK[job.task](job, progress)
    folder, scratch = Path(job.folder), Path(job.work)
    staged_folder = scratch / "source"
    staged_folder.mkdir()
    staged = stage(job.kind, Path(job.source), staged_folder, _advanced(progress, "read source"))
    windows = _windows(staged, evaluation_text())
    reference = _reference(job, staged, windows, scratch, progress)
    calibration = _windows(staged, calibration_text())
    weights_bytes = write_fused(staged_folder, folder, job.bits, calibration, lambda name: _advanced(progress, name))
    graph = folder / GRAPH_FILE
    wide, narrow_graph = read(windows, fused_logits(graph), _advanced(progress, "evaluate")), folder / "narrow.onnx"
    shutil.copyfile(graph, narrow_graph)
    narrow_caches(narrow_graph, cache_reach(graph, calibration))
    narrow = read(windows, fused_logits(narrow_graph), _advanced(progress, "evaluate with 8-bit caches"))
    if narrow.perplexity <= MOST_WORSE_NARROW * wide.perplexity:
        narrow_graph.replace(graph)
        ours, shape = narrow, staged.shape.model_copy(update={"kv_dtype": "int8"})
    else:
        narrow_graph.unlink()
        ours, shape = wide, staged.shape
    quality = judge(ours, reference)
    shutil.copyfile(staged_folder / TOKENIZER_FILE, folder / TOKENIZER_FILE)
    if staged.template:
        (folder / TEMPLATE_FILE).write_text(staged.template, encoding="utf-8")
    measured = _advanced(progress, "measure memory")
    measured(0, 1)
    needs = Needs(
        weights_bytes=weights_bytes,
        resident_bytes=_resident_bytes(graph),
        kv_bytes_per_token=kv_bytes_per_token(shape),
    )
    measured(1, 1)
    return Findings(shape=shape, needs=needs, quality=quality, weights=weight_format(job.bits))


def judge(ours: Reading, reference: Reading) -> Quality:
    """The figures for the manifest.

    Raises:
        Refused: the graph reads the text far worse than the reference does.
    """
    if not ours.perplexity <= MOST_WORSE * reference.perplexity:
        raise Refused(
            f"the quantized graph reads the evaluation text with perplexity {ours.perplexity:.4g}, the reference with "
            f"{reference.perplexity:.4g}; more than {MOST_WORSE} times worse is not published"
        )
    return Quality(
        reference=NAME,
        tokens=len(ours.choices),
        perplexity=ours.perplexity,
        reference_perplexity=reference.perplexity,
        greedy_agreement=agreement(ours, reference),
    )


def kv_bytes_per_token(shape: DecoderShape) -> int:
    """Bytes that one token adds to the caches, keys and values of all layers."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * KV_BYTES[shape.kv_dtype]


def as_line(error: BaseException) -> Line:
    """What went wrong, as one sentence and the class it is raised as."""
    if isinstance(error, HeadwaterError):
        return Line(error=(type(error).__name__, str(error)))
    if "No space left on device" in str(error):
        return Line(error=("Refused", DISK_FULL))
    if isinstance(error, MemoryError):
        return Line(error=("Refused", "the build ran out of memory"))
    first = (str(error).splitlines() or [""])[0][:200]
    return Line(error=("Refused", f"the exporter failed with {type(error).__name__}: {first}"))


def _reference(job: Job, staged: Staged, windows: list[list[int]], scratch: Path, progress: Progress) -> Reading:
    kept = load_reading(Path(job.reading), windows)
    if kept is not None:
        return kept
    export = scratch / "reference"
    export.mkdir()
    reading = read_reference(staged.folder, export, windows, lambda name: _advanced(progress, name))
    shutil.rmtree(export)
    keep_reading(Path(job.reading), windows, reading)
    return reading


def _windows(staged: Staged, text: str) -> list[list[int]]:
    return windows_of(staged.folder / TOKENIZER_FILE, staged.shape.vocabulary, staged.shape.context_tokens, text)


def _resident_bytes(graph: Path) -> int:
    command = [sys.executable, "-P", "-m", "runtimes.build.resident", str(graph)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 our own module
    if run.returncode:
        sys.stderr.write(run.stderr)
        raise Refused("the finished graph does not load in a fresh process")
    return int(run.stdout)


def _advanced(progress: Progress, name: str) -> Advanced:
    return lambda done, total: progress.step(name, total=total, done=done)


class _Lines:
    """Progress and result as JSON lines on a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._out = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")

    def step(self, name: str, *, total: int, done: int) -> None:
        self.send(Line(step=(name, total, done)))

    def send(self, line: Line) -> None:
        self._out.write(line.model_dump_json() + "\n")


def _main() -> None:
    lines = _Lines(int(sys.argv[1]))
    try:
        lines.send(Line(findings=work(Job.model_validate_json(sys.stdin.read()), lines)))
    except Exception as error:  # noqa: BLE001 the door of this process: whatever an exporter raises becomes a sentence
        traceback.print_exc()
        lines.send(as_line(error))


if __name__ == "__main__":
    _main()
