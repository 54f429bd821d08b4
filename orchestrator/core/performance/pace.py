"""How long the engine's steps take, for whoever runs them one after the other. Pure.

Called by the simulation, which keeps queue and clock itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.performance.runner import Runner


@dataclass(frozen=True, slots=True)
class Pace:
    """One replica in the middle of its band."""

    slots: int  # sequences that run together
    mixed: bool  # parts of prompts ride along with decode steps; otherwise a prompt has the engine alone

    def prefill_s(self, tokens: int, cached: int = 0) -> float:
        """Seconds one prompt keeps the engine busy when it is alone."""
        raise NotImplementedError

    def step_s(self, running: float, context_tokens: float) -> float:
        """Seconds of one decode step of so many sequences of this length each."""
        raise NotImplementedError

    def mixed_step_s(self, running: float, context_tokens: float, prefill_tokens: float) -> float:
        """Seconds of one step that decodes for the running sequences and reads part of a prompt."""
        raise NotImplementedError


def pace(runner: Runner, sequences: int) -> Pace:
    """The pace of a runner with at most so many sequences."""
    raise NotImplementedError
