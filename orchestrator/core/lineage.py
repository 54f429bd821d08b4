"""Who came from whom: models whose weights others started from, teachers, and the students they were distilled into.

Pure. Cards name their relatives by catalog name or by hub name, and often only one of the two says so; here both ends
are brought together. Called by `orchestrator.core.model_view` and by the command line's filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from orchestrator.api.model import Model

Relation = Literal["weights", "teacher"]
"""What a model got from another: weights to start from, or answers to learn from."""


@dataclass(frozen=True, order=True)
class Tie:
    """One model came from another; names are of the catalog where it knows the model, else as a card writes them."""

    parent: str
    child: str
    relation: Relation


@dataclass(frozen=True)
class Lineage:
    """All ties between the models of a catalog and what their cards name."""

    models: Mapping[str, Model]

    @cached_property
    def _names(self) -> Mapping[str, str]:
        """Catalog name by every name a model goes by; its own name and its hub name win over `also`."""
        names = {other: name for name, model in sorted(self.models.items()) for other in model.spec.also}
        names |= {model.spec.hub: name for name, model in sorted(self.models.items()) if model.spec.hub}
        return names | {name: name for name in self.models}

    @cached_property
    def ties(self) -> tuple[Tie, ...]:
        """Every tie once, sorted; none of a model to itself, as when a card's base is a sibling on the same card."""
        found: set[Tie] = set()
        for name, model in self.models.items():
            found |= {Tie(self.called(base), name, "weights") for base in model.spec.base}
            found |= {Tie(self.called(teacher), name, "teacher") for teacher in model.spec.teachers}
            found |= {Tie(name, self.called(student), "teacher") for student in model.spec.students}
        return tuple(sorted(tie for tie in found if tie.parent != tie.child))

    def called(self, name: str) -> str:
        """The catalog's name of a model, or the name itself when the catalog does not know it."""
        return self._names.get(name, name)

    def students(self, name: str) -> frozenset[str]:
        """Models that learned from this one's answers."""
        own = self.called(name)
        return frozenset(tie.child for tie in self.ties if tie.parent == own and tie.relation == "teacher")

    def teachers(self, name: str) -> frozenset[str]:
        """Models whose answers this one learned from."""
        own = self.called(name)
        return frozenset(tie.parent for tie in self.ties if tie.child == own and tie.relation == "teacher")

    def known(self) -> frozenset[str]:
        """Every name that a tie or the catalog has."""
        return frozenset(self._names) | {end for tie in self.ties for end in (tie.parent, tie.child)}

    def origins(self) -> tuple[str, ...]:
        """Models that others came from and that came from none, sorted."""
        children = {tie.child for tie in self.ties}
        return tuple(sorted({tie.parent for tie in self.ties} - children))

    def descendants(self, name: str, above: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """What came from a model, as trees; a circle of cards is cut where it closes."""
        return [
            {"name": tie.child, "relation": tie.relation, "children": self.descendants(tie.child, (*above, name))}
            for tie in self._ties(parent=name)
            if tie.child not in (*above, name)
        ]

    def ancestors(self, name: str, below: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """What a model came from, as trees that grow upwards."""
        return [
            {"name": tie.parent, "relation": tie.relation, "parents": self.ancestors(tie.parent, (*below, name))}
            for tie in self._ties(child=name)
            if tie.parent not in (*below, name)
        ]

    def _ties(self, parent: str = "", child: str = "") -> Iterator[Tie]:
        return (tie for tie in self.ties if child in ("", tie.child) and parent in ("", tie.parent))
