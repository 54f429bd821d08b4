"""Pieces of a prompt are as long as the streams that run can bear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.edge.pacing import PATIENCE, Pacing


@pytest.mark.parametrize(("fixed_s", "token_s", "step_s"), [(0.004, 0.0012, 0.007), (0.005, 0.002, 0.02), (0, 1e-6, 1)])
def test_a_piece_takes_about_as_long_as_streams_bear(fixed_s: float, token_s: float, step_s: float) -> None:
    pacing, taken_s = Pacing(64), []
    for _ in range(50):
        pacing.stepped(step_s)
        size = pacing.tokens(4000, beside=True)
        taken_s.append(fixed_s + size * token_s)
        pacing.read(size, taken_s[-1])

    assert size in {64, 8} or 0.5 * PATIENCE * step_s < taken_s[-1] <= PATIENCE * step_s
    assert size == 8 or max(taken_s[10:]) <= PATIENCE * step_s


def test_without_streams_pieces_are_long() -> None:
    pacing = Pacing(64)
    pacing.stepped(0.001)
    pacing.read(8, 1.0)

    assert (pacing.tokens(1000, beside=False), pacing.tokens(1000, beside=True)) == (64, 8)


@given(st.integers(1, 5000), st.integers(2, 64), st.booleans())
def test_pieces_make_up_the_prompt_and_none_but_a_prompt_of_one_is_a_single_token(
    prompt: int,
    longest: int,
    beside: bool,  # noqa: FBT001 drawn by hypothesis
) -> None:
    pacing, left, sizes = Pacing(max(longest, 4)), prompt, []
    while left:
        sizes.append(pacing.tokens(left, beside=beside))
        left -= sizes[-1]

    assert sum(sizes) == prompt
    assert min(sizes) >= min(2, prompt)
    assert max(sizes) <= max(longest, 4)
