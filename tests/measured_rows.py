"""Rows with a boring default for every cell, so that a test shows only what matters."""

from __future__ import annotations

from functools import cache

from orchestrator.adapters.catalog import read_catalog
from orchestrator.adapters.measurements import with_measured
from orchestrator.api.kinds import Catalog
from orchestrator.core.performance.case import Case
from orchestrator.core.rows.mapping import cases
from orchestrator.core.rows.row import Row, row_of

CELLS = {
    "id": "1",
    "quality": "ok",
    "device": "nvidia-h100-sxm",
    "units": "1",
    "nodes": "1",
    "model": "Qwen/Qwen3-8B",
    "precision": "BF16",
    "engine": "vLLM",
    "workload": "random 1K input",
    "input_len": "1000",
    "output_len": "100",
    "num_prompts": "100",
    "concurrency": "8",
    "out_tps_total": "500",
    "ttft_ms": "60",
    "tpot_ms": "15",
}


@cache
def the_catalog() -> Catalog:
    """What rows are mapped to."""
    return with_measured(read_catalog())


def a_row(**cells: str) -> Row:
    """A row with these cells."""
    return row_of(CELLS | cells, line=2)


def a_case(**cells: str) -> Case:
    """The case of a row that must map."""
    mapped, skipped = cases([a_row(**cells)], the_catalog())
    assert not skipped, skipped[0].reason
    return mapped[0]


def why_not(**cells: str) -> str:
    """Why a row that must not map is skipped."""
    mapped, skipped = cases([a_row(**cells)], the_catalog())
    assert not mapped
    return skipped[0].reason
