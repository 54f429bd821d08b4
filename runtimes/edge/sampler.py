"""Which token comes next: penalties and bias, then greedy or temperature, min-p, top-k and top-p, in numpy alone.

Pure but for each request's own generator, guide and count of tokens, so a request with a seed gets the same answer
whoever its neighbours are. Called by `runtimes.edge.batching`. Limits on the numbers are set at the door, in
`runtimes.edge.knobs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtimes.errors import Refused

Logits = NDArray[np.float32]
Scores = NDArray[np.float32] | NDArray[np.float64]

GREEDY_BELOW = 1e-4  # a colder temperature than this is greedy in float32 anyway
FIRST_LOOK = 512  # candidates sorted first for top-p; the nucleus is nearly always smaller than that
SMALLEST_FACTOR = 1e-30  # a smaller repetition penalty would leave the range of numbers
WIDER = 8  # the next look is this many times larger


@dataclass(frozen=True)
class Sampling:
    """How to choose among the likely tokens; `top_k` 0 means all, `seed` None means fresh randomness.

    `presence_penalty` is taken off the score of a token that was generated before, `frequency_penalty` once for each
    time. `repetition_penalty` divides what is above 0, and multiplies what is below, of tokens that were generated or
    are in the prompt. `logit_bias` is added to the scores of single tokens. `min_p` is the least probability that may
    be drawn, as a part of the likeliest token's.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()  # token and what is added

    @property
    def greedy(self) -> bool:
        """Whether the token with the highest score always wins."""
        return self.temperature < GREEDY_BELOW or self.top_k == 1

    @property
    def counts(self) -> bool:
        """Whether a score depends on the tokens before."""
        return (self.presence_penalty, self.frequency_penalty, self.repetition_penalty) != (0.0, 0.0, 1.0)


class Guide(Protocol):
    """What binds an answer; `runtimes.edge.grammar.Guide` is the real one."""

    def allowed(self, scores: int) -> NDArray[np.bool_]:
        """Which of so many tokens may come next."""

    def take(self, token: int) -> None:
        """Go on after this token."""


class Sampler:
    """Chooses tokens for one request; one random number is drawn per token, from what the guide allows."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int] = (), guide: Guide | None = None) -> None:
        self._sampling = sampling
        self._guide = guide
        self._prompt = frozenset(prompt if sampling.repetition_penalty != 1.0 else ())
        self._made: Counter[int] = Counter()  # tokens generated; empty where nothing depends on them
        self._biased = np.array([token for token, _ in sampling.logit_bias], np.intp)
        self._bias = np.array([bias for _, bias in sampling.logit_bias], np.float64)
        self._random = np.random.default_rng(sampling.seed)

    @property
    def greedy(self) -> bool:
        """Whether `best` of the model's scores already gives this request's token."""
        sampling = self._sampling
        return sampling.greedy and not sampling.counts and not sampling.logit_bias and self._guide is None

    def pick(self, logits: Logits) -> int:
        """The next token.

        Args:
            logits: one row, shape [vocabulary].

        Raises:
            HeadwaterError: the row holds no usable number, or the guide cannot go on.
        """
        scores = self._shifted(logits)
        if self._guide is not None:
            scores = np.where(self._guide.allowed(len(scores)), scores, -np.inf)
        token = self._chosen(scores)
        if self._guide is not None:
            self._guide.take(token)
        if self._sampling.counts:
            self._made[token] += 1
        return token

    def _shifted(self, logits: Logits) -> Scores:
        """The scores after penalties and bias; the model's own stay as they are."""
        sampling = self._sampling
        if not sampling.counts and not sampling.logit_bias:
            return logits
        shifted = logits.astype(np.float64)
        if sampling.repetition_penalty != 1.0:
            seen = np.fromiter(self._prompt.union(self._made), np.intp)
            scores = shifted[seen]
            factor = max(sampling.repetition_penalty, SMALLEST_FACTOR)
            shifted[seen] = np.where(scores > 0, scores / factor, scores * factor)
        if self._made:
            made = np.fromiter(self._made.keys(), np.intp)
            times = np.fromiter(self._made.values(), np.float64)
            shifted[made] -= sampling.presence_penalty + sampling.frequency_penalty * times
        shifted[self._biased] += self._bias
        return shifted

    def _chosen(self, logits: Scores) -> int:
        if self._sampling.greedy:
            return int(best(logits[None, :])[0])
        peak = float(logits.max())
        if not np.isfinite(peak):
            raise Refused("The model gave no usable scores for the next token.")
        weights = np.exp((logits.astype(np.float64) - peak) / self._sampling.temperature)
        weights[weights < self._sampling.min_p] = 0.0  # the likeliest weighs 1
        draw = float(self._random.random())
        if self._sampling.top_k == 0 and self._sampling.top_p >= 1.0:
            return _drawn(weights, draw)
        tokens = _candidates(weights, self._sampling.top_k, self._sampling.top_p)
        return int(tokens[_drawn(weights[tokens], draw)])


def best(logits: Scores) -> NDArray[np.intp]:
    """The likeliest token of every row; ties go to the lowest id.

    Args:
        logits: shape [rows, vocabulary].
    """
    tokens: NDArray[np.intp] = logits.argmax(axis=1)
    return tokens


def _drawn(weights: NDArray[np.float64], draw: float) -> int:
    """Index that a number in [0, 1) falls on when weights lie side by side."""
    edges = np.cumsum(weights)
    return min(int(np.searchsorted(edges, draw * edges[-1], side="right")), len(edges) - 1)


def _candidates(weights: NDArray[np.float64], top_k: int, top_p: float) -> NDArray[np.intp]:
    """Tokens that may be drawn, likeliest first: at most `top_k`, of these the fewest that hold `top_p` of the mass."""
    if 0 < top_k < len(weights):
        tokens = likeliest(weights, top_k)
        return tokens if top_p >= 1.0 else tokens[: _enough(weights[tokens], top_p * float(weights[tokens].sum()))]
    wanted = top_p * float(weights.sum())
    look = FIRST_LOOK
    while look < len(weights):
        tokens = likeliest(weights, look)
        if float(weights[tokens].sum()) >= wanted:
            return tokens[: _enough(weights[tokens], wanted)]
        look *= WIDER
    tokens = likeliest(weights, len(weights))
    return tokens[: _enough(weights[tokens], wanted)]


def likeliest(weights: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """The `count` heaviest tokens, heaviest first, ties by id."""
    if count >= len(weights):
        return np.argsort(-weights, kind="stable")
    least = np.partition(weights, len(weights) - count)[len(weights) - count]
    tokens = np.flatnonzero(weights >= least)
    return tokens[np.argsort(-weights[tokens], kind="stable")][:count]


def _enough(falling: NDArray[np.float64], wanted: float) -> int:
    """How many of these, from the first on, reach the wanted mass; at least one."""
    return int(np.searchsorted(np.cumsum(falling), wanted)) + 1
