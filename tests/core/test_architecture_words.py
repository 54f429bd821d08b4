"""Architectures as people say them."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api.architecture import Architecture
from orchestrator.core.architecture_words import in_words

LATENT = {"heads": 128, "kv_lora_rank": 512, "rope_head_dim": 64, "nope_head_dim": 128, "value_head_dim": 128}
GROUPED = {"heads": 8, "kv_heads": 2, "head_dim": 64}
INDEXER = {"heads": 4, "head_dim": 32, "top_tokens": 2048}
DENSE = {"intermediate_size": 18432}
EXPERTS = {"routed": 256, "per_token": 8, "shared": 1, "intermediate_size": 2048}
COMPRESSED = {"heads": 64, "head_dim": 512, "q_lora_rank": 1, "o_lora_rank": 1, "o_groups": 1, "window": 128}
LINEAR = {"form": "gated-delta-net", "key_heads": 16, "value_heads": 32, "key_dim": 128, "value_dim": 128}


def words(**layers: Any) -> str:
    a = Architecture.model_validate({"hidden_size": 64, "vocabulary": 100, "layers": [{"count": 1} | layers]})
    return in_words(a)[0]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        pytest.param(
            {"count": 58, "latent": LATENT, "experts": EXPERTS},
            "58 layers: latent attention, 128 heads, 512 + 64 numbers cached; "
            "256 experts of 2048, 8 per token, 1 shared",
            id="latent attention and experts",
        ),
        pytest.param(
            {"grouped": GROUPED, "dense": DENSE},
            "1 layer: grouped attention, 8 heads over 2 key-value heads of 64; dense, 18432 wide",
            id="grouped attention",
        ),
        pytest.param(
            {"grouped": GROUPED | {"kv_heads": 8, "window": 512, "sinks": True}},
            "1 layer: multi-head attention, 8 heads of 64, window of 512, sinks",
            id="as many heads of both, in a window",
        ),
        pytest.param(
            {"latent": LATENT | {"indexer": INDEXER, "output_gate": True}},
            "1 layer: latent attention, 128 heads, 512 + 64 numbers cached, gated output, an index picks 2048 tokens",
            id="sparse attention",
        ),
        pytest.param(
            {"grouped": GROUPED | {"value_head_dim": 32, "shared_kv": True, "reuses_cache": True, "gated": True}},
            "1 layer: grouped attention, 8 heads over 2 key-value heads of 64, values of 32, gated output, "
            "keys serve as values, reads the cache of an earlier layer",
            id="what else grouped attention can be",
        ),
        pytest.param(
            {"compressed": COMPRESSED | {"tokens_per_entry": 4}},
            "1 layer: compressed attention, 64 heads of 512, one entry for 4 tokens beside a window of 128",
            id="compressed attention",
        ),
        pytest.param(
            {"compressed": COMPRESSED},
            "1 layer: compressed attention, 64 heads of 512, window of 128",
            id="a window alone",
        ),
        pytest.param(
            {"linear": LINEAR},
            "1 layer: linear attention (gated delta net), 16 key and 32 value heads of 128 x 128",
            id="linear attention",
        ),
        pytest.param(
            {"linear": LINEAR | {"form": "mamba2"}}, "1 layer: Mamba 2, 32 heads of 128, state of 128", id="Mamba"
        ),
        pytest.param(
            {"experts": EXPERTS | {"shared_intermediate_size": 512, "latent_size": 256, "dense": DENSE}},
            "1 layer: 256 experts of 2048, 8 per token, 1 shared of 512, working in 256, "
            "a dense, 18432 wide beside them",
            id="what else experts can be",
        ),
    ],
)
def test_layers_are_said_as(layers: dict[str, Any], said: str) -> None:
    assert words(**layers) == said


def test_the_last_line_says_what_stands_around_the_layers() -> None:
    a = Architecture.model_validate(
        {
            "hidden_size": 64,
            "vocabulary": 100,
            "tied_embeddings": True,
            "layers": [{"count": 1, "dense": DENSE}],
            "beside": [{"name": "vision tower", "parameters": 300_000_000}],
            "draft_layers": 1,
        }
    )

    assert in_words(a)[-1] == (
        "64 wide, vocabulary 100, the head shares the embedding; vision tower of 300M beside; "
        "1 layer for drafting tokens, not counted"
    )
