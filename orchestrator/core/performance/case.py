"""One measured row on the terms of the performance model, so that it can be predicted, compared and fitted. Pure.

Rows are mapped to cases by `orchestrator.core.rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.core.performance.runner import Runner, Workload


@dataclass(frozen=True, slots=True)
class Case:
    """What was run, how it was loaded, and what was measured.

    Attributes:
        row: id of the row.
        model: catalog name.
        group: models that share an architecture and are held out together (DeepSeek-V3 and R1), else the model.
        quality: how far the row can be trusted, as the file says.
        load: `closed`: so many requests at all times; `burst`: `prompts` requests at once, at most `concurrency` of
            them in the engine; `step`: one decode step of `concurrency` sequences, no prefill beside it;
            `prefill`: prompts alone.
        concurrency: requests in the engine of one deployment, over all its data ranks.
        prompts: requests of the whole run, where the row says.
        accepted: tokens that speculative decoding yields per step beyond the first; 0 without.
        tpot_s: per output token after the first, mean over requests.
        ttft_s: until the first token, queue included.
        output_per_s: tokens of answers per second, of the whole deployment.
        total_per_s: prompt and answer tokens per second, of the whole deployment.
    """

    row: str
    model: str
    group: str
    quality: str
    runner: Runner
    load: Literal["closed", "burst", "step", "prefill"]
    workload: Workload
    concurrency: float
    prompts: int | None = None
    accepted: float = 0.0
    tpot_s: float | None = None
    ttft_s: float | None = None
    output_per_s: float | None = None
    total_per_s: float | None = None
    varied: bool = False  # answers are of very different lengths, as in conversations
    notes: tuple[str, ...] = ()  # what was assumed to map it
