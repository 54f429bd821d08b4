"""Architectures from tensors alone: what transformers builds must come back to the last parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from orchestrator.adapters.imports.packed import Weight, weights
from orchestrator.adapters.imports.safetensors import Tensor
from orchestrator.adapters.imports.tensors import architecture_of
from orchestrator.api.architecture import Architecture
from orchestrator.core.architecture import parameters
from orchestrator.core.cache import kv_bytes_per_token
from orchestrator.errors import Invalid, Refused

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 200,
}
SPARSE = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
FULL = 3 * 2 * 2 * 16 * 2  # bytes of a token: layers, keys and values, heads, head size, bf16


def built(name: str, settings: Mapping[str, Any]) -> tuple[list[Weight], dict[str, Any], int]:
    """Tensors, configuration and parameters of a model that transformers builds without memory."""
    import torch  # noqa: PLC0415  heavy
    import transformers  # noqa: PLC0415  heavy

    config = getattr(transformers, f"{name}Config")(**settings)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    tensors = [
        Tensor(key, "BF16", tuple(value.shape), 2 * value.numel())
        for key, value in model.state_dict().items()
        if not (key == "lm_head.weight" and config.tie_word_embeddings)
    ]
    corrections = sum(value.numel() for key, value in model.named_parameters() if key.endswith("correction_bias"))
    said = json.loads(config.to_json_string())
    return weights(tensors, said), said, sum(value.numel() for value in model.parameters()) - corrections


@pytest.mark.parametrize(
    ("name", "settings", "kv"),
    [
        pytest.param("Llama", SMALL, FULL, id="llama"),
        pytest.param("Qwen3", SMALL | {"head_dim": 32}, 2 * FULL, id="qwen 3: wider heads, normed"),
        pytest.param("Qwen3Moe", SMALL | SPARSE | {"head_dim": 16}, FULL, id="experts one by one"),
        pytest.param(
            "GptOss", SMALL | {"num_local_experts": 8, "head_dim": 16, "num_hidden_layers": 4}, 256, id="gpt-oss"
        ),
        pytest.param("Phi3", SMALL | {"pad_token_id": 0}, FULL, id="fused projections"),
        pytest.param("Mixtral", SMALL, FULL, id="w1, w2, w3"),
        pytest.param("Olmo2", SMALL, FULL, id="norms over all heads"),
        pytest.param("Starcoder2", SMALL, FULL, id="two matrices, biases everywhere"),
        pytest.param("GPTNeoX", SMALL | {"num_key_value_heads": 4}, 2 * FULL, id="gpt-neox"),
        pytest.param("GPT2", {"n_layer": 3, "n_embd": 64, "n_head": 4, "vocab_size": 200}, 2 * FULL, id="gpt-2"),
        pytest.param("Gemma3Text", SMALL | {"head_dim": 16, "num_hidden_layers": 6}, FULL // 3, id="gemma 3 slides"),
        pytest.param(
            "Qwen3Next",
            SMALL
            | SPARSE
            | {"num_hidden_layers": 4, "head_dim": 16, "shared_expert_intermediate_size": 32}
            | {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
            | {"linear_key_head_dim": 16, "linear_value_head_dim": 16},
            FULL // 3,
            id="hybrid",
        ),
        pytest.param(
            "DeepseekV3",
            SMALL
            | {"num_key_value_heads": 4, "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
            | {"first_k_dense_replace": 1, "n_group": 2, "topk_group": 1, "kv_lora_rank": 32, "q_lora_rank": 24}
            | {"qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16},
            3 * (32 + 8) * 2,
            id="latent attention",
        ),
    ],
)
def test_what_transformers_builds_comes_back_whole(name: str, settings: dict[str, Any], kv: int) -> None:
    found, config, total = built(name, settings)

    architecture = architecture_of(found, config)

    assert parameters(architecture).total == total
    assert kv_bytes_per_token(architecture, 2) == kv


def decoder(**changes: tuple[int, ...] | None) -> list[Weight]:
    """Three layers by hand; a change gives a tensor (`__` for a dot) another shape or, with None, removes it."""
    shapes: dict[str, tuple[int, ...] | None] = {"model.embed_tokens.weight": (200, 64), "model.norm.weight": (64,)}
    for layer in range(3):
        shapes |= {
            f"model.layers.{layer}.self_attn.{name}_proj.weight": shape
            for name, shape in {"q": (64, 64), "k": (32, 64), "v": (32, 64), "o": (64, 64)}.items()
        }
        shapes |= {f"model.layers.{layer}.{name}_norm.weight": (64,) for name in ("attention", "ffn")}
        shapes |= {f"model.layers.{layer}.mlp.{name}_proj.weight": (96, 64) for name in ("gate", "up")}
        shapes[f"model.layers.{layer}.mlp.down_proj.weight"] = (64, 96)
    shapes |= {name.replace("__", "."): shape for name, shape in changes.items()}
    return [Weight(name, shape) for name, shape in shapes.items() if shape is not None]


def of(found: list[Weight], **config: Any) -> Architecture:
    return architecture_of(found, {"num_attention_heads": 4} | config)


def test_what_no_dimension_explains_is_counted_where_it_lies() -> None:
    plain = of(decoder())
    more = of(decoder(model__layers__1__strange__matrix=(5, 7), another=(11,), vision_tower__x=(100,)))

    assert [layers.other for layers in more.layers] == [0, 35]
    assert more.other == 11
    assert [(part.name, part.parameters) for part in more.beside] == [("vision_tower", 100)]
    assert parameters(more).total == parameters(plain).total + 35 + 11 + 100


def test_layers_that_predict_further_tokens_are_not_counted() -> None:
    extra = {"model__layers__3__eh_proj__weight": (64, 128), "model__layers__3__mlp__up_proj__weight": (96, 64)}
    extra |= {"mtp__layers__0__x__weight": (9, 9)}

    found = of(decoder(**extra))

    assert found.draft_layers == 2
    assert parameters(found) == parameters(of(decoder()))


EXPERTS = {"model__layers__1__mlp__router__weight": (8, 64)} | {
    f"model__layers__1__mlp__experts__{number}__{part}_proj__weight": (32, 64)
    for number in range(8)
    for part in ("up", "down")
}


COMPRESSED: dict[str, Any] = {f"model__layers__1__self_attn__{name}_proj__weight": None for name in "qkvo"}
COMPRESSED |= {"model__layers__1__attn__wkv__weight": (48, 64), "model__layers__1__attn__wo_x__weight": (32, 64)}


class Case(NamedTuple):
    """What is wrong, and what is said about it."""

    changes: dict[str, Any]
    config: dict[str, Any]
    error: type[Exception]
    sentence: str


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            Case({}, {"num_attention_heads": None}, Refused, "neither the number of attention"), id="no heads"
        ),
        pytest.param(Case({}, {"num_attention_heads": 5}, Refused, "neither the number"), id="heads do not divide"),
        pytest.param(Case({}, {"num_key_value_heads": 4}, Refused, "and 4 were expected"), id="key-value heads lied"),
        pytest.param(Case({}, {"num_hidden_layers": 4}, Invalid, "layer 3 has no tensors"), id="a layer missing"),
        pytest.param(Case({}, {"num_attention_heads": "4"}, Invalid, "num_attention_heads"), id="text for a number"),
        pytest.param(Case({}, {"layer_types": ["mystery"] * 3}, Refused, "mystery"), id="an unknown kind of layer"),
        pytest.param(Case({}, {"layer_types": ["sliding_attention"] * 3}, Refused, "how far they"), id="no window"),
        pytest.param(Case({}, {"sliding_window": 32}, Refused, "which layers look back"), id="a window of whom"),
        pytest.param(Case({}, {"num_kv_shared_layers": 1}, Refused, "layers share a cache"), id="a shared cache"),
        pytest.param(Case(COMPRESSED, {}, Refused, "wkv.weight does is not known"), id="attention of another kind"),
        pytest.param(Case({"model__layers__1__memory__weight": (64, 200)}, {}, Refused, "memory"), id="much unknown"),
        pytest.param(Case({"model__embed_tokens__weight": None}, {}, Invalid, "embedding"), id="no embedding"),
        pytest.param(Case(EXPERTS, {}, Refused, "how many of its 8 experts"), id="experts without a number"),
        pytest.param(
            Case({"model__layers__1__linear_attn__A_log": (4,)}, {}, Refused, "linear_num_key_heads"), id="a state"
        ),
        pytest.param(
            Case({"model__layers__1__self_attn__k_proj__weight": None}, {}, Refused, "no keys of its own"), id="no keys"
        ),
        pytest.param(Case({"encoder__layers__0__x__weight": (1,)}, {}, Refused, "several stacks"), id="an encoder too"),
    ],
)
def test_what_cannot_be_derived_is_refused_with_what_is_missing(case: Case) -> None:
    with pytest.raises(case.error, match=case.sentence):
        of(decoder(**case.changes), **case.config)


def bits(number: int) -> dict[str, Any]:
    return {"quantization_config": {"bits": number}}


PACK = {"quantization_config": {"config_groups": {"group_0": {"weights": {"num_bits": 4}}}}}


IN_FP8 = {"l.weight": ("F8_E4M3", (64, 128)), "l.weight_scale_inv": ("F32", (1, 1))}
W8A8 = {"l.weight": ("I8", (64, 128)), "l.weight_scale": ("F32", (64, 1)), "l.weight_offset": ("F32", (64, 1))}
GPTQ8 = {"l.qweight": ("I32", (32, 64)), "l.scales": ("F16", (1, 64)), "l.g_idx": ("I32", (128,))}
GPTQ = GPTQ8 | {"l.qweight": ("I32", (16, 64)), "l.qzeros": ("I32", (1, 8))}
AWQ = {"l.qweight": ("I32", (128, 8)), "l.qzeros": ("I32", (1, 8)), "l.scales": ("F16", (1, 64))}
PACKED = {"l.weight_packed": ("I32", (64, 16)), "l.weight_scale": ("BF16", (64, 4)), "l.weight_shape": ("I64", (2,))}
NVFP4 = {"l.weight": ("U8", (64, 64)), "l.weight_scale": ("F8_E4M3", (64, 8)), "l.weight_scale_2": ("F32", ())}
MXFP4 = {"l.weight": ("I8", (64, 64)), "l.scale": ("F8_E8M0", (64, 4))}
MLX = {"l.weight": ("U32", (64, 16)), "l.scales": ("F16", (64, 2)), "l.biases": ("F16", (64, 2))}


@pytest.mark.parametrize(
    ("stored", "config"),
    [
        pytest.param(IN_FP8, {}, id="fp8 in blocks"),
        pytest.param(W8A8, {}, id="w8a8"),
        pytest.param(GPTQ, {}, id="gptq in 4 bits, said by its zero points"),
        pytest.param(GPTQ8, bits(8), id="gptq in 8 bits, said by the configuration"),
        pytest.param(AWQ, {}, id="awq, said by its scales"),
        pytest.param(PACKED, PACK, id="compressed-tensors"),
        pytest.param(NVFP4, {}, id="nvfp4"),
        pytest.param(MXFP4, {}, id="mxfp4 in bytes"),
        pytest.param(MLX, {"quantization": {"bits": 4}}, id="mlx"),
    ],
)
def test_packed_weights_have_their_true_shape(
    stored: dict[str, tuple[str, tuple[int, ...]]], config: dict[str, Any]
) -> None:
    tensors = [Tensor(name, dtype, shape, 0) for name, (dtype, shape) in stored.items()]

    (found,) = weights(tensors, config)

    assert (found.name, sorted(found.shape)) == ("l.weight", [64, 128])


def test_blocks_of_stacked_experts_have_their_true_shape() -> None:
    blocks = Tensor("mlp.experts.down_proj_blocks", "U8", (8, 64, 4, 16), 0)
    scales = Tensor("mlp.experts.down_proj_scales", "U8", (8, 64, 4), 0)

    assert weights([blocks, scales], {}) == [Weight("mlp.experts.down_proj", (8, 64, 128))]


@pytest.mark.parametrize(
    ("tensor", "config", "sentence"),
    [
        (Tensor("l.weight_packed", "I32", (64, 16), 0), {}, "nothing says how many bits"),
        (Tensor("l.weight_packed", "I32", (64, 16), 0), bits(10**400), "nothing says how many bits"),
        (Tensor("l.qweight", "I32", (64, 16), 0), bits(4), "no scales beside it"),
    ],
)
def test_packed_weights_that_nothing_explains_are_refused(tensor: Tensor, config: Any, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        weights([tensor], config)


def test_a_learned_scale_that_belongs_to_no_packed_weight_is_a_weight() -> None:
    learned = [
        Tensor("norm.scale", "BF16", (64,), 0),
        Tensor("x.scales", "F32", (3,), 0),
        Tensor("ids", "I64", (9,), 0),
    ]

    assert weights(learned, {}) == [Weight("norm.scale", (64,)), Weight("x.scales", (3,))]
