"""Weight files without weights: a header and as many zero bytes as it declares, which take no room on the disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from orchestrator.api.architecture import (
    Architecture,
    Dense,
    Experts,
    GroupedAttention,
    LatentAttention,
    Layers,
    LinearAttention,
)

BITS = {"F32": 32, "BF16": 16, "F16": 16, "F8_E4M3": 8, "I8": 8, "U8": 8, "I32": 32, "I64": 64, "U32": 32, "F8_E8M0": 8}
Shapes = dict[str, tuple[int, ...]]


def safetensors_header(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[bytes, int]:
    """A header of tensors (dtype and shape), and the bytes they take."""
    header: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        size = math.prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return json.dumps(header).encode(), at


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> Path:
    header, payload = safetensors_header(tensors)
    return write_raw(path, header, payload)


def write_raw(path: Path, header: bytes, payload: int, length: int | None = None) -> Path:
    with path.open("wb") as file:
        file.write((len(header) if length is None else length).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + payload)
    return path


def in_bf16(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: ("BF16", shape) for name, shape in shapes.items()}


def write_gguf(path: Path, family: str, metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """A GGUF file in F16; keys without a dot in front are those of the family."""
    writer = gguf.GGUFWriter(path, family)
    for key, value in metadata.items():
        name = key if key.startswith(("general.", "split.")) else f"{family}.{key}"
        if isinstance(value, list):
            writer.add_array(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        else:
            writer.add_uint32(name, value)
    for name, shape in shapes.items():
        writer.add_tensor_info(name, shape, np.dtype(np.float16), 2 * math.prod(shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    padded = sum(-(-2 * math.prod(shape) // 32) * 32 for shape in shapes.values())
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + padded + 32)
    return path


def gguf_of(a: Architecture, *, drafts: int = 0) -> tuple[dict[str, Any], Shapes]:
    """Metadata and tensors that llama.cpp's converter writes for a model; its first group of layers comes first."""
    rows = [layers for layers in a.layers for _ in range(layers.count)]
    shapes: Shapes = {"token_embd.weight": (a.vocabulary, a.hidden_size), "output_norm.weight": (a.hidden_size,)}
    if not a.tied_embeddings:
        shapes["output.weight"] = (a.vocabulary, a.hidden_size)
    for index, layers in enumerate([*rows, *[rows[-1]] * drafts]):
        shapes |= {f"blk.{index}.{name}": shape for name, shape in _block(a.hidden_size, layers).items()}
    metadata = {"block_count": len(rows) + drafts, "context_length": 4096, "embedding_length": a.hidden_size}
    for layers in rows:
        metadata |= _said(layers)
    if drafts:
        metadata["nextn_predict_layers"] = drafts
        shapes[f"blk.{len(rows)}.nextn.eh_proj.weight"] = (a.hidden_size, 2 * a.hidden_size)
    return metadata, shapes


def _said(layers: Layers) -> dict[str, int]:
    found: dict[str, int] = {}
    if g := layers.grouped:
        found = {"attention.head_count": g.heads, "attention.head_count_kv": g.kv_heads}
        found["attention.key_length"] = g.head_dim
        if g.window:
            found["attention.sliding_window"] = g.window
    elif m := layers.latent:
        found = {"attention.head_count": m.heads, "attention.head_count_kv": 1, "rope.dimension_count": m.rope_head_dim}
        found |= {"attention.kv_lora_rank": m.kv_lora_rank, "attention.key_length": m.kv_lora_rank + m.rope_head_dim}
        found["attention.key_length_mla"] = m.nope_head_dim + m.rope_head_dim
    elif s := layers.linear:
        found = {"ssm.inner_size": s.value_heads * s.value_dim, "ssm.state_size": s.key_dim}
        found |= {"ssm.group_count": s.key_heads, "ssm.time_step_rank": s.value_heads, "ssm.conv_kernel": s.convolution}
    if e := layers.experts:
        found |= {"expert_count": e.routed, "expert_used_count": e.per_token}
        if e.shared:
            found["expert_shared_count"] = e.shared
    return found


