"""A measured load as sums of steps: what each figure of a case weighs of which steps. Pure.

Every figure is linear in the times of a few steps once the case is known, so that predicting a row and fitting factors
to thousands of them share one description. Called by `orchestrator.core.fitting` and `orchestrator.core.validation`.

Where conversations were replayed, answers are of very different lengths: the batch thins out, the longest answers keep
the engine busy with few sequences, and the shortest wait for the prompts of others as long as the rest. Answers of
equal length end together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from orchestrator.api.calibration import Factors
from orchestrator.core.performance.case import Case
from orchestrator.core.performance.compiling import compile_terms
from orchestrator.core.performance.roofline import rates, seconds
from orchestrator.core.performance.serving import enter, is_exclusive, lanes, met_share
from orchestrator.core.performance.terms import Terms, Work

Lengths = tuple[tuple[float, float], ...]
"""Share of the answers, and their length over the mean; shortest first."""

EQUAL: Lengths = ((1.0, 1.0),)
CONVERSATION: Lengths = (  # ShareGPT as benchmarks replay it: a log-normal of deviation 1.2, cut off at five means
    (0.1, 0.02),
    (0.1, 0.07),
    (0.1, 0.19),
    (0.1, 0.325),
    (0.1, 0.5),
    (0.1, 0.725),
    (0.1, 1.025),
    (0.1, 1.475),
    (0.1, 2.15),
    (0.08, 3.1),
    (0.02, 5.2),
)
ROUNDS = 10  # requests of each client in a closed loop that does not say how many


class Weighed(NamedTuple):
    """One step and how often it counts in each figure."""

    work: Work
    tpot: float
    waited: float  # in the time per token, as prompts of others
    first: float
    queued: float  # in the first token, as a queue
    run: float  # in the whole run


@dataclass(frozen=True, slots=True)
class Sum:
    """A case as weighed steps, and the tokens of its whole run."""

    terms: Terms
    steps: tuple[Weighed, ...]
    output_tokens: float
    total_tokens: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What a case is predicted to show."""

    tpot_s: float
    ttft_s: float
    output_per_s: float
    total_per_s: float


def figures(case: Case, factors: Factors) -> Figures:
    """Predict a case with these factors. Raises ValueError when the chip's bandwidth is unknown."""
    return figures_of(weigh(case), factors)


def figures_of(weighed: Sum, factors: Factors) -> Figures:
    """Predict a case that was weighed before."""
    r = rates(weighed.terms, factors)
    tpot = waited = first = queued = run = 0.0
    for step in weighed.steps:
        time = seconds(step.work, r)
        tpot += step.tpot * time
        waited += step.waited * time
        first += step.first * time
        queued += step.queued * time
        run += step.run * time
    whole = run + factors.first
    return Figures(
        tpot + factors.mixing * waited,
        factors.first + first + factors.queue * queued,
        weighed.output_tokens / whole,
        weighed.total_tokens / whole,
    )


def weigh(case: Case) -> Sum:
    """Describe a case as steps."""
    terms = compile_terms(case.runner)
    match case.load:
        case "closed":
            return _closed(case, terms)
        case "burst":
            return _burst(case, terms)
        case "step":
            return _step(case, terms)
        case "prefill":
            return _prefill(case, terms)


def _places(case: Case) -> int:
    return case.runner.cut.data * case.runner.cut.pipeline


def _lanes(case: Case) -> float:
    return lanes(case.runner, case.workload, case.concurrency)


def _closed(case: Case, terms: Terms) -> Sum:
    work, yielded = case.workload, 1 + case.accepted
    running = max(1.0, case.concurrency / _lanes(case))
    answer = max(1, work.output_tokens)
    context = work.input_tokens + answer / 2
    decode = terms.work(running, context)
    if case.runner.role == "decode":
        alone = (Weighed(decode, 1 / yielded, 0, 1, 0, answer / yielded),)
        return Sum(terms, alone, case.concurrency * answer, case.concurrency * (answer + work.input_tokens))
    p = enter(case.runner, case.workload, (running - 1) * yielded / answer)
    exclusive = is_exclusive(case.runner)
    mixed = terms.work(0 if exclusive else running, context, p.tokens, p.seen)
    share = met_share(case.runner)
    others = (running - 1) * p.pieces / answer * share
    others = others if exclusive else min(others, 1 / yielded)
    own = max(1.0, p.pieces)
    burst = (running - 1) / 2 * p.pieces / (_rounds(case) if share == 1 else 1)
    back = 0.0 if exclusive else 1.0  # of a mixed step, what decoding alone would have taken
    steps = (
        Weighed(
            decode,
            1 / yielded,
            -back * others,
            0.5 if running > 1 else 0,
            -back * burst,
            answer / yielded if exclusive else max(0.0, answer / yielded + own - running * p.pieces),
        ),
        Weighed(mixed, 0, others, own, burst, running * p.pieces),
    )
    return Sum(terms, steps, case.concurrency * answer, case.concurrency * (answer + work.input_tokens))


