"""Whether a row was measured with a draft that guesses tokens, and how much of it was accepted. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from orchestrator.core.performance.runner import Speculation
from orchestrator.core.rows.row import Row

LEARNED, OTHER = 0.7, 0.6  # share of guesses accepted one after the other: by layers of the model, and by others
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

_GUESSED: tuple[tuple[re.Pattern[str], int, bool], ...] = (
    (re.compile(r"mtp\W.*?num_speculative_tokens\W{1,4}(\d{1,2})", re.IGNORECASE), 0, True),
    (re.compile(r"num_speculative_tokens\W{1,4}(\d{1,2})"), 0, False),
    (re.compile(r"EAGLE3.*?speculative-num-draft-tokens[= ](\d{1,3})"), -1, False),
    (re.compile(r"speculative-num-draft-tokens[= ](\d{1,3})"), -1, True),
    (_STEPS, 0, True),
    (re.compile(r"suffix decoding (\d{1,2})"), 0, False),
    (re.compile(r"MTP ?(\d)(?!\w)"), 0, True),
)
"""How a row says how many tokens are guessed, what to add, and whether layers of the model itself guess them."""


def speculation_of(row: Row) -> tuple[Speculation, tuple[str, ...]]:
    """The draft of a row; where a row does not say what was accepted, what is usual, with a note."""
    text = f"{row.parallelism} {row.workload} {row.notes}"
    guessed, learned = _guessed(text)
    if not guessed:
        return Speculation(), ()
    for pattern, tokens in _SHARES:
        if (match := pattern.search(text)) is not None:
            return Speculation(min(tokens(float(match[1]), guessed), guessed), guessed), ()
    share = LEARNED if learned else OTHER
    steps = int(match[1]) if (match := _STEPS.search(text)) is not None else guessed
    accepted = min(sum(share**step for step in range(1, steps + 1)), guessed)
    return Speculation(accepted, guessed), (f"accepted guesses are not stated; {accepted:.2f} of {guessed} assumed",)


def _guessed(text: str) -> tuple[int, bool]:
    """Tokens a step verifies beyond the first, and whether layers of the model itself guess them."""
    if _NONE.search(text):
        return 0, False
    for pattern, more, learned in _GUESSED:
        if (match := pattern.search(text)) is not None:
            return max(1, min(int(match[1]) + more, MOST)), learned
    if "speculative-algorithm" in text:
        return STEPS, False
    return (1, True) if re.search(r"MTP(?!\w)", text) else (0, False)