def _block(hidden: int, layers: Layers) -> Shapes:
    found: Shapes = {f"{name}.weight": (hidden,) for name in _NORMS[: layers.norms]}
    if layers.grouped:
        found |= _grouped(hidden, layers.grouped)
    if layers.latent:
        found |= _latent(hidden, layers.latent)
    if layers.linear:
        found |= _linear(hidden, layers.linear)
    if layers.dense:
        found |= _dense(hidden, layers.dense)
    if layers.experts:
        found |= _experts(hidden, layers.experts)
    return found


def _grouped(hidden: int, g: GroupedAttention) -> Shapes:
    query, key = g.heads * g.head_dim, g.kv_heads * g.head_dim
    rows = {"attn_q": query * (2 if g.gated else 1), "attn_k": key, "attn_v": key}
    found: Shapes = {f"{name}.weight": (row, hidden) for name, row in rows.items()}
    found["attn_output.weight"] = (hidden, query)
    if g.qkv_bias:
        found |= {f"{name}.bias": (row,) for name, row in rows.items()}
    if g.output_bias:
        found["attn_output.bias"] = (hidden,)
    if g.sinks:
        found["attn_sinks.weight"] = (g.heads,)
    if g.qk_norm != "none":
        wide = g.qk_norm == "layer"
        found["attn_q_norm.weight"] = (query if wide else g.head_dim,)
        found["attn_k_norm.weight"] = (key if wide else g.head_dim,)
    return found


def _latent(hidden: int, m: LatentAttention) -> Shapes:
    query, rank = m.heads * (m.nope_head_dim + m.rope_head_dim), m.kv_lora_rank
    found: Shapes = {"attn_kv_a_mqa.weight": (rank + m.rope_head_dim, hidden), "attn_kv_a_norm.weight": (rank,)}
    if m.q_lora_rank:
        found |= {"attn_q_a.weight": (m.q_lora_rank, hidden), "attn_q_a_norm.weight": (m.q_lora_rank,)}
        found["attn_q_b.weight"] = (query, m.q_lora_rank)
    else:
        found["attn_q.weight"] = (query, hidden)
    found["attn_k_b.weight"] = (m.heads, rank, m.nope_head_dim)
    found["attn_v_b.weight"] = (m.heads, m.value_head_dim, rank)
    return found | {"attn_output.weight": (hidden, m.heads * m.value_head_dim)}


def _linear(hidden: int, s: LinearAttention) -> Shapes:
    keys, values = s.key_heads * s.key_dim, s.value_heads * s.value_dim
    return {
        "attn_qkv.weight": (2 * keys + values, hidden),
        "attn_gate.weight": (values, hidden),
        "ssm_conv1d.weight": (2 * keys + values, s.convolution),
        "ssm_ba.weight": (2 * s.value_heads, hidden),
        "ssm_dt.bias": (s.value_heads,),
        "ssm_a": (s.value_heads,),
        "ssm_norm.weight": (s.value_dim,),
        "ssm_out.weight": (hidden, values),
    }


_NORMS = ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")


def _dense(hidden: int, d: Dense) -> Shapes:
    size = d.intermediate_size
    return {
        "ffn_gate.weight": (size, hidden), "ffn_up.weight": (size, hidden), "ffn_down.weight": (hidden, size)
    }  # fmt: skip


def _experts(hidden: int, e: Experts) -> Shapes:
    count, size = e.routed, e.intermediate_size
    inward = {f"ffn_{part}_exps": (count, size, hidden) for part in ("gate", "up")}
    found: Shapes = {f"{name}.weight": shape for name, shape in inward.items()}
    found |= {"ffn_down_exps.weight": (count, hidden, size), "ffn_gate_inp.weight": (count, hidden)}
    found["exp_probs_b.bias"] = (count,)
    if e.bias:
        found |= {f"{name}.bias": (count, size) for name in inward} | {"ffn_down_exps.bias": (count, hidden)}
    if e.router_bias:
        found["ffn_gate_inp.bias"] = (count,)
    if e.shared:
        wide = e.shared * (e.shared_intermediate_size or size)
        found |= {f"ffn_{part}_shexp.weight": (wide, hidden) for part in ("gate", "up")}
        found["ffn_down_shexp.weight"] = (hidden, wide)
    if e.shared_gate:
        found["ffn_gate_inp_shexp.weight"] = (hidden,)
    return found
