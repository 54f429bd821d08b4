"""GGUF weights and settings to a Hugging Face directory, against the model they came from."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

from runtimes.build.gguf_file import read_gguf
from runtimes.build.gguf_weights import settings_of, write_directory
from runtimes.errors import Invalid, Refused

NUMBERS = {
    "embedding_length": 64,
    "feed_forward_length": 128,
    "block_count": 4,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 16,
    "context_length": 128,
}
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def unheard(*_: int) -> None:
    """Progress that nobody follows."""


def llama_cpp_name(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, layer, part = stem.split(".", 3)
        return f"blk.{layer}.{NAMES[part]}.{ending}"
    return f"{NAMES[stem]}.{ending}"


def interleaved(weights: np.ndarray, heads: int) -> np.ndarray:
    """The order of rows that llama.cpp's converter gives query and key weights of Llama models."""
    rows = weights.reshape(heads, 2, weights.shape[0] // heads // 2, weights.shape[1])
    return rows.swapaxes(1, 2).reshape(weights.shape)


def write_gguf(path: Path, kind: str, weights: dict[str, np.ndarray], **changed: object) -> Path:
    writer = gguf.GGUFWriter(path, kind)
    for key, value in NUMBERS.items():
        writer.add_uint32(f"{kind}.{key}", changed.get(key, value))
    writer.add_float32(f"{kind}.attention.layer_norm_rms_epsilon", 1e-6)
    if "scaling" in changed:
        writer.add_string(f"{kind}.rope.scaling.type", changed["scaling"])
    for name, tensor in weights.items():
        placed = tensor
        if kind == "llama" and name.endswith("q_proj.weight"):
            placed = interleaved(tensor, 4)
        if kind == "llama" and name.endswith("k_proj.weight"):
            placed = interleaved(tensor, 2)
        writer.add_tensor(llama_cpp_name(name), placed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
@pytest.mark.filterwarnings("ignore")  # importing transformers warns
def test_weights_and_settings_come_back_as_they_were(tmp_path, tiny_model, kind):
    source = tiny_model(kind)
    weights = load_file(source / "model.safetensors")
    made = read_gguf(write_gguf(tmp_path / "tiny.gguf", kind, weights))
    (tmp_path / "out").mkdir()

    write_directory(made, tmp_path / "out", unheard)

    back = load_file(tmp_path / "out" / "model.safetensors")
    assert set(back) == set(weights)
    for name, tensor in weights.items():
        np.testing.assert_array_equal(back[name], tensor)
    ours = json.loads((tmp_path / "out" / "config.json").read_text())
    theirs = json.loads((source / "config.json").read_text())
    for key in ("architectures", "head_dim", "num_key_value_heads", "vocab_size", "tie_word_embeddings", "hidden_act"):
        assert ours[key] == theirs.get(key, ours[key]), key


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0])
def test_quantized_tensors_come_back_as_the_gguf_package_reads_them(tmp_path, kind):
    table = np.random.default_rng(1).normal(size=(48, 64)).astype(np.float32)
    packed = gguf.quants.quantize(table, kind)
    path = tmp_path / "q.gguf"
    writer = gguf.GGUFWriter(path, "qwen3")
    for key, value in (NUMBERS | {"block_count": 1}).items():
        writer.add_uint32(f"qwen3.{key}", value)
    writer.add_float32("qwen3.attention.layer_norm_rms_epsilon", 1e-6)
    writer.add_tensor("token_embd.weight", packed, raw_dtype=kind)
    ones = np.ones((32, 32), np.float32)
    for name in list(NAMES.values())[3:]:
        writer.add_tensor(f"blk.0.{name}.weight", ones)
    writer.add_tensor("output_norm.weight", ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (tmp_path / "out").mkdir()

    write_directory(read_gguf(path), tmp_path / "out", unheard)

    back = load_file(tmp_path / "out" / "model.safetensors")["model.embed_tokens.weight"]
    np.testing.assert_array_equal(back, gguf.quants.dequantize(packed, kind))


TABLE = {"model.embed_tokens.weight": np.ones((40, 64), np.float32)}


def test_a_missing_tensor_is_named(tmp_path):
    made = read_gguf(write_gguf(tmp_path / "part.gguf", "llama", TABLE))

    with pytest.raises(Invalid, match=r"part\.gguf lacks 37 tensors, the first is model\.layers\.0\."):
        write_directory(made, tmp_path, unheard)


def test_a_tensor_that_is_not_known_is_refused(tmp_path):
    made = read_gguf(
        write_gguf(
            tmp_path / "odd.gguf", "llama", TABLE | {"model.layers.0.self_attn.q_norm.weight": np.ones(64, np.float32)}
        )
    )

    with pytest.raises(Refused, match=r"tensor blk\.0\.attn_q_norm\.weight is not part of a llama model"):
        write_directory(made, tmp_path, unheard)


@pytest.mark.parametrize(
    ("kind", "changed", "error", "sentence"),
    [
        ("mamba", {}, Refused, "architecture mamba cannot be converted from GGUF; these can: llama, qwen2, qwen3"),
        ("llama", {"scaling": "yarn"}, Refused, r"rotary positions \(scaling yarn\) are not fully described"),
        ("llama", {"block_count": 0}, Invalid, r"metadata llama\.block_count must be a positive whole number"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path, kind, changed, error, sentence):
    made = read_gguf(write_gguf(tmp_path / "odd.gguf", kind, TABLE, **changed))

    with pytest.raises(error, match=sentence):
        settings_of(made)
