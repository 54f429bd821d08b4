"""How a row's deployment was loaded: requests all at once, a number at all times, one step, or prompts alone. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from orchestrator.core.performance.runner import Workload
from orchestrator.core.rows.lengths import LENGTH, length, named_length, whole, workload_of
from orchestrator.core.rows.row import Row
from orchestrator.core.world import Parallelism
from runtimes.errors import Invalid

Kind = Literal["closed", "burst", "step", "prefill"]

ALL_AT_ONCE = 0.9  # share of the prompts; what was in the engine together is then all of them
SHORT = 0.3  # of the whole run; requests that arrived within it came all at once
PEAK = 0.5  # of the stated number; fewer that run on average say that the peak was printed
CONTRADICTS = 0.2  # of the stated number; with fewer on average the times are of something else
FULL_TOKENS = 16_384  # of prompts on one data rank, where a throughput alone is stated
FEW = 2  # below so many, parts of one matter
MOST = 1_000_000
_SINGLE = re.compile(
    r"single|concurrency 1\b|\b1 request|^1 x|\bbs=1\b|batch size 1\b|prompt \d+, decode|new tokens", re.IGNORECASE
)
_BATCH = re.compile(r"(?:batch size|bs|max[- ]concurrency)[ =]+(\d{1,6})", re.IGNORECASE)
_RATE = re.compile(r"(?:qps|rate)[ =]+(\d{1,6}(?:\.\d{1,3})?)", re.IGNORECASE)
_ONCE = re.compile(r"all (?:requests|prompts) at once|qps inf|rate inf|offline", re.IGNORECASE)
_PER_BATCH = re.compile(LENGTH + r" tokens per batch")


@dataclass(frozen=True)
class Load:
    """What the deployment was asked."""

    kind: Kind
    workload: Workload
    concurrency: float
    prompts: int | None
    notes: tuple[str, ...] = ()


def load_of(row: Row, cut: Parallelism, limit: float, *, split: bool = False) -> Load:
    """The load of a row.

    Args:
        row: the row.
        cut: of the deployment.
        limit: sequences that its engine runs together at most.
        split: prompts were read by other chips.

    Raises:
        Invalid: lengths or the number of requests cannot be told.
    """
    if _is_prefill(row):
        return _prefill(row, cut)
    if _is_step(row):
        return _step(row, cut.chips)
    load = _split(row) if split else None
    load = load or _said(row) or _burst(row, limit) or _average(row)
    if load is None:
        raise Invalid("the number of requests at once is not stated")
    return load


def _is_prefill(row: Row) -> bool:
    return row.output_len == 0 or (row.tpot_ms is None and "prefill" in row.workload.lower() and not row.output_len)


def _is_step(row: Row) -> bool:
    text = f"{row.workload} {row.notes}".lower()
    said = "decode step" in text or "step latency" in text or re.search(r"\bkv \d|input decode|decode,", text)
    return bool(said) and row.ttft_ms is None


def _prefill(row: Row, cut: Parallelism) -> Load:
    tokens = row.input_len or named_length(row.workload)
    if not tokens:
        raise Invalid("the length of the prompts is not stated")
    together = row.num_prompts or row.concurrency
    if (match := _PER_BATCH.search(row.workload)) is not None:
        together = max(1.0, length(match) * cut.chips / tokens)
    if together:
        return Load("prefill", Workload(whole(tokens), 1), float(together), _count(row.num_prompts))
    together = 1.0 if row.ttft_ms else max(1.0, FULL_TOKENS / tokens) * cut.data
    note = f"how many prompts were read together is not stated; taken as {together:.0f}"
    return Load("prefill", Workload(whole(tokens), 1), together, None, (note,))


def _step(row: Row, chips: int) -> Load:
    tokens = row.input_len or named_length(row.workload)
    if not tokens:
        raise Invalid("the length of the context is not stated")
    if row.concurrency:
        return Load("step", Workload(whole(tokens), 1), row.concurrency, None)
    rate = row.out_tps_total or (row.out_tps_per_unit or 0) * chips
    if not rate or not row.tpot_ms:
        raise Invalid("the number of requests at once is not stated")
    note = "sequences are those that throughput and time per token tell"
    return Load("step", Workload(whole(tokens), 1), rate * row.tpot_ms / 1000, None, (note,))


def _split(row: Row) -> Load | None:
    """Chips that decode alone: as many requests as throughput and time per token tell."""
    if not row.out_tps_total or not row.tpot_ms:
        return None
    workload, notes = workload_of(row)
    running = max(1.0, row.out_tps_total * row.tpot_ms / 1000)
    note = f"{running:.0f} requests decode on average, by throughput and time"
    return Load("closed", workload, running, _count(row.num_prompts), (*notes, note))


def _said(row: Row) -> Load | None:
    """What the words of the workload say."""
    workload, notes = workload_of(row)
    text = row.workload.strip()
    if text.lower() == "batch" and row.concurrency:
        return Load("burst", workload, row.concurrency, _count(row.concurrency), notes)
    if (match := _BATCH.search(text)) is not None and int(match[1]):
        return Load("closed", workload, float(match[1]), _count(row.num_prompts), notes)
    if _SINGLE.search(text) and (row.concurrency or 1) <= 1:
        return Load("closed", workload, 1, _count(row.num_prompts), notes)
    return None


def _burst(row: Row, limit: float) -> Load | None:
    """All requests at once, where that is what the row comes to."""
    prompts = _count(row.num_prompts)
    workload, notes = workload_of(row)
    if prompts is None or not (_ONCE.search(row.workload) or _all(row, prompts) or _soon(row, prompts, workload)):
        return None
    seen = min(limit, float(prompts), row.concurrency or math.inf)
    if seen < prompts:
        notes = (*notes, f"at most {seen:.0f} of {prompts} requests run together")
    return Load("burst", workload, max(1.0, seen), prompts, notes)


def _average(row: Row) -> Load | None:
    """A number at all times: the stated one, or what throughput and time tell; some pages print the peak."""
    workload, notes = workload_of(row)
    running, stated, prompts = _running(row, workload), row.concurrency, _count(row.num_prompts)
    if stated and running and prompts and running < CONTRADICTS * stated:
        raise Invalid("throughput and times contradict the number of requests at once")
    if stated and running and prompts and running < PEAK * stated and stated < ALL_AT_ONCE * prompts:
        notes = (*notes, f"{running:g} requests run on average by throughput and time; {stated:g} is the peak")
        return Load("closed", workload, max(1.0, running), prompts, notes)
    if stated and not (_RATE.search(row.workload) and running):
        return Load("closed", workload, max(1.0, stated), prompts, notes)
    if running is None:
        return None
    notes = (*notes, f"{running:g} requests run on average, by throughput and time")
    return Load("closed", workload, max(1.0, running), prompts, notes)


def _all(row: Row, prompts: int) -> bool:
    if _RATE.search(row.workload):
        return False
    return row.concurrency is None or row.concurrency >= ALL_AT_ONCE * prompts


def _soon(row: Row, prompts: int, workload: Workload) -> bool:
    """Whether requests that arrive at a rate have all arrived when the run has hardly begun."""
    match = _RATE.search(row.workload)
    if match is None or not float(match[1]) or not row.out_tps_total:
        return False
    return prompts / float(match[1]) < SHORT * prompts * workload.output_tokens / row.out_tps_total


def _running(row: Row, workload: Workload) -> float | None:
    """Requests in the engine on average: those that arrive in a second, times how long each stays."""
    if not row.out_tps_total or not row.tpot_ms:
        return None
    stay_s = ((row.ttft_ms or 0) + row.tpot_ms * (workload.output_tokens - 1)) / 1000
    running = row.out_tps_total / workload.output_tokens * stay_s
    return round(running) if running >= FEW else round(running, 1)


def _count(number: float | None) -> int | None:
    return max(1, min(round(number), MOST)) if number else None
