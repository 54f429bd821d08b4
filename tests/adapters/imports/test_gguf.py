"""GGUF headers to dimensions: the models of the catalog as llama.cpp's converter writes them, and broken ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gguf
import pytest
from headers import gguf_of, write_gguf

from orchestrator.adapters.catalog import read_catalog
from orchestrator.adapters.imports.gguf import PARTS, read_gguf_model
from orchestrator.api.architecture import Architecture, Dense, Experts, GroupedAttention, Layers, LinearAttention
from orchestrator.core.architecture import parameters
from orchestrator.core.cache import kv_bytes_per_token, state_bytes_per_sequence
from orchestrator.errors import Invalid, Refused

SMALL = Architecture(
    hidden_size=64,
    vocabulary=300,
    layers=(
        Layers(count=3, grouped=GroupedAttention(heads=4, kv_heads=2, head_dim=16), dense=Dense(intermediate_size=96)),
    ),
)


def small(**grouped: Any) -> Architecture:
    """The small model with another attention."""
    layers = SMALL.layers[0]
    assert layers.grouped is not None
    changed = layers.model_copy(update={"grouped": layers.grouped.model_copy(update=grouped)})
    return SMALL.model_copy(update={"layers": (changed,)})


def read(path: Path, family: str, a: Architecture, *, drafts: int = 0, **said: Any) -> Architecture:
    metadata, shapes = gguf_of(a, drafts=drafts)
    return read_gguf_model(write_gguf(path / "model.gguf", family, metadata | said, shapes)).architecture


@pytest.mark.parametrize(
    ("name", "family", "drafts"),
    [
        ("qwen2.5-7b", "qwen2", 0),
        ("qwen3-8b", "qwen3", 0),
        ("qwen3-0.6b", "qwen3", 0),
        ("qwen3-30b-a3b", "qwen3moe", 0),
        ("r1-distill-llama-8b", "llama", 0),
        ("deepseek-v3", "deepseek2", 0),
        ("kimi-k2-instruct", "deepseek2", 0),
        ("glm-4.5-air", "glm4moe", 1),
        ("glm-4.6", "glm4moe", 1),
        ("minimax-m2", "minimax-m2", 0),
        ("ernie-4.5-0.3b", "ernie4_5", 0),
        ("ernie-4.5-21b-a3b", "ernie4_5-moe", 0),
        ("ling-mini-2.0", "bailingmoe2", 0),
    ],
)
def test_a_model_of_the_catalog_reads_as_its_card_says(tmp_path: Path, name: str, family: str, drafts: int) -> None:
    known = read_catalog().models[name].spec.architecture
    assert known is not None

    found = read(tmp_path, family, known, drafts=drafts)

    assert parameters(found) == parameters(known)
    assert kv_bytes_per_token(found, 2) == kv_bytes_per_token(known, 2)
    assert found.draft_layers == drafts
    assert found.other == 0
    assert all(layers.other == 0 for layers in found.layers)


@pytest.mark.parametrize(
    ("family", "a", "said", "windows"),
    [
        pytest.param(
            "gpt-oss", small(window=128, sinks=True), {}, [(2, 128), (1, None)], id="gpt-oss: one slides, one does not"
        ),
        pytest.param("gemma2", small(window=64), {}, [(2, 64), (1, None)], id="gemma 2: the same"),
        pytest.param(
            "gemma3", small(window=64, qk_norm="head"), {}, [(3, 64)], id="gemma 3: five slide, then one does not"
        ),
        pytest.param(
            "llama",
            small(),
            {"attention.sliding_window": 32, "attention.sliding_window_pattern": [True, False, False]},
            [(1, 32), (2, None)],
            id="a pattern for each layer",
        ),
        pytest.param(
            "llama", small(), {"attention.sliding_window": 32}, [(3, None)], id="a window no layer is said to have"
        ),
        pytest.param("phi3", small(), {"attention.sliding_window": 2047}, [(3, None)], id="phi 3: llama.cpp keeps all"),
    ],
)
def test_windows_follow_the_file_or_the_rule_of_the_family(
    tmp_path: Path, family: str, a: Architecture, said: dict[str, Any], windows: list[tuple[int, int | None]]
) -> None:
    found = read(tmp_path, family, a, **said)

    assert [(layers.count, layers.grouped.window) for layers in found.layers if layers.grouped] == windows
    assert parameters(found).total == parameters(a).total


def test_every_bias_and_sink_of_gpt_oss_is_counted(tmp_path: Path) -> None:
    attention = GroupedAttention(heads=4, kv_heads=2, head_dim=16, qkv_bias=True, output_bias=True, sinks=True)
    experts = Experts(routed=8, per_token=2, intermediate_size=32, bias=True, router_bias=True)
    known = SMALL.model_copy(update={"layers": (Layers(count=3, grouped=attention, experts=experts),)})

    assert read(tmp_path, "gpt-oss", known) == known


def test_a_hybrid_keeps_a_state_in_its_linear_layers(tmp_path: Path) -> None:
    linear = LinearAttention(
        form="gated-delta-net", key_heads=2, value_heads=4, key_dim=16, value_dim=16, convolution=4
    )
    experts = Experts(routed=8, per_token=2, intermediate_size=32, shared=1, shared_gate=True)
    full = GroupedAttention(heads=4, kv_heads=2, head_dim=16, gated=True, qk_norm="head")
    layers = (Layers(count=3, linear=linear, experts=experts), Layers(count=1, grouped=full, experts=experts))
    known = SMALL.model_copy(update={"layers": layers})

    found = read(tmp_path, "qwen3next", known)

    assert found == known
    assert state_bytes_per_sequence(found) == 3 * 4 * 16 * 16 * 4


def test_fused_projections_read_as_separate_ones_do(tmp_path: Path) -> None:
    metadata, shapes = gguf_of(SMALL)
    for index in range(3):
        for name in ("attn_q", "attn_k", "attn_v", "ffn_gate"):
            del shapes[f"blk.{index}.{name}.weight"]
        shapes[f"blk.{index}.attn_qkv.weight"] = (128, 64)
        shapes[f"blk.{index}.ffn_up.weight"] = (2 * 96, 64)

    assert read_gguf_model(write_gguf(tmp_path / "phi.gguf", "phi3", metadata, shapes)).architecture == SMALL


def test_heads_may_differ_from_layer_to_layer(tmp_path: Path) -> None:
    metadata, shapes = gguf_of(SMALL)
    shapes["blk.1.attn_k.weight"] = shapes["blk.1.attn_v.weight"] = (16, 64)
    metadata["attention.head_count_kv"] = [2, 1, 2]

    found = read_gguf_model(write_gguf(tmp_path / "model.gguf", "llama", metadata, shapes)).architecture

    assert [(layers.count, layers.grouped.kv_heads) for layers in found.layers if layers.grouped] == [(2, 2), (1, 1)]


def test_the_parts_have_the_names_that_the_gguf_package_gives_them() -> None:
    known = {name.removeprefix("blk.{bid}.") for name in gguf.TENSOR_NAMES.values()}

    assert set(PARTS) <= known


def test_a_split_model_is_read_from_all_its_files(tmp_path: Path) -> None:
    metadata, shapes = gguf_of(SMALL)
    first = dict(list(shapes.items())[:5])
    rest = {name: shape for name, shape in shapes.items() if name not in first}
    split = {"split.count": 2, "split.no": 0}
    path = write_gguf(tmp_path / "big-00001-of-00002.gguf", "llama", metadata | split, first)
    with pytest.raises(Invalid, match=r"big-00002-of-00002\.gguf is not beside"):
        read_gguf_model(path)

    write_gguf(tmp_path / "big-00002-of-00002.gguf", "llama", {"split.count": 2, "split.no": 1}, rest)
    assert read_gguf_model(path).architecture == SMALL

    write_gguf(tmp_path / "big-00002-of-00002.gguf", "llama", {"split.count": 2}, shapes)
    with pytest.raises(Invalid, match="in two of the files"):
        read_gguf_model(path)


class Case(NamedTuple):
    """What is wrong with a file, and what is said about it."""

    family: str
    said: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    error: type[Exception]
    sentence: str


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            Case("rwkv7", {}, {}, Refused, "rwkv7 is not known here; known: llama"), id="another architecture"
        ),
        pytest.param(
            Case("llama", {"block_count": 4}, {}, Invalid, "4 layers, and layer 3 has no tensors"), id="layers lied"
        ),
        pytest.param(Case("llama", {"block_count": 5000}, {}, Invalid, "up to 1000, found 5000"), id="5000 layers"),
        pytest.param(
            Case("llama", {"block_count": "3"}, {}, Invalid, "must be a whole number"), id="text for a number"
        ),
        pytest.param(Case("llama", {"embedding_length": 65}, {}, Invalid, "and its embedding has 64"), id="width lied"),
        pytest.param(Case("llama", {"attention.head_count": 3}, {}, Refused, "and 3 were expected"), id="heads lied"),
        pytest.param(
            Case("llama", {"attention.head_count_kv": 4}, {}, Refused, "and 4 were expected"), id="key-value heads lied"
        ),
        pytest.param(Case("llama", {"attention.key_length": 24}, {}, Refused, "do not divide"), id="head size lied"),
        pytest.param(
            Case("llama", {"attention.head_count_kv": [2, 2]}, {}, Invalid, "one for each layer"), id="too short a list"
        ),
        pytest.param(
            Case("llama", {}, {"blk.1.ffn_down.weight": (64, 95)}, Refused, "widens to 192"), id="uneven forward"
        ),
        pytest.param(
            Case("llama", {}, {"blk.1.attn_q.weight": (63, 63)}, Refused, "no multiple of the width"), id="odd matrix"
        ),
        pytest.param(Case("llama", {}, {"token_embd.weight": (300,)}, Invalid, "embedding"), id="a flat embedding"),
        pytest.param(
            Case(
                "llama",
                {},
                {"blk.1.ffn_down_exps.weight": (4, 64, 8), "blk.1.ffn_up_exps.weight": (4, 8, 64)},
                Refused,
                "how many of its 4 experts",
            ),
            id="experts without a number",
        ),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, case: Case) -> None:
    metadata, good = gguf_of(SMALL)
    path = write_gguf(tmp_path / "model.gguf", case.family, metadata | case.said, good | case.shapes)

    with pytest.raises(case.error, match=case.sentence):
        read_gguf_model(path)
