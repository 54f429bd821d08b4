"""How long a row's prompts and answers were: by its columns, by its words, or as usual with a note. Pure."""

from __future__ import annotations

import re

from orchestrator.core.performance.runner import Workload
from orchestrator.core.rows.row import Row

SHAREGPT = (217, 201)  # mean tokens of a conversation's question and answer, as the rows that state them have
USUAL = (256, 256)  # where a row says nothing
ANSWER = 512  # where a row states the prompt alone
LONGEST = 10 << 20
LENGTH = r"(\d{1,7}(?:\.\d{1,2})?)\s*([kK]?)"
_BOTH = re.compile(rf"(?<![\w.]){LENGTH}\s*/\s*{LENGTH}(?![\w.])")
_BEFORE = re.compile(rf"(?:random|kv|prefill|\d+ x|decode)\s+{LENGTH}(?![\w.])", re.IGNORECASE)
_AFTER = re.compile(r"(\d{1,4})([kK]) (?:input|prompt|prefill|decode|context)", re.IGNORECASE)
_ANSWER = re.compile(r"(\d{1,6}) (?:out|new tokens)")
_REQUESTS = re.compile(r"throughput (\d{1,5}(?:\.\d{1,4})?) req/s")
_EVEN = re.compile(
    r"random|fixed|^batch$|step|prefill|decode|seqlen|sonnet|new tokens|loop|\d+[kK]?\s*/\s*\d|\d+ x \d|request \d",
    re.IGNORECASE,
)


def workload_of(row: Row) -> tuple[Workload, tuple[str, ...]]:
    """Tokens of a request, and what was assumed to say so."""
    prompt = row.input_len if row.input_len is not None else named_length(row.workload)
    answer = row.output_len
    if (match := _BOTH.search(row.workload)) is not None:
        prompt, answer = row.input_len or length(match, 1), answer or length(match, 3)
    if answer is None and (match := _ANSWER.search(row.workload)) is not None:
        answer = float(match[1])
    if answer is None and (match := _REQUESTS.search(row.notes)) is not None and float(match[1]):
        answer = (row.out_tps_total or 0) / float(match[1])
    if prompt is not None and answer:
        return Workload(whole(prompt), whole(answer)), ()
    if prompt is not None:
        return Workload(whole(prompt), ANSWER), (f"answers of {ANSWER} tokens assumed",)
    usual = SHAREGPT if "sharegpt" in row.workload.lower() else USUAL
    answer = answer or float(usual[1])
    prompt = float(usual[0])
    if row.total_tps and row.out_tps_total and row.total_tps > row.out_tps_total:
        prompt = answer * (row.total_tps / row.out_tps_total - 1)
    note = f"lengths are not stated; {prompt:.0f} and {answer:.0f} tokens assumed"
    return Workload(whole(prompt), whole(answer)), (note,)


def varied(row: Row) -> bool:
    """Whether answers are of very different lengths, as in conversations and tests of skill."""
    return not _EVEN.search(row.workload)


def named_length(text: str) -> float | None:
    """`4K` of `random 4K input`, `prefill 4K class`, `1 x 15K`."""
    match = _BEFORE.search(text) or _AFTER.search(text)
    return length(match) if match else None


def length(match: re.Match[str], at: int = 1) -> float:
    """Tokens of a match of `LENGTH`, whose number is group `at`: `4K` is 4096."""
    return float(match[at]) * (1024 if match[at + 1] else 1)


def whole(tokens: float) -> int:
    """A length as the model takes it."""
    return max(1, min(round(tokens), LONGEST))
