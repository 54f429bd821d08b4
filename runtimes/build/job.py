"""What the build asks of its worker, and what the worker answers: one JSON object each way, progress lines between.

Called by `runtimes.build.offload` and `runtimes.build.worker`.
"""

from __future__ import annotations

from typing import Protocol

from runtimes.contract import Measured, Message, Needs, Shape, WeightFormat


class Progress(Protocol):
    """Hears how far a build is."""

    def step(self, name: str, *, total: int, done: int) -> None:
        """A named step has done `done` of `total` pieces."""


class Job(Message):
    """One build, after source and folders are settled."""

    kind: str  # of the source: gguf, directory, hub
    source: str
    folder: str  # where the artifact's files go
    work: str  # scratch space, removed by the caller
    bits: int
    task: str = "generation"  # as in the manifest
    reading: str  # file in which the reference's reading of the evaluation text is kept


class Findings(Message):
    """What the worker measured; the files are in the folder."""

    shape: Shape
    needs: Needs
    quality: Measured
    weights: WeightFormat | None = None  # of a decoder


class Line(Message):
    """One line from the worker; exactly one of the three is meant."""

    step: tuple[str, int, int] | None = None  # name, total, done
    findings: Findings | None = None
    error: tuple[str, str] | None = None  # class of `runtimes.errors`, sentence
