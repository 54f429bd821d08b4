"""Which token comes next: greedy, temperature, top-k and top-p, in numpy alone.

Pure but for each request's own generator and guide, so a request with a seed gets the same answer whoever its
neighbours are. Called by `runtimes.edge.batching`. Limits on the numbers are set at the door, in
`runtimes.edge.wishes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtimes.errors import Refused

Logits = NDArray[np.float32]

GREEDY_BELOW = 1e-4  # a colder temperature than this is greedy in float32 anyway
FIRST_LOOK = 512  # candidates sorted first for top-p; the nucleus is nearly always smaller than that
WIDER = 8  # the next look is this many times larger


@dataclass(frozen=True)
class Sampling:
    """How to choose among the likely tokens; `top_k` 0 means all, `seed` None means fresh randomness."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token always wins."""
        return self.temperature < GREEDY_BELOW or self.top_k == 1


class Guide(Protocol):
    """What binds an answer; `runtimes.edge.grammar.Guide` is the real one."""

    def allowed(self, scores: int) -> NDArray[np.bool_]:
        """Which of so many tokens may come next."""

    def take(self, token: int) -> None:
        """Go on after this token."""


class Sampler:
    """Chooses tokens for one request; one random number is drawn per token, from what the guide allows."""

    def __init__(self, sampling: Sampling, guide: Guide | None = None) -> None:
        self._sampling = sampling
        self._guide = guide
        self._random = np.random.default_rng(sampling.seed)

    @property
    def greedy(self) -> bool:
        """Whether `best` already gives this request's token."""
        return self._sampling.greedy and self._guide is None

    def pick(self, logits: Logits) -> int:
        """The next token.

        Args:
            logits: one row, shape [vocabulary].

        Raises:
            HeadwaterError: the row holds no usable number, or the guide cannot go on.
        """
        if self._guide is None:
            return self._chosen(logits)
        token = self._chosen(np.where(self._guide.allowed(len(logits)), logits, np.float32(-np.inf)))
        self._guide.take(token)
        return token

    def _chosen(self, logits: Logits) -> int:
        if self._sampling.greedy:
            return int(best(logits[None, :])[0])
        peak = float(logits.max())
        if not np.isfinite(peak):
            raise Refused("The model gave no usable scores for the next token.")
        weights = np.exp((logits.astype(np.float64) - peak) / self._sampling.temperature)
        draw = float(self._random.random())
        if self._sampling.top_k == 0 and self._sampling.top_p >= 1.0:
            return _drawn(weights, draw)
        tokens = _candidates(weights, self._sampling.top_k, self._sampling.top_p)
        return int(tokens[_drawn(weights[tokens], draw)])


def best(logits: Logits) -> NDArray[np.intp]:
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
        tokens = _likeliest(weights, top_k)
        return tokens if top_p >= 1.0 else tokens[: _enough(weights[tokens], top_p * float(weights[tokens].sum()))]
    wanted = top_p * float(weights.sum())
    look = FIRST_LOOK
    while look < len(weights):
        tokens = _likeliest(weights, look)
        if float(weights[tokens].sum()) >= wanted:
            return tokens[: _enough(weights[tokens], wanted)]
        look *= WIDER
    tokens = _likeliest(weights, len(weights))
    return tokens[: _enough(weights[tokens], wanted)]


def _likeliest(weights: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """The `count` heaviest tokens, heaviest first, ties by id."""
    tokens = np.arange(len(weights)) if count >= len(weights) else np.argpartition(-weights, count - 1)[:count]
    tokens.sort()
    return tokens[np.argsort(-weights[tokens], kind="stable")]


def _enough(falling: NDArray[np.float64], wanted: float) -> int:
    """How many of these, from the first on, reach the wanted mass; at least one."""
    return int(np.searchsorted(np.cumsum(falling), wanted)) + 1
