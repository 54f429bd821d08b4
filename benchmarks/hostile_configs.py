"""Configurations that somebody broke: made from good ones of many families. Used by `fuzz_import.py`."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

COMMON = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 128,
    "vocab_size": 500,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
}
MOE = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}
LATENT = {
    "q_lora_rank": 32,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
    "num_nextn_predict_layers": 1,
}
QUANTIZED = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"}}


def _config(model_type: str, name: str, **more: Any) -> dict[str, Any]:
    return {"model_type": model_type, "architectures": [name], **COMMON, **more}


CONFIGS = (
    _config("llama", "LlamaForCausalLM"),
    _config("mistral", "MistralForCausalLM", sliding_window=1024),
    _config("qwen2", "Qwen2ForCausalLM", use_sliding_window=False, max_window_layers=4),
    _config("qwen3", "Qwen3ForCausalLM", layer_types=["full_attention"] * 4),
    _config("qwen3_moe", "Qwen3MoeForCausalLM", decoder_sparse_step=1, mlp_only_layers=[], **MOE),
    _config("deepseek_v3", "DeepseekV3ForCausalLM", **LATENT, **QUANTIZED),
    _config("deepseek_v32", "DeepseekV32ForCausalLM", **LATENT, index_n_heads=4, index_head_dim=16, index_topk=64),
    _config("kimi_k2", "KimiK2ForCausalLM", **LATENT),
    _config("gemma3_text", "Gemma3ForCausalLM", sliding_window=512, sliding_window_pattern=6),
    _config("gpt_oss", "GptOssForCausalLM", num_local_experts=8, num_experts_per_tok=2, sliding_window=128),
    _config("glm4_moe", "Glm4MoeForCausalLM", **{**LATENT, "use_qk_norm": True}),
    _config("phi3", "Phi3ForCausalLM", sliding_window=2047),
    _config("ernie4_5", "Ernie4_5ForCausalLM"),
    _config("minimax_m2", "MiniMaxM2ForCausalLM", num_local_experts=8, num_experts_per_tok=2, use_qk_norm=True),
    _config(
        "qwen3_next",
        "Qwen3NextForCausalLM",
        **MOE,
        shared_expert_intermediate_size=32,
        full_attention_interval=4,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
        linear_conv_kernel_dim=4,
    ),
    {
        "model_type": "qwen3_vl",
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "text_config": _config("qwen3_vl_text", "Qwen3VLTextModel"),
        "vision_config": {"hidden_size": 32, "depth": 2, "intermediate_size": 64, "num_heads": 2, "patch_size": 16},
    },
)

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 10**9, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**400),
    0.5, 1e308, -0.0, 5e-324,
    "", "64", "a" * 5000, "\x00", "\x1b[31m", "\ud800", "\u202e", "../../etc/passwd", "NaN",
    [], {}, [[]], [None], [{}], {"": {}},
    ["full_attention"] * 3, ["sliding_attention", 1], list(range(2000)), {"quant_method": "awq", "bits": 10**400},
    {"quant_method": ["fp8"]}, {"config_groups": {"g": {"weights": {"num_bits": []}}}}, {"rope_type": "yarn"},
)  # fmt: skip
RAW = (
    "NaN", "Infinity", "-Infinity", "1e999", "9" * 4000, "9" * 6000, "-" + "9" * 400, '"\\ud800"', '"\\udfff\\ud800"',
    "[" * 200_000,
    "[" * 900 + "]" * 900, '{"a":' * 5000, "[" + "0," * 300_000 + "0]", "[" + "[]," * 200_000 + "[]]",
    "[" + '{"a":1},' * 150_000 + "0]", '"' + "x" * 3_000_000 + '"', '"' + "\U0001f600" * 500_000 + '"', "\x00",
    "//", "01", "'x'",
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document that holds something: its container and the key."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        container = todo.pop()
        keys = list(container) if isinstance(container, dict) else range(min(len(container), 50))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                todo.append(container[key])
    return found


def broken(rng: random.Random, value: Any) -> None:
    """Break a document in place, once."""
    spots = places(value)
    if not spots:
        return
    container, key = rng.choice(spots)
    deed = rng.random()
    if deed < 0.6:
        container[key] = copy.deepcopy(rng.choice(HOSTILE))
    elif deed < 0.75:
        del container[key]
    elif deed < 0.85 and isinstance(container[key], int):
        container[key] = container[key] * rng.choice((2, 3, 1000, 10**6, -1)) + rng.choice((0, 1, -1))
    else:
        other, place = rng.choice(spots)
        try:
            container[key] = json.loads(json.dumps(other[place]))
        except (LookupError, ValueError):
            container[key] = None


def broken_text(rng: random.Random, text: str) -> bytes:
    """Break JSON text as a program that writes none would."""
    raw = text
    deed = rng.randrange(10)
    if deed == 0:
        at = rng.choice([place for place, char in enumerate(raw) if char in "0123456789"] or [0])
        raw = raw[:at] + rng.choice(RAW) + raw[at + 1 :]
    elif deed == 1 and ":" in raw:
        first = raw.index(":")
        raw = "{" + raw[1 : first + 1] + rng.choice(("1", '"x"', "[]")) + "," + raw[1:]  # a key twice
    elif deed == 2:
        raw = raw[: rng.randrange(len(raw))]
    elif deed == 3:
        raw = rng.choice(RAW) + raw
    content = bytearray(raw.encode("utf-8", "surrogatepass"))
    if deed in (4, 5) and content:
        for _ in range(rng.choice((1, 1, 3, 30))):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif deed == 6:
        return bytes(content)[: rng.choice((0, 1, 2))]
    elif deed == 7:
        return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\x00")) + bytes(content)
    elif deed == 8:
        return rng.randbytes(rng.choice((1, 100, 5000)))
    return bytes(content)


def make(rng: random.Random, folder: Path) -> Path:
    """A broken configuration, as a file or as a folder."""
    config = json.loads(json.dumps(rng.choice(CONFIGS)))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        broken(rng, config)
    text = json.dumps(config)
    content = broken_text(rng, text) if rng.random() < 0.35 else text.encode("utf-8", "surrogatepass")
    path = folder / "config.json"
    path.write_bytes(content)
    return rng.choice((path, folder))
