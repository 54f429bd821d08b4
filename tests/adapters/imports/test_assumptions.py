"""What a configuration leaves out: assumed with a note where the family settles it, refused where nobody can know it.

Also keys that contradict each other, keys of other families, and names that several families share.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.imports.config import Read, read_config
from orchestrator.core.architecture import parameters
from orchestrator.core.cache import kv_bytes_per_token
from runtimes.errors import HeadwaterError, Invalid, Refused

CONFIGS = Path(__file__).parent / "configs"


def a_config(name: str, part: str | None = None, **changes: Any) -> dict[str, Any]:
    """A configuration with changes in it, or in one of its parts; `absent` removes a key."""
    config: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    changed = config if part is None else config[part]
    changed.update(changes)
    for key in [key for key, value in changed.items() if value == "absent"]:
        del changed[key]
    return config


def figures(read: Read) -> tuple[int, int]:
    return parameters(read.architecture).total, kv_bytes_per_token(read.architecture, 2)


@pytest.mark.parametrize(
    ("name", "part", "key", "note"),
    [
        ("glm-4.5", None, "num_key_value_heads", "num_key_value_heads is absent; assumed 8"),
        ("gpt-oss-20b", None, "num_key_value_heads", "num_key_value_heads is absent; assumed 8"),
        ("seed-oss-36b", None, "num_key_value_heads", "num_key_value_heads is absent; assumed 8"),
        ("ernie-4.5-0.3b", None, "num_key_value_heads", "num_key_value_heads is absent; assumed 2"),
        ("mixtral-8x7b-v0.1", None, "num_key_value_heads", "num_key_value_heads is absent; assumed 8"),
        ("qwen3.5-27b", "text_config", "num_key_value_heads", "text_config.num_key_value_heads is absent; assumed 4"),
        ("glm-4.1v-9b", "text_config", "num_key_value_heads", "text_config.num_key_value_heads is absent; assumed 2"),
        ("glm-4.5", None, "n_shared_experts", "n_shared_experts is absent; assumed 1"),
        ("deepseek-v3.2", None, "n_shared_experts", "n_shared_experts is absent; assumed 1"),
        ("qwen3-0.6b", None, "head_dim", "head_dim is absent; assumed 128"),
    ],
)
def test_a_number_that_the_family_settles_is_assumed_with_a_note(
    name: str, part: str | None, key: str, note: str
) -> None:
    read = read_config(a_config(name, part, **{key: "absent"}))

    assert figures(read) == figures(read_config(a_config(name)))
    assert any(note in one for one in read.notes)


def test_as_many_key_value_heads_as_heads_is_assumed_only_where_the_class_does_so() -> None:
    read = read_config(a_config("llama-3.2-1b", num_key_value_heads="absent"))

    assert figures(read)[1] == 4 * 32_768
    assert any("taken as num_attention_heads" in note for note in read.notes)


def test_null_is_a_value() -> None:
    config = a_config("deepseek-v3", q_lora_rank=None, n_shared_experts=None)
    attention = read_config(config).architecture.layers[-1]

    assert attention.latent is not None
    assert attention.latent.q_lora_rank is None
    assert attention.experts is not None
    assert attention.experts.shared == 0


@pytest.mark.parametrize(
    ("name", "part", "key"),
    [
        ("qwen2.5-7b", None, "num_key_value_heads"),
        ("qwen3-0.6b", None, "num_key_value_heads"),
        ("qwen3-30b-a3b", None, "num_key_value_heads"),
        ("starcoder2-3b", None, "num_key_value_heads"),
        ("qwen2-vl-2b", None, "num_key_value_heads"),
        ("ernie-4.5-300b", None, "num_key_value_heads"),
        ("gemma-2-9b", None, "head_dim"),
        ("nvidia-nemotron-3-super-120b-a12b-fp8", None, "head_dim"),
        ("deepseek-v3", None, "q_lora_rank"),
        ("deepseek-v3.2", None, "q_lora_rank"),
        ("kimi-linear-48b", None, "q_lora_rank"),
        ("deepseek-v3", None, "n_shared_experts"),
        ("deepseek-v3", None, "first_k_dense_replace"),
        ("glm-4.5", None, "first_k_dense_replace"),
        ("ling-mini", None, "first_k_dense_replace"),
        ("qwen1.5-moe-a2.7b", None, "shared_expert_intermediate_size"),
        ("falcon-h1-34b", None, "mamba_d_state"),
    ],
)
def test_a_number_that_differs_between_sizes_is_asked_for_by_its_name(name: str, part: str | None, key: str) -> None:
    with pytest.raises(Invalid, match=rf"the configuration has no .*{key}"):
        read_config(a_config(name, part, **{key: "absent"}))


@pytest.mark.parametrize(
    ("outer", "inner", "tied"),
    [(None, None, False), (False, None, False), (True, None, True), (None, True, True), (None, False, False)],
)
def test_wrapper_or_decoder_may_say_that_the_head_is_tied(outer: object, inner: object, *, tied: bool) -> None:
    config = a_config("mistral-small-3.1", tie_word_embeddings=outer)
    config["text_config"]["tie_word_embeddings"] = inner

    assert read_config(config).architecture.tied_embeddings is tied


def test_a_family_whose_sizes_differ_must_say_whether_the_head_is_tied() -> None:
    config = a_config("mistral-small-3.1")
    config["text_config"]["model_type"] = "ministral3"

    with pytest.raises(Invalid, match="has no tie_word_embeddings, which differs between the sizes"):
        read_config(config)
    assert read_config({**config, "tie_word_embeddings": True}).architecture.tied_embeddings


def test_wrapper_and_decoder_that_disagree_on_the_head_are_refused() -> None:
    config = a_config("mistral-small-3.1", tie_word_embeddings=True)
    config["text_config"]["tie_word_embeddings"] = False

    with pytest.raises(Refused, match=r"text_config\.tie_word_embeddings is false and tie_word_embeddings is true"):
        read_config(config)


@pytest.mark.parametrize(
    ("name", "total", "kv"),
    [("ling-mini", 16_255_638_528, 40_960), ("ling-1t", 999_705_309_184, 327_680)],
)
def test_a_name_that_two_families_share_is_told_apart_by_the_class(name: str, total: int, kv: int) -> None:
    config = a_config(name, model_type="bailing_moe", architectures=["BailingMoeV2ForCausalLM"])

    assert figures(read_config(config)) == (total, kv)
    assert read_config({**config, "architectures": ["BailingMoeForCausalLM"]}).family == "bailing-moe"
    with pytest.raises(Refused, match="that of several families; give architectures"):
        read_config({key: value for key, value in config.items() if key != "architectures"})


LING_2_6 = {
    "model_type": "bailing_hybrid",
    "architectures": ["BailingMoeV2_5ForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 9216,
    "moe_intermediate_size": 1024,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "head_dim": 128,
    "num_experts": 256,
    "num_experts_per_tok": 8,
    "num_shared_experts": 1,
    "first_k_dense_replace": 1,
    "layer_group_size": 8,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "vocab_size": 157184,
}


def test_ling_2_6_mixes_lightning_and_latent_attention() -> None:
    """Published: 104 billion in all, 7.4 billion at work on a token."""
    read = read_config(LING_2_6)
    count = parameters(read.architecture)

    assert read.family == "bailing-moe-v2.5"
    assert count.total == pytest.approx(104e9, rel=0.01)
    assert count.active == pytest.approx(7.4e9, rel=0.03)
    assert figures(read)[1] == 4 * 2 * (512 + 64)
    with pytest.raises(Refused, match="kda_safe_gate is a key of Ling 3"):
        read_config({**LING_2_6, "kda_safe_gate": True})


def test_the_public_class_saves_ling_3_with_the_width_of_linear_heads_apart() -> None:
    saved = a_config("ling-3.0-flash", head_dim=64, linear_head_dim=128)

    assert figures(read_config(saved)) == figures(read_config(a_config("ling-3.0-flash")))


def test_the_public_class_saves_the_full_layers_of_gemma_4_by_number() -> None:
    config = a_config("gemma-4-26b-a4b")
    text = config["text_config"]
    kinds = text.setdefault("layer_types", ["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(30)])
    shape = {"head_dim": text.pop("global_head_dim", 512)}
    if text.get("attention_k_eq_v"):
        shape["num_key_value_heads"] = text.pop("num_global_key_value_heads")
    text["per_layer_config"] = {f"{i:02}": shape for i, kind in enumerate(kinds) if kind == "full_attention"}

    assert figures(read_config(config)) == figures(read_config(a_config("gemma-4-26b-a4b")))
    text["per_layer_config"]["05"] = {"head_dim": 64}
    with pytest.raises(Refused, match=r"text_config\.per_layer_config says more than one shape"):
        read_config(config)


def test_a_flat_configuration_of_glm_4_1v_is_read() -> None:
    config = a_config("glm-4.1v-9b")
    flat = {**config.pop("text_config"), **config}

    assert figures(read_config(flat)) == (10_292_777_472, 40_960)


def test_gemma_3_without_its_tower_is_its_decoder_and_says_so() -> None:
    read = read_config(a_config("gemma-3-4b", vision_config="absent"))

    assert parameters(read.architecture).total == 3_880_263_168
    assert any("the decoder alone is counted" in note for note in read.notes)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("llama-3.2-1b", {"num_experts": 8}, "num_experts is given, of which the family llama knows nothing"),
        ("llama-3.2-1b", {"use_qk_norm": True}, "use_qk_norm is given, of which the family llama knows nothing"),
        ("qwen2.5-7b", {"kv_lora_rank": 512}, "kv_lora_rank is given, of which the family qwen2 knows nothing"),
        (
            "llama-3.2-1b",
            {"auto_map": {"AutoModelForCausalLM": "modeling_other.OtherForCausalLM"}},
            "auto_map.AutoModelForCausalLM is 'modeling_other.OtherForCausalLM', no class of the family llama",
        ),
        ("deepseek-v3", {"moe_layer_freq": 2}, "moe_layer_freq is 2; only 1 is known"),
        ("kimi-linear-48b", {"tie_word_embeddings": True}, "tie_word_embeddings is true; only false is known"),
        ("hunyuan-a13b", {"moe_intermediate_size": 1024}, "1024 is not intermediate_size"),
        ("qwen2.5-7b", {"use_sliding_window": True}, "the configuration has no max_window_layers"),
        ("gpt-oss-20b", {"sliding_window": None}, "sliding_window is null; write how far they look back"),
    ],
)
def test_what_would_make_another_model_is_refused(name: str, changes: dict[str, Any], words: str) -> None:
    config = a_config(name, **changes)
    if name == "gpt-oss-20b":
        config["layer_types"] = ["sliding_attention", "full_attention"] * 12

    with pytest.raises(HeadwaterError) as refusal:
        read_config(config)

    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("deepseek-v3", {"num_nextn_predict_layers": 1}, "1 layer that predicts several tokens is not counted"),
        ("llama-3.2-1b", {"auto_map": {"AutoModelForCausalLM": "m.LlamaForCausalLM"}}, "auto_map names 'm.Llama"),
        ("mistral-nemo", {"sliding_window": 10**7}, "counted as full attention"),
    ],
)
def test_what_is_left_out_of_the_figures_is_noted(name: str, changes: dict[str, Any], words: str) -> None:
    read = read_config(a_config(name, **changes))

    assert figures(read) == figures(read_config(a_config(name)))
    assert any(words in note for note in read.notes)


def test_parts_stored_in_different_kinds_have_no_one_name() -> None:
    fine, coarse = {"num_bits": 4, "type": "int"}, {"num_bits": 8, "type": "float"}
    groups = {"group_0": {"weights": fine}, "group_1": {"weights": coarse}}
    stored = {"quant_method": "compressed-tensors", "config_groups": groups}
    read = read_config(a_config("qwen3-0.6b", quantization_config=stored))

    assert (read.native, read.native_format) == (None, "compressed-tensors")
    assert any("different kinds" in note for note in read.notes)
