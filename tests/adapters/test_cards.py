"""Cards of weights that are in no catalog: what is read from a folder or a header, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from weights import WEIGHTS

from orchestrator.adapters.cards import card_from_source
from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.architecture import Architecture
from orchestrator.core.architecture import parameters
from orchestrator.errors import Invalid, Refused

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 500,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "torch_dtype": "float16",
}
PARAMETERS = 500 * 64 + 64 + 2 * (64 * (4 + 4) * 32 + 4 * 32 * 64 + 2 * 32 + 2 * 64 + 3 * 64 * 128)


def a_folder(path: Path, *, weights: int = PARAMETERS, without: str = "", **changes: Any) -> Path:
    """A Hugging Face folder with as many weights as said; a change to None removes the field."""
    path.mkdir()
    config = {key: value for key, value in (CONFIG | changes).items() if value is not None}
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text("{}")
    header = json.dumps({"all": {"dtype": "F16", "shape": [weights], "data_offsets": [0, 2 * weights]}}).encode()
    with (path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2 * weights)
    if without:
        (path / without).unlink()
    return path


def card(source: Path | str, store: Path, licence: str = "MIT") -> Any:
    return card_from_source(str(source), licence, store)


def test_a_gguf_header_says_the_same_as_the_catalog(tmp_path: Path) -> None:
    found, known = card(WEIGHTS, tmp_path).spec, read_catalog().models["smollm2-135m-instruct"].spec

    assert found.architecture == known.architecture
    assert found.context == known.context
    assert parameters(found.architecture).total == 134_515_008


def test_a_folder_says_its_dimensions(tmp_path: Path) -> None:
    found = card(a_folder(tmp_path / "My Model_v1.5"), tmp_path)
    a = found.spec.architecture

    assert found.metadata.name.rpartition("-")[0] == "my-model-v1.5"
    (layers,) = a.layers
    g = layers.grouped

    assert (layers.count, g.heads, g.kv_heads, g.head_dim, a.vocabulary) == (2, 4, 2, 32, 500)
    assert (a.tied_embeddings, g.qk_norm, g.qkv_bias) == (True, "head", False)
    assert (found.spec.native, found.spec.context, found.spec.licence.spdx) == ("fp16", 256, "MIT")
    assert found.spec.published.total == PARAMETERS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_key_value_heads": None},
            {"kv_heads": 4, "qk_norm": "none"},
            id="as many key heads as heads",
        ),
        pytest.param(
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "head_dim": None},
            {"head_dim": 16, "qk_norm": "none"},
            id="head size from the width",
        ),
        pytest.param(
            {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"},
            {"qkv_bias": True, "qk_norm": "none"},
            id="qwen2",
        ),
        pytest.param({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, {"qk_norm": "none"}, id="llama"),
        pytest.param({"tie_word_embeddings": None}, {"tied_embeddings": False}, id="a head of its own"),
    ],
)
def test_what_a_config_leaves_out_is_what_the_family_means(
    tmp_path: Path, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    whole = card(a_folder(tmp_path / "whole"), tmp_path).spec.architecture
    weights = parameters(changed(whole, expected)).total
    found = card(a_folder(tmp_path / "model", weights=weights, **changes), tmp_path).spec.architecture

    assert found == changed(whole, expected)


def test_the_context_is_the_one_that_is_built(tmp_path: Path) -> None:
    longer = {"type": "longrope", "short_factor": [1.0] * 16, "long_factor": [4.0] * 16}
    folder = a_folder(tmp_path / "model", rope_scaling=longer, original_max_position_embeddings=64)

    assert card(folder, tmp_path).spec.context == 64


def changed(architecture: Architecture, fields: dict[str, Any]) -> Architecture:
    """The same model with other attention, or another head."""
    (layers,) = architecture.layers
    attention = {name: value for name, value in fields.items() if name in type(layers.grouped).model_fields}
    outside = {name: value for name, value in fields.items() if name not in attention}
    grouped = layers.grouped.model_copy(update=attention)
    return architecture.model_copy(update={"layers": (layers.model_copy(update={"grouped": grouped}),), **outside})


def test_the_name_follows_content_and_licence_not_the_place(tmp_path: Path) -> None:
    first = card(a_folder(tmp_path / "model"), tmp_path)
    (tmp_path / "elsewhere").mkdir()
    moved = card(a_folder(tmp_path / "elsewhere" / "model"), tmp_path)
    other = card(a_folder(tmp_path / "elsewhere" / "other", max_position_embeddings=512), tmp_path)

    assert moved.metadata.name == first.metadata.name
    assert card(tmp_path / "model", tmp_path, "Apache-2.0").metadata.name != first.metadata.name
    assert other.metadata.name.rpartition("-")[2] != first.metadata.name.rpartition("-")[2]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        pytest.param({"architectures": ["MixtralForCausalLM"]}, Refused, "MixtralForCausalLM", id="unknown family"),
        pytest.param({"architectures": None}, Refused, "LlamaForCausalLM", id="no family"),
        pytest.param({"quantization_config": {"bits": 4}}, Refused, "quantized already", id="quantized"),
        pytest.param({"hidden_size": "64"}, Invalid, "hidden_size", id="text for a number"),
        pytest.param({"num_hidden_layers": -2}, Invalid, "num_hidden_layers", id="negative"),
        pytest.param({"vocab_size": 10**30}, Invalid, "vocab_size", id="absurd"),
        pytest.param({"vocab_size": math.nan}, Invalid, "NaN is no number", id="no number"),
        pytest.param({"num_hidden_layers": 90_000}, Invalid, "1000", id="too many layers"),
        pytest.param({"num_key_value_heads": 3}, Invalid, "multiple", id="heads that do not divide"),
        pytest.param({"hidden_size": 6400}, Invalid, "one of them is wrong", id="dimensions of another model"),
        pytest.param({"without": "tokenizer.json"}, Invalid, "tokenizer.json", id="no tokenizer"),
        pytest.param({"without": "model.safetensors"}, Invalid, "safetensors", id="no weights"),
        pytest.param({"without": "config.json"}, Invalid, "config.json", id="no config"),
    ],
)
def test_a_folder_that_cannot_be_planned_is_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    folder = a_folder(tmp_path / "model", **changes)

    with pytest.raises(error, match=said) as told:
        card(folder, tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hf://no/such", "without its files"),
        ("hf://no", "organisation/name"),
        ("package://no_such_package/x.gguf", "not installed"),
        ("absent.gguf", "no such file"),
        (".", "config.json"),
    ],
)
def test_a_source_with_nothing_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(Invalid, match=said):
        card(source, tmp_path / "store")


def test_a_licence_too_long_to_be_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="licence"):
        card(a_folder(tmp_path / "model"), tmp_path, "x" * 121)
