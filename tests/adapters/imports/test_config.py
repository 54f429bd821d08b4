"""Configurations against counts that come from elsewhere, and everything a hostile one may hold.

`built`: the public implementation was built without weights and its parameters and projections were counted.
`published`: the organisation's count of the checkpoint. `header`: tensor headers of the checkpoint.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.adapters.imports.config import BY_TYPE, FAMILIES, Read, read_config
from orchestrator.core.architecture import parameters
from orchestrator.core.cache import index_bytes_per_token, kv_bytes_per_token
from runtimes.errors import HeadwaterError, Invalid, Refused

CONFIGS = Path(__file__).parent / "configs"
ROUNDED = 0.01


def a_config(name: str, **changes: Any) -> dict[str, Any]:
    config = json.loads((CONFIGS / f"{name}.json").read_text())
    return {key: value for key, value in {**config, **changes}.items() if value != "absent"}


@pytest.mark.parametrize(
    ("name", "family", "total", "kv"),
    [
        # built
        ("command-r7b", "cohere2", 8_028_033_024, 32_768),
        ("deepseek-v2-lite", "deepseek-v2", 15_706_484_224, 31_104),
        ("deepseek-v3", "deepseek-v3", 671_026_404_352, 70_272),
        ("deepseek-v3.2", "deepseek-v32", 671_877_929_216, 70_272),
        ("deepseek-v4-flash", "deepseek-v4", 284_332_230_231, 6_880),
        ("deepseek-v4-pro", "deepseek-v4", 1_572_997_179_491, 9_848),
        ("ernie-4.5-0.3b", "ernie4.5", 360_748_032, 18_432),
        ("ernie-4.5-21b", "ernie4.5-moe", 21_825_436_160, 57_344),
        ("ernie-4.5-300b", "ernie4.5-moe", 299_484_160_000, 221_184),
        ("ernie-4.5-vl-28b", "ernie4.5-vl-moe", 29_399_290_880, 57_344),
        ("exaone-4.0-32b", "exaone4", 32_003_216_384, 65_536),
        ("falcon-h1-34b", "falcon-h1", 33_642_221_312, 147_456),
        ("gemma-2-9b", "gemma2", 9_241_705_984, 172_032),
        ("gemma-3-4b", "gemma3", 4_300_079_472, 20_480),
        ("gemma-4-26b-a4b", "gemma4", 25_805_933_872, 20_480),
        ("gemma-4-31b-it-nvfp4", "gemma4", 31_273_086_512, 81_920),
        ("glm-4-9b-0414", "glm4", 9_400_279_040, 40_960),
        ("glm-4.1v-9b", "glm4v", 10_292_777_472, 40_960),
        ("glm-4.5", "glm4-moe", 352_797_814_784, 376_832),
        ("glm-5", "glm-moe-dsa", 743_911_199_232, 89_856),
        ("glm-5.2", "glm-moe-dsa", 743_377_000_704, 89_856),
        ("gpt-oss-120b", "gpt-oss", 116_829_156_672, 36_864),
        ("gpt-oss-20b", "gpt-oss", 20_914_757_184, 24_576),
        ("granite-3.3-8b", "granite", 8_170_864_640, 163_840),
        ("hunyuan-a13b", "hunyuan-v1-moe", 80_393_183_232, 131_072),
        ("kimi-k2-instruct", "kimi-k2", 1_026_408_209_408, 70_272),
        ("kimi-k2.5", "kimi-vl", 1_026_879_353_328, 70_272),
        ("kimi-linear-48b", "kimi-linear", 49_122_675_072, 8_064),
        ("lfm2-1.2b", "lfm2", 1_170_340_608, 12_288),
        ("llama-3.2-1b", "llama", 1_235_814_400, 32_768),
        ("meta-llama-3.1-8b", "llama", 8_030_261_248, 131_072),
        ("mimo-v2-flash", "mimo-v2-flash", 308_778_768_832, 23_040),
        ("minimax-m2.5", "minimax-m2", 228_689_748_992, 253_952),
        ("minimax-m3-nvfp4", "minimax-m3-vl", 427_040_132_864, 122_880),
        ("minimax-text-01-hf", "minimax-01", 456_089_655_296, 40_960),
        ("mistral-nemo", "mistral", 12_247_782_400, 163_840),
        ("mistral-small-3.1", "mistral3", 24_011_361_280, 163_840),
        ("mixtral-8x7b-v0.1", "mixtral", 46_702_792_704, 131_072),
        ("nemotron-h-56b-base-8k", "nemotron-h", 56_324_350_464, 40_960),
        ("nvidia-nemotron-3-super-120b-a12b-fp8", "nemotron-h", 120_668_687_360, 8_192),
        ("olmo-2-7b", "olmo2", 7_298_617_344, 524_288),
        ("phi-2", "phi", 2_779_683_840, 327_680),
        ("phi-3.5-moe", "phimoe", 41_873_153_344, 131_072),
        ("phi-4", "phi3", 14_659_507_200, 204_800),
        ("qwen1.5-moe-a2.7b", "qwen2-moe", 14_315_784_192, 196_608),
        ("qwen2-vl-2b", "qwen2-vl", 2_208_985_600, 28_672),
        ("qwen2.5-7b", "qwen2", 7_615_616_512, 57_344),
        ("qwen2.5-vl-7b", "qwen2.5-vl", 8_292_166_656, 57_344),
        ("qwen3-0.6b", "qwen3", 596_049_920, 114_688),
        ("qwen3-30b-a3b", "qwen3-moe", 30_532_122_624, 98_304),
        ("qwen3-vl-2b-instruct", "qwen3-vl", 2_127_532_032, 114_688),
        ("qwen3-vl-30b-a3b-instruct", "qwen3-vl-moe", 31_070_754_032, 98_304),
        ("qwen3.5-27b", "qwen3.5", 27_356_728_560, 65_536),
        ("qwen3.5-397b-a17b", "qwen3.5-moe", 396_802_360_816, 30_720),
        ("seed-oss-36b", "seed-oss", 36_151_104_512, 262_144),
        ("smollm2-135m", "llama", 134_515_008, 23_040),
        ("smollm3-3b", "smollm3", 3_075_098_624, 73_728),
        ("starcoder2-3b", "starcoder2", 3_030_371_328, 30_720),  # every layer slides
        # published
        ("baichuan2-7b", "baichuan", 7_505_973_248, 524_288),
        ("glm-4-9b-chat", "chatglm", 9_399_951_360, 40_960),
        ("internlm2-7b", "internlm2", 7_737_708_544, 131_072),
        ("internvl3-78b", "internvl", 78_408_318_336, 327_680),
        ("ling-1t", "bailing-moe-v2", 999_705_309_184, 327_680),
        ("ling-3.0-flash", "bailing-hybrid", 124_414_191_072, 8_064),
        ("ling-mini", "bailing-moe-v2", 16_255_638_528, 40_960),
        ("llama-3_3-nemotron-super-49b-v1", "nemotron-nas", 49_867_145_216, 200_704),
        ("minicpm-2b", "minicpm", 2_724_880_896, 368_640),
        ("minimax-m1", "minimax-01", 456_089_655_296, 40_960),
        ("qwen-7b", "qwen", 7_721_324_544, 524_288),
    ],
)
def test_total_and_cache_are_exact(name: str, family: str, total: int, kv: int) -> None:
    read = read_config(a_config(name))

    a = read.architecture
    assert (read.family, parameters(a).total, kv_bytes_per_token(a, 2)) == (family, total, kv)


@pytest.mark.parametrize(
    ("name", "total", "kv"),
    [
        pytest.param("kimi-k3", 2_779_931_837_184, 27_648, id="header: its router corrections are not counted here"),
        pytest.param("kimi-vl-a3b", 16_407_657_776, 31_104, id="header: likewise"),
        pytest.param("qianfan-vl-8b", 8_808_007_712, 131_072, id="published: without the scales of its tower"),
        pytest.param("ring-mini-linear", 16_400_000_000, 8_192, id="published: rounded"),
        pytest.param("telechat3-36b", 36_000_000_000, 262_144, id="published: rounded"),
        pytest.param("mimo-7b-base", 7_622_619_136, 147_456, id="built as its base family"),
        pytest.param("llama-4-scout-17b-16e-instruct", 108_641_793_536, 49_152, id="published: with its vision tower"),
    ],
)
def test_total_is_close_to_a_count_that_counts_a_little_more_or_is_rounded(name: str, total: int, kv: int) -> None:
    a = read_config(a_config(name)).architecture

    assert abs(parameters(a).total / total - 1) < ROUNDED
    assert kv_bytes_per_token(a, 2) == kv


@pytest.mark.parametrize(
    ("name", "active"),
    [
        ("deepseek-v3", 37_552_282_624),
        ("deepseek-v3.2", 38_403_807_488),
        ("kimi-k2-instruct", 32_861_477_888),
        ("ling-1t", 51_054_407_680),
        ("ling-mini", 1_432_968_192),
        ("minimax-m2.5", 11_030_537_216),
        ("qwen3-30b-a3b", 3_353_032_704),
    ],
)
def test_active_parameters_count_the_chosen_experts(name: str, active: int) -> None:
    assert parameters(read_config(a_config(name)).architecture).active == active


@pytest.mark.parametrize(
    ("name", "index"),
    [("deepseek-v3.2", 8_052), ("glm-5", 10_296), ("glm-5.2", 2_772), ("minimax-m3-nvfp4", 14_592), ("qwen3-0.6b", 0)],
)
def test_an_index_adds_its_keys(name: str, index: int) -> None:
    assert index_bytes_per_token(read_config(a_config(name)).architecture) == index


@pytest.mark.parametrize(
    ("name", "native", "layout"),
    [
        ("deepseek-v3", "fp8", "fp8"),
        ("deepseek-v4-flash", "mxfp4-experts-fp8", "fp8"),
        ("gpt-oss-20b", "mxfp4-experts", "mxfp4"),
        ("kimi-k2.5", "int4-experts", "compressed-tensors"),
        ("kimi-k3", "mxfp4-experts", "compressed-tensors"),
        ("gemma-4-31b-it-nvfp4", "nvfp4", "modelopt"),
        ("qwen3-0.6b", "bf16", "plain"),
        ("minimax-m3-nvfp4", None, "modelopt"),  # several kinds in one checkpoint
    ],
)
def test_how_weights_are_stored_is_read(name: str, native: str | None, layout: str) -> None:
    read = read_config(a_config(name))

    assert (read.native, read.native_format) == (native, layout)


@pytest.mark.parametrize(
    ("quantization", "native", "layout"),
    [
        ({"quant_method": "awq", "bits": 4}, "w4a16", "awq"),
        ({"quant_method": "gptq", "bits": 8}, "w8a16", "gptq"),
        ({"quant_method": "auto-round", "bits": 2}, "w2a16", "autoround"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, None, "plain"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8", "modelopt"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {"weights": {"num_bits": 8, "type": "int"}, "input_activations": {"num_bits": 8}}
                },
            },
            "w8a8",
            "compressed-tensors",
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}}},
            "w4a16",
            "compressed-tensors",
        ),
    ],
)
def test_a_quantized_checkpoint_has_the_same_parameters(
    quantization: dict[str, Any], native: str | None, layout: str
) -> None:
    read = read_config(a_config("qwen3-0.6b", quantization_config=quantization))

    assert (read.native, read.native_format) == (native, layout)
    assert parameters(read.architecture).total == 596_049_920
    assert native is not None or any("quant_method" in note for note in read.notes)


def test_context_modalities_and_assumptions_are_told() -> None:
    read = read_config(a_config("gemma-3-4b"))

    assert (read.context, read.inputs, read.outputs) == (131072, ("text", "image"), ("text",))
    assert any("num_attention_heads is absent; assumed 8" in note for note in read.notes)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "the architecture is not known: model_type null"),
        ({"model_type": "mystery", "architectures": ["MysteryForCausalLM"]}, "'mystery'"),
        (a_config("qwen3-0.6b", architectures=["Qwen3ForSequenceClassification"]), "is no class of the family qwen3"),
        (a_config("deepseek-v4-flash", compress_ratios=[0] * 42 + [16]), "compress_ratios has 16"),
        (a_config("phi-2", qk_layernorm=True), "qk_layernorm is true; only false is known"),
        (a_config("glm-5", indexer_types=["full"] * 77 + ["odd"]), "indexer_types has 'odd'"),
        (a_config("internvl3-78b", llm_config={"model_type": "mystery"}), "known decoders here"),
        (a_config("ling-3.0-flash", kda_safe_gate="absent", kda_lower_bound="absent"), "no kda_safe_gate"),
    ],
)
def test_what_is_not_known_is_refused_in_one_sentence(config: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as refusal:
        read_config(config)

    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_refusal_names_the_nearest_families() -> None:
    with pytest.raises(Refused) as refusal:
        read_config({"model_type": "qwen3_mo", "architectures": ["Qwen3MoForCausalLM"]})

    said = str(refusal.value)
    assert "the nearest are qwen3-moe" in said
    assert len(said) < 250


def test_a_refusal_of_nothing_says_that_there_is_nothing() -> None:
    with pytest.raises(Refused, match="model_type null, no architectures;"):
        read_config({})


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("qwen3-0.6b", {"hidden_size": "absent"}, "the configuration has no hidden_size; give a whole number"),
        ("qwen3-0.6b", {"hidden_size": None}, "the configuration has no hidden_size; give a whole number"),
        ("qwen3-0.6b", {"hidden_size": -5}, "hidden_size is -5; write a whole number from 1 to 16777216"),
        ("qwen3-0.6b", {"hidden_size": 10**30}, "hidden_size is a number of more than 16 digits"),
        ("qwen3-0.6b", {"hidden_size": 10**5000}, "hidden_size is a number of more than 16 digits"),
        ("qwen3-0.6b", {"hidden_size": True}, "hidden_size is true; write a whole number"),
        ("qwen3-0.6b", {"hidden_size": "1024"}, "hidden_size is '1024'; write a whole number"),
        ("qwen3-0.6b", {"hidden_size": 1024.5}, "hidden_size is 1024.5; write a whole number"),
        ("qwen3-0.6b", {"hidden_size": math.nan}, "hidden_size is nan; write a whole number"),
        ("qwen3-0.6b", {"hidden_size": math.inf}, "hidden_size is inf; write a whole number"),
        ("qwen3-0.6b", {"hidden_size": [1024]}, "hidden_size is a list; write a whole number"),
        ("qwen3-0.6b", {"num_hidden_layers": 100_000}, "num_hidden_layers is 100000; write a whole number from 1"),
        ("qwen3-0.6b", {"num_key_value_heads": 7}, "num_attention_heads 16 is not a multiple of num_key_value_heads 7"),
        ("qwen3-0.6b", {"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'; write true or false"),
        ("qwen3-0.6b", {"architectures": "Qwen3"}, "architectures is 'Qwen3'; write a list of class names"),
        ("qwen3-0.6b", {"architectures": [3]}, "architectures has 3; write names of classes"),
        ("qwen3-0.6b", {"model_type": 7}, "model_type is 7; write a text"),
        ("qwen3-0.6b", {"quantization_config": [1]}, "quantization_config is a list; it must be a mapping"),
        ("llama-3.2-1b", {"head_dim": "absent", "num_attention_heads": 24}, "hidden_size 2048 is not a multiple of 24"),
        ("qwen3-30b-a3b", {"num_experts_per_tok": 500}, "num_experts_per_tok is 500, more than the 128 experts"),
        ("qwen3-30b-a3b", {"mlp_only_layers": 3}, "mlp_only_layers is 3; write a list"),
        ("deepseek-v4-flash", {"compress_ratios": [0, 0]}, "compress_ratios has 2 entries for 43 layers"),
        (
            "kimi-linear-48b",
            {"linear_attn_config": {"num_heads": 32, "head_dim": 128}},
            "linear_attn_config must name each of 27 layers once",
        ),
        ("kimi-linear-48b", {"linear_attn_config": {}}, "the configuration has no linear_num_heads"),
        ("nemotron-h-56b-base-8k", {"hybrid_override_pattern": "M?"}, "hybrid_override_pattern must have one of"),
        ("qwen3-vl-2b-instruct", {"vision_config": "absent"}, "the configuration has no vision_config"),
        ("qwen3-vl-2b-instruct", {"text_config": "tiny"}, "text_config is 'tiny'; it must be a mapping"),
        ("gemma-3-4b", {"vision_config": {"patch_size": 0}}, "vision_config.patch_size is 0"),
    ],
)
def test_an_impossible_value_is_named_with_what_would_be_right(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as problem:
        read_config(a_config(name, **changes))

    assert words in str(problem.value)
    assert "\n" not in str(problem.value)
    assert len(str(problem.value)) < 300


def test_a_nested_decoder_is_named_by_its_path() -> None:
    config = a_config("qwen3-vl-2b-instruct")
    config["text_config"]["num_hidden_layers"] = 0

    with pytest.raises(Invalid, match=r"text_config\.num_hidden_layers is 0"):
        read_config(config)


@pytest.mark.parametrize("given", [None, 3, "text", [], [{"model_type": "llama"}]])
def test_what_is_no_mapping_is_refused(given: Any) -> None:
    with pytest.raises(Invalid, match="it must be a mapping"):
        read_config(given)


def test_depth_costs_nothing() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"text_config": deep}

    with pytest.raises(Invalid):
        read_config({"model_type": "qwen3_vl", "text_config": deep, "vision_config": deep})


def test_names_of_families_are_told_apart() -> None:
    named = [(kind, one) for family in FAMILIES for kind in family.types for one in family.classes]
    assert len(named) == len(set(named))
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from([0, 1, 2, 64, 128]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
SEEDS = sorted(path.stem for path in CONFIGS.glob("*.json"))


def _outcome(config: Any) -> Read | None:
    try:
        return read_config(config)
    except HeadwaterError:
        return None


@settings(max_examples=200)
@given(st.sampled_from(sorted(BY_TYPE)), st.dictionaries(st.text(max_size=20), VALUES, max_size=6))
def test_any_mapping_is_read_or_refused(kind: str, config: dict[str, Any]) -> None:
    _outcome({**config, "model_type": kind})


@settings(max_examples=300)
@given(st.sampled_from(SEEDS), st.data())
def test_a_real_configuration_with_anything_in_one_place_is_read_or_refused(name: str, picks: st.DataObject) -> None:
    config = a_config(name)
    parts = [config, *(value for value in config.values() if isinstance(value, dict))]
    part = picks.draw(st.sampled_from([one for one in parts if one]))
    part[picks.draw(st.sampled_from(sorted(part)))] = picks.draw(VALUES)

    read = _outcome(config)

    assert read is None or parameters(read.architecture).total > 0
