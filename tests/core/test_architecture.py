"""Counts from dimensions, held against counts of the public implementations built without weights."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from worlds import an_architecture

from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.architecture import Architecture, Layers
from orchestrator.core.architecture import parameters

HIDDEN = 64
GROUPED = {"heads": 4, "kv_heads": 2, "head_dim": 16}
LATENT = {"heads": 4, "kv_lora_rank": 32, "rope_head_dim": 8, "nope_head_dim": 16, "value_head_dim": 24}
KDA = {"form": "kda", "key_heads": 4, "value_heads": 4, "key_dim": 16, "value_dim": 16, "convolution": 4}
EXPERTS = {"routed": 8, "per_token": 2, "intermediate_size": 32}


def mixed(**layers: Any) -> Architecture:
    """One layer with these parts."""
    return Architecture.model_validate(
        {"hidden_size": HIDDEN, "vocabulary": 1000, "layers": [{"count": 1, "norms": 0, **layers}]}
    )


def per_layer(**layers: Any) -> int:
    a = mixed(**layers)
    return parameters(a).total - 2 * 1000 * HIDDEN - HIDDEN


@pytest.mark.parametrize(
    ("model", "total", "active"),
    [
        pytest.param("smollm2-135m-instruct", 134_515_008, 134_515_008, id="a small tied model"),
        pytest.param("qwen3-0.6b", 596_049_920, 596_049_920, id="a tied model with a norm per head"),
        pytest.param("deepseek-v3.2-exp", 671_877_929_216, 38_403_807_488, id="experts, latent attention, indexer"),
    ],
)
def test_models_that_ship_are_counted_exactly(model: str, total: int, active: int) -> None:
    a = read_catalog().models[model].spec.architecture
    assert a is not None

    p = parameters(a)

    assert (p.total, p.active) == (total, active)


def _compressed(**more: Any) -> dict[str, Any]:
    shape = {"heads": 64, "head_dim": 512, "q_lora_rank": 1024, "o_lora_rank": 1024, "o_groups": 8, "window": 128}
    return shape | more


DELTA = {"form": "gated-delta-net", "key_heads": 16, "value_heads": 32, "key_dim": 128, "value_dim": 128}
SCAN = {"form": "mamba2", "key_heads": 8, "value_heads": 128, "key_dim": 128, "value_dim": 64, "convolution": 4}


@pytest.mark.parametrize(
    ("hidden", "layer", "count"),
    [
        pytest.param(2048, {"linear": DELTA | {"convolution": 4}}, 33_718_464, id="gated delta net of Qwen 3.5"),
        pytest.param(
            2304,
            {"linear": KDA | {"key_heads": 32, "value_heads": 32, "key_dim": 128, "value_dim": 128, "gate_rank": 128}},
            39_514_272,
            id="delta attention of Kimi Linear",
        ),
        pytest.param(
            2560,
            {
                "linear": KDA
                | {"key_heads": 32, "value_heads": 32, "key_dim": 128, "value_dim": 128, "full_decay": True}
            },
            63_049_888,
            id="delta attention of Ling 3, decay projected at once",
        ),
        pytest.param(
            4096,
            {"linear": {"form": "lightning", "key_heads": 32, "value_heads": 32, "key_dim": 128, "value_dim": 128}},
            83_890_176,
            id="lightning attention of MiniMax 01",
        ),
        pytest.param(4096, {"linear": SCAN}, 109_635_968, id="state space of Nemotron-H"),
        pytest.param(4096, {"compressed": _compressed()}, 106_956_352, id="window alone of DeepSeek V4"),
        pytest.param(
            4096,
            {"compressed": _compressed(tokens_per_entry=128)},
            111_216_704,
            id="one entry for 128 tokens of DeepSeek V4",
        ),
        pytest.param(
            4096,
            {
                "compressed": _compressed(
                    tokens_per_entry=4,
                    overlaps=True,
                    indexer={"heads": 64, "head_dim": 128, "top_tokens": 512, "key": "bf16"},
                )
            },
            126_098_624,
            id="one entry for 4 tokens and an index of DeepSeek V4",
        ),
    ],
)
def test_a_layer_that_mixes_tokens_has_the_parameters_of_the_public_one(
    hidden: int, layer: dict[str, Any], count: int
) -> None:
    a = Architecture.model_validate(
        {"hidden_size": hidden, "vocabulary": 1, "layers": [{"count": 1, "norms": 0, **layer}]}
    )

    assert parameters(a).dense - hidden == count


@pytest.mark.parametrize(
    ("dims", "more"),
    [
        pytest.param({"tied_embeddings": False}, 1000 * 64, id="a head of its own"),
        pytest.param({"tied_embeddings": False, "head_bias": True}, 1000 * 65, id="a head with a bias"),
        pytest.param({"norm_bias": True}, 5 * 64, id="a bias for each norm"),
        pytest.param({"layers": 3}, 64 * 128 + 64 * 64 + 3 * 64 * 128 + 128, id="attention, feed-forward, two norms"),
        pytest.param({"other": 7}, 7, id="what stands outside the layers"),
        pytest.param({"beside": [{"name": "tower", "parameters": 11}]}, 11, id="a tower"),
        pytest.param({"draft_layers": 2}, 0, id="layers that predict several tokens are not counted"),
    ],
)
def test_each_part_of_a_model_adds_its_own(dims: dict[str, Any], more: int) -> None:
    assert parameters(an_architecture(**dims)).total - parameters(an_architecture()).total == more


@pytest.mark.parametrize(
    ("kind", "shape", "changes", "more"),
    [
        pytest.param("grouped", GROUPED, {"qkv_bias": True}, (4 + 2 * 2) * 16, id="a bias for queries, keys, values"),
        pytest.param("grouped", GROUPED, {"output_bias": True}, 64, id="a bias behind attention"),
        pytest.param("grouped", GROUPED, {"qk_norm": "head"}, 2 * 16, id="two norms of one head"),
        pytest.param("grouped", GROUPED, {"qk_norm": "layer"}, (4 + 2) * 16, id="norms over all heads"),
        pytest.param("grouped", GROUPED, {"gated": True}, 64 * 64, id="a gate as wide as the queries"),
        pytest.param("grouped", GROUPED, {"head_gate": True}, 64 * 4, id="a gate for each head"),
        pytest.param("grouped", GROUPED, {"sinks": True}, 4, id="a sink for each head"),
        pytest.param("grouped", GROUPED, {"value_head_dim": 8}, -(2 + 4) * 8 * 64, id="narrower values"),
        pytest.param("grouped", GROUPED, {"shared_kv": True}, -64 * 32, id="values that are the keys"),
        pytest.param("grouped", GROUPED, {"values_from_keys": True}, -64 * 32, id="values made from the keys"),
        pytest.param("grouped", GROUPED, {"reuses_cache": True}, -2 * 64 * 32, id="no keys and values at all"),
        pytest.param(
            "grouped", GROUPED, {"reuses_cache": True, "qk_norm": "head"}, 16 - 2 * 64 * 32, id="no norm of keys either"
        ),
        pytest.param("grouped", GROUPED, {"query_rank": 8}, 8 * (64 + 1 + 64) - 64 * 64, id="queries through a waist"),
        pytest.param("grouped", GROUPED, {"window": 128}, 0, id="a window costs nothing"),
        pytest.param(
            "grouped",
            GROUPED,
            {"indexer": {"heads": 2, "head_dim": 8, "top_tokens": 64, "key": "bf16"}},
            64 * 3 * 8 + 2 * 8,
            id="an index of blocks",
        ),
        pytest.param("latent", LATENT, {"q_lora_rank": 16}, 16 * (64 + 1 + 96) - 64 * 96, id="queries compressed too"),
        pytest.param("latent", LATENT, {"output_gate": True}, 4 * 24 * 64, id="a gate as wide as the values"),
        pytest.param("latent", LATENT, {"head_gate": True}, 4 * 64, id="a gate for each latent head"),
        pytest.param("latent", LATENT, {"sinks": True}, 4, id="a sink for each latent head"),
        pytest.param(
            "latent",
            LATENT,
            {"indexer": {"heads": 2, "head_dim": 8, "top_tokens": 64}},
            64 * 16 + 64 * 8 + 2 * 8 + 64 * 2,
            id="an index of tokens",
        ),
        pytest.param("linear", KDA, {"gate_rank": 16}, 16 * (64 + 64) - 64 * 64, id="a gate of lower rank"),
        pytest.param("linear", KDA, {"full_decay": True}, 64 * 64 - 16 * (64 + 64), id="a decay projected at once"),
        pytest.param("linear", KDA | {"form": "lightning"}, {"qk_norm": True}, 2 * 16, id="norms of linear heads"),
        pytest.param("linear", KDA | {"form": "mamba2"}, {"normed": False}, -64, id="a state space without a norm"),
        pytest.param("experts", EXPERTS, {"shared": 2}, 2 * 3 * 64 * 32, id="shared experts"),
        pytest.param("experts", EXPERTS, {"router_bias": True}, 8, id="a bias of the router"),
        pytest.param("experts", EXPERTS, {"bias": True}, 8 * (2 * 32 + 64), id="biases of experts"),
        pytest.param("experts", EXPERTS, {"gated": False}, -8 * 64 * 32, id="experts of two matrices"),
        pytest.param(
            "experts", EXPERTS, {"latent_size": 16}, 2 * 64 * 16 - 8 * 3 * 48 * 32, id="experts in a narrower width"
        ),
        pytest.param("experts", EXPERTS, {"dense": {"intermediate_size": 32}}, 3 * 64 * 32, id="a dense part beside"),
        pytest.param(
            "experts",
            EXPERTS | {"shared": 1},
            {"shared_intermediate_size": 48, "shared_gate": True},
            3 * 64 * 16 + 64,
            id="a wider shared expert with a gate",
        ),
    ],
)
def test_each_part_of_a_layer_adds_its_own(
    kind: str, shape: dict[str, Any], changes: dict[str, Any], more: int
) -> None:
    assert per_layer(**{kind: shape | changes}) - per_layer(**{kind: shape}) == more


def test_only_chosen_experts_are_active() -> None:
    p = parameters(mixed(experts=EXPERTS))

    assert (p.routed_experts, p.active_experts) == (8 * 3 * 64 * 32, 2 * 3 * 64 * 32)
    assert p.total - p.active == 6 * 3 * 64 * 32


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"grouped": GROUPED, "latent": LATENT}, "give one of grouped, latent, compressed and linear"),
        ({"dense": {"intermediate_size": 8}, "experts": EXPERTS}, "give dense or experts"),
        ({}, "give an attention"),
        ({"grouped": GROUPED | {"kv_heads": 3}}, "heads 4 is not a multiple of kvHeads 3"),
        ({"experts": EXPERTS | {"per_token": 9}}, "perToken 9 is more than the 8 routed experts"),
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(layer: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Layers.model_validate({"count": 1, **layer})
