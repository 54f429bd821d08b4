"""What `headwater verify` prints: values for programs, tables for people, rows for `headwater calibrate`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import draw, rate_for_people, say, time_for_people
from runtimes.errors import Invalid

if TYPE_CHECKING:
    from cli.verify_plan import Planned
    from orchestrator.core.performance.runner import Band
    from orchestrator.core.verification.comparison import Comparison, Verdict
    from orchestrator.core.verification.expected import Expected, Load
    from orchestrator.core.verification.measured import Measured, Spread

LARGEST_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Point:
    """One run at one load."""

    load: Load
    asked: tuple[int, int]  # tokens of prompt and answer
    measured: Measured
    expected: Expected | None
    comparisons: tuple[Comparison, ...]
    objectives: tuple[tuple[str, float, float], ...]  # name, seconds at most, share of requests that met it
    verdict: Verdict
    notes: tuple[str, ...]
    others: float  # share of the CPUs of the machine that serves which other programs took, as far as is known


def show_load(load: Load) -> str:
    """`0.5/s`, or `8 at once`."""
    return f"{load.at_once} at once" if load.at_once is not None else f"{load.rate_per_s:g}/s"


def point_view(point: Point) -> dict[str, Any]:
    """One run as plain values; times are in seconds."""
    m, e = point.measured, point.expected
    kind = "closed" if point.load.at_once is not None else "open"
    return {
        "load": {"kind": kind, "ratePerSecond": point.load.rate_per_s, "atOnce": point.load.at_once},
        "asked": {"inputTokens": point.asked[0], "outputTokens": point.asked[1]},
        "measured": {
            "requests": m.requests,
            "answered": m.answered,
            "failed": dict(m.faults),
            "windowSeconds": _short(m.window_s),
            "inputTokens": _short(m.input_tokens),
            "outputTokens": _short(m.output_tokens),
            "ttftSeconds": _spread(m.ttft_s),
            "tpotSeconds": _spread(m.tpot_s),
            "answerSeconds": _spread(m.latency_s),
            "requestsPerSecond": _short(m.requests_per_s),
            "outputTokensPerSecond": _short(m.output_per_s),
            "running": _short(m.running),
            "clientLagP99Seconds": _short(m.lag_p99_s),
            "otherWork": _short(point.others),
        },
        "predicted": e
        and {
            "ttftSeconds": _band(e.ttft_s),
            "tpotSeconds": _band(e.tpot_s),
            "answerSeconds": _band(e.answer_s),
            "outputTokensPerSecond": e.output_per_s and _band(e.output_per_s),
            "runningPerReplica": _short(e.running),
            "carried": e.carried,
        },
        "comparisons": [
            {
                "metric": one.metric,
                "unit": one.unit,
                "predicted": _band(one.predicted),
                "measured": _short(one.measured),
                "verdict": one.verdict.value,
                "beyond": _short(one.beyond),
            }
            for one in point.comparisons
        ],
        "objectives": [
            {"metric": name, "atMostSeconds": most, "met": _short(met)} for name, most, met in point.objectives
        ],
        "verdict": point.verdict.value,
        "notes": list(point.notes),
    }


def draw_point(point: Point) -> None:
    """One run for a person."""
    m = point.measured
    lengths = f"{m.input_tokens or point.asked[0]:.0f} tokens in, {m.output_tokens or 0:.0f} out"
    title = f"{show_load(point.load)}, {lengths}: {m.answered} of {m.requests} answered in {m.window_s:.0f} s"
    compared = {one.metric: one for one in point.comparisons}
    e = point.expected
    rows = [
        _row("time to first token", m.ttft_s, compared, e.ttft_s if e else None),
        _row("time per output token", m.tpot_s, compared, e.tpot_s if e else None),
        _row("whole answer", m.latency_s, compared, e.answer_s if e else None),
    ]
    output = compared.get("output tokens")
    band = _people(e.output_per_s, rate_for_people) if e and e.output_per_s else ""
    rows.append(("output tokens", rate_for_people(m.output_per_s), "", "", band, _judged(output) if band else ""))
    draw(title, ("", "mean", "p50", "p95", "predicted p10 - p50 - p90", ""), rows)
    for name, most, met in point.objectives:
        say(f"objective {name} at most {time_for_people(most)}: met by {met:.1%} of requests")
    for note in point.notes:
        say(f"note: {note}")


def _row(name: str, seen: Spread | None, compared: dict[str, Comparison], band: Band | None) -> tuple[str, ...]:
    times = [time_for_people(value) for value in (seen.mean, seen.p50, seen.p95)] if seen else ["", "", ""]
    return (name, *times, *((_people(band, time_for_people), _judged(compared.get(name))) if band else ("", "")))


def _judged(one: Comparison | None) -> str:
    if one is None:
        return "not compared"
    if not one.beyond:
        return one.verdict.value
    edge = one.predicted.low if one.measured < one.predicted.low else one.predicted.high
    return f"{one.verdict.value}: {one.measured / edge:.2g} x the {'p10' if edge == one.predicted.low else 'p90'}"


def _people(band: Band, show: Any) -> str:
    return f"{show(band.low)} - {show(band.mid)} - {show(band.high)}"


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _spread(seen: Spread | None) -> dict[str, float | None] | None:
    if seen is None:
        return None
    return {name: _short(getattr(seen, name)) for name in ("mean", "p50", "p95", "p99")}


def _band(band: Band) -> dict[str, float]:
    return {"p10": float(f"{band.low:.4g}"), "p50": float(f"{band.mid:.4g}"), "p90": float(f"{band.high:.4g}")}


def row_of(point: Point, planned: Planned | None, *, model: str, url: str, made_at: str) -> dict[str, Any]:
    """One run in the columns of measured rows, as `headwater validate` and `headwater calibrate` read them.

    A row is of one replica: what all of them did is divided by their number.

    Args:
        point: the run.
        planned: the replicas, if a plan says so; without one, or where they are unlike, the row lacks the chip.
        model: name at the endpoint.
        url: of the endpoint.
        made_at: when, as `2026-01-31T12:00:00Z`.
    """
    from orchestrator.core.cuts import show_cut
    from orchestrator.core.rows.row import COLUMNS
    from orchestrator.core.verification.comparison import MOST_OTHERS

    m, replicas = point.measured, planned.replicas if planned else 1
    out_per_s = m.output_per_s / replicas
    failed = f"{m.requests - m.answered} of {m.requests} failed"
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {
        "id": f"verify-{model}-{made_at}-{show_load(point.load).replace(' ', '-')}-{point.asked[0]}",
        "quality": "check" if point.others > MOST_OTHERS or m.late or m.faults or m.pieces_counted else "ok",
        "source": "headwater verify",
        "path_or_url": url,
        "model": model,
        "workload": "closed loop" if point.load.at_once is not None else f"open loop, rate={point.load.rate_per_s:g}",
        "input_len": _cell(m.input_tokens),
        "output_len": _cell(m.output_tokens),
        "num_prompts": _cell(m.sent / replicas),
        "concurrency": _cell((point.load.at_once or m.running) / replicas),
        "out_tps_total": _cell(out_per_s),
        "total_tps": _cell(out_per_s + m.requests_per_s * m.input_tokens / replicas) if m.input_tokens else "",
        "ttft_ms": _cell(1000 * m.ttft_s.mean if m.ttft_s else None),
        "tpot_ms": _cell(1000 * m.tpot_s.mean if m.tpot_s else None),
        "tpot_ms_median": _cell(1000 * m.tpot_s.p50 if m.tpot_s else None),
        "notes": f"{failed}; client p99 late by {1000 * m.lag_p99_s:.1f} ms; one of {replicas} replicas",
    }
    if planned and len(planned.ways) == 1:
        c = planned.configuration
        row |= {
            "device": c.profile,
            "units": c.parallelism.chips,
            "nodes": c.nodes,
            "model": c.model,
            "precision": c.quantization,
            "engine": planned.program,
            "parallelism": show_cut(c.parallelism, c.nodes),
            "out_tps_per_unit": _cell(out_per_s / c.parallelism.chips),
        }
    return row


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def check_rows(path: Path) -> bool:
    """Whether rows can be added to a file; False when it is still to be made.

    Raises Invalid when there is something else in it.
    """
    from orchestrator.core.rows.row import COLUMNS

    if not path.exists():
        return False
    with path.open("rb") as file:
        head = file.readline(LARGEST_HEAD_BYTES).decode(errors="replace").strip()
    if tuple(head.split(",")) != COLUMNS:
        raise Invalid(
            f"{path} is no file of measured rows: its first line is not {','.join(COLUMNS[:3])},...; name another"
        )
    return True


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a file, which is made with its header when it is not there."""
    from orchestrator.core.rows.row import COLUMNS

    there = check_rows(path)
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not there:
            writer.writeheader()
        writer.writerow(row)
