"""The decoder graph with the real model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtimes.edge.artifact import open_artifact
from runtimes.edge.session import CHUNK_TOKENS, Session
from runtimes.edge.tokens import Vocabulary

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def session(artifact: Path) -> Session:
    return Session(open_artifact(artifact), slots=3, context_tokens=400, threads=2)


@pytest.fixture(scope="module")
def prompt(artifact: Path) -> list[int]:
    vocabulary = Vocabulary.load(open_artifact(artifact).tokenizer)
    return vocabulary.encode("The quick brown fox jumps over the lazy dog near a river. " * 14, special=True)


def read(session: Session, row: int, tokens: list[int], piece: int = CHUNK_TOKENS) -> np.ndarray:
    for at in range(0, len(tokens), piece):
        scores = session.prefill(row, tokens[at : at + piece], at)
    return scores.copy()


def test_a_prompt_in_pieces_scores_like_the_prompt_at_once(session: Session, prompt: list[int]) -> None:
    assert len(prompt) > 2 * CHUNK_TOKENS
    reference = read(session, 0, prompt)

    for piece in (1, 7, 50):
        scores = read(session, 1, prompt, piece)
        assert scores.argmax() == reference.argmax()
        assert np.abs(scores - reference).mean() < 0.3  # activations are rounded to 8 bits, so a last bit can grow


def test_rows_of_different_lengths_decode_together_as_they_do_alone(session: Session, prompt: list[int]) -> None:
    lengths = [20, 150, 63]

    def alone(length: int) -> list[int]:
        token, made = int(read(session, 0, prompt[:length]).argmax()), []
        for at in range(30):
            made.append(token)
            token = int(session.step([token], [length + at])[0].argmax())
        return made

    expected = [alone(length) for length in lengths]
    tokens = [int(read(session, row, prompt[:length]).argmax()) for row, length in enumerate(lengths)]
    together: list[list[int]] = [[], [], []]
    for at in range(30):
        for made, token in zip(together, tokens, strict=True):
            made.append(token)
        tokens = session.step(tokens, [length + at for length in lengths]).argmax(axis=1).tolist()

    assert together == expected


def test_a_moved_row_goes_on_as_if_it_had_stayed(session: Session, prompt: list[int]) -> None:
    read(session, 2, prompt[:100])
    session.move(2, 0, 100)
    moved = session.step([5], [100])[0].copy()
    read(session, 0, prompt[:100])

    np.testing.assert_array_equal(moved, session.step([5], [100])[0])


def test_a_copied_beginning_gives_the_same_scores_as_one_read_again(session: Session, prompt: list[int]) -> None:
    reference = read(session, 0, prompt)
    whole = 2 * CHUNK_TOKENS
    assert whole < len(prompt) <= whole + CHUNK_TOKENS
    read(session, 2, prompt[:whole])
    session.step([5, 6, 7], [len(prompt), 3, whole])  # the row answers before it is copied
    session.move(2, 1, whole)

    np.testing.assert_array_equal(session.prefill(1, prompt[whole:], whole), reference)


def test_tokens_checked_together_score_as_one_by_one(session: Session, prompt: list[int]) -> None:
    read(session, 0, prompt[:100])
    together = session.check(0, prompt[100:105], 100).copy()
    read(session, 0, prompt[:100])

    for at in range(5):
        np.testing.assert_array_equal(session.step([prompt[100 + at]], [100 + at])[0], together[at])
