"""How likely a token was, and which others were: what `logprobs` shows.

The numbers come from the model's own scores, before penalties, bias, temperature and grammar, as vLLM shows them. Pure.
Called by `runtimes.edge.batching`; written out by `runtimes.edge.answers`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtimes.edge.sampler import likeliest

LEAST = -9999.0  # OpenAI's word for next to impossible; JSON has no infinity


@dataclass(frozen=True)
class Chosen:
    """A token of an answer with its natural log probability, and the likeliest tokens at its place."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


def chosen(scores: NDArray[np.float32], token: int, top: int) -> Chosen:
    """What to tell about a token.

    Args:
        scores: of every token at its place, shape [vocabulary].
        token: the one that was taken.
        top: how many of the likeliest to tell; ties go to the lowest id.
    """
    with np.errstate(invalid="ignore"):  # a broken model may give infinite scores
        wide = scores.astype(np.float64)
        wide -= wide.max()
        logprobs = np.fmax(wide - np.log(np.exp(wide).sum()), LEAST)
    best = likeliest(logprobs, top) if top else ()
    return Chosen(token, float(logprobs[token]), tuple((int(one), float(logprobs[one])) for one in best))
