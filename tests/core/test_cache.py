"""What a sequence keeps, one kind of attention at a time, computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api.architecture import Architecture
from orchestrator.core.cache import (
    index_bytes_per_token,
    kv_bytes_per_token,
    sequence_bytes,
    state_bytes_per_sequence,
)

GROUPED = {"heads": 8, "kvHeads": 4, "headDim": 16}
LATENT = {"heads": 8, "kvLoraRank": 64, "ropeHeadDim": 8, "nopeHeadDim": 16, "valueHeadDim": 16}
INDEX = {"heads": 2, "headDim": 128, "topTokens": 100}
COMPRESSED = {"heads": 8, "headDim": 32, "qLoraRank": 16, "oLoraRank": 16, "oGroups": 2, "window": 10}
LINEAR = {"form": "gated-delta-net", "keyHeads": 2, "valueHeads": 4, "keyDim": 8, "valueDim": 16, "convolution": 4}


def model(*layers: dict[str, Any]) -> Architecture:
    dense = {"dense": {"intermediateSize": 64}}
    return Architecture.model_validate(
        {"hiddenSize": 64, "vocabulary": 100, "layers": [{"count": 3} | dense | one for one in layers]}
    )


@pytest.mark.parametrize(
    ("layers", "per_token", "index", "state"),
    [
        pytest.param({"grouped": GROUPED}, 3 * 2 * 4 * 16 * 2, 0, 0, id="keys and values of each head"),
        pytest.param({"grouped": GROUPED | {"valueHeadDim": 8}}, 3 * 4 * (16 + 8) * 2, 0, 0, id="narrower values"),
        pytest.param({"grouped": GROUPED | {"sharedKv": True}}, 3 * 4 * 16 * 2, 0, 0, id="values that are the keys"),
        pytest.param({"grouped": GROUPED | {"reusesCache": True}}, 0, 0, 0, id="the cache of an earlier layer"),
        pytest.param({"grouped": GROUPED | {"window": 10}}, 3 * 2 * 4 * 16 * 2, 0, 3 * 2 * 4 * 16 * 2 * 10,
                     id="a window that slides"),
        pytest.param({"grouped": GROUPED | {"indexer": INDEX | {"key": "bf16"}}}, 3 * 2 * 4 * 16 * 2, 3 * 256, 0,
                     id="an index with keys in bf16"),
        pytest.param({"latent": LATENT}, 3 * 72 * 2, 0, 0, id="one latent vector"),
        pytest.param({"latent": LATENT | {"indexer": INDEX}}, 3 * 72 * 2, 3 * 132, 0, id="an fp8 index with a scale"),
        pytest.param({"latent": LATENT | {"indexer": INDEX | {"reused": True}}}, 3 * 72 * 2, 0, 0,
                     id="the index of an earlier layer"),
        pytest.param({"compressed": COMPRESSED}, 3 * 32 * 2, 0, 3 * 32 * 2 * 10, id="a window alone"),
        pytest.param({"compressed": COMPRESSED | {"tokensPerEntry": 4}}, 3 * 32 * 2 // 4, 0, 3 * 32 * 2 * 10,
                     id="an entry for four tokens, and the window"),
        pytest.param({"compressed": COMPRESSED | {"tokensPerEntry": 4, "indexer": INDEX}}, 3 * (32 + 128) * 2 // 4, 0,
                     3 * 32 * 2 * 10, id="an index of entries, kept as wide as they are"),
        pytest.param({"linear": LINEAR}, 0, 0, 3 * 4 * 8 * 16 * 4, id="a state in fp32"),
        pytest.param({}, 0, 0, 0, id="no attention at all"),
    ],
)  # fmt: skip
def test_a_layer_keeps(layers: dict[str, Any], per_token: int, index: int, state: int) -> None:
    a = model(layers)

    assert kv_bytes_per_token(a, 2) == per_token
    assert index_bytes_per_token(a) == index
    assert state_bytes_per_sequence(a) == state


def test_layers_of_several_kinds_add_up() -> None:
    one, other = {"grouped": GROUPED}, {"linear": LINEAR}

    assert kv_bytes_per_token(model(one, other), 2) == kv_bytes_per_token(model(one), 2)
    assert state_bytes_per_sequence(model(one, other)) == state_bytes_per_sequence(model(other))


def test_a_short_sequence_does_not_fill_a_window() -> None:
    a = model({"grouped": GROUPED | {"window": 10}})

    assert [sequence_bytes(a, tokens, 2) for tokens in (5, 10, 1000)] == [3840, 7680, 7680]


def test_a_sequence_holds_state_convolution_and_cache() -> None:
    a = model({"linear": LINEAR}, {"grouped": GROUPED})
    convolution = 3 * (2 * 2 * 8 + 4 * 16) * 3 * 2

    assert sequence_bytes(a, 7, 2) == state_bytes_per_sequence(a) + convolution + 7 * kv_bytes_per_token(a, 2)


@pytest.mark.parametrize(
    ("layers", "tensor", "share"),
    [
        pytest.param({"grouped": GROUPED}, 2, 2, id="heads are dealt out"),
        pytest.param({"grouped": GROUPED}, 8, 4, id="no further than there are heads"),
        pytest.param({"latent": LATENT}, 8, 1, id="a latent vector is repeated on every rank"),
        pytest.param({"linear": LINEAR}, 4, 4, id="states are dealt out"),
    ],
)
def test_tensor_ranks_share(layers: dict[str, Any], tensor: int, share: int) -> None:
    a = model(layers)

    assert sequence_bytes(a, 100, 2, tensor=tensor) == sequence_bytes(a, 100, 2) / share


def test_a_step_of_sparse_attention_reads_what_the_index_picks_and_the_whole_index() -> None:
    a = model({"latent": LATENT | {"indexer": INDEX}})

    assert sequence_bytes(a, 1000, 2, read=True) == 3 * (100 * 72 * 2 + 1000 * 132)
    assert sequence_bytes(a, 50, 2, read=True) == sequence_bytes(a, 50, 2)
    assert sequence_bytes(a, 1000, 2) == 3 * 1000 * (72 * 2 + 132)


def test_an_index_of_entries_is_scanned_whole_and_picks_entries_that_each_stand_for_several_tokens() -> None:
    a = model({"compressed": COMPRESSED | {"tokensPerEntry": 4, "indexer": INDEX}})
    window = 10 * 32 * 2

    assert sequence_bytes(a, 1000, 2, read=True) == 3 * (window + 100 * 32 * 2 + 1000 / 4 * 128 * 2)
