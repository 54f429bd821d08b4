"""GGUF weights and settings to a Hugging Face directory: `config.json`, `generation_config.json`, `model.safetensors`.

Weights are dequantized tensor by tensor and written as they come, so memory stays at one tensor. Every tensor must be
known by name: one that is not would silently change the model, so it is refused. The tokenizer is in
`runtimes.build.gguf_tokenizer`. Called by `runtimes.build.staging`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from runtimes.build.architectures import FROM_GGUF
from runtimes.build.ggml_types import TENSOR_TYPES
from runtimes.build.gguf_file import GgufFile, GgufTensor
from runtimes.errors import Invalid, Refused

OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
BIASED = ("attn_q", "attn_k", "attn_v")

Settings = dict[str, object]


def architecture_of(gguf: GgufFile) -> str:
    """The GGUF architecture, if it can be converted.

    Raises:
        Refused: with the architecture found and those that work.
    """
    found = gguf.text("general.architecture")
    if found not in FROM_GGUF:
        known = ", ".join(FROM_GGUF)
        raise Refused(
            f"{gguf.path.name}: architecture {found or 'unnamed'} cannot be converted from GGUF; these can: {known}"
        )
    return found


def settings_of(gguf: GgufFile) -> Settings:
    """What `config.json` says, from the metadata.

    Raises:
        Refused: the model scales its rotary positions or rotates part of a head, which GGUF does not describe fully.
        Invalid: a needed number is absent or out of range.
    """
    kind = architecture_of(gguf)
    counts = {
        "hidden_size": "embedding_length",
        "intermediate_size": "feed_forward_length",
        "num_hidden_layers": "block_count",
        "num_attention_heads": "attention.head_count",
        "max_position_embeddings": "context_length",
    }
    settings: Settings = {name: _count(gguf, f"{kind}.{key}") for name, key in counts.items()}
    heads = _count(gguf, f"{kind}.attention.head_count")
    head_dim = _count(gguf, f"{kind}.attention.key_length", _count(gguf, f"{kind}.embedding_length") // heads)
    scaling = gguf.text(f"{kind}.rope.scaling.type", "none")
    if scaling != "none" or _count(gguf, f"{kind}.rope.dimension_count", head_dim) != head_dim:
        raise Refused(
            f"{gguf.path.name}: its rotary positions (scaling {scaling}) are not fully described in GGUF; "
            "give the model's Hugging Face directory"
        )
    names = {tensor.name: tensor for tensor in gguf.tensors}
    embedding = names.get("token_embd.weight")
    if embedding is None:
        raise Invalid(f"{gguf.path.name} has no tensor token_embd.weight")
    return settings | {
        "architectures": [FROM_GGUF[kind]],
        "model_type": kind,
        "num_key_value_heads": _count(gguf, f"{kind}.attention.head_count_kv", heads),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": gguf.number(f"{kind}.attention.layer_norm_rms_epsilon"),
        "rope_theta": gguf.number(f"{kind}.rope.freq_base", 10000.0),
        "vocab_size": embedding.shape[0],
        "tie_word_embeddings": "output.weight" not in names,
        "torch_dtype": "float32",
        "bos_token_id": gguf.metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": gguf.metadata.get("tokenizer.ggml.eos_token_id"),
    }


def write_directory(gguf: GgufFile, folder: Path, advanced: Callable[[int, int], None]) -> None:
    """Writes `config.json` and `model.safetensors` (float32) into `folder`.

    Args:
        gguf: the checked header.
        folder: exists and is empty.
        advanced: called with tensors written and tensors in all.

    Raises:
        Refused: architecture or tensors that cannot be converted.
        Invalid: a tensor is missing.
    """
    settings = settings_of(gguf)
    kind = architecture_of(gguf)
    gguf.check_convertible()
    places = [(tensor, _hugging_face_name(gguf, tensor, kind)) for tensor in gguf.tensors]
    _check_complete(gguf, {name for _, name in places}, kind)
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for tensor, name in places:
        length = 4 * int(np.prod(tensor.shape))
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + length]}
        at += length
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    source = np.memmap(gguf.path, dtype=np.uint8, mode="r")
    with (folder / "model.safetensors").open("wb") as out:
        out.write(len(encoded).to_bytes(8, "little") + encoded)
        for done, (tensor, _) in enumerate(places, start=1):
            out.write(_weights(source, tensor, _rotated_heads(gguf, tensor, kind)).tobytes())
            advanced(done, len(places))


def _count(gguf: GgufFile, key: str, default: int | None = None) -> int:
    value = gguf.number(key, default)
    if value != int(value) or not 0 < value < 1 << 32:
        raise Invalid(f"{gguf.path.name}: metadata {key} must be a positive whole number, found {value}")
    return int(value)


def _hugging_face_name(gguf: GgufFile, tensor: GgufTensor, kind: str) -> str:
    inside = INSIDE | (HEAD_NORMS if kind == "qwen3" else {})
    if match := re.fullmatch(r"blk\.(\d{1,4})\.(\w+)\.(weight|bias)", tensor.name):
        layer, part, ending = match.groups()
        if part in inside and (ending == "weight" or (kind == "qwen2" and part in BIASED)):
            return f"model.layers.{layer}.{inside[part]}.{ending}"
    part, _, ending = tensor.name.rpartition(".")
    if part in OUTSIDE and ending == "weight":
        return f"{OUTSIDE[part]}.weight"
    raise Refused(
        f"{gguf.path.name}: tensor {tensor.name[:80]} is not part of a {kind} model as known here; "
        "give the model's Hugging Face directory"
    )


def _check_complete(gguf: GgufFile, present: set[str], kind: str) -> None:
    parts = [f"{part}.weight" for part in INSIDE.values()]
    if kind == "qwen3":
        parts += [f"{part}.weight" for part in HEAD_NORMS.values()]
    if kind == "qwen2":
        parts += [f"{INSIDE[part]}.bias" for part in BIASED]
    layers = _count(gguf, f"{kind}.block_count")
    wanted = {f"model.layers.{layer}.{part}" for layer in range(layers) for part in parts}
    wanted |= {"model.embed_tokens.weight", "model.norm.weight"}
    if missing := sorted(wanted - present):
        raise Invalid(f"{gguf.path.name} lacks {len(missing)} tensors, the first is {missing[0]}")


def _rotated_heads(gguf: GgufFile, tensor: GgufTensor, kind: str) -> int:
    """Heads whose rows llama.cpp stores interleaved; 0 where rows are in order."""
    if kind != "llama" or not tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
        return 0
    heads = _count(gguf, f"{kind}.attention.head_count")
    return heads if tensor.name.endswith("attn_q.weight") else _count(gguf, f"{kind}.attention.head_count_kv", heads)


def _weights(source: NDArray[np.uint8], tensor: GgufTensor, rotated_heads: int) -> NDArray[np.float32]:
    _, block, block_bytes = TENSOR_TYPES[tensor.type_id]
    raw = source[tensor.offset_bytes : tensor.offset_bytes + tensor.size_bytes]
    rows = np.asarray(raw).reshape(*tensor.shape[:-1], tensor.shape[-1] // block * block_bytes)
    weights: NDArray[np.float32]
    if tensor.type_id == GGMLQuantizationType.F32:
        weights = rows.view(np.float32)
    elif tensor.type_id == GGMLQuantizationType.F16:
        weights = rows.view(np.float16).astype(np.float32)
    else:
        weights = dequantize(rows, GGMLQuantizationType(tensor.type_id)).astype(np.float32, copy=False)
    if rotated_heads:
        half = tensor.shape[0] // rotated_heads // 2
        weights = weights.reshape(rotated_heads, half, 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)
    return np.ascontiguousarray(weights)