def _rounds(case: Case) -> float:
    return max(1.0, case.prompts / case.concurrency) if case.prompts else ROUNDS


def _burst(case: Case, terms: Terms) -> Sum:
    work, yielded = case.workload, 1 + case.accepted
    prompts = max(1.0, (case.prompts or case.concurrency) / _lanes(case))
    slots = max(1.0, min(prompts, case.concurrency / _lanes(case)))
    answer = max(1, work.output_tokens)
    decoded = answer / yielded  # steps of one answer
    context = work.input_tokens + answer / 2
    p = enter(case.runner, case.workload, prompts)
    exclusive = is_exclusive(case.runner)
    back = 0.0 if exclusive else 1.0  # of a step with prompts, what decoding alone would have taken
    reading = terms.work(0 if exclusive else slots / 2, context, p.tokens, p.seen)
    beside = terms.work(slots / 2, context)
    waves = prompts / slots
    lengths = CONVERSATION if case.varied else EQUAL
    first_wave = slots * p.pieces  # steps with prompts until every slot is taken
    others = (slots - 1) * p.pieces / decoded  # steps with prompts of others for each of one's own
    if exclusive:
        met = (1 - 1 / waves) * others * met_share(case.runner) + others / 2 / waves * sum(
            share / length for share, length in lengths
        )
    else:
        met = (1 - 1 / waves) * min(1.0, others) + _meets(others, lengths) / waves
    queue = first_wave / 2 + (prompts - slots) / 2 * p.pieces
    full = (waves - 1) * decoded  # steps with every slot taken, before the last answers thin out
    steps = [
        Weighed(beside, 0, -back * met / yielded, 0, -back * queue, -back * prompts * p.pieces),
        Weighed(reading, 0, met / yielded, max(1.0, p.pieces), queue, prompts * p.pieces),
    ]
    if full > 0:
        steps.append(Weighed(terms.work(slots, context), (1 - 1 / waves) / yielded, 0, full / 2, 0, full))
    for size, share, length in _thinning(lengths):
        now = terms.work(max(1.0, size * slots), context)
        steps.append(Weighed(now, share / waves / yielded, 0, 0, 0, length * decoded))
    runs = case.prompts or case.concurrency
    return Sum(terms, tuple(steps), runs * answer, runs * (answer + work.input_tokens))


def _meets(reading: float, lengths: Lengths) -> float:
    """Mean over requests of the share of an answer's steps that carry prompts of others.

    Args:
        reading: steps with prompts, in mean answers; a request comes in anywhere among them.
        lengths: of answers.
    """
    return sum(
        share * (reading / 2 / length if reading < length else 1 - length / 2 / reading) for share, length in lengths
    )


@cache
def _thinning(lengths: Lengths) -> tuple[tuple[float, float, float], ...]:
    """How a batch thins out, stage by stage.

    Each stage is the share of the batch that runs, the mean over requests of the share of their steps in it, and how
    long it is, in mean answers.
    """
    stages = []
    begin, left = 0.0, 1.0
    for index, (share, end) in enumerate(lengths):
        lived = sum(s * (end - begin) / length for s, length in lengths[index:])
        stages.append((left, lived, end - begin))
        begin, left = end, left - share
    return tuple(stages)


def _step(case: Case, terms: Terms) -> Sum:
    running = max(1.0, case.concurrency / _places(case))
    yielded = 1 + case.accepted
    steps: tuple[Weighed, ...] = (
        Weighed(terms.work(running, case.workload.input_tokens), 1 / yielded, 0, 1, 0, 1 / yielded),
    )
    return Sum(terms, steps, case.concurrency, case.concurrency)


def _prefill(case: Case, terms: Terms) -> Sum:
    prompts = max(1.0, case.concurrency / _places(case))
    p = enter(case.runner, case.workload, prompts)
    reading = terms.work(0, 0, p.tokens, p.seen)
    count = prompts * p.pieces
    steps = (Weighed(reading, 0, 0, max(1.0, p.pieces), max(0.0, count - p.pieces) / 2, count),)
    tokens = case.concurrency * case.workload.input_tokens
    return Sum(terms, steps, tokens, tokens)
