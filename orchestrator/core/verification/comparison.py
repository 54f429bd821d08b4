"""Measured beside predicted: inside the band, or how far outside. Pure; called by `headwater verify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.performance.runner import Band
from orchestrator.core.verification.expected import Expected
from orchestrator.core.verification.measured import Measured, Spread

FEWEST = 5  # answers from which a mean is worth comparing
MOST_FAILED = 0.01  # of the requests
MOST_OTHERS = 0.25  # of the CPUs of the machine that serves; more of other work, and its numbers say little of the plan


class Verdict(StrEnum):
    """What a run says of a plan."""

    INSIDE = "inside"  # of the band
    BETTER = "better"  # than the band somewhere, and nowhere worse
    WORSE = "worse"
    FAILED = "failed"  # too many requests were not answered
    UNCLEAR = "unclear"  # too few answers; or worse, with a client that was late or a machine that was busy
    MEASURED = "measured"  # there is no plan to compare with


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric, measured beside predicted."""

    metric: str
    unit: str  # s, or /s
    predicted: Band
    measured: float
    spread: Spread | None
    verdict: Verdict  # inside, better or worse
    beyond: float  # how far outside the band, as a share of its nearer edge; 0 inside


def compare(measured: Measured, expected: Expected) -> tuple[Comparison, ...]:
    """Every metric that was measured on enough answers, beside its band. Means are compared, as they are fitted.

    Where the load piles up only the pace is: how long others wait before is a matter of how long it goes on.
    """
    times = [("time per output token", expected.tpot_s, measured.tpot_s)]
    if expected.carried:
        times = [
            ("time to first token", expected.ttft_s, measured.ttft_s),
            *times,
            ("whole answer", expected.answer_s, measured.latency_s),
        ]
    found = [_compared(name, "s", band, seen.mean, seen) for name, band, seen in times if seen and seen.count >= FEWEST]
    if expected.output_per_s is not None and measured.answered >= FEWEST:
        found.append(_compared("output tokens", "/s", expected.output_per_s, measured.output_per_s, None))
    return tuple(found)


def judge(
    measured: Measured, comparisons: Sequence[Comparison] | None, *, others: float = 0.0
) -> tuple[Verdict, tuple[str, ...]]:
    """One verdict on a run, and what must be known to read its numbers.

    Args:
        measured: the run.
        comparisons: with the plan; None where there is none.
        others: share of the CPUs of the machine that serves which other programs took, as far as is known.
    """
    notes: list[str] = []
    failed = measured.requests - measured.answered
    for kind, count in measured.faults.items():
        notes.append(
            f"{count} of {measured.requests} requests failed ({kind}), the first with: {measured.examples[kind]}"
        )
    if measured.late:
        notes.append(
            f"this client was up to {measured.lag_p99_s * 1000:.0f} ms late (99th percentile), so that its numbers are "
            "not the server's alone; give it a machine of its own or a smaller load"
        )
    if others > MOST_OTHERS:
        notes.append(
            f"other programs took {others:.0%} of this machine's CPUs while the service rested; try when it is quiet"
        )
    if measured.pieces_counted:
        notes.append("the server does not count tokens, so the pieces of its answers are counted instead")
    if measured.answered and measured.tpot_s is None:
        notes.append("answers come in one piece, so the time per output token cannot be seen")
    if failed > MOST_FAILED * measured.requests or not measured.answered:
        return Verdict.FAILED, tuple(notes)
    if comparisons is None:
        return Verdict.MEASURED, tuple(notes)
    if not comparisons:
        notes.append(f"{measured.answered} answers are too few to compare; at least {FEWEST} are needed")
        return Verdict.UNCLEAR, tuple(notes)
    found = {one.verdict for one in comparisons}
    if Verdict.WORSE in found:
        excused = measured.late or others > MOST_OTHERS
        return Verdict.UNCLEAR if excused else Verdict.WORSE, tuple(notes)
    return Verdict.BETTER if Verdict.BETTER in found else Verdict.INSIDE, tuple(notes)


def _compared(metric: str, unit: str, band: Band, value: float, seen: Spread | None) -> Comparison:
    more_is_better = unit == "/s"
    if value < band.low:
        verdict, beyond = Verdict.WORSE if more_is_better else Verdict.BETTER, (band.low - value) / band.low
    elif value > band.high:
        verdict, beyond = Verdict.BETTER if more_is_better else Verdict.WORSE, (value - band.high) / band.high
    else:
        verdict, beyond = Verdict.INSIDE, 0.0
    return Comparison(metric, unit, band, value, seen, verdict, beyond)
