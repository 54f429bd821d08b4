"""Rows of measurements to cases of the performance model; each that cannot be mapped says why. Pure.

A row is mapped when its model, chip, engine, cut, storage and load mean one thing each in the catalog. What had to be
assumed stands in the case's notes. Called by `orchestrator.core.validation` and the commands that fit and validate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace

from orchestrator.api.architecture import Architecture
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.core.architecture import parameters
from orchestrator.core.memory import STORAGE, Memory, chip_memory, reserved_bytes, usable_bytes, whole_bytes
from orchestrator.core.performance.case import Case
from orchestrator.core.performance.runner import Runner
from orchestrator.core.rows.chips import chip_of, reaching
from orchestrator.core.rows.cuts import Cut, cut_of, per_unit
from orchestrator.core.rows.drafts import speculation_of
from orchestrator.core.rows.engines import engine_of
from orchestrator.core.rows.lengths import varied
from orchestrator.core.rows.loads import load_of
from orchestrator.core.rows.models import Names
from orchestrator.core.rows.precision import stored
from orchestrator.core.rows.row import Row, Skipped
from runtimes.errors import Invalid

MOST_SEQUENCES = 4096
USUAL_ROOM = 0.8  # of the sequences memory has room for: what runs, by throughput and time per token of full runs
ROOM = {"SGLang": 0.5}  # keeps room for answers to grow
LARGE_BYTES = 70 << 30  # vLLM runs more sequences on chips with more memory than this, except on an A100
AGREE = 0.4  # share of the sequences in the engine that throughput and times must account for
HOLDS = 1.02  # of a chip's memory; weights that take more were never there
POSSIBLE = 0.9  # a time per token under this share of what reading the weights once takes is no time per token
_NO_MEAN = {
    "tpot": re.compile(r"TPOT (?:is )?(?:the )?(?:P9\d|SLO)", re.IGNORECASE),
    "ttft": re.compile(r"TTFT (?:is )?(?:the )?(?:P9\d|SLO)", re.IGNORECASE),
}
"""Remarks that say a column holds something else than the mean."""

_PICTURES = re.compile(r"(?<![a-z])(?:vl|ocr|vision|image|document)(?![a-z])", re.IGNORECASE)
_LIMIT = re.compile(
    r"--max[-_](?:num[-_]seqs|running[-_]requests|batch[-_]size|num[-_]sequences)[= ](\d{1,6})", re.IGNORECASE
)


def cases(rows: Iterable[Row], catalog: Catalog) -> tuple[tuple[Case, ...], tuple[Skipped, ...]]:
    """Rows as cases, and those that are skipped with the reason, both in the order of the rows."""
    names = Names(catalog.models)
    mapped: list[Case] = []
    skipped: list[Skipped] = []
    for row in rows:
        try:
            mapped.append(_case(row, catalog, names))
        except Invalid as no:
            skipped.append(Skipped(row.id, row.quality, str(no), f"{row.model} on {row.device}, {row.engine}"))
    return tuple(mapped), tuple(skipped)


def _case(row: Row, catalog: Catalog, names: Names) -> Case:
    chip = chip_of(row.device, catalog.profiles)
    named = names.find(row.model)
    _check_page(row, named.model, names)
    if _PICTURES.search(f"{row.model} {row.workload}") and row.input_len is None:
        raise Invalid("pictures are part of the load, and their tokens are not stated")
    a = named.model.spec.architecture
    if a is None:
        raise Invalid("nobody published the model's dimensions")
    program = engine_of(row.engine, row.engine_version, chip.profile, catalog.engines)
    store = stored(row.precision, named.model, row.model, program.engine, row.notes)
    cut = cut_of(row, chip.profile, a, store.quantization, program.engine.spec.program)
    speculation, assumed = speculation_of(row)
    runner = Runner(
        architecture=a,
        quantization=store.quantization,
        profile=reaching(chip.profile, cut.reach),
        engine=program.engine,
        cut=cut.cut,
        nodes=cut.nodes,
        cache_bytes=store.cache_bytes,
        role="decode" if cut.split else "aggregated",
        speculation=speculation,
    )
    whole = whole_bytes(chip.profile)
    if whole is not None and _memory(runner, 0, 1).weights > HOLDS * whole:
        raise Invalid("the weights do not fit on the chips that the row counts or that were assumed")
    if chip.profile.spec.bandwidth.value is None:
        raise Invalid("nobody published the memory bandwidth of the chip")
    row, doubts = _without_impossible(row, runner)
    load = load_of(row, cut.cut, limit(runner, row), split=cut.split)
    case = Case(
        row=row.id,
        model=named.model.metadata.name,
        group=names.group(named.model),
        quality=row.quality,
        runner=runner,
        load=load.kind,
        workload=load.workload,
        concurrency=load.concurrency,
        prompts=load.prompts,
        varied=varied(row),
        accepted=speculation.accepted,
        notes=(*chip.notes, *named.notes, *program.notes, *store.notes, *cut.notes, *assumed, *doubts, *load.notes),
    )
    return _measured(row, case, cut)


def _check_page(row: Row, model: Model, names: Names) -> None:
    """Raise Invalid where a folder of the row's page is called as another model: commands are copied between pages."""
    own = names.group(model)
    for folder in row.path_or_url.split(" ")[0].split("/")[:-1]:
        page = names.exactly(folder)
        if page is not None and names.group(page) != own:
            raise Invalid("the page is about another model than the row names")


