"""A byte tokenizer and a decoder without weights, for tests that need no model."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from runtimes.edge.tokens import Vocabulary

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = 257  # one per byte, and the end mark
END = 256


def _byte_tokenizer() -> Tokenizer:
    """One token per byte: the hardest case for whole characters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])
    return tokenizer


class RowDecoder:
    """Answers with letters that depend on everything its row holds, so a wrong row or a wrong move changes the text.

    A letter "!" in the prompt makes reading it fail, and `failing` makes the next step fail. `gate` holds every step
    until it is set.
    """

    cache_bytes = 1000
    chunk_tokens = 4
    context_tokens = 100

    def __init__(self, vocabulary: Vocabulary, slots: int) -> None:
        self.slots = slots
        self.rows: list[list[int]] = [[] for _ in range(slots)]
        self.gate = threading.Event()
        self.gate.set()
        self.failing = False
        self.largest_batch = 0
        self.read_tokens = 0  # of prompts
        self.checks = 0  # of guesses
        self._letters = [vocabulary.encode(letter, special=False)[0] for letter in LETTERS]
        self._fatal = vocabulary.encode("!", special=False)[0]

    def prefill(self, row: int, tokens: Sequence[int], past_tokens: int) -> np.ndarray:
        assert len(tokens) <= self.chunk_tokens
        assert len(self.rows[row]) >= past_tokens
        self.read_tokens += len(tokens)
        if self._fatal in tokens:
            raise ValueError("fatal letter")
        self.rows[row] = [*self.rows[row][:past_tokens], *tokens]
        return self._scores(row)

    def check(self, row: int, tokens: Sequence[int], past_tokens: int) -> np.ndarray:
        self.gate.wait(10)
        scores = []
        for at, token in enumerate(tokens):
            self.rows[row] = [*self.rows[row][: past_tokens + at], token]
            scores.append(self._scores(row))
        self.checks += 1
        return np.stack(scores)

    def step(self, tokens: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
        self.gate.wait(10)
        if self.failing:
            self.failing = False
            raise RuntimeError("broken step")
        self.largest_batch = max(self.largest_batch, len(tokens))
        for row, (token, length) in enumerate(zip(tokens, lengths, strict=True)):
            self.rows[row] = [*self.rows[row][:length], token]
        return np.stack([self._scores(row) for row in range(len(tokens))])

    def move(self, source: int, target: int, tokens: int) -> None:
        assert len(self.rows[source]) >= tokens
        self.rows[target] = self.rows[source][:tokens]

    def _scores(self, row: int) -> np.ndarray:
        scores = np.zeros(TOKENS, np.float32)
        held = self.rows[row]
        scores[self._letters[sum((at + 1) * token for at, token in enumerate(held)) % len(LETTERS)]] = 9.0
        return scores


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary(_byte_tokenizer())


@pytest.fixture
def decoder(vocabulary: Vocabulary) -> RowDecoder:
    return RowDecoder(vocabulary, slots=3)
