"""What a tier can make use of in a pool: how many replicas, over how many nodes, and with what at risk."""

from __future__ import annotations

import pytest
from plans import enumerate_options
from worlds import a_catalog, a_pool, a_service, a_site, a_tier, a_world

from orchestrator.core.asks import asks
from orchestrator.core.fit import Rejected


@pytest.mark.parametrize(
    ("chips", "tensor", "most", "useful"),
    [
        pytest.param(8, 1, 99, 24, id="a chip each"),
        pytest.param(8, 4, 99, 6, id="two halves of a node"),
        pytest.param(6, 4, 99, 3, id="what is left of a node holds no part of another"),
        pytest.param(8, 1, 5, 5, id="no more than the tier may have"),
    ],
)
def test_a_pool_can_make_use_of_as_many_replicas_as_its_nodes_hold(
    chips: int, tensor: int, most: int, useful: int
) -> None:
    (ask,) = asks(a_service(student=a_tier(quantization=("bf16",), replicas={"max": most})), a_catalog())
    assert not isinstance(ask, Rejected)

    options, _ = enumerate_options(ask, a_catalog(), a_world(a_site("lab", a_pool("npu", nodes=3, chips=chips))))

    assert [o.useful_replicas for o in options if o.configuration.parallelism.tensor == tensor] == [useful]


def test_a_model_that_has_room_on_one_node_is_not_cut_into_stages() -> None:
    (ask,) = asks(a_service(student=a_tier(quantization=("bf16",))), a_catalog())
    assert not isinstance(ask, Rejected)

    options, _ = enumerate_options(ask, a_catalog(), a_world(a_site("lab", a_pool("npu", nodes=2, chips=2))))

    assert {option.configuration.nodes for option in options} == {1}


def test_a_first_token_met_only_by_the_middle_of_the_prediction_is_at_risk() -> None:
    (ask,) = asks(a_service(), a_catalog())
    assert not isinstance(ask, Rejected)
    alone = enumerate_options(ask, a_catalog(), a_world())[0][0]
    between_s = (alone.prediction.ttft_s.mid + alone.prediction.ttft_s.high) / 2
    (ask,) = asks(a_service(student=a_tier(slo={"ttft": f"{between_s * 1000}ms"})), a_catalog())
    assert not isinstance(ask, Rejected)

    option = enumerate_options(ask, a_catalog(), a_world())[0][0]

    assert [risk.split(" at most")[0] for risk in option.at_risk] == ["first token"]
