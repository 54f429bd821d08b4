"""Bytes of weights, caches and whole replicas, exact."""

from __future__ import annotations

import math
from typing import Any

import pytest
from worlds import GIB, MIB, a_pool, a_profile, an_architecture, an_artifact

from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.architecture import Architecture
from orchestrator.api.quantization import Quantization
from orchestrator.api.site import Pool
from orchestrator.core.architecture import parameters
from orchestrator.core.cache import index_bytes_per_token, kv_bytes_per_token
from orchestrator.core.memory import (
    EDGE_RUNTIME_BYTES,
    GRAPH_BYTES,
    STORAGE,
    chip_memory,
    edge_memory,
    usable_bytes,
    weight_bytes,
    whole_bytes,
)
from orchestrator.core.performance.arithmetic import compute_peak
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
    ("model", "quantization", "published"),
    [
        pytest.param("kimi-k2-instruct", "fp8", 1_029_173_256_720, id="Kimi-K2 in FP8"),
        pytest.param("kimi-k2-thinking", "int4-experts", 594_205_920_512, id="Kimi-K2-Thinking with experts in INT4"),
        pytest.param("kimi-k3", "mxfp4-experts", 1_560_860_324_864, id="Kimi-K3 with experts in MXFP4"),
        pytest.param("qwen3-32b", "w4a16", 19_330_000_000, id="Qwen3-32B in AWQ"),
    ],
)
def test_weights_take_what_the_published_files_hold(model: str, quantization: Quantization, published: int) -> None:
    a = read_catalog().models[model].spec.architecture
    assert a is not None

    assert weight_bytes(a, quantization) == pytest.approx(published, rel=1e-3)


def test_a_byte_for_each_weight_is_a_byte_whatever_the_arithmetic() -> None:
    assert weight_bytes(an_architecture(), "w8a16") == weight_bytes(an_architecture(), "w8a8")


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


def test_the_edge_engine_keeps_what_a_window_has_left_behind() -> None:
    whole = an_architecture()
    (layers,) = whole.layers
    windowed = layers.model_copy(update={"grouped": layers.grouped.model_copy(update={"window": 10})})
    a = whole.model_copy(update={"layers": (windowed,)})

    kept = [edge_memory(one, "int4", None, sequences=2, context_tokens=100).kv_cache for one in (a, whole)]

    assert kept[0] == kept[1]


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
    ("chip", "node", "whole"),
    [
        pytest.param({}, {}, 4 * GIB, id="what the profile says"),
        pytest.param(
            {"allocatable": {"value": "3GiB", "status": "measured"}}, {}, 3 * GIB, id="what programs can have"
        ),
        pytest.param({}, {"memory": "6GiB"}, 6 * GIB, id="what the node's tool reports"),
        pytest.param({}, {"memory": "6GiB", "slice": "2GiB"}, 2 * GIB, id="a slice"),
    ],
)
def test_the_memory_of_a_chip_is(chip: dict[str, Any], node: dict[str, Any], whole: int) -> None:
    assert whole_bytes(a_profile("npu", kind="npu", **chip), Pool.model_validate(a_pool("npu") | node)) == whole


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


@pytest.mark.parametrize(
    ("cut", "board", "buffers", "tokens"),
    [
        pytest.param(Parallelism(), False, 3.5 * GIB, 4096, id="graphs, on one chip"),
        pytest.param(Parallelism(tensor=2), False, 4 * GIB, 4096, id="graphs and what several chips tell each other"),
        pytest.param(Parallelism(), True, 256 * MIB, 512, id="the runtime of a board, and shorter steps"),
    ],
)
def test_beside_weights_and_cache_a_chip_holds(cut: Parallelism, buffers: int, tokens: int, *, board: bool) -> None:
    need = chip_memory(an_architecture(), "bf16", cut, sequences=1, context_tokens=1, board=board)

    assert (need.buffers, need.activations, need.engine) == (buffers, tokens * 64 * 12 * 2, 0)
    assert need.total == need.weights + need.kv_cache + need.buffers + need.activations


def parts(**fields: Any) -> tuple[Architecture, int, int]:
    """An architecture with its bytes in bf16: the table, and all layers with the last norm."""
    a = an_architecture(**fields)
    p = parameters(a)
    return a, p.embedding * 2, p.dense * 2


