"""Calibrations from measured rows: for everything, a vendor, a program on its chips, one chip, one model there. Pure.

Each is pulled toward the one above it, so that a program with few rows keeps what others taught. How far off a
calibration is comes from rows that did not take part: each model (DeepSeek-V3 and R1 are one) is predicted by factors
that were fitted without it; and for chips or programs that nobody measured, each child is predicted by factors that
were fitted without the child. Called by `headwater calibrate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.api.calibration import Calibration, CalibrationSpec, Factors, FittedOn, Range, Score, Spread
from orchestrator.api.document import API_VERSION, Metadata
from orchestrator.api.quantities import DURATION
from orchestrator.core.fitting.scopes import Scope, pull_of, scope_of, scopes_of, weights_of
from orchestrator.core.fitting.score import Metric, Scored, pairs, range_of, scores
from orchestrator.core.fitting.solve import Measured, measured, rows_of, solve
from orchestrator.core.fitting.table import NAMES, Table, predicted, table_of
from orchestrator.core.performance.case import Case
from orchestrator.core.performance.prior import PRIOR, UNMEASURED
from orchestrator.core.performance.weighed import Figures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Chosen = NDArray[np.bool_]

FIGURES = ("tpot_s", "ttft_s", "output_per_s", "total_per_s")
SHOWN: tuple[Metric, ...] = ("pace", "ttft")  # in a document
SPREAD: tuple[Metric, ...] = ("tpot", "ttft", "throughput")
DIGITS = 4
TIMES = frozenset({"exchange", "layer", "expert_layer", "step", "sequence", "first"})
LEVELS = 5  # everything, a vendor, a program on its chips, one chip, one model there


@dataclass(frozen=True, slots=True)
class _Rows:
    """The cases as arrays, and the scopes they fall into."""

    cases: tuple[Case, ...]
    table: Table
    measured: Measured
    scopes: tuple[Scope, ...]
    inside: Mapping[Scope, Chosen]
    parents: Mapping[Scope, Array]  # factors of documents that were given, by the scope they hold for


def fit(cases: Sequence[Case], parents: Sequence[Calibration] = ()) -> tuple[Calibration, ...]:
    """Calibrations for every scope that the cases fall into, wider scopes first.

    Args:
        cases: measured rows; those without any figure count nothing.
        parents: documents that are there already: a scope that has one is pulled toward it in place of the scope above.

    Raises:
        ValueError: there is no case.
    """
    rows = _rows(cases, parents)
    whole = _fit(rows, _all(rows))
    held = _held_out(rows, whole)
    spreads: dict[Scope, Spread] = {}
    found = []
    for scope in rows.scopes:
        chosen = [index for index, one in enumerate(rows.inside[scope]) if one]
        above = spreads.get(scope.parent, UNMEASURED) if scope.level else UNMEASURED
        spread = _spread(rows, held[scope.level], chosen, above)
        spreads[scope] = spread
        elsewhere = _elsewhere(rows, scope, whole, spread)
        at = _figures(rows, dict.fromkeys(chosen, whole[scope]))
        fitted = _shown(_scored(rows, at, chosen, spread))
        held_out = _shown(_scored(rows, held[scope.level], chosen, spread))
        found.append(
            Calibration(
                api_version=API_VERSION,
                kind="Calibration",
                metadata=Metadata(name=scope.name),
                spec=CalibrationSpec(
                    engine=scope.engine,
                    vendor=scope.vendor,
                    chip=scope.chip,
                    model=scope.model,
                    factors=_factors(whole[scope]),
                    spread=spread,
                    elsewhere=elsewhere,
                    fitted_on=FittedOn(
                        rows=len(chosen),
                        models=tuple(sorted({rows.cases[index].model for index in chosen})),
                        fitted=fitted,
                        held_out=held_out,
                    ),
                ),
            )
        )
    return tuple(found)


def cross_validate(cases: Sequence[Case], parents: Sequence[Calibration] = ()) -> tuple[Scored, ...]:
    """Every figure of every case, predicted by factors and bands that were found without the case's group of models.

    The band of a case is the spread of the other groups' held-out errors on the same program and chip, widened toward
    that of the scopes above.
    """
    rows = _rows(cases, parents)
    held = _held_out(rows, _fit(rows, _all(rows)))
    found: list[Scored] = []
    for group in sorted({case.group for case in rows.cases}):
        spreads: dict[Scope, Spread] = {}
        for scope in rows.scopes:
            others = [index for index, one in enumerate(rows.inside[scope]) if one and rows.cases[index].group != group]
            above = spreads.get(scope.parent, UNMEASURED) if scope.level else UNMEASURED
            spreads[scope] = _spread(rows, held[scope.level], others, above)
        for index, case in enumerate(rows.cases):
            if case.group == group:
                found += _scored(rows, held[LEVELS - 1], [index], spreads[_at(rows, index, LEVELS - 2)])
    return tuple(found)


def _shown(scored: Sequence[Scored]) -> tuple[Score, ...]:
    return tuple(one for one in scores(scored) if one.metric in SHOWN)


def _rows(cases: Sequence[Case], parents: Sequence[Calibration]) -> _Rows:
    import numpy as np  # noqa: PLC0415  fitting is rare, and planning must not wait for numpy

    if not cases:
        raise ValueError("no measured rows")
    given = {Scope(one.spec.vendor, one.spec.engine, one.spec.chip, one.spec.model): one for one in parents}
    scopes = scopes_of(cases, given)
    narrow = [scope_of(case) for case in cases]
    inside = {scope: np.array([_within(one, scope) for one in narrow]) for scope in scopes}
    known = {scope: _logs(given[scope].spec.factors) for scope in scopes if scope in given}
    return _Rows(tuple(cases), table_of(cases), measured(cases, weights_of(cases)), scopes, inside, known)


def _within(narrow: Scope, scope: Scope) -> bool:
    return (
        scope.vendor in (None, narrow.vendor)
        and scope.engine in (None, narrow.engine)
        and scope.chip in (None, narrow.chip)
        and scope.model in (None, narrow.model)
    )


def _above(wide: Scope, scope: Scope) -> bool:
    return wide.level < scope.level and _within(scope, wide)


def _logs(factors: Factors) -> Array:
    import numpy as np  # noqa: PLC0415  as above

    return np.log([getattr(factors, name) for name in NAMES])


def _factors(logs: Array) -> Factors:
    import numpy as np  # noqa: PLC0415  as above

    values = {name: float(f"{value:.{DIGITS}g}") for name, value in zip(NAMES, np.exp(logs), strict=True)}
    return Factors.model_validate({name: DURATION.show(v) if name in TIMES else v for name, v in values.items()})


def _all(rows: _Rows) -> Chosen:
    return rows.inside[Scope()]


def _fit(
    rows: _Rows, training: Chosen, near: Mapping[Scope, Array] | None = None, scopes: Sequence[Scope] | None = None
) -> dict[Scope, Array]:
    """Factors of scopes from these rows; a scope without rows has those of the scope above.

    Args:
        rows: all rows.
        training: those that take part.
        near: factors from nearly the same rows, to start from.
        scopes: wider ones first; all when left out.
    """
    import numpy as np  # noqa: PLC0415  as above

    found: dict[Scope, Array] = {}
    for scope in rows.scopes if scopes is None else scopes:
        parent = rows.parents.get(scope)
        if parent is None:
            parent = found[scope.parent] if scope.level else _logs(PRIOR)
        chosen = rows.inside[scope] & training
        if not chosen.any():
            found[scope] = parent
            continue
        table, figures = rows_of(rows.table, rows.measured, chosen)
        start = near[scope] if near else None
        found[scope] = solve(table, figures, parent, np.array(pull_of(scope.level)), start)
    return found


def _held_out(rows: _Rows, whole: Mapping[Scope, Array]) -> tuple[dict[int, Figures], ...]:
    """At each level, figures of each case by the factors of its scope, fitted without its group."""
    import numpy as np  # noqa: PLC0415  as above

    found: tuple[dict[int, Figures], ...] = tuple({} for _ in range(LEVELS))
    groups = np.array([case.group for case in rows.cases])
    for group in sorted(set(groups)):
        out = [int(index) for index in np.flatnonzero(groups == group)]
        needed = {_at(rows, index, level) for index in out for level in range(LEVELS)}
        factors = _fit(rows, groups != group, whole, [scope for scope in rows.scopes if scope in needed])
        for level in range(LEVELS):
            found[level].update(_figures(rows, {index: factors[_at(rows, index, level)] for index in out}))
    return found


def _at(rows: _Rows, index: int, level: int) -> Scope:
    scope = scope_of(rows.cases[index])
    while scope.level > level or scope not in rows.inside:
        scope = scope.parent
    return scope


def _figures(rows: _Rows, factors: Mapping[int, Array]) -> dict[int, Figures]:
    """Figures of some cases, each by its own factors."""
    import numpy as np  # noqa: PLC0415  as above

    chosen = np.zeros(len(rows.cases), dtype=bool)
    chosen[list(factors)] = True
    table, _ = rows_of(rows.table, rows.measured, chosen)
    order = sorted(factors)
    p = predicted(table, np.array([factors[index] for index in order]).T)
    return {index: Figures(*(float(p[name][at]) for name in FIGURES)) for at, index in enumerate(order)}


def _elsewhere(rows: _Rows, scope: Scope, whole: Mapping[Scope, Array], spread: Spread) -> Spread:
    """The spread where a program or chip below this scope was not measured: each child by what the others teach."""
    children = [one for one in rows.scopes if one.level == scope.level + 1 and one.parent == scope]
    above = [one for one in rows.scopes if scope == one or _above(one, scope)]
    figures: dict[int, Figures] = {}
    for child in children:
        others = rows.inside[scope] & ~rows.inside[child]
        factors = _fit(rows, others, whole, above)[scope] if others.any() else whole[scope.parent]
        figures |= _figures(rows, {i: factors for i, one in enumerate(rows.inside[child]) if one})
    found = _spread(rows, figures, sorted(figures), UNMEASURED)
    return Spread(
        **{
            name: Range(
                low=min(getattr(found, name).low, getattr(spread, name).low),
                high=max(getattr(found, name).high, getattr(spread, name).high),
            )
            for name in SPREAD
        }
    )


def _spread(rows: _Rows, figures: Mapping[int, Figures], chosen: Sequence[int], above: Spread) -> Spread:
    ratios: dict[str, dict[str, list[float]]] = {name: {} for name in SPREAD}
    for index in chosen:
        for metric, was, expected in pairs(rows.cases[index], figures[index]):
            if metric in ratios:
                ratios[metric].setdefault(rows.cases[index].group, []).append(was / expected)
    return Spread(**{name: range_of(ratios[name], getattr(above, name)) for name in SPREAD})


def _scored(rows: _Rows, figures: Mapping[int, Figures], chosen: Sequence[int], spread: Spread) -> list[Scored]:
    found = []
    for index in chosen:
        case = rows.cases[index]
        for metric, was, expected in pairs(case, figures[index]):
            kind = metric if metric != "pace" else ("tpot" if case.tpot_s else "throughput")
            band: Range = getattr(spread, kind)
            low, high = expected * min(1.0, band.low), expected * max(1.0, band.high)
            found.append(Scored(case, metric, was, expected, low, high))
    return found
