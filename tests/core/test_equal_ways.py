"""What a teacher is planned with must be something its recipe can start, and among equals what loses least."""

from __future__ import annotations

from typing import Any

import pytest
from plans import enumerate_options
from worlds import a_catalog, a_model, a_pool, a_service, a_site, a_tier, a_world, an_engine, reads

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.core.asks import asks
from orchestrator.core.explain import placement_view
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.placement.place import place
from orchestrator.core.placement.result import Placed
from orchestrator.core.world import World

CHIPS = a_site("lab", a_pool("npu", chips=1))


def on_npu(*quantizations: str) -> ModelService:
    return a_service(student=a_tier(quantization=quantizations))


def refusal(service: ModelService, catalog: Catalog, world: World) -> Rejected:
    (ask,) = asks(service, catalog)
    assert not isinstance(ask, Rejected)
    options, (refused,) = enumerate_options(ask, catalog, world)
    assert options == ()
    return refused


@pytest.mark.parametrize(
    ("model", "have"),
    [
        pytest.param({}, "GGUF, converted from lab/tiny", id="a conversion nobody made"),
        pytest.param(
            {"releases": [{"quantization": "gguf-q4", "format": "gguf", "name": "lab/tiny-GGUF"}]},
            "GGUF files in lab/tiny-GGUF",
            id="one file out of many",
        ),
    ],
)
def test_a_recipe_is_not_given_what_it_cannot_name(model: dict[str, Any], have: str) -> None:
    ways = [{"quantization": "gguf-q4", "format": "gguf"}]
    catalog = a_catalog(a_model(**model), an_engine("vllm", reads=ways))

    refused = refusal(on_npu("gguf-q4"), catalog, a_world(CHIPS))

    assert (refused.why, refused.have) == (Why.CHECKPOINT, have)


@pytest.mark.parametrize(
    ("source", "have"),
    [
        pytest.param("/home/me/tiny", "/home/me/tiny", id="files of this machine"),
        pytest.param("", "a card without weights", id="nothing but dimensions"),
    ],
)
def test_weights_that_nodes_do_not_have_are_not_planned_there(source: str, have: str) -> None:
    refused = refusal(on_npu("bf16"), a_catalog(a_model(hub="", source=source)), a_world(CHIPS))

    assert (refused.why, refused.have) == (Why.CHECKPOINT, have)
    assert "hub: org/name" in refused.hint


@pytest.mark.parametrize(
    ("price", "why"),
    [
        pytest.param("0/h", "as cheap as the next, and bf16 loses less than w8a8", id="nothing has a price"),
        pytest.param("1/h", "as cheap as the next, and bf16 loses less than w8a8", id="both cost the same"),
    ],
)
def test_of_two_ways_that_cost_the_same_the_one_that_loses_less_is_taken(price: str, why: str) -> None:
    release = {"quantization": "w8a8", "format": "modelslim", "name": "lab/tiny-W8A8"}
    catalog = a_catalog(a_model(releases=[release]), an_engine("vllm", reads=reads("bf16", "w8a8")))
    world = a_world(a_site("lab", a_pool("npu", chips=1, price=price)))

    placement = place([on_npu("bf16", "w8a8")], catalog, world)

    (tier,) = placement.tiers
    assert isinstance(tier, Placed)
    assert (tier.groups[0].option.configuration.quantization, tier.groups[0].option.lost_bits) == ("bf16", 0)
    assert placement_view(placement)["tiers"][0]["why"] == why


def test_of_two_ways_that_cost_nothing_the_one_on_fewer_chips_is_taken() -> None:
    world = a_world(a_site("lab", a_pool("npu", chips=4, price="0/h")))

    placement = place([on_npu("bf16")], a_catalog(), world)

    (tier,) = placement.tiers
    assert isinstance(tier, Placed)
    assert tier.groups[0].option.configuration.parallelism.chips == 1
    assert placement_view(placement)["tiers"][0]["why"] == "as cheap as the next, on 1 instead of 2 chips"


def test_what_loses_less_is_taken_though_what_loses_more_was_named_first() -> None:
    release = {"quantization": "w8a8", "format": "modelslim", "name": "lab/tiny-W8A8"}
    catalog = a_catalog(a_model(releases=[release]), an_engine("vllm", reads=reads("w8a8", "bf16")))
    service = a_service(student=a_tier(quantization=("w8a8", "bf16")))

    (tier,) = place([service], catalog, a_world(a_site("lab", a_pool("npu")))).tiers

    assert isinstance(tier, Placed)
    assert tier.groups[0].option.configuration.quantization == "bf16"
