"""Whether a row was measured with a draft that guesses tokens, and how much of it was accepted. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from orchestrator.core.performance.runner import Speculation
from orchestrator.core.rows.row import Row

SHARE = 0.7  # of guesses that is accepted, one after the other; what vendors state of layers of their models
STEPS = 5  # of a draft whose command does not say
MOST = 64
_NONE = re.compile(r"MTP off|no MTP")
_STEPS = re.compile(r"speculative-num-steps[= ](\d{1,2})")
_SHARES: tuple[tuple[re.Pattern[str], Callable[[float, int], float]], ...] = (
    (re.compile(r"(\d\.\d{1,3})\s*(?:of \d+ )?accepted"), lambda tokens, _: tokens),
    (re.compile(r"\((\d\.\d{1,3}) of \d"), lambda tokens, _: tokens),
    (re.compile(r"accept(?:ance)? rate (\d{1,3}(?:\.\d{1,3})?) ?%"), lambda share, guessed: share / 100 * guessed),
    (re.compile(r"MTP \d tokens? (\d{1,3}) ?%"), lambda share, guessed: share / 100 * guessed),
)
"""What a row says was accepted, and the tokens a step that it means."""

_GUESSED: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"num_speculative_tokens\W{1,4}(\d{1,2})"), 0),
    (re.compile(r"speculative-num-draft-tokens[= ](\d{1,3})"), -1),
    (_STEPS, 0),
    (re.compile(r"suffix decoding (\d{1,2})"), 0),
    (re.compile(r"MTP ?(\d)(?!\w)"), 0),
)
"""How a row says how many tokens are guessed, and what to add; a tree counts its root too."""


def speculation_of(row: Row) -> tuple[Speculation, tuple[str, ...]]:
    """The draft of a row; where a row does not say what was accepted, what is usual, with a note."""
    text = f"{row.parallelism} {row.workload} {row.notes}"
    guessed = _guessed(text)
    if not guessed:
        return Speculation(), ()
    for pattern, tokens in _SHARES:
        if (match := pattern.search(text)) is not None:
            return Speculation(min(tokens(float(match[1]), guessed), guessed), guessed), ()
    steps = int(match[1]) if (match := _STEPS.search(text)) is not None else guessed
    accepted = min(sum(SHARE**step for step in range(1, steps + 1)), guessed)
    return Speculation(accepted, guessed), (f"accepted guesses are not stated; {accepted:.2f} of {guessed} assumed",)


def _guessed(text: str) -> int:
    """Tokens a step verifies beyond the first."""
    if _NONE.search(text):
        return 0
    for pattern, more in _GUESSED:
        if (match := pattern.search(text)) is not None:
            return max(1, min(int(match[1]) + more, MOST))
    if "speculative-algorithm" in text:
        return STEPS
    return 1 if re.search(r"MTP(?!\w)", text) else 0
