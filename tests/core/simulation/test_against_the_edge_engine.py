"""The simulated edge engine against the code of the real one, turned round by round in virtual time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import APace, one_replica

from orchestrator.core.simulation.request import Asked
from runtimes.edge.batching import Batching
from runtimes.edge.generation import Ask, Generation
from runtimes.edge.sampler import Sampling
from runtimes.edge.scheduler import Rows

CHUNK = 4
PACE = APace(slots=3, token_s=0.5, step=1.0)  # exact in binary, so that both sum to the same


class Letters:
    """Every token is a letter."""

    def decode(self, tokens: Sequence[int]) -> str:
        return "a" * len(tokens)


class Clock:
    """A decoder whose work is nothing but time."""

    slots, context_tokens, chunk_tokens, cache_bytes = PACE.slots, 1000, CHUNK, 0
    now_s = 0.0

    def prefill(self, row: int, tokens: Sequence[int], past_tokens: int) -> np.ndarray:
        assert row < PACE.slots
        assert past_tokens % CHUNK == 0
        self.now_s += PACE.prefill_s(len(tokens))
        return np.zeros(3, np.float32)

    def step(self, tokens: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
        self.now_s += PACE.step_s(len(tokens), sum(lengths) / len(lengths))
        return np.zeros((len(tokens), 3), np.float32)

    check = prefill  # never called: nothing is guessed before the engine has warmed up

    def move(self, source: int, target: int, tokens: int) -> None:
        pass


def the_engine(trace: list[Asked]) -> list[tuple[float, float]]:
    """First token and end of every request, by the loop of `runtimes.edge.engine.Engine` without its thread."""
    clock, rows = Clock(), Rows(slots=PACE.slots, queue=1000)
    batching = Batching(clock, Letters(), [], rows, lambda: clock.now_s)
    coming = [
        (
            asked.at_s,  # and no two prompts begin alike
            Generation(Ask((number,) * asked.input_tokens, asked.output_tokens, Sampling()), asked.output_tokens, 0),
        )
        for number, asked in enumerate(trace)
    ]
    numbers = {generation: number for number, (_, generation) in enumerate(coming)}
    first, end = [math.nan] * len(trace), [math.nan] * len(trace)
    while coming or not rows.idle:
        if rows.idle:
            clock.now_s = max(clock.now_s, coming[0][0])
        while coming and coming[0][0] <= clock.now_s:
            rows.waiting.add(coming.pop(0)[1])
        batching.admit()
        for turn in (batching.read, batching.decode):
            for generation, piece in turn():
                number = numbers[generation]
                first[number] = clock.now_s if math.isnan(first[number]) else first[number]
                end[number] = clock.now_s if piece.last else end[number]
    return list(zip(first, end, strict=True))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.builds(
            Asked,
            st.integers(0, 400),
            st.integers(1, 24).filter(lambda tokens: tokens % CHUNK != 1),  # the engine leaves no piece of one
            st.integers(1, 12),
        ),
        min_size=1,
        max_size=25,
    ).map(sorted)
)
def test_first_tokens_and_ends_are_those_of_the_real_rounds(trace: list[Asked]) -> None:
    trace = [
        asked._replace(at_s=asked.at_s + number / 64) for number, asked in enumerate(trace)
    ]  # never between rounds

    simulated = [(first, end) for _, first, end in one_replica(trace, PACE, chunk=CHUNK, queue=None)]

    assert simulated == [pytest.approx(times) for times in the_engine(trace)]
