"""How long the engine's steps take, for whoever runs them one after the other. Pure.

Called by the simulation, which keeps queue and clock itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.core.performance.roofline import Clock
from orchestrator.core.performance.runner import Runner
from orchestrator.core.performance.serving import chunk_tokens, is_exclusive, predictor


@dataclass(frozen=True, slots=True)
class Pace:
    """One replica in the middle of its band, compiled. Sequences and tokens are of the whole replica."""

    slots: int  # sequences that run together
    mixed: bool  # parts of prompts ride along with decode steps; otherwise a prompt has the engine alone
    clock: Clock
    ranks: int  # data ranks times pipeline stages, each with its share of the sequences
    chunk_tokens: float  # of a prompt in one step
    yielded: float  # tokens a step yields for each sequence

    def prefill_s(self, tokens: int, cached: int = 0) -> float:
        """Seconds one prompt keeps the engine busy when it is alone; the first `cached` of its tokens are known."""
        fresh = max(1, tokens - cached)
        pieces = max(1, math.ceil(fresh / self.chunk_tokens))
        return pieces * self.clock.step_s(0, 0, fresh / pieces, cached + fresh / 2)

    def step_s(self, running: float, context_tokens: float) -> float:
        """Seconds in which each of so many sequences of this length gets one token."""
        return self.clock.step_s(running / self.ranks, context_tokens) / self.yielded

    def mixed_step_s(self, running: float, context_tokens: float, prefill_tokens: float) -> float:
        """Seconds of one step that decodes for the running sequences and reads so many tokens of prompts."""
        prompt = prefill_tokens / self.ranks
        return self.clock.step_s(running / self.ranks, context_tokens, prompt, prompt / 2)


def pace(runner: Runner, sequences: int) -> Pace:
    """The pace of a runner with at most so many sequences. Raises ValueError when the chip's bandwidth is unknown."""
    return Pace(
        slots=sequences,
        mixed=not is_exclusive(runner),
        clock=predictor(runner).clock,
        ranks=runner.cut.data * runner.cut.pipeline,
        chunk_tokens=chunk_tokens(runner),
        yielded=1 + runner.speculation.accepted,
    )
