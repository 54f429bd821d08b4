"""How many tensor ranks the heads of a model can be dealt to."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api.architecture import Architecture
from orchestrator.core.cuts import shares_heads, show_heads

GROUPED = {"grouped": {"heads": 96, "kvHeads": 8, "headDim": 16}}
LATENT = {"latent": {"heads": 12, "kvLoraRank": 64, "ropeHeadDim": 8, "nopeHeadDim": 16, "valueHeadDim": 16}}
LINEAR = {"linear": {"form": "gated-delta-net", "keyHeads": 16, "valueHeads": 48, "keyDim": 8, "valueDim": 16}}


def model(*layers: dict[str, Any]) -> Architecture:
    return Architecture.model_validate(
        {
            "hiddenSize": 64,
            "vocabulary": 100,
            "layers": [{"count": 1, "dense": {"intermediateSize": 8}} | one for one in layers],
        }
    )


@pytest.mark.parametrize(
    ("layers", "ranks", "says"),
    [
        pytest.param([GROUPED], {1, 2, 4, 8, 16}, "96 query and 8 key heads", id="8 key heads do not go to 3"),
        pytest.param([LATENT], {1, 2, 3, 4, 6, 12}, "12 heads", id="one latent vector for all"),
        pytest.param([LINEAR], {1, 2, 4, 8, 16}, "48 query and 16 key heads", id="linear attention"),
        pytest.param([GROUPED, LATENT], {1, 2, 4}, "12 or 96 query and 8 key heads", id="every layer has its say"),
    ],
)  # fmt: skip
def test_heads_are_shared_evenly_by(layers: list[dict[str, Any]], ranks: set[int], says: str) -> None:
    a = model(*layers)

    assert {n for n in range(1, 17) if shares_heads(a, n)} == ranks
    assert show_heads(a) == says
