"""What a graph is worth: perplexity and teacher-forced greedy choices on the shipped text, run by ONNX Runtime.

The text is cut into windows, each read in one pass without earlier context. The fused graph is the one that is shipped,
asked for logits at every position. The reference runs in `runtimes.build.reference` and shares the arithmetic here.
Called by `runtimes.build.worker`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from runtimes.build.resident import feeds_of, open_graph
from runtimes.errors import Invalid

WINDOW_TOKENS = 256
FEWEST_TOKENS = 32

Logits = NDArray[np.float32]
Advanced = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a graph read the text.

    Attributes:
        perplexity: of every token after the first of its window.
        choices: the most likely next token at each of those positions.
    """

    perplexity: float
    choices: tuple[int, ...]


def evaluation_text() -> str:
    """The shipped text: plain prose on everyday topics, English and some Chinese."""
    return resources.files("runtimes.build").joinpath("evaluation.txt").read_text(encoding="utf-8")


def windows_of(tokenizer: Path, vocabulary: int, context_tokens: int, text: str) -> list[list[int]]:
    """A shipped text as token ids, in windows of at most `WINDOW_TOKENS`.

    Raises:
        Invalid: the tokenizer gives ids outside the vocabulary, or hardly any.
    """
    ids = Tokenizer.from_file(str(tokenizer)).encode(text, add_special_tokens=False).ids
    if len(ids) < FEWEST_TOKENS or max(ids) >= vocabulary:
        raise Invalid(
            f"the tokenizer gives {len(ids)} tokens, the highest {max(ids, default=0)}, for a text of {len(text)} "
            f"letters; the model has {vocabulary} tokens"
        )
    length = min(WINDOW_TOKENS, context_tokens)
    windows = [ids[start : start + length] for start in range(0, len(ids), length)]
    return [window for window in windows if len(window) > 1]


def read(windows: Sequence[list[int]], logits_of: Callable[[list[int]], Logits], advanced: Advanced) -> Reading:
    """Reads all windows with one graph.

    Args:
        windows: token ids.
        logits_of: token ids to logits of shape [tokens, vocabulary].
        advanced: called with windows done and windows in all.
    """
    losses: list[float] = []
    choices: list[int] = []
    for done, window in enumerate(windows, start=1):
        logits = logits_of(window)[:-1]
        following = np.asarray(window[1:])
        highest = logits.max(axis=1)
        for row, top, token in zip(logits, highest, following, strict=True):
            losses.append(float(np.log(np.exp(row - top, dtype=np.float64).sum()) + top - row[token]))
        choices += [int(choice) for choice in logits.argmax(axis=1)]
        advanced(done, len(windows))
    mean = sum(losses) / len(losses)
    return Reading(math.exp(min(mean, 700.0)) if math.isfinite(mean) else math.inf, tuple(choices))


def agreement(ours: Reading, reference: Reading) -> float:
    """Share of positions at which both would choose the same token, 0 to 1."""
    same = sum(a == b for a, b in zip(ours.choices, reference.choices, strict=True))
    return same / len(ours.choices)


def fused_logits(graph: Path) -> Callable[[list[int]], Logits]:
    """Opens a fused graph; the result gives logits of shape [tokens, vocabulary] for a fresh sequence."""
    session = open_graph(str(graph))

    def logits(ids: list[int]) -> Logits:
        (found,) = session.run(["logits"], feeds_of(session, ids, range(len(ids))))
        return np.asarray(found[0], dtype=np.float32)

    return logits
