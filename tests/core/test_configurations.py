"""Every way that is out says why, with both numbers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from plans import enumerate_options
from worlds import (
    a_catalog,
    a_cluster,
    a_model,
    a_pool,
    a_profile,
    a_service,
    a_site,
    a_tier,
    a_world,
    an_artifact,
    an_engine,
    built,
)

from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.api.site import Pool, Site
from orchestrator.core.asks import asks
from orchestrator.core.configurations import Option, unverified_numbers
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.world import Parallelism, World

EIGHT = a_cluster(counts=(8,))


def the_only(service: ModelService, catalog: Catalog | None = None, world: World | None = None) -> Option | Rejected:
    known = catalog or a_catalog()
    (ask,) = asks(service, known)
    if isinstance(ask, Rejected):
        return ask
    options, rejections = enumerate_options(ask, known, world or a_world())
    batches = {option.configuration.sequences for option in options}
    assert len(options) + len(rejections) == max(1, len(batches))  # one way, or one reason
    return max(options, key=lambda option: option.configuration.sequences) if options else rejections[0]


def on_npu(quantization: str, **tier: Any) -> ModelService:
    return a_service(student=a_tier(quantization=(quantization,), **tier))


CHIPS = a_site("lab", a_pool("npu", chips=1))
ONLY_BF16 = "it can load bf16 (lab/tiny)"


@pytest.mark.parametrize(
    ("service", "catalog", "world", "why"),
    [
        pytest.param(
            a_service(policy={"licences": ["MIT"], "residency": ["eu"]}),
            a_catalog(),
            a_world(),
            Rejected("chat/student tiny", Why.LICENCE, "one of MIT", "Apache-2.0"),
            id="a licence the policy does not allow, before residency is looked at",
        ),
        pytest.param(
            a_service(student=a_tier("nothing")),
            a_catalog(),
            a_world(),
            Rejected(
                "chat/student",
                Why.PLACE,
                "model nothing",
                "no such model",
                "import it into the catalog, or name one of: tiny",
            ),
            id="a model nobody knows",
        ),
        pytest.param(
            a_service(policy={"residency": ["eu", "us-1"]}),
            a_catalog(),
            a_world(),
            Rejected("lab", Why.RESIDENCY, "a region in eu, us-1", "cn-east"),
            id="a region the policy does not allow",
        ),
        pytest.param(
            a_service(policy={"residency": ["cn-ea"]}),
            a_catalog(),
            a_world(),
            Rejected("lab", Why.RESIDENCY, "a region in cn-ea", "cn-east"),
            id="a residency that is only the beginning of a word",
        ),
        pytest.param(
            a_service(student=a_tier(where={"role": "cloud"})),
            a_catalog(),
            a_world(),
            Rejected("lab", Why.PLACE, "cloud", "edge"),
            id="another role",
        ),
        pytest.param(
            a_service(student=a_tier(where={"region": "cn-west"})),
            a_catalog(),
            a_world(),
            Rejected("lab", Why.PLACE, "cn-west", "cn-east"),
            id="another region",
        ),
        pytest.param(
            a_service(student=a_tier(where={"site": "other"})),
            a_catalog(),
            a_world(),
            Rejected("lab", Why.PLACE, "other", "lab"),
            id="another site",
        ),
        pytest.param(
            a_service(),
            a_catalog(),
            a_world(a_site("lab", a_pool("nowhere"))),
            Rejected("lab/0", Why.PLACE, "profile nowhere", "no such profile"),
            id="a chip nobody knows",
        ),
        pytest.param(
            a_service(),
            a_catalog(a_profile(engines=())),
            a_world(),
            Rejected("lab/0", Why.ENGINE, "an engine", "none known for box"),
            id="a chip without an engine",
        ),
        pytest.param(
            on_npu("fp8"),
            a_catalog(an_engine("vllm", refuses=[{"quantization": "fp8", "why": "take w8a8"}])),
            a_world(CHIPS),
            Rejected(
                "lab/0 npu vllm fp8", Why.QUANTIZATION, "fp8", "bf16, w8a8", "take w8a8; it can load bf16 (lab/tiny)"
            ),
            id="a quantization the engine refuses, with the catalog's reason",
        ),
        pytest.param(
            on_npu("int4"),
            a_catalog(),
            a_world(CHIPS),
            Rejected("lab/0 npu vllm int4", Why.QUANTIZATION, "int4", "bf16, w8a8", ONLY_BF16),
            id="a quantization the engine does not know",
        ),
        pytest.param(
            on_npu("w8a8"),
            a_catalog(),
            a_world(CHIPS),
            Rejected("lab/0 npu vllm w8a8", Why.CHECKPOINT, "w8a8", "published: bf16", ONLY_BF16),
            id="a checkpoint nobody published",
        ),
        pytest.param(
            on_npu("bf16"),
            a_catalog(a_profile("npu", kind="npu", peaks={"int8": {"value": "1TOPS", "status": "vendor"}})),
            a_world(CHIPS),
            Rejected("lab/0 npu vllm bf16", Why.DTYPE, "arithmetic for bf16", "int8"),
            id="arithmetic the chip does not have",
        ),
        pytest.param(
            on_npu("bf16"),
            a_catalog(a_profile("npu", kind="npu", kubernetes="npu"), EIGHT),
            a_world(a_site("lab", a_pool("npu", chips=4))),
            Rejected("lab/0 npu vllm bf16", Why.COUNT, "8 chips in a pod", "4 on a node"),
            id="chip counts the platform does not accept",
        ),
        pytest.param(
            a_service(),
            a_catalog(a_profile(memory="64MiB")),
            a_world(),
            Rejected("lab/0 box edge int4 TP1 on 1 node", Why.MEMORY, "101.6 MiB", "64.0 MiB"),
            id="memory, with both numbers",
        ),
        pytest.param(
            a_service(tokens=(4000, 100), student=a_tier(context=8192)),
            a_catalog(),
            a_world(),
            Rejected(
                "lab/0 box edge int4 TP1 on 1 node", Why.CONTEXT, "4100 tokens", "4096 tokens", "the model allows 4096"
            ),
            id="a model with a context shorter than the requests",
        ),
        pytest.param(
            a_service(student=a_tier(slo={"ttft": "1ms"})),
            a_catalog(),
            a_world(),
            Rejected("lab/0 box edge int4 TP1 on 1 node", Why.TTFT, "at most 1.0 ms", "1.2 ms predicted"),
            id="a first token that comes too late, with both numbers",
        ),
        pytest.param(
            a_service(student=a_tier(slo={"tpot": "1ms"})),
            a_catalog(),
            a_world(),
            Rejected("lab/0 box edge int4 TP1 on 1 node", Why.TPOT, "at most 1.0 ms", "1.2 ms predicted"),
            id="tokens that come too slowly, with both numbers",
        ),
    ],
)
def test_it_is_refused_for(service: ModelService, catalog: Catalog, world: World, why: Rejected) -> None:
    """Promise 2: every no says what was needed, what there was and which rule said so. Promise 8 is its first row."""
    assert the_only(service, catalog, world) == why


def the_cuts(site: Site, catalog: Catalog) -> list[tuple[Parallelism, int]]:
    (ask,) = asks(on_npu("bf16"), catalog)
    assert not isinstance(ask, Rejected)
    options, _ = enumerate_options(ask, catalog, a_world(site))
    return [(option.configuration.parallelism, option.configuration.nodes) for option in options]


MIXTURE = a_model(dims={"experts": {"routed": 8, "per_token": 2, "shared": 1, "intermediate_size": 32}})


@pytest.mark.parametrize(
    ("pool", "catalog", "cuts"),
    [
        pytest.param(
            a_pool("npu", chips=8, nodes=2),
            a_catalog(),
            [(Parallelism(tensor=n), 1) for n in (1, 2, 4)],
            id="powers of two that divide the heads, on one node",
        ),
        pytest.param(
            a_pool("npu", chips=2, nodes=4),
            a_catalog(MIXTURE),
            [
                (Parallelism(tensor=1), 1),
                (Parallelism(tensor=2, expert=True), 1),
                (Parallelism(tensor=2, data=2, expert=True), 2),
                (Parallelism(tensor=2, data=4, expert=True), 4),
            ],
            id="experts also over whole nodes",
        ),
        pytest.param(
            a_pool("npu", nodes=4) | {"slice": "8GiB"},
            a_catalog(MIXTURE),
            [(Parallelism(tensor=1), 1)],
            id="slices of several nodes share no replica",
        ),
        pytest.param(
            a_pool("npu", nodes=4),
            a_catalog(MIXTURE, a_profile("npu", kind="npu", memory="64GiB", place="edge")),
            [(Parallelism(tensor=1), 1)],
            id="boards at the edge do not either",
        ),
        pytest.param(
            a_pool("npu", chips=6, nodes=2),
            a_catalog(MIXTURE),
            [
                (Parallelism(tensor=1), 1),
                (Parallelism(tensor=2, expert=True), 1),
                (Parallelism(tensor=4, expert=True), 1),
            ],
            id="no whole nodes that are no power of two",
        ),
        pytest.param(a_pool("box"), a_catalog(), [], id="a machine has no bf16 engine"),
    ],
)
def test_a_replica_is_cut(pool: dict[str, Any], catalog: Catalog, cuts: list[tuple[Parallelism, int]]) -> None:
    assert the_cuts(a_site("lab", pool), catalog) == cuts


def test_the_most_sequences_that_meet_the_objective_are_taken() -> None:
    (ask,) = asks(a_service(), a_catalog())
    assert not isinstance(ask, Rejected)
    options, _ = enumerate_options(ask, a_catalog(), a_world())
    by_batch = {option.configuration.sequences: option.prediction.tpot_s.mid for option in options}

    tight = the_only(a_service(student=a_tier(slo={"tpot": f"{by_batch[4] * 1000 + 1e-6:.9f}ms"})))

    assert isinstance(tight, Option)
    assert (max(by_batch), tight.configuration.sequences) == (8, 4)


def test_a_built_artifact_is_planned_with_what_it_was_measured_to_need() -> None:
    estimated = the_only(a_service(), world=a_world(artifacts={}))
    measured = the_only(a_service(), world=a_world(artifacts=built(an_artifact(resident=1 << 30))))

    assert isinstance(estimated, Option)
    assert isinstance(measured, Option)
    assert (estimated.memory.measured, measured.memory.measured) == (False, True)
    assert measured.memory.weights + measured.memory.engine == 1 << 30


def test_a_machine_costs_its_whole_price_whatever_its_chips() -> None:
    option = the_only(a_service(), world=a_world(a_site("lab", a_pool(chips=4, price="8/h"))))

    assert isinstance(option, Option)
    assert option.price_per_h == 8


def test_numbers_that_nobody_verified_are_named() -> None:
    unsure = a_profile(bandwidth={"value": "10GB/s", "status": "unverified"})
    card = a_model(licence="MIT")
    licence = card.spec.licence.model_copy(update={"status": "unverified"})
    option = the_only(
        a_service(),
        a_catalog(unsure, card.model_copy(update={"spec": card.spec.model_copy(update={"licence": licence})})),
    )

    assert isinstance(option, Option)
    assert option.unverified == ("box bandwidth", "tiny licence")


def test_a_replica_over_nodes_rests_on_the_network_and_one_on_a_node_does_not() -> None:
    unsure = {"name": "roce", "bandwidth": {"value": "25GB/s", "status": "unverified"}}
    catalog = a_catalog(MIXTURE, a_profile("npu", kind="npu", memory="64GiB", network=unsure))
    (ask,) = asks(on_npu("bf16"), catalog)
    assert not isinstance(ask, Rejected)

    options, _ = enumerate_options(ask, catalog, a_world(a_site("lab", a_pool("npu", nodes=2, chips=2))))

    named = {option.configuration.nodes: option.unverified for option in options}
    assert named == {1: (), 2: ("npu network",)}


def test_a_chip_whose_memory_nobody_knows_is_not_planned_on() -> None:
    profile = a_profile("npu", kind="npu")
    unknown = profile.spec.memory.model_copy(update={"value": None, "status": "unverified"})
    spec = profile.spec.model_copy(update={"memory": unknown})

    refused = the_only(on_npu("bf16"), a_catalog(profile.model_copy(update={"spec": spec})), a_world(CHIPS))

    assert isinstance(refused, Rejected)
    assert (refused.why, refused.need, refused.have) == (Why.UNKNOWN, "memory", "no figure")


@pytest.mark.parametrize(
    ("pool", "named"),
    [
        pytest.param({}, ("npu memory 4.0 GiB (sold with 4.0 GiB, 8.0 GiB; the node's tool says which)",), id="a name"),
        pytest.param({"memory": "8GiB"}, (), id="what the node's tool says"),
        pytest.param({"slice": "2GiB"}, (), id="the size of a slice"),
    ],
)
def test_memory_that_was_taken_from_the_name_is_named_once(pool: dict[str, Any], named: tuple[str, ...]) -> None:
    unsure = {"value": "4GiB", "status": "unverified"}
    profile = a_profile("npu", kind="npu", memory="5GiB", allocatable=unsure, memory_sizes=("4GiB", "8GiB"))

    found = unverified_numbers(profile, Pool.model_validate(a_pool("npu") | pool), a_model(), {})

    assert tuple(found) == named


def test_engines_that_nothing_here_launches_are_refused_once_each() -> None:
    catalog = a_catalog(
        an_engine("other", recipe=None), a_profile("npu", kind="npu", memory="64GiB", engines=("other", "vllm"))
    )
    (ask,) = asks(a_service(student=a_tier(quantization=())), catalog)
    assert not isinstance(ask, Rejected)

    options, rejections = enumerate_options(ask, catalog, a_world(CHIPS))

    assert [option.configuration.engine for option in options] == ["vllm"]
    assert rejections == (Rejected("lab/0 npu other", Why.ENGINE, "a way to launch it", "none here yet"),)


def test_the_teacher_carries_the_share_that_escalates() -> None:
    service = a_service(
        rate="8/s", student=a_tier(), teacher=a_tier(quantization=("bf16",)), escalation={"target": 0.9, "budget": 0.25}
    )

    found = [(ask.name, ask.rate_per_s) for ask in asks(service, a_catalog()) if not isinstance(ask, Rejected)]

    assert found == [("student", 8.0), ("teacher", 2.0)]


def test_every_rejection_reads_as_a_sentence_with_both_numbers() -> None:
    refused = Rejected("lab/0", Why.MEMORY, "2.0 GiB", "1.0 GiB", "take fewer")

    assert re.fullmatch(r"lab/0: memory \(needs 2\.0 GiB, has 1\.0 GiB\); take fewer", str(refused))


def test_an_objective_met_only_by_the_middle_of_the_prediction_is_at_risk() -> None:
    alone = the_only(a_service())
    assert isinstance(alone, Option)
    between_s = (alone.prediction.tpot_s.mid + alone.prediction.tpot_s.high) / 2

    option = the_only(a_service(student=a_tier(slo={"tpot": f"{between_s * 1000}ms"})))

    assert isinstance(option, Option)
    assert [risk.split(" at most")[0] for risk in option.at_risk] == ["per token"]
    assert alone.at_risk == ()
