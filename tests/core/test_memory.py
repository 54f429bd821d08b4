"""Bytes of weights, caches and whole replicas, exact."""

from __future__ import annotations

import pytest
from worlds import GIB, MIB, a_profile, an_architecture, an_artifact

from orchestrator.adapters.catalog import read_catalog
from orchestrator.core.cache import index_bytes_per_token, kv_bytes_per_token
from orchestrator.core.memory import (
    EDGE_RUNTIME_BYTES,
    STORAGE,
    chip_memory,
    edge_memory,
    usable_bytes,
    weight_bytes,
)
from orchestrator.core.performance import compute_peak
from orchestrator.core.world import Parallelism


@pytest.mark.parametrize(
    ("model", "bytes_per_number", "per_token"),
    [
        pytest.param("smollm2-135m-instruct", 2, 23_040, id="SmolLM2: 2 x 30 layers x 3 heads x 64 x 2 bytes"),
        pytest.param("qwen3-0.6b", 2, 114_688, id="Qwen3: 2 x 28 layers x 8 heads x 128 x 2 bytes"),
        pytest.param("deepseek-v3.2-exp", 2, 70_272 + 8_052, id="DeepSeek: 61 x 576 x 2 bytes, and the index's keys"),
    ],
)
def test_the_cache_of_one_token_is(model: str, bytes_per_number: float, per_token: int) -> None:
    a = read_catalog().models[model].spec.architecture
    assert a is not None

    assert kv_bytes_per_token(a, bytes_per_number) + index_bytes_per_token(a) == per_token


def test_deepseek_in_w8a8_has_673_731_287_296_bytes_of_weights() -> None:
    a = read_catalog().models["deepseek-v3.2-exp"].spec.architecture
    assert a is not None

    assert weight_bytes(a, "w8a8") == 673_731_287_296


@pytest.mark.parametrize(
    ("cut", "fits"),
    [
        pytest.param(Parallelism(tensor=8, expert=True), False, id="one node is not enough"),
        pytest.param(Parallelism(tensor=8, data=2, expert=True), True, id="two nodes are"),
    ],
)
def test_deepseek_in_w8a8_on_nodes_of_eight_910b3(cut: Parallelism, *, fits: bool) -> None:
    catalog = read_catalog()
    a = catalog.models["deepseek-v3.2-exp"].spec.architecture
    assert a is not None

    need = chip_memory(a, "w8a8", cut, sequences=1, context_tokens=4096)

    assert (need.total <= usable_bytes(catalog.profiles["ascend-910b3"])) is fits


def test_an_estimate_is_weights_cache_activations_and_the_runtime() -> None:
    a = an_architecture()

    memory = edge_memory(a, "int4", None, sequences=2, context_tokens=100)

    assert (memory.weights, memory.kv_cache, memory.engine, memory.measured) == (
        weight_bytes(a, "int4"),
        2 * 100 * 2 * 2 * 2 * 16 * 4,
        EDGE_RUNTIME_BYTES,
        False,
    )


def test_measured_needs_replace_the_estimate() -> None:
    needs = an_artifact(resident=77 * MIB).manifest.needs

    memory = edge_memory(an_architecture(), "int4", needs, sequences=2, context_tokens=100)

    assert (memory.weights, memory.kv_cache, memory.measured) == (needs.weights_bytes, 2 * 100 * 512, True)
    assert memory.weights + memory.engine == 77 * MIB


@pytest.mark.parametrize(
    ("kind", "usable"),
    [
        pytest.param("cpu", 4 * GIB, id="a machine's memory is what may be planned"),
        pytest.param("npu", int(4 * GIB * 0.92), id="an engine leaves 8 percent of a chip alone"),
    ],
)
def test_usable_memory(kind: str, usable: int) -> None:
    assert usable_bytes(a_profile(kind=kind)) == usable


@pytest.mark.parametrize(
    ("cut", "share"),
    [
        pytest.param(Parallelism(tensor=1), 1, id="whole on one chip"),
        pytest.param(Parallelism(tensor=2), 2, id="one head's cache per chip"),
        pytest.param(Parallelism(tensor=4), 2, id="two heads cannot be cut in four"),
        pytest.param(Parallelism(tensor=2, pipeline=2), 4, id="half the layers and one head"),
        pytest.param(Parallelism(data=2), 2, id="half the sequences"),
    ],
)
def test_the_cache_is_cut(cut: Parallelism, share: int) -> None:
    whole = chip_memory(an_architecture(), "bf16", Parallelism(), sequences=4, context_tokens=100).kv_cache

    assert chip_memory(an_architecture(), "bf16", cut, sequences=4, context_tokens=100).kv_cache == whole // share


@pytest.mark.parametrize("quantization", sorted(STORAGE))
def test_every_quantization_that_can_be_stored_has_arithmetic(quantization: str) -> None:
    peaks = {
        dtype: {"value": "1TFLOPS", "status": "vendor"}
        for dtype in ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "fp4")
    }

    assert compute_peak(a_profile(peaks=peaks), quantization) == 1e12
