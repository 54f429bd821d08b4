"""Runs the worker process of a build: starts it, passes its progress on, turns its end into a result or an error.

The worker's own output goes to a log, which stays only if the build fails. Called by `runtimes.build.build`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from runtimes.build.job import Findings, Job, Line, Progress
from runtimes.errors import HeadwaterError, Invalid, Refused, Unavailable

ERRORS: dict[str, type[HeadwaterError]] = {kind.__name__: kind for kind in (Invalid, Refused, Unavailable)}
QUIET = {
    "HF_HUB_OFFLINE": "1",  # what is needed lies in the staged folder; nothing asks the network
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def run_worker(job: Job, log: Path, progress: Progress) -> Findings:
    """Runs one job to its end.

    Args:
        job: what to build.
        log: where the worker's output goes; removed if all goes well.
        progress: hears each step.

    Raises:
        Invalid, Refused, Unavailable: as the worker said, with the log's path.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-m", "runtimes.build.worker", str(writing)]
    environment = os.environ | QUIET | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    last = Line()
    with log.open("wb") as output, os.fdopen(reading, encoding="utf-8") as lines:
        worker = subprocess.Popen(  # noqa: S603 our own module
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment, pass_fds=(writing,)
        )
        os.close(writing)
        try:
            _send(worker, job)
            for text in lines:
                last = Line.model_validate_json(text)
                if last.step is not None:
                    name, total, done = last.step
                    progress.step(name, total=total, done=done)
            worker.wait()
        finally:
            worker.kill()
            worker.wait()
    if last.findings is not None:
        log.unlink()
        return last.findings
    if last.error is not None:
        name, sentence = last.error
        raise ERRORS[name](f"{sentence} (log: {log})")
    raise Refused(f"the build's worker {_end(worker.returncode)} (log: {log})")


def _send(worker: subprocess.Popen[bytes], job: Job) -> None:
    if worker.stdin is not None:
        with worker.stdin as pipe:
            pipe.write(job.model_dump_json().encode())


def _end(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed, most often because memory ran out"
    return f"was ended by signal {-code}" if code < 0 else f"ended early with status {code}"
