"""One replica on chips of one kind: what it answers beside yes and no."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from worlds import GIB, a_catalog, a_cluster, a_model, a_pool, a_profile, an_engine, reads

from orchestrator.api.site import Pool
from orchestrator.core.allocation import node_of
from orchestrator.core.cuts import whole_cut
from orchestrator.core.fit import Why
from orchestrator.core.sizing import Answer, Question, answer
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
        pytest.param({"chips": 4, "expert": True}, Parallelism(tensor=4), 1, id="nothing to spread"),
        pytest.param({"chips": 16, "pipeline": 2}, Parallelism(8, 2), 2, id="stages asked for over nodes"),
        pytest.param({"chips": 8, "pipeline": 2}, Parallelism(4, 2), 1, id="stages within a node"),
        pytest.param({"tensor": 4}, Parallelism(tensor=4), 1, id="without a count, as many chips as the ranks need"),
        pytest.param({"tensor": 2, "pipeline": 2}, Parallelism(2, 2), 1, id="and the stages"),
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
        pytest.param({"chips": 64, "tensor": 1, "pipeline": 64}, Why.COUNT, "", id="more stages than its 32 layers"),
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
    assert (one.refused.need, one.refused.have, one.refused.hint) == (
        "heads that 3 ranks share evenly",
        "32 query and 8 key heads",
        "take 4",
    )


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


def test_ranks_that_no_number_of_chips_suits_are_refused_for_themselves() -> None:
    one = found(question(tensor=3))

    assert one.refused is not None
    assert (one.cut.chips, one.refused.need) == (3, "3 chips in a pod")


def test_a_yes_is_told_with_the_noes_before_it_alone() -> None:
    asked = question(pool={"memory": "64GiB"})

    assert answer(asked, CATALOG)[1] == ()
    assert [no.why for no in answer(replace(asked, quantization="w8a8"), CATALOG)[1]] == [Why.CHECKPOINT]


@pytest.mark.parametrize(("chip", "fewest"), [("npu", 6), ("board", None)])
def test_boards_at_the_edge_share_no_replica_and_nodes_do(chip: str, fewest: int | None) -> None:
    board = a_profile("board", kind="npu", memory="16GiB", place="edge", kubernetes="npu")
    catalog = a_catalog(CATALOG.models["mixture"], CATALOG.profiles["npu"], board, a_cluster(counts=[1]))
    asked = replace(question("mixture", pool={"chips": 1}), profile=catalog.profiles[chip])

    one, _ = answer(asked, catalog)

    assert one is not None
    assert (one.fewest_chips, one.nodes) == (fewest, fewest or 1)


def test_two_boards_are_refused_with_the_reason() -> None:
    board = a_profile("board", kind="npu", memory="64GiB", place="edge")

    one, _ = answer(
        replace(question(chips=2, pool={"chips": 1}), profile=board), a_catalog(CATALOG.models["big"], board)
    )

    assert one is not None
    assert str(one.refused).endswith("count (needs 2 chips, has 1 on a board, and boards share no replica)")


def test_what_a_token_takes_is_told_even_where_a_rule_says_no_first() -> None:
    view = fit_view(question(chips=3), CATALOG)

    assert (view["chips"], view["memory"], view["perToken"]["kvBytes"]) == (3, None, 32 * 2 * 8 * 128 * 2)


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
    assert (view["fits"], view["weightsAtLeastBytes"], view["rejected"]) == (True, 2000, [])
    bare = fit_view(replace(asked, model=a_model("bare", architecture=None, published={"total": 7})), CATALOG)
    assert (bare["fits"], bare["weightsAtLeastBytes"], bare["rejected"][0]["rule"]) == (False, 14, "unknown")


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
    assert [rejected.why for rejected in rejections] == [Why.QUANTIZATION]


def test_what_is_published_goes_before_what_must_be_converted_to_gguf() -> None:
    awq = {"quantization": "w4a16", "format": "awq", "name": "lab/big-AWQ"}
    ways = [{"quantization": "gguf-q4", "format": "gguf"}, {"quantization": "w4a16", "format": "awq"}]
    catalog = a_catalog(CATALOG.profiles["npu"], a_cluster(), an_engine("vllm", reads=ways))
    asked = replace(question(chips=1), model=a_model("big", dims=BIG, releases=[awq]))

    one, _ = answer(asked, catalog)

    assert one is not None
    assert (one.refused, one.checkpoint.name) == (None, "lab/big-AWQ")


def test_of_what_does_not_fit_that_is_told_which_needs_the_fewest_chips() -> None:
    narrow = {"quantization": "w8a8", "format": "modelslim", "name": "lab/big-W8A8"}
    asked = replace(question(chips=1, sequences=24), model=a_model("big", dims=BIG, releases=[narrow]))

    one, rejections = answer(asked, CATALOG)

    assert one is not None
    assert (one.checkpoint.quantization, one.fewest_chips) == ("w8a8", 2)
    assert [no.why for no in rejections] == [Why.MEMORY, Why.MEMORY]


def test_what_nobody_verified_comes_last_and_is_named_unless_the_engine_was_asked_for() -> None:
    catalog = a_catalog(
        CATALOG.models["big"],
        an_engine("unsure", reads=reads("bf16", status="unverified")),
        an_engine("sure", reads=reads("bf16")),
        a_profile("npu", kind="npu", memory="64GiB", engines=("unsure", "sure")),
    )
    asked = replace(question(), profile=catalog.profiles["npu"])

    usual, wanted = (fit_view(replace(asked, engine=engine), catalog) for engine in (None, "unsure"))

    assert (usual["engine"], usual["unverified"]) == ("sure", [])
    assert (wanted["engine"], wanted["unverified"]) == ("unsure", ["that unsure reads plain"])


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
