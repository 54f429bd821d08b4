"""Where a calibration holds, from everything down to one program on one chip, and the pull between the levels. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.core.fitting.table import NAMES
from orchestrator.core.performance.case import Case

NOISE = 0.3  # deviation of the logarithm of a figure that physics does not explain
SILICON = 0.6  # weight of a row of the vendors' own tuned servers beside one that somebody else measured
DEVIATIONS = {
    "weights": 0.8,
    "experts": 0.2,
    "cache": 0.7,
    "compute": 0.6,
    "expert_compute": 0.25,
    "narrow": 0.15,
    "attention": 0.35,
    "link": 0.6,
    "exchange": 1.0,
    "layer": 2.0,
    "expert_layer": 1.0,
    "step": 2.0,
    "sequence": 0.5,
    "mixing": 0.35,
    "first": 1.0,
    "queue": 0.7,
}
"""How much the logarithm of a factor differs between a group and its parent, before any row is seen."""

CLOSER = (1.0, 0.6, 1.0, 0.75, 0.3)
"""How much more than that a level is held to the one above: everything, vendor, program, chip, model."""

LEAST = 4  # rows of a model on a chip and program, from which on it gets factors of its own


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What a calibration holds for; None is any."""

    vendor: str | None = None
    engine: str | None = None
    chip: str | None = None
    model: str | None = None

    @property
    def level(self) -> int:
        """0 for everything, 3 for one program on one chip, 4 for one model there."""
        return sum(part is not None for part in (self.vendor, self.engine, self.chip, self.model))

    @property
    def parent(self) -> Scope:
        """The scope above; that of everything is its own."""
        if self.model is not None:
            return Scope(self.vendor, self.engine, self.chip)
        if self.chip is not None:
            return Scope(self.vendor, self.engine)
        return Scope(self.vendor) if self.engine is not None else Scope()

    @property
    def name(self) -> str:
        """As a document is called."""
        parts = [part for part in (self.engine, self.chip or self.vendor, self.model) if part]
        return re.sub(r"[^a-z0-9.]+", "-", " ".join(parts).lower()).strip("-.")[:63] or "anything"


def scope_of(case: Case) -> Scope:
    """The narrowest scope of a case."""
    spec = case.runner.profile.spec
    return Scope(spec.vendor, case.runner.engine.spec.program, case.runner.profile.metadata.name, case.model)


def scopes_of(cases: Sequence[Case], known: Collection[Scope] = ()) -> tuple[Scope, ...]:
    """Every scope that some case falls into, wider ones first; a model's own only with `LEAST` rows, or if known."""
    found: set[Scope] = set()
    for narrow, rows in Counter(scope_of(case) for case in cases).items():
        scope = narrow if rows >= LEAST or narrow in known else narrow.parent
        while scope.level:
            found.add(scope)
            scope = scope.parent
    return (Scope(), *sorted(found, key=lambda scope: (scope.level, str(scope))))


def weights_of(cases: Sequence[Case]) -> list[float]:
    """How much each row counts: rows of one model on one chip and program say much the same, so they share."""
    together = [(case.group, scope_of(case).parent, case.quality) for case in cases]
    count = Counter(together)
    return [
        count[key] ** -0.5 * (SILICON if case.quality == "silicon" else 1.0)
        for case, key in zip(cases, together, strict=True)
    ]


def pull_of(level: int) -> list[float]:
    """For each factor, how many rows that are off by `NOISE` outweigh the level above."""
    return [CLOSER[level] * (NOISE / DEVIATIONS[name]) ** 2 for name in NAMES]
