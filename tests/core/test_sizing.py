"""One replica on chips of one kind: what it answers beside yes and no."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from worlds import GIB, a_catalog, a_cluster, a_model, a_pool, a_profile, an_engine, reads

from orchestrator.api.site import Pool
from orchestrator.core.cuts import whole_cut
from orchestrator.core.fit import Why
from orchestrator.core.sizing import Answer, Question, answer, node_of
from orchestrator.core.sizing_view import fit_view
from orchestrator.core.world import Parallelism

BIG = {"hidden_size": 4096, "intermediate_size": 16384, "layers": 32, "heads": 32, "kv_heads": 8, "head_dim": 128}
EXPERTS = BIG | {"experts": {"routed": 64, "per_token": 2, "intermediate_size": 1024}}
CATALOG = a_catalog(
    a_model("big", dims=BIG, context=32768),
    a_model("mixture", dims=EXPERTS),
    a_profile("npu", kind="npu", memory="16GiB", kubernetes="npu"),
    a_profile("nothing", kind="npu", memory="16GiB", engines=()),
    a_cluster(counts=[1, 2, 4, 8]),
)


def question(model: str = "big", chip: str = "npu", chips: int | None = None, **fields: Any) -> Question:
    pool = Pool.model_validate(a_pool(chip, chips=8) | fields.pop("pool", {}))
    defaults = {"quantization": None, "engine": None, "context_tokens": 4096, "sequences": 1}
    return Question(
        model=CATALOG.models[model], profile=CATALOG.profiles[chip], pool=pool, chips=chips, **(defaults | fields)
    )


def found(asked: Question) -> Answer:
    one, rejections = answer(asked, CATALOG)
    assert one is not None, rejections
    return one


def test_the_fewest_chips_fit_and_half_as_many_do_not() -> None:
    fewest = found(question()).fewest_chips

    assert fewest == 2
    assert found(question(chips=2)).refused is None
    refused = found(question(chips=1)).refused
    assert refused is not None
    assert refused.why is Why.MEMORY


@pytest.mark.parametrize(
    ("fields", "cut", "nodes"),
    [
        pytest.param({"chips": 4}, Parallelism(tensor=4), 1, id="tensor ranks within a node"),
        pytest.param({"chips": 16}, Parallelism(tensor=8, pipeline=2), 2, id="a stage a node beyond"),
        pytest.param({"chips": 16, "model": "mixture"}, Parallelism(tensor=8, data=2, expert=True), 2,
                     id="experts over all chips"),
        pytest.param({"chips": 8, "tensor": 2, "pipeline": 2}, Parallelism(2, 2, 2), 1, id="as asked"),
        pytest.param({"chips": 4, "model": "mixture", "expert": False}, Parallelism(tensor=4), 1, id="not spread"),
    ],
)  # fmt: skip
def test_it_is_cut(fields: dict[str, Any], cut: Parallelism, nodes: int) -> None:
    one = found(question(**fields))

    assert (one.cut, one.nodes) == (cut, nodes)


@pytest.mark.parametrize(
    ("fields", "why", "hint"),
    [
        pytest.param({"chips": 3}, Why.COUNT, "take 4", id="a count the platform does not take"),
        pytest.param({"chips": 12}, Why.COUNT, "take 16", id="a node and a half"),
        pytest.param({"chips": 8, "tensor": 3}, Why.COUNT, "choose --tp and --pp that divide the chips", id="ranks"),
    ],
)
def test_it_is_refused_for(fields: dict[str, Any], why: Why, hint: str) -> None:
    one = found(question(**fields))

    assert one.refused is not None
    assert (one.refused.why, one.refused.hint) == (why, hint)
    assert one.memory is None
    assert one.fewest_chips == 2


def test_heads_that_do_not_divide_are_refused_where_the_platform_would_take_the_count() -> None:
    free = a_catalog(CATALOG.models["big"], CATALOG.profiles["npu"], a_cluster())

    one, _ = answer(question(chips=3), free)

    assert one is not None
    assert one.refused is not None
    assert (one.refused.need, one.refused.have, one.refused.hint) == ("heads that divide by 3", "32 heads", "take 4")


@pytest.mark.parametrize(
    ("fields", "why", "have"),
    [
        pytest.param({"chip": "nothing"}, Why.ENGINE, "none", id="a chip without engines"),
        pytest.param({"context_tokens": 40000}, Why.CONTEXT, "32768 tokens", id="longer than the model can"),
        pytest.param({"quantization": "fp8"}, Why.QUANTIZATION, "bf16, w8a8", id="what the engine does not read"),
    ],
)
def test_nothing_is_added_up_when(fields: dict[str, Any], why: Why, have: str) -> None:
    one, rejections = answer(question(**fields), CATALOG)

    assert one is None
    assert (rejections[0].why, rejections[0].have) == (why, have)


def test_memory_that_a_nodes_tool_reports_goes_before_the_profile() -> None:
    assert found(question(pool={"memory": "64GiB"})).whole_bytes == 64 * GIB
    assert found(question(pool={"memory": "64GiB"})).fewest_chips == 1


def test_a_chip_whose_memory_nobody_knows_is_not_guessed() -> None:
    unsure = {"value": None, "status": "unverified"}
    profile = a_profile("npu", kind="npu")
    spec = profile.spec.model_copy(update={"memory": profile.spec.memory.model_copy(update=unsure)})
    asked = replace(question(), profile=profile.model_copy(update={"spec": spec}))

    one, rejections = answer(asked, CATALOG)

    assert one is None
    assert rejections[0].why is Why.UNKNOWN
    assert "--memory" in rejections[0].hint


def test_a_model_that_is_no_decoder_is_held_against_its_published_settings() -> None:
    video = a_model(
        "video",
        architecture=None,
        components=[{"name": "transformer", "parameters": 1000}],
        footprints=[{"setting": "720p", "memory": "60GB"}, {"setting": "480p", "memory": "14GB"}],
    )
    asked = replace(question(), model=video)

    view = fit_view(asked, CATALOG)

    assert [(one["setting"], one["fits"]) for one in view["settings"]] == [("720p", False), ("480p", True)]
    assert (view["fits"], view["weightsAtLeastBytes"]) == (True, 2000)


def test_the_first_engine_that_can_load_it_is_taken_and_the_others_are_told() -> None:
    catalog = a_catalog(
        CATALOG.models["big"],
        an_engine("first", reads=reads("w8a8")),
        an_engine("second", reads=reads("bf16")),
        a_profile("npu", kind="npu", memory="64GiB", engines=("first", "second")),
    )
    asked = replace(question(), profile=catalog.profiles["npu"])

    one, rejections = answer(asked, catalog)

    assert one is not None
    assert (one.engine, one.checkpoint.quantization) == ("second", "bf16")
    assert {rejected.why for rejected in rejections} == {Why.QUANTIZATION, Why.CHECKPOINT}


@pytest.mark.parametrize(
    ("profile", "cluster", "chips"),
    [
        pytest.param(a_profile("npu", kind="npu"), a_cluster(counts=[1, 2, 16]), 16, id="the most a pod may ask for"),
        pytest.param(a_profile("npu", kind="npu"), None, 1, id="nothing known"),
        pytest.param(
            a_profile("npu", kind="npu", node_link={"name": "mesh", "bandwidth": {"status": "vendor"}, "group": 8}),
            a_cluster(), 8, id="the group its link connects",
        ),
    ],
)  # fmt: skip
def test_a_usual_node_has(profile: Any, cluster: Any, chips: int) -> None:
    assert node_of(profile, cluster) == chips


def test_a_small_mixture_on_one_chip_spreads_no_experts() -> None:
    a = CATALOG.models["mixture"].spec.architecture
    assert a is not None

    assert whole_cut(a, 1, 8) == Parallelism()
