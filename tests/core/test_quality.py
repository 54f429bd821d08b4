"""A student's quality floor: what is built below it is refused with the numbers, what is not built is not judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.api.service import ModelService
from orchestrator.core.decide import decide
from orchestrator.core.fit import Why
from orchestrator.core.placement.place import place
from orchestrator.core.placement.result import Placed, Unplaced
from orchestrator.core.quality import HINT
from orchestrator.core.world import Artifact, World
from tests.worlds import a_catalog, a_model, a_pool, a_service, a_site, a_tier, a_world, an_artifact, an_engine, built

BOTH = ("int4", "int8")


def measured(quantization: str, perplexity: float, agreement: float) -> Artifact:
    """An artifact that reads the text so, against a reference of 10."""
    artifact = an_artifact(quantization=quantization, resident=(100 if quantization == "int4" else 200) << 20)
    quality = artifact.manifest.quality.model_copy(update={"perplexity": perplexity, "greedy_agreement": agreement})
    return replace(artifact, manifest=artifact.manifest.model_copy(update={"quality": quality}))


def with_floor(quantization: tuple[str, ...] = BOTH, **floor: Any) -> ModelService:
    return a_service(student=a_tier(quantization=quantization, quality=floor))


def picked(service: ModelService, world: World) -> str:
    (tier,) = decide([service], a_catalog(), world, 0.0).placement.tiers
    assert isinstance(tier, Placed)
    return tier.groups[0].option.configuration.quantization


def test_the_smallest_built_variant_that_meets_the_floor_is_picked() -> None:
    world = a_world(artifacts=built(measured("int4", 10.7, 0.7), measured("int8", 10.1, 0.95)))

    assert picked(with_floor(perplexity="8%"), world) == "int4"
    assert picked(with_floor(perplexity="6%"), world) == "int8"
    assert picked(with_floor(agreement=0.7), world) == "int4"
    assert picked(with_floor(agreement=0.8), world) == "int8"
    assert picked(a_service(student=a_tier(quantization=BOTH)), world) == "int4"


@pytest.mark.parametrize(
    ("floor", "need", "have"),
    [
        pytest.param(
            {"perplexity": "6%"},
            "perplexity at most 6% above the reference",
            "+12.00% (11.2 against 10)",
            id="perplexity",
        ),
        pytest.param(
            {"agreement": "80%"}, "agreement at least 0.8", "agreement 0.7000 over 100 tokens", id="agreement"
        ),
        pytest.param(
            {"perplexity": 0.2, "agreement": 0.8},
            "perplexity at most 20% above the reference and agreement at least 0.8",
            "+12.00% (11.2 against 10) and agreement 0.7000 over 100 tokens",
            id="one of two",
        ),
    ],
)
def test_a_refusal_says_what_was_needed_and_what_there_was(floor: dict[str, Any], need: str, have: str) -> None:
    world = a_world(artifacts=built(measured("int4", 11.2, 0.7)))
    (tier,) = decide([with_floor(("int4",), **floor)], a_catalog(), world, 0.0).placement.tiers

    assert isinstance(tier, Unplaced)
    (refused,) = (no for no in tier.rejections if no.why is Why.QUALITY)
    assert (refused.need, refused.have, refused.hint) == (need, have, HINT)


def test_what_is_not_built_is_planned_first_and_judged_when_it_is_built() -> None:
    service = with_floor(perplexity="6%")

    assert picked(service, a_world()) == "int4"
    assert picked(service, a_world(artifacts=built(measured("int4", 12.0, 0.7)))) == "int8"


def test_a_narrower_published_checkpoint_is_refused_since_nobody_measured_it_and_the_own_weights_are_not() -> None:
    release = {"quantization": "w8a8", "format": "modelslim", "name": "lab/tiny-W8A8"}
    ways = [{"quantization": name, "format": layout} for name, layout in (("bf16", "plain"), ("w8a8", "modelslim"))]
    catalog = a_catalog(a_model(releases=[release]), an_engine("vllm", reads=ways))
    world = a_world(a_site("lab", a_pool("npu")))

    def placed(*quantization: str) -> Placed | Unplaced:
        (tier,) = place([with_floor(quantization, agreement=0.5)], catalog, world).tiers
        return tier

    assert isinstance(placed("bf16"), Placed)
    narrow = placed("w8a8")
    assert isinstance(narrow, Unplaced)
    (refused,) = (no for no in narrow.rejections if no.why is Why.QUALITY)
    assert (refused.need, refused.have) == ("agreement at least 0.5", "no measurement of lab/tiny-W8A8")
