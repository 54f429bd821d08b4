"""The runs of `headwater verify`: warm up, put on the load, show how far it is, and compare."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.output import Output, say

if TYPE_CHECKING:
    from cli.verify_plan import Planned
    from cli.verify_report import Point
    from orchestrator.adapters.load_test.client import Endpoint
    from orchestrator.adapters.load_test.drive import Driven
    from orchestrator.adapters.load_test.prompts import Wanted
    from orchestrator.core.verification.expected import Load

SHOW_S = 10.0  # between lines of progress where nobody watches
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOOK_S = 0.5  # before and after a run, at what else the machine does


@dataclass(frozen=True, slots=True)
class Run:
    """What all runs of one command share."""

    endpoint: Endpoint
    planned: Planned | None
    for_s: float | None
    requests: int | None
    patience_s: float
    seed: int


def drive_all(
    run: Run, loads: list[tuple[Load, Wanted]], output: Output, rows: Path | None
) -> tuple[list[Point], bool]:
    """Every run, each shown and written down when it is done; the second value says whether somebody stopped it."""
    from cli.verify_report import append_row, draw_point, row_of

    points: list[Point] = []
    for load, wanted in loads:
        try:
            point, interrupted = _drive(run, load, wanted)
        except KeyboardInterrupt:
            if points:
                return points, True
            raise
        points.append(point)
        if output is Output.TABLE:
            draw_point(point)
        if rows is not None and point.measured.answered:
            made_at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            url, model = run.endpoint.url, run.endpoint.model
            append_row(rows, row_of(point, run.planned, model=model, url=url, made_at=made_at))
            say(f"a row was added to {rows}")
        if interrupted:
            return points, True
    return points, False


def _drive(run: Run, load: Load, wanted: Wanted) -> tuple[Point, bool]:
    """Warm up, put on the load, and compare."""
    from cli.verify_report import Point, show_load
    from orchestrator.adapters.load_test.drive import arrivals, drive
    from orchestrator.adapters.load_test.prompts import warm_up
    from orchestrator.core.performance.runner import Workload
    from orchestrator.core.verification.comparison import FEWEST, compare, judge
    from orchestrator.core.verification.expected import expect
    from orchestrator.core.verification.measured import after_first_wave, measure, share_met

    others = _others(run.endpoint.url)
    say(f"warming up {run.endpoint.url} with prompts of {wanted.input_tokens} tokens")
    endpoint, prompts = warm_up(run.endpoint, wanted, run.patience_s)
    wave = load.at_once or 0
    count = None if run.requests is None else run.requests + wave
    times: Iterator[float] = repeat(0.0) if load.rate_per_s is None else arrivals(load.rate_per_s, run.seed)
    asked = prompts.requests(times if count is None else (at_s for at_s, _ in zip(times, range(count), strict=False)))
    progress = _Progress(run, count, show_load(load))
    driven = drive(
        endpoint,
        asked,
        at_once=load.at_once,
        for_s=run.for_s,
        least=wave + max(wave, FEWEST),
        patience_s=run.patience_s,
        seen=progress.show,
    )
    progress.end()
    others = max(others, _others(run.endpoint.url))
    measured = measure(driven.samples, driven.drift_s, first_wave=wave)
    expected, comparisons = None, None
    if run.planned and measured.answered:
        work = Workload(
            round(measured.input_tokens or wanted.input_tokens),
            max(1, round(measured.output_tokens or 1)),
            wanted.shared,
        )
        expected = expect(run.planned.ways, work, load)
        comparisons = compare(measured, expected)
    verdict, notes = judge(measured, comparisons, others=others)
    if expected and not expected.carried:
        notes += ("the load is more than the plan says is carried, so only the pace is compared",)
    counted = after_first_wave(driven.samples, wave)
    objectives = tuple(
        (title, most_s, share_met(counted, metric, most_s))
        for title, metric, most_s in (run.planned.objectives if run.planned else ())
    )
    lengths = (wanted.input_tokens, wanted.output_tokens)
    point = Point(load, lengths, measured, expected, comparisons or (), objectives, verdict, notes, others)
    return point, driven.interrupted


def _others(url: str) -> float:
    """Share of this machine's CPUs that is in use; nothing is known of another machine."""
    import psutil

    return psutil.cpu_percent(LOOK_S) / 100 if urlsplit(url).hostname in LOOPBACK else 0.0


class _Progress:
    """One line on standard error that is written over, or a line now and then where nobody watches."""

    def __init__(self, run: Run, count: int | None, load: str) -> None:
        self._watched, self._shown_s, self._load = sys.stderr.isatty(), 0.0, load
        self._whole = f" of {run.for_s:.0f}" if run.for_s else ""
        self._count = f" of {count}" if count else ""

    def show(self, driven: Driven, at_s: float) -> None:
        if not self._watched and at_s - self._shown_s < SHOW_S:
            return
        self._shown_s = at_s
        failed = sum(one.fault is not None for one in driven.samples)
        line = (
            f"{self._load}, {at_s:.0f}{self._whole} s: {len(driven.samples)}{self._count} done, {driven.open} under way"
        )
        line += f", {failed} failed" if failed else ""
        if self._watched:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        else:
            say(line)

    def end(self) -> None:
        if self._watched:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