@pytest.mark.parametrize("tied", [False, True], ids=["a head of its own", "a tied head, which the last stage copies"])
def test_the_fullest_stage_has_the_odd_layer_and_one_table(*, tied: bool) -> None:
    a, table, layers = parts(layers=3, tied_embeddings=tied)

    need = chip_memory(a, "bf16", Parallelism(tensor=2, pipeline=2), sequences=1, context_tokens=1)

    assert need.weights == math.ceil((layers * 2 / 3 + table) / 2)
    assert need.kv_cache == 2 * 2 * 16 * 2  # two of three layers, one of two heads


def test_what_stands_beside_the_decoder_is_in_the_first_stage() -> None:
    a, table, layers = parts(beside=[{"name": "eye", "parameters": 1000}])

    assert chip_memory(a, "bf16", Parallelism(), sequences=1, context_tokens=1).weights == layers + table + 2000
    two = chip_memory(a, "bf16", Parallelism(pipeline=2), sequences=1, context_tokens=1)
    assert two.weights == layers / 2 + table + 2000


@pytest.mark.parametrize(
    ("cut", "over"),
    [
        pytest.param(Parallelism(tensor=2, data=2, expert=True), 4, id="over all chips"),
        pytest.param(Parallelism(tensor=2, data=2), 2, id="over the tensor group, once for each data rank"),
        pytest.param(Parallelism(tensor=2, pipeline=2, expert=True), 4, id="over the chips of a stage"),
    ],
)
def test_experts_are_spread(cut: Parallelism, over: int) -> None:
    few, many = ({"routed": n, "per_token": 1, "intermediate_size": 64} for n in (4, 8))
    fewer, more = (
        chip_memory(an_architecture(experts=e), "bf16", cut, sequences=1, context_tokens=1) for e in (few, many)
    )
    four_experts_and_their_routing = 2 * 2 * (4 * 3 * 64 * 64 / over + 4 * 64 / (2 * cut.pipeline))

    assert more.weights - fewer.weights == four_experts_and_their_routing


@pytest.mark.parametrize(
    ("quantization", "tables"),
    [
        pytest.param("bf16", 2.0, id="a tied head is the table"),
        pytest.param("gguf-q4", 0.82, id="llama.cpp keeps one table, as wide as the head"),
        pytest.param("int8", 4 + 1.125, id="the edge build keeps a wide table and a narrow head"),
    ],
)
def test_a_tied_head(quantization: Quantization, tables: float) -> None:
    a = an_architecture(vocabulary=1000)
    more = an_architecture(vocabulary=2000)

    assert weight_bytes(more, quantization) - weight_bytes(a, quantization) == pytest.approx(64_000 * tables, abs=1)


@pytest.mark.parametrize("quantization", sorted(STORAGE))
def test_every_quantization_that_can_be_stored_has_arithmetic(quantization: str) -> None:
    peaks = {
        dtype: {"value": "1TFLOPS", "status": "vendor"}
        for dtype in ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "fp4")
    }

    assert compute_peak(a_profile(peaks=peaks), quantization) == 1e12


@pytest.mark.parametrize(
    ("reserved", "buffers"),
    [
        pytest.param(0, GRAPH_BYTES, id="nothing left alone: graphs are added"),
        pytest.param(GIB, GRAPH_BYTES - GIB, id="the rest of the graphs is added"),
        pytest.param(8 * GIB, 0, id="graphs lie in what the engine leaves alone"),
    ],
)
def test_captured_graphs_lie_in_the_reserve_first(reserved: int, buffers: int) -> None:
    one = chip_memory(
        an_architecture(), "bf16", Parallelism(), sequences=1, context_tokens=100, reserved_bytes=reserved
    )

    assert one.buffers == buffers


def test_four_bit_weights_with_eight_bit_activations_are_experts_or_the_whole_of_a_dense_model() -> None:
    experts = {"routed": 8, "per_token": 2, "intermediate_size": 32}

    dense, mixture = weight_bytes(an_architecture(), "w4a8"), weight_bytes(an_architecture(experts=experts), "w4a8")

    assert dense == weight_bytes(an_architecture(), "w4a16")
    assert weight_bytes(an_architecture(experts=experts), "w4a16") < mixture
    assert mixture < weight_bytes(an_architecture(experts=experts), "w8a8")
