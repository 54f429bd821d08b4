"""Early families and small wrappers against counts of models that the public implementation builds without weights."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.adapters.imports.config import read_config
from orchestrator.core.architecture import parameters
from orchestrator.core.cache import kv_bytes_per_token
from runtimes.errors import Refused

SMALL = {
    "hidden_size": 512,
    "num_attention_heads": 8,
    "num_hidden_layers": 3,
    "vocab_size": 300,
    "max_position_embeddings": 99,
}
OPT = {**SMALL, "model_type": "opt", "ffn_dim": 1000, "word_embed_proj_dim": 512}
LLAMA = {**SMALL, "model_type": "llama", "intermediate_size": 900, "tie_word_embeddings": False}
TOWER = {
    "hidden_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 300,
    "image_size": 56,
    "patch_size": 14,
}
CLIP = {**TOWER, "model_type": "clip_vision_model"}
PIXTRAL = {**TOWER, "model_type": "pixtral", "head_dim": 32}
LLAVA_1_5 = {
    "model_type": "llava",
    "tie_word_embeddings": False,
    "text_config": {"model_type": "llama", "vocab_size": 32064},
    "vision_config": {
        **CLIP,
        "hidden_size": 1024,
        "image_size": 336,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
    },
}


@pytest.mark.parametrize(
    ("config", "total", "kv"),
    [
        (
            {
                "model_type": "gpt2",
                "n_embd": 768,
                "n_head": 12,
                "n_layer": 12,
                "n_positions": 1024,
                "vocab_size": 50257,
            },
            124_439_808,
            36_864,
        ),
        (
            {
                "model_type": "gpt_bigcode",
                "n_embd": 512,
                "n_head": 8,
                "n_layer": 3,
                "n_positions": 77,
                "vocab_size": 300,
            },
            8_272_256,
            768,
        ),
        ({**SMALL, "model_type": "gpt_neox", "intermediate_size": 1000}, 6_542_776, 6_144),
        ({**SMALL, "model_type": "gpt_neox", "intermediate_size": 1000, "attention_bias": False}, 6_536_632, 6_144),
        ({"model_type": "bloom", "hidden_size": 512, "n_head": 8, "n_layer": 3, "vocab_size": 300}, 9_612_800, 6_144),
        (OPT, 6_440_888, 6_144),
        (
            {
                **SMALL,
                "model_type": "solar_open",
                "num_key_value_heads": 4,
                "head_dim": 64,
                "n_routed_experts": 8,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 100,
                "n_shared_experts": 2,
            },
            7_290_368,
            3_072,
        ),
        ({"model_type": "llava", "text_config": LLAMA, "vision_config": CLIP}, 8_298_072, 6_144),
        (
            {"model_type": "llava", "text_config": LLAMA, "vision_config": CLIP, "vision_feature_layer": [-2, -1]},
            8_363_608,
            6_144,
        ),
        ({"model_type": "llava", "text_config": LLAMA, "vision_config": PIXTRAL}, 8_369_792, 6_144),
        (
            {
                "model_type": "exaone4_5",
                "text_config": {**LLAMA, "model_type": "exaone4_5_text", "num_key_value_heads": 2},
                "vision_config": {
                    "depth": 3,
                    "hidden_size": 256,
                    "num_heads": 8,
                    "num_key_value_heads": 2,
                    "out_hidden_size": 512,
                    "intermediate_size": 640,
                },
            },
            10_274_304,
            1_536,
        ),
    ],
)
def test_total_and_cache_are_those_of_the_built_model(config: dict[str, Any], total: int, kv: int) -> None:
    a = read_config(config).architecture

    assert (parameters(a).total, kv_bytes_per_token(a, 2)) == (total, kv)


def test_llava_1_5_is_counted_as_it_is_published() -> None:
    read = read_config(LLAVA_1_5)

    assert parameters(read.architecture).total == 7_063_427_072
    assert read.inputs == ("text", "image")
    assert any("text_config.hidden_size is absent; assumed 4096" in note for note in read.notes)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**OPT, "word_embed_proj_dim": 256}, "word_embed_proj_dim is 256; only 512 is known"),
        ({**OPT, "do_layer_norm_before": False}, "do_layer_norm_before is false"),
        ({**LLAVA_1_5, "vision_config": {"model_type": "eva"}}, "vision_config.model_type is 'eva'"),
    ],
)
def test_variants_with_other_layers_are_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as refusal:
        read_config(config)

    assert words in str(refusal.value)
