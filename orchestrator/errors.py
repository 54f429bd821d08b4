"""The error tree as the control plane uses it.

    HeadwaterError          (`runtimes.errors`: the branches say who acts next)
      Invalid
        InvalidSpec         one file, every problem in it, each with its line and field
      Refused
      NotOurs
      Unavailable

Exit codes are chosen in `cli.main`, HTTP statuses in `orchestrator.control.http`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runtimes.errors import HeadwaterError, Invalid, NotOurs, Refused, Unavailable

__all__ = ["HeadwaterError", "Invalid", "InvalidSpec", "NotOurs", "Problem", "Refused", "Unavailable"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in one place."""

    file: str
    line: int  # 1-based; 0 when the file as a whole is meant
    path: str  # field path such as `spec.student.slo.ttft`; empty when the document as a whole is meant
    message: str  # what is wrong and what would be right

    def __str__(self) -> str:
        """`file:line: path: message`, leaving out what is not known."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class InvalidSpec(Invalid):
    """Everything wrong with what the user wrote, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))
