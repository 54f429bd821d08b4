"""Totals from dimensions, exact, for the models that ship."""

from __future__ import annotations

import pytest
from worlds import an_architecture

from orchestrator.adapters.catalog import read_catalog
from orchestrator.core.architecture import parameters


@pytest.mark.parametrize(
    ("model", "total", "active"),
    [
        pytest.param("smollm2-135m-instruct", 134_515_008, 134_515_008, id="a small tied model"),
        pytest.param("qwen3-0.6b", 596_049_920, 596_049_920, id="a tied model with a norm per head"),
        pytest.param("deepseek-v3.2-exp", 671_877_929_216, 38_403_807_488, id="experts, latent attention, indexer"),
    ],
)
def test_parameters_are_counted_exactly(model: str, total: int, active: int) -> None:
    a = read_catalog().models[model].spec.architecture

    p = parameters(a)

    tables = p.embedding + (0 if p.tied else p.head)
    assert (p.total, tables + p.body(a.experts.per_token if a.experts else 0)) == (total, active)


@pytest.mark.parametrize(
    ("dims", "more"),
    [
        pytest.param({"qkv_bias": True}, 2 * (4 + 2 * 2) * 16, id="a bias for each query, key and value number"),
        pytest.param({"qk_norm": "head"}, 2 * 2 * 16, id="two norms of one head"),
        pytest.param({"qk_norm": "layer"}, 2 * (4 + 2) * 16, id="norms over all heads"),
        pytest.param({"tied_embeddings": False}, 1000 * 64, id="a head of its own"),
        pytest.param({"layers": 3}, 64 * 128 + 64 * 64 + 3 * 64 * 128 + 128, id="attention, feed-forward, two norms"),
    ],
)
def test_each_part_adds_its_own(dims: dict[str, object], more: int) -> None:
    assert parameters(an_architecture(**dims)).total - parameters(an_architecture()).total == more