def limit(runner: Runner, row: Row) -> float:
    """Sequences the engine runs together at most: what it was told, or comes with, or has memory for."""
    if (match := _LIMIT.search(row.notes)) is not None and int(match[1]):
        told = float(match[1]) * runner.cut.data
    else:
        told = _usual_limit(runner) * runner.cut.data
    context = max(1, round((row.input_len or 0) + (row.output_len or 0) / 2))
    room = _room(runner, context)
    share = ROOM.get(runner.engine.spec.program, USUAL_ROOM)
    return max(1.0, min(told, share * room if room > 0 else told))


def _usual_limit(runner: Runner) -> float:
    program, profile = runner.engine.spec.program, runner.profile
    if program == "vLLM":
        large = (profile.spec.memory.value or 0) >= LARGE_BYTES and "a100" not in profile.metadata.name
        return 1024 if large else 256
    if program == "SGLang" and runner.speculation.guessed:
        return 48
    known = {"vLLM-Ascend": 256, "LMDeploy": 256, "TensorRT-LLM": 2048}
    return known.get(program, MOST_SEQUENCES)


def _room(runner: Runner, context_tokens: int) -> float:
    """Sequences that find room in memory; 0 or less where by our count not even one does."""
    usable = usable_bytes(runner.profile)

    ranks = runner.cut.data
    none, one = (_memory(runner, sequences, context_tokens).total for sequences in (0, ranks))
    return math.floor((usable - none) / (one - none)) * ranks if one > none else MOST_SEQUENCES * ranks


def _memory(runner: Runner, sequences: int, context_tokens: int) -> Memory:
    """What the fullest chip holds."""
    return chip_memory(
        runner.architecture,
        runner.quantization,
        runner.cut,
        sequences=sequences,
        context_tokens=context_tokens,
        reserved_bytes=reserved_bytes(runner.profile),
        board=runner.profile.spec.place == "edge",
    )


def _measured(row: Row, case: Case, cut: Cut) -> Case:
    """The case with what was measured, without what cannot be meant. Raises Invalid when nothing is left."""
    units = cut.units or case.runner.cut.chips
    notes = case.notes
    output = row.out_tps_total or (row.out_tps_per_unit * units if row.out_tps_per_unit and not cut.split else None)
    tpot = row.tpot_ms / 1000 if row.tpot_ms and not _NO_MEAN["tpot"].search(row.notes) else None
    ttft = row.ttft_ms / 1000 if row.ttft_ms and not cut.split and not _NO_MEAN["ttft"].search(row.notes) else None
    total = row.total_tps
    if per_unit(row):
        output, total = (rate and rate * units for rate in (row.out_tps_total or row.out_tps_per_unit, total))
    if case.load == "burst" and tpot and ttft and output:
        running = output / case.workload.output_tokens * (ttft + tpot * (case.workload.output_tokens - 1))
        if running < AGREE * case.concurrency:
            tpot, ttft, notes = None, None, (*notes, "times and throughput contradict each other; throughput is taken")
    if cut.split:
        output, total = (None, None) if tpot else (output, total)
        notes = (*notes, "prompts are read by other chips; decoding alone is predicted")
    if case.load == "prefill":
        tpot, output = None, None
        total = total or (row.out_tps_per_unit * units if row.out_tps_per_unit else None)
    if tpot is None and ttft is None and output is None and total is None:
        raise Invalid("no time and no throughput is stated")
    return replace(case, tpot_s=tpot, ttft_s=ttft, output_per_s=output, total_per_s=total, notes=notes)


def _without_impossible(row: Row, runner: Runner) -> tuple[Row, tuple[str, ...]]:
    """The row without times that cannot be meant. Raises Invalid where the load follows from them alone."""
    shortest = [one for one in (row.tpot_ms, row.tpot_ms_median) if one]
    if not shortest or min(shortest) / 1000 >= POSSIBLE * _reading_s(runner):
        return row, ()
    if row.num_prompts and (row.concurrency or 0) < row.num_prompts:
        raise Invalid("the time per token is shorter than reading the weights once takes, and the load is not stated")
    note = "the stated time per token is shorter than reading the weights once takes; throughput is taken"
    return replace(row, tpot_ms=None, tpot_ms_median=None, ttft_ms=None), (note,)


def _reading_s(runner: Runner) -> float:
    """Seconds to read what one token needs of the weights once, at the full bandwidth, for each token of a step."""
    a: Architecture = runner.architecture
    p, s = parameters(a), STORAGE[runner.quantization]
    each = min(s.of(p), s.body if s.experts is None else s.experts)
    read = (p.body * each + p.head * each) / runner.cut.chips
    return read / runner.profile.spec.bandwidth.known / (1 + runner.speculation.guessed)
