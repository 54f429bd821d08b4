"""Families that transformers knows only through code in the checkpoint, rewritten as one that computes the same.

MiniCPM is a Granite: both scale embeddings, residuals and logits. InternLM2 is a Llama whose query, key and value
matrices are stored as one, a group of heads after the other. No code of a checkpoint is run. Which family is written as
which is data in `runtimes.build.architectures`. Called by `runtimes.build.staging`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from runtimes.build.directory import Json
from runtimes.errors import Invalid, Refused

INDEX_FILE = "model.safetensors.index.json"
INTERNLM2_NAMES = {
    "model.tok_embeddings.": "model.embed_tokens.",
    "output.": "lm_head.",
    ".attention.wo.": ".self_attn.o_proj.",
    ".feed_forward.w1.": ".mlp.gate_proj.",
    ".feed_forward.w3.": ".mlp.up_proj.",
    ".feed_forward.w2.": ".mlp.down_proj.",
    ".attention_norm.": ".input_layernorm.",
    ".ffn_norm.": ".post_attention_layernorm.",
}
PACKED = re.compile(r"(model\.layers\.\d+)\.attention\.wqkv\.(weight|bias)")


def write_equivalent(config: Json, folder: Path) -> Json:
    """Rewrites a staged directory, if its family is one of those here.

    Args:
        config: what `config.json` says.
        folder: the staged directory; its files may be links and are replaced, never written through.

    Returns:
        What `config.json` says now.

    Raises:
        Refused: the checkpoint uses a part of the family that its equivalent lacks.
        Invalid: a needed number is absent, or a matrix has not the shape that the numbers give.
    """
    architectures = config.get("architectures")
    family = architectures[0] if isinstance(architectures, list) and architectures else ""
    if family == "MiniCPMForCausalLM":
        written = _granite(config)
    elif family == "InternLM2ForCausalLM":
        written = _llama(config)
        _unpack(folder, int(_number(config, "num_attention_heads")), int(_number(written, "num_key_value_heads")))
    else:
        return config
    written = {key: value for key, value in written.items() if key != "auto_map"}
    _replace(folder / "config.json", json.dumps(written, indent=1))
    return written


def _granite(config: Json) -> Json:
    for part in ("sparse_config", "num_experts", "attention_bias"):
        if config.get(part):
            raise Refused(f"config.json: {part} of MiniCPM cannot be built")
    scaling = config.get("rope_scaling")
    trained = scaling.get("original_max_position_embeddings") if isinstance(scaling, dict) else None
    if scaling and trained != config.get("max_position_embeddings"):
        raise Refused("config.json: MiniCPM is built only up to the context it was trained with, without rope_scaling")
    layers, width = _number(config, "num_hidden_layers"), _number(config, "hidden_size")
    heads = _number(config, "num_attention_heads")
    return {"rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True} | {
        **config,
        "architectures": ["GraniteForCausalLM"],
        "model_type": "granite",
        "num_key_value_heads": config.get("num_key_value_heads") or config.get("num_attention_heads"),
        "embedding_multiplier": _number(config, "scale_emb", 1),
        "residual_multiplier": _number(config, "scale_depth", 1) / math.sqrt(layers),
        "attention_multiplier": _number(config, "head_dim", width // heads) ** -0.5,
        "logits_scaling": width / _number(config, "dim_model_base", 1),
    }


def _llama(config: Json) -> Json:
    return {"rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False} | {
        **config,
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_key_value_heads": config.get("num_key_value_heads") or config.get("num_attention_heads"),
        "attention_bias": bool(config.get("bias", True)),
        "mlp_bias": False,
    }


def _number(config: Json, key: str, default: float | None = None) -> float:
    value = config.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise Invalid(f"config.json: {key} must be a positive number, found {str(value)[:40]}")
    return value


def _unpack(folder: Path, heads: int, kv_heads: int) -> None:
    places: dict[str, str] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        weights = load_file(shard)
        renamed = {
            name: part.contiguous()
            for old in list(weights)
            for name, part in _renamed(old, weights.pop(old), heads, kv_heads)
        }
        places |= dict.fromkeys(renamed, shard.name)
        shard.unlink()
        save_file(renamed, shard, metadata={"format": "pt"})
    if (folder / INDEX_FILE).is_file():
        _replace(folder / INDEX_FILE, json.dumps({"metadata": {}, "weight_map": places}))


def _renamed(name: str, weight: Tensor, heads: int, kv_heads: int) -> Iterator[tuple[str, Tensor]]:
    """A weight of InternLM2 as a Llama has it: of each key head its queries, its key and its value lie together."""
    if found := PACKED.fullmatch(name):
        layer, ending = found.groups()
        group = heads // kv_heads
        if weight.shape[0] % (kv_heads * (group + 2)):
            raise Invalid(f"{name} has {weight.shape[0]} rows, not a multiple of {kv_heads * (group + 2)} heads")
        grouped = weight.reshape(kv_heads, group + 2, -1, *weight.shape[1:])
        parts = {"q": grouped[:, :group], "k": grouped[:, group], "v": grouped[:, group + 1]}
        for part, rows in parts.items():
            yield f"{layer}.self_attn.{part}_proj.{ending}", rows.reshape(-1, *weight.shape[1:])
        return
    for old, new in INTERNLM2_NAMES.items():
        if name.startswith(old) or (old.startswith(".") and old in name):
            name = name.replace(old, new, 1)
    yield name, weight


def _replace(path: Path, text: str) -> None:
    path.unlink()  # it may be a link to the source
    path.write_text(text)
