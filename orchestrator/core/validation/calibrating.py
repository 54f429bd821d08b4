"""Calibrations from a user's measured rows: which groups have enough, and how good they are before and after. Pure.

The fit is `orchestrator.core.fitting.fit`. Of what it finds the documents for one program on one chip are kept, and for
one model there: what rows of one site say about other chips is left to the shipped documents, and so is a model of
which there is no row. Called by `headwater calibrate`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.api.calibration import Calibration, Score
from orchestrator.core.fitting.fit import cross_validate, fit
from orchestrator.core.fitting.score import Scored, scores
from orchestrator.core.performance.case import Case
from orchestrator.core.performance.lookup import applied
from orchestrator.core.rows.row import Skipped
from orchestrator.core.validation.comparison import predicted, reasons_view

LEAST_ROWS = 5  # of a program on a chip; fewer say less than the factors it has already
Group = tuple[str, str]
"""A program and a chip."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """One program on one chip."""

    documents: tuple[Calibration, ...]  # of the chip, then of models on it
    rows: int
    models: tuple[str, ...]
    before: tuple[Score, ...]  # with the catalog's factors
    after: tuple[Score, ...]  # with these documents beside the catalog's, on the rows of the fit
    held_out: tuple[Score, ...]  # each model by factors fitted without its rows


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What came of the rows."""

    fitted: tuple[Fitted, ...]
    too_few: tuple[tuple[Group, int], ...]

    @property
    def documents(self) -> tuple[Calibration, ...]:
        """What later plans can use."""
        return tuple(document for one in self.fitted for document in one.documents)


def calibrated(cases: Sequence[Case], parents: Sequence[Calibration], sources: Mapping[str, str]) -> Calibrated:
    """Fit every program on a chip that has enough rows.

    Args:
        cases: rows with the factors that the catalog has for them.
        parents: documents of the catalog, which the fit starts from.
        sources: where each row was published.
    """
    count = Counter(group_of(case) for case in cases)
    enough = [case for case in cases if count[group_of(case)] >= LEAST_ROWS]
    too_few = tuple(sorted((group, rows) for group, rows in count.items() if rows < LEAST_ROWS))
    if not enough:
        return Calibrated((), too_few)
    documents = [one for one in fit(enough, parents) if one.spec.chip is not None]
    before, held_out = predicted(enough), cross_validate(enough, parents)
    after = predicted(_applied(enough, [*parents, *documents]))
    found = []
    for group in sorted(set(map(group_of, enough))):
        own = [case for case in enough if group_of(case) == group]
        names = tuple(sorted({sources[case.row] for case in own if sources.get(case.row)}))
        found.append(
            Fitted(
                tuple(_sourced(one, names) for one in documents if (one.spec.engine, one.spec.chip) == group),
                len(own),
                tuple(sorted({case.model for case in own})),
                _scores(before, group),
                _scores(after, group),
                _scores(held_out, group),
            )
        )
    return Calibrated(tuple(found), too_few)


def _sourced(document: Calibration, names: tuple[str, ...]) -> Calibration:
    return document.model_copy(update={"spec": document.spec.model_copy(update={"sources": names})})


def _applied(cases: Sequence[Case], documents: Sequence[Calibration]) -> list[Case]:
    """The cases as a catalog with these documents predicts them; of equal names the last holds."""
    known = {one.metadata.name: one for one in documents}
    found = []
    for case in cases:
        runner = case.runner
        factors = applied(known, runner.engine, runner.profile, case.model)
        found.append(replace(case, runner=replace(runner, applied=factors)))
    return found


def group_of(case: Case) -> Group:
    """The program and the chip of a case."""
    return case.runner.engine.spec.program, case.runner.profile.metadata.name


def calibration_view(result: Calibrated, skipped: Sequence[Skipped]) -> dict[str, Any]:
    """Everything but the documents as plain values."""
    return {
        "leastRows": LEAST_ROWS,
        "groups": [
            {
                "engine": one.documents[0].spec.engine,
                "chip": one.documents[0].spec.chip,
                "documents": [document.metadata.name for document in one.documents],
                "rows": one.rows,
                "models": list(one.models),
                "before": _pace(one.before),
                "after": _pace(one.after),
                "heldOut": _pace(one.held_out),
            }
            for one in result.fitted
        ],
        "tooFew": [{"engine": engine, "chip": chip, "rows": rows} for (engine, chip), rows in result.too_few],
        "reasons": reasons_view(skipped),
    }


def _scores(scored: Sequence[Scored], group: Group) -> tuple[Score, ...]:
    return scores([one for one in scored if group_of(one.case) == group])


def _pace(found: Sequence[Score]) -> dict[str, Any] | None:
    pace = next((one for one in found if one.metric == "pace"), None)
    return pace.model_dump(exclude={"metric"}) if pace else None
