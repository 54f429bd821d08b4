"""Whether a built artifact keeps what the students of given services ask. Called by `cli.build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.errors import Invalid

if TYPE_CHECKING:
    from orchestrator.api.service import Quality as Floor
    from runtimes.contract import Measured


def read_floors(file: Path, model: str) -> dict[str, Floor]:
    """The floors of all students of this model in a file, by service.

    Raises Invalid when no service of the file has a student of this model with a floor.
    """
    from orchestrator.core.quality import floor_of
    from orchestrator.offline import open_desk
    from orchestrator.settings import read_settings

    students = {one.metadata.name: one.spec.student for one in open_desk([file], read_settings()).services}
    floors = {name: floor_of(tier) for name, tier in students.items() if tier is not None and tier.model == model}
    found = {name: floor for name, floor in floors.items() if floor is not None}
    if not found:
        raise Invalid(f"--service {file}: no student of {model} has a floor there; write `student.quality` into it")
    return found


def judge(floors: dict[str, Floor], measured: Measured) -> list[dict[str, Any]]:
    """For each service whether its floor is met, with what it needs and what there is."""
    from orchestrator.core.quality import below, kept, wanted

    return [
        {
            "service": name,
            "met": below(floor, measured, name) is None,
            "needs": wanted(floor),
            "has": kept(floor, measured),
        }
        for name, floor in sorted(floors.items())
    ]
