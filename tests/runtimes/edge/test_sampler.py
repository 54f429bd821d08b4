"""Choosing tokens."""

from __future__ import annotations

import numpy as np
import pytest

from runtimes.edge.sampler import Sampler, Sampling, best
from runtimes.errors import Refused


def a_row(**scores: float) -> np.ndarray:
    """Scores for tokens t0, t1, ...; unnamed ones are very unlikely."""
    row = np.full(2000, -30.0, np.float32)
    for name, score in scores.items():
        row[int(name[1:])] = score
    return row


def drawn(sampling: Sampling, row: np.ndarray, times: int = 400) -> set[int]:
    sampler = Sampler(sampling)
    return {sampler.pick(row) for _ in range(times)}


@pytest.mark.parametrize(
    ("sampling", "row", "possible"),
    [
        pytest.param(Sampling(temperature=0), a_row(t5=1, t9=3), {9}, id="temperature 0 takes the likeliest"),
        pytest.param(Sampling(temperature=0), a_row(t5=3, t9=3), {5}, id="ties go to the lowest id"),
        pytest.param(Sampling(top_k=1), a_row(t5=1, t9=1.1), {9}, id="top-k 1 is greedy"),
        pytest.param(Sampling(seed=1, top_k=2), a_row(t3=2, t5=2, t9=1.9), {3, 5}, id="top-k cuts the third"),
        pytest.param(
            Sampling(seed=1, top_p=0.6), a_row(t3=2, t5=2, t9=2), {3, 5}, id="top-p keeps the fewest that reach it"
        ),
        pytest.param(Sampling(seed=1, top_p=1e-9), a_row(t3=2, t5=2.1), {5}, id="the smallest nucleus is one token"),
        pytest.param(
            Sampling(seed=1, top_k=3, top_p=0.5), a_row(t3=9, t5=1, t9=1), {3}, id="top-p counts within top-k"
        ),
        pytest.param(Sampling(seed=1), a_row(t3=2, t5=2), {3, 5}, id="plain sampling draws all that are likely"),
        pytest.param(Sampling(seed=1, temperature=2.0), a_row(t3=2, t5=0), {3, 5}, id="heat makes the second possible"),
        pytest.param(Sampling(seed=1, temperature=0.01), a_row(t3=2, t5=1), {3}, id="cold leaves the first"),
    ],
)
def test_what_can_be_drawn(sampling: Sampling, row: np.ndarray, possible: set[int]) -> None:
    assert drawn(sampling, row) == possible


def test_shares_follow_the_softmax() -> None:
    sampler = Sampler(Sampling(seed=3))
    row = a_row(t3=np.log(3), t5=0)

    share = np.mean([sampler.pick(row) == 3 for _ in range(4000)])

    assert abs(share - 0.75) < 0.03


def test_a_nucleus_wider_than_the_first_look_is_complete() -> None:
    row = -1e-4 * np.arange(6000, dtype=np.float32)

    tokens = drawn(Sampling(seed=1, top_p=0.5), row, times=3000)

    assert max(tokens) < 3000
    assert len(tokens) > 1500


def test_the_same_seed_gives_the_same_tokens() -> None:
    row = np.random.default_rng(0).normal(size=500).astype(np.float32)

    first, second, other = (Sampler(Sampling(seed=seed)) for seed in (7, 7, 8))
    picks = [[sampler.pick(row) for _ in range(50)] for sampler in (first, second, other)]

    assert picks[0] == picks[1]
    assert picks[0] != picks[2]


def test_a_row_without_numbers_is_refused() -> None:
    with pytest.raises(Refused, match="no usable scores"):
        Sampler(Sampling(seed=1)).pick(np.full(10, np.nan, np.float32))


def test_best_takes_each_rows_own_maximum() -> None:
    assert best(np.stack([a_row(t4=1), a_row(t7=1)])).tolist() == [4, 7]
