"""The foreground command: `python -m runtimes.edge.main --artifact DIR --name NAME --port P`.

Thin: it parses, runs a `runtimes.edge.replica.Replica`, and turns signals into draining. The main command line calls
`serve` as well.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from runtimes.contract import Phase, ReplicaSpec
from runtimes.edge.artifact import cache_bytes, read_manifest
from runtimes.edge.replica import Replica
from runtimes.errors import HeadwaterError

DRAIN_S = 30.0  # what running requests get after the first signal
STOP_S = 10.0
TURN_S = 0.2
DEFAULT_SLOTS = 4
DEFAULT_CONTEXT_TOKENS = 2048
DEFAULT_QUEUE = 64


def serve(spec: ReplicaSpec, host: str, port: int) -> int:
    """Run a replica until a signal comes; a first SIGTERM or SIGINT drains, a second one stops.

    Returns:
        The exit code: 0 after a signal, 1 when it could not serve.
    """
    signals = threading.Semaphore(0)

    def _on_signal(_number: int, _frame: FrameType | None) -> None:
        signals.release()

    before = {number: signal.signal(number, _on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    replica = Replica(spec, host=host, port=port, log=_say)
    replica.start()
    try:
        while not signals.acquire(timeout=TURN_S):
            if replica.report().phase is Phase.FAILED:
                return 1
        replica.drain()
        _finish(replica, signals)
        return 0
    finally:
        replica.stop(STOP_S)
        for number, previous in before.items():
            signal.signal(number, previous)


def _finish(replica: Replica, signals: threading.Semaphore) -> None:
    """Wait until all are answered, the patience ends, or a second signal comes."""
    for _ in range(round(DRAIN_S / TURN_S)):
        report = replica.report()
        if report.running + report.waiting == 0 or signals.acquire(timeout=TURN_S):
            return


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _spec(options: argparse.Namespace) -> ReplicaSpec:
    manifest = read_manifest(options.artifact)
    context_tokens = min(options.context, manifest.shape.context_tokens)
    reserved = cache_bytes(manifest.shape, slots=options.slots, context_tokens=context_tokens)
    return ReplicaSpec(
        name=f"{options.name}-0",
        owner="command line",
        service=options.name,
        tier="student",
        site="here",
        pool=0,
        variant=manifest.quantization,
        artifact=str(options.artifact),
        slots=options.slots,
        context_tokens=context_tokens,
        threads=options.threads,
        queue=options.queue,
        memory_bytes=reserved + manifest.needs.resident_bytes or 1,
        providers=tuple(options.provider),
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small; it must be at least 1")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="headwater-edge", description="Serve an artifact with the OpenAI API.")
    parser.add_argument("--artifact", type=Path, required=True, help="folder of the artifact")
    parser.add_argument("--name", required=True, help="model name that clients ask for")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port, 0 for a free one (%(default)s)")
    parser.add_argument("--slots", type=_count, default=DEFAULT_SLOTS, help="requests decoded together (%(default)s)")
    parser.add_argument(
        "--context", type=_count, default=DEFAULT_CONTEXT_TOKENS, help="tokens per request at most (%(default)s)"
    )
    parser.add_argument("--threads", type=_count, default=os.cpu_count() or 1, help="threads (%(default)s)")
    parser.add_argument("--queue", type=int, default=DEFAULT_QUEUE, help="requests that may wait (%(default)s)")
    parser.add_argument(
        "--provider", action="append", default=[], help="ONNX Runtime execution provider to try before the CPU; repeat"
    )
    options = parser.parse_args(arguments)
    try:
        spec = _spec(options)
    except HeadwaterError as exc:
        _say(str(exc))
        return 1
    return serve(spec, options.host, options.port)


if __name__ == "__main__":
    raise SystemExit(main())
