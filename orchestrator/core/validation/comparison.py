"""How far predictions are from what was measured, by chip and engine and row by row, as plain values. Pure.

Rows become cases in `orchestrator.core.rows.mapping`; errors are counted in `orchestrator.core.fitting.score`. Called
by `headwater validate` and `headwater calibrate`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.api.calibration import Calibration, Score
from orchestrator.core.cuts import show_cut
from orchestrator.core.fitting.fit import cross_validate
from orchestrator.core.fitting.score import Scored, pairs, scores
from orchestrator.core.performance.case import Case
from orchestrator.core.performance.lookup import applied
from orchestrator.core.performance.weighed import figures
from orchestrator.core.rows.row import Skipped

SHOWN = ("pace", "ttft")
"""What is scored by chip and engine: time per token, or throughput of rows that have only that; and the first token."""


def with_factors(cases: Iterable[Case], calibrations: Mapping[str, Calibration]) -> tuple[Case, ...]:
    """The cases with the factors that the catalog has for them."""
    found = []
    for case in cases:
        runner = case.runner
        factors = applied(calibrations, runner.engine, runner.profile, case.model)
        found.append(replace(case, runner=replace(runner, applied=factors)))
    return tuple(found)


def held_out(cases: Sequence[Case]) -> tuple[Scored, ...]:
    """Every figure beside what factors predict that were fitted without its model, from the built-in prior on."""
    return cross_validate(cases) if cases else ()


def predicted(cases: Iterable[Case]) -> tuple[Scored, ...]:
    """Every figure of the cases beside its prediction, with the factors and the spread that their runners have."""
    found: list[Scored] = []
    for case in cases:
        holds = case.runner.applied
        for metric, measured, expected in pairs(case, figures(case, holds.factors)):
            kind = metric if metric != "pace" else ("tpot" if case.tpot_s else "throughput")
            spread = getattr(holds.spread, kind)
            low, high = expected * min(1.0, spread.low), expected * max(1.0, spread.high)
            found.append(Scored(case, metric, measured, expected, low, high))
    return tuple(found)


def validation_view(scored: Sequence[Scored], skipped: Sequence[Skipped]) -> dict[str, Any]:
    """Scores by chip and engine and in all, why rows were skipped, and every row."""
    results = _by(scored, lambda one: one.case.row)
    by_chip = _by(scored, lambda one: (chip_of(one.case), engine_of(one.case)))
    rows = len(results) + len(skipped)
    return {
        "rows": rows,
        "mapped": len(results),
        "mappedShare": _short(len(results) / rows) if rows else 0.0,
        "scores": [
            {"chip": chip, "engine": engine, **scores_view(group)} for (chip, engine), group in sorted(by_chip.items())
        ],
        "totals": [{"of": name, **scores_view(group)} for name, group in _totals(scored).items()],
        "reasons": reasons_view(skipped),
        "results": [_result(group) for group in results.values()],
        "skipped": [
            {"row": one.row, "quality": one.quality, "reason": one.reason, "detail": one.detail} for one in skipped
        ],
    }


def reasons_view(skipped: Iterable[Skipped]) -> list[dict[str, Any]]:
    """Why rows were skipped, the most frequent reason first."""
    counts = Counter(one.reason for one in skipped)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"reason": reason, "rows": rows} for reason, rows in ordered]


def scores_view(scored: Sequence[Scored]) -> dict[str, Any]:
    """Rows, and what their errors come to."""
    known = {one.metric: one for one in scores(scored)}
    rows = len({one.case.row for one in scored})
    return {"rows": rows} | {metric: _score(known[metric]) if metric in known else None for metric in SHOWN}


def chip_of(case: Case) -> str:
    """Name of the hardware profile."""
    return case.runner.profile.metadata.name


def engine_of(case: Case) -> str:
    """Name of the engine."""
    return case.runner.engine.metadata.name


def _totals(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """By quality, by vendor of the chip, and in all."""
    by_quality = sorted(_by(scored, lambda one: one.case.quality).items())
    by_vendor = sorted(_by(scored, lambda one: one.case.runner.profile.spec.vendor).items())
    totals = {f"quality {name}": group for name, group in by_quality}
    totals |= {f"chips of {name}": group for name, group in by_vendor}
    return totals | ({"all": list(scored)} if scored else {})


def _by(scored: Iterable[Scored], key: Callable[[Scored], Any]) -> dict[Any, list[Scored]]:
    groups: dict[Any, list[Scored]] = {}
    for one in scored:
        groups.setdefault(key(one), []).append(one)
    return groups


def _score(one: Score) -> Mapping[str, float]:
    return one.model_dump(include={"rows", "mape", "median", "bias", "coverage"})


def _result(figures_of_row: Sequence[Scored]) -> dict[str, Any]:
    case = figures_of_row[0].case
    runner, work = case.runner, case.workload
    return {
        "row": case.row,
        "quality": case.quality,
        "model": case.model,
        "chip": chip_of(case),
        "engine": engine_of(case),
        "parallelism": show_cut(runner.cut, runner.nodes),
        "quantization": runner.quantization,
        "load": case.load,
        "inputTokens": work.input_tokens,
        "outputTokens": work.output_tokens,
        "concurrency": _short(case.concurrency),
        "prompts": case.prompts,
        "figures": {
            one.metric: {
                "measured": _short(one.measured),
                "p10": _short(one.low),
                "p50": _short(one.predicted),
                "p90": _short(one.high),
                "error": _short(one.error),
                "inside": one.low <= one.measured <= one.high,
            }
            for one in figures_of_row
        },
        "notes": list(case.notes),
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")
