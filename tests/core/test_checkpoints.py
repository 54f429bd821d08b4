"""Engines read formats: which checkpoint is loaded, and what is offered instead."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import a_model, a_profile, an_engine

from orchestrator.api.quantization import Quantization
from orchestrator.core.checkpoints import Checkpoint, checkpoint_for, loss, worth_trying
from orchestrator.core.fit import Rejected, Why

CHIP = a_profile("npu", kind="npu")
AWQ = {"quantization": "w4a16", "format": "awq", "name": "lab/tiny-AWQ"}
W8A8 = {"quantization": "w8a8", "format": "modelslim", "name": "lab/tiny-W8A8"}
CT = {"quantization": "w8a8", "format": "compressed-tensors", "name": "lab/tiny-ct"}
ASCEND = [
    {"quantization": "bf16", "format": "plain"},
    {"quantization": "w8a8", "format": "modelslim", "flag": "ascend"},
    {"quantization": "w8a8", "format": "compressed-tensors"},
    {"quantization": "w4a8", "format": "modelslim", "flag": "ascend", "only": "experts"},
    {"quantization": "fp8", "format": "fp8", "families": ["other"]},
]


def choose(
    quantization: Quantization, *, reads: list[dict[str, Any]] = ASCEND, refuses: Any = (), **model: Any
) -> Checkpoint | Rejected:
    engine = an_engine("vllm", reads=reads, refuses=refuses)
    return checkpoint_for(a_model(**model), engine, CHIP, quantization, "it")


@pytest.mark.parametrize(
    ("quantization", "model", "chosen"),
    [
        pytest.param("bf16", {}, Checkpoint("lab/tiny", "bf16", "plain"), id="the organisation's own"),
        pytest.param("w8a8", {"releases": [W8A8]}, Checkpoint("lab/tiny-W8A8", "w8a8", "modelslim", "ascend"),
                     id="a release, with the flag its format needs"),
        pytest.param("w8a8", {"releases": [CT, W8A8]}, Checkpoint("lab/tiny-ct", "w8a8", "compressed-tensors"),
                     id="the first release the engine reads; this format needs no flag"),
        pytest.param("bf16", {"native": "fp16"}, Checkpoint("lab/tiny", "bf16", "plain"), id="plain weights are cast"),
    ],
)  # fmt: skip
def test_it_loads(quantization: Quantization, model: dict[str, Any], chosen: Checkpoint) -> None:
    assert choose(quantization, **model) == chosen


@pytest.mark.parametrize(
    ("quantization", "model", "why", "says"),
    [
        pytest.param("w8a8", {}, Why.CHECKPOINT, "published: bf16", id="nobody published it"),
        pytest.param("w4a8", {"releases": [W8A8]}, Why.QUANTIZATION, "bf16, w8a8", id="only for mixtures of experts"),
        pytest.param("fp8", {}, Why.QUANTIZATION, "bf16, w8a8", id="only for other families"),
        pytest.param("w4a16", {"releases": [AWQ]}, Why.QUANTIZATION, "bf16, w8a8", id="not read in any format"),
    ],
)
def test_it_is_refused(quantization: Quantization, model: dict[str, Any], why: Why, says: str) -> None:
    refused = choose(quantization, **model)

    assert isinstance(refused, Rejected)
    assert (refused.why, refused.have) == (why, says)


def test_a_published_checkpoint_in_a_format_the_engine_cannot_read_is_named_with_the_reason() -> None:
    reads = [*ASCEND, {"quantization": "w4a16", "format": "compressed-tensors"}]
    refuses = [{"format": "awq", "why": "convert it with ModelSlim"}]

    refused = choose("w4a16", reads=reads, refuses=refuses, releases=[AWQ])

    assert isinstance(refused, Rejected)
    assert (refused.need, refused.have) == ("w4a16 in compressed-tensors", "lab/tiny-AWQ in awq")
    assert refused.hint.startswith("convert it with ModelSlim")


@pytest.mark.parametrize(
    "release",
    [
        pytest.param(W8A8 | {"of": "lab/tiny-2"}, id="made from a sibling"),
        pytest.param(W8A8 | {"chips": ["other"]}, id="made for other chips"),
    ],
)
def test_a_release_that_is_not_meant_here_is_not_loaded(release: dict[str, Any]) -> None:
    assert isinstance(choose("w8a8", releases=[release]), Rejected)
    assert isinstance(choose("w8a8", releases=[release, CT]), Checkpoint)


def test_a_refusal_may_hold_for_some_chips_only() -> None:
    refuses = [{"quantization": "bf16", "chips": ["other"], "why": "no"}]

    assert isinstance(choose("bf16", refuses=refuses), Checkpoint)


@pytest.mark.parametrize(
    ("engine", "model", "tried"),
    [
        pytest.param("vllm", {"releases": [W8A8]}, ("bf16", "w8a8"), id="what is published and read"),
        pytest.param("vllm", {"native": "fp8", "releases": [W8A8, AWQ]}, ("fp8", "w8a8"), id="its own, even so"),
        pytest.param("vllm", {"native": None}, ("bf16", "fp8", "w8a8"), id="all, when nothing is published"),
        pytest.param("edge", {}, ("bf16", "fp8", "w8a8"), id="all that the edge build can make"),
    ],
)  # fmt: skip
def test_without_a_wish_it_is_worth_trying(engine: str, model: dict[str, Any], tried: tuple[str, ...]) -> None:
    reads = [*ASCEND, {"quantization": "fp8", "format": "fp8"}]

    assert worth_trying(a_model(**model), an_engine(engine, reads=reads), CHIP) == tried


@pytest.mark.parametrize(
    ("format_", "convert"),
    [
        pytest.param("rkllm", True, id="converted with the vendor's tool"),
        pytest.param("online", False, id="by the engine"),
    ],
)
def test_plain_weights_become_what_the_engine_needs(format_: str, *, convert: bool) -> None:
    chosen = choose("w8a8", reads=[{"quantization": "w8a8", "format": format_}])

    assert isinstance(chosen, Checkpoint)
    assert (chosen.name, chosen.quantization, chosen.convert) == ("lab/tiny", "w8a8", convert)


def test_weights_that_are_narrow_already_are_not_quantized_while_loading() -> None:
    reads = [{"quantization": "w8a8", "format": "online"}]

    assert isinstance(choose("w8a8", reads=reads, native="fp8"), Rejected)


@pytest.mark.parametrize(("status", "verified"), [("vendor", True), ("unverified", False)])
def test_a_way_that_nobody_verified_is_marked(status: str, *, verified: bool) -> None:
    chosen = choose("bf16", reads=[{"quantization": "bf16", "format": "plain", "status": status}])

    assert isinstance(chosen, Checkpoint)
    assert chosen.verified is verified


def test_published_files_go_before_a_conversion() -> None:
    gguf = {"quantization": "gguf-q4", "format": "gguf", "name": "lab/tiny-GGUF"}
    reads = [{"quantization": "gguf-q4", "format": "gguf"}]

    published, made = (choose("gguf-q4", reads=reads, releases=releases) for releases in ([gguf], []))

    assert isinstance(published, Checkpoint)
    assert isinstance(made, Checkpoint)
    assert (published.name, published.convert) == ("lab/tiny-GGUF", False)
    assert (made.name, made.convert) == ("lab/tiny", True)


def test_an_engine_for_other_families_says_whose_models_it_does_not_run() -> None:
    refused = choose("bf16", reads=[{"quantization": "bf16", "format": "plain", "families": ["other"]}])

    assert isinstance(refused, Rejected)
    assert refused.have == "nothing for models of tiny"


@pytest.mark.parametrize(
    ("quantization", "native", "lost"),
    [("bf16", "bf16", 0), ("w8a8", "bf16", 8), ("w4a16", "bf16", 12), ("w8a8", "fp8", 0), ("bf16", "fp8", 0),
     ("w4a8", "fp8", 4), ("w4a16", "int4-experts", 0), ("w8a8", None, 8)],
)  # fmt: skip
def test_bits_are_lost_against_the_organisations_own_weights(
    quantization: Quantization, native: Quantization | None, lost: int
) -> None:
    assert loss(quantization, native) == lost
