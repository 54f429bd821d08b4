"""Shipped engines: every one of the facts, images without a host, refusals that say what to take instead."""

from __future__ import annotations

import re

import pytest
from facts_hardware import ENGINES

from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.engine import EngineSpec

OURS = "edge"
EVERY = sorted([*ENGINES, OURS])
NAMED_BY_NO_CHIP = {"onnxruntime"}


def engine(name: str) -> EngineSpec:
    return read_catalog().engines[name].spec


def chips_of(name: str) -> set[str]:
    return {chip for chip, profile in read_catalog().profiles.items() if name in profile.spec.engines}


def test_every_engine_of_the_facts_is_there_and_ours_and_no_other() -> None:
    assert sorted(read_catalog().engines) == EVERY


def test_every_engine_is_named_by_a_chip_or_says_why_not() -> None:
    left_over = {name for name in EVERY if not chips_of(name)}

    assert left_over == NAMED_BY_NO_CHIP
    assert all("No profile names it" in engine(name).note for name in left_over)


@pytest.mark.parametrize("name", EVERY)
def test_no_image_names_a_registry(name: str) -> None:
    spec = engine(name)
    first = [image.split("/")[0] for image in (spec.image, *spec.images) if "/" in image]

    assert [part for part in first if re.search(r"[.:]", part) or part == "localhost"] == []


@pytest.mark.parametrize("name", EVERY)
def test_an_image_to_start_has_one_tag_and_patterns_say_where_versions_go(name: str) -> None:
    spec = engine(name)

    assert not spec.image or re.fullmatch(r"[a-z0-9/._-]+:[A-Za-z0-9._-]*[0-9][A-Za-z0-9._-]*", spec.image)
    assert all(re.fullmatch(r"[a-z0-9/._-]+(:([A-Za-z0-9._-]|<ver>)+)?", pattern) for pattern in spec.images)


def test_only_three_engines_are_launched_from_here() -> None:
    launched = {name: engine(name).recipe for name in EVERY if engine(name).recipe}

    assert launched == {"vllm": "vllm", "vllm-ascend-a2": "vllm-ascend", "edge": "edge"}
    assert {name: engine(name).image for name in launched} == {
        "vllm": "vllm/vllm-openai:v0.13.0",
        "vllm-ascend-a2": "ascend/vllm-ascend:v0.18.0",
        "edge": "headwater/edge:0.1.0",
    }


@pytest.mark.parametrize("name", EVERY)
def test_an_engine_speaks_only_of_chips_that_name_it(name: str) -> None:
    spec = engine(name)
    spoken_of = {chip for one in (*spec.reads, *spec.refuses) for chip in one.chips}

    assert spoken_of <= chips_of(name)


@pytest.mark.parametrize("name", EVERY)
def test_an_engine_that_reads_nothing_says_so_and_one_that_reads_says_where_that_was_read(name: str) -> None:
    spec = engine(name)
    vouched_for = [reads for reads in spec.reads if reads.status not in {"unverified", "secondary"}]

    assert spec.reads or re.search(r"nothing|No profile names it", spec.note)
    assert spec.sources or not vouched_for


@pytest.mark.parametrize("name", EVERY)
def test_an_engine_never_reads_what_it_refuses(name: str) -> None:
    spec = engine(name)

    assert [
        (chip, reads.quantization, reads.format)
        for chip in chips_of(name)
        for reads in spec.reads
        for refusal in spec.refuses
        if chip in (reads.chips or {chip})
        and chip in (refusal.chips or {chip})
        and refusal.quantization in {None, reads.quantization}
        and refusal.format in {None, reads.format}
    ] == []


@pytest.mark.parametrize("name", [name for name in EVERY if read_catalog().engines[name].spec.refuses])
def test_a_refusal_names_something_that_the_engine_reads(name: str) -> None:
    spec = engine(name)
    names = {reads.quantization for reads in spec.reads} | {reads.format for reads in spec.reads}
    advice = [refusal.why.lower().partition("take ")[2] for refusal in spec.refuses]

    assert [text for text in advice if not any(name in text for name in names)] == []


@pytest.mark.parametrize("name", EVERY)
def test_variables_have_no_value_and_values_have_a_name(name: str) -> None:
    spec = engine(name)

    assert all(re.fullmatch(r"[A-Z0-9_]+", variable) for variable in (*spec.variables, *spec.environment))
    assert set(spec.variables) & set(spec.environment) == set()
    assert all(spec.environment.values())


def test_an_engine_with_an_unverified_list_says_so_in_every_entry() -> None:
    unsure = {"llama-cpp-cann", "sglang-musa", "sglang-metax", "vllm-thead", "sglang-thead", "lmdeploy-iluvatar"}

    assert {reads.status for name in unsure for reads in engine(name).reads} == {"unverified"}


def test_the_a2_build_reads_these_checkpoints() -> None:
    spec = engine("vllm-ascend-a2")

    assert {(reads.quantization, reads.format, reads.flag, reads.only) for reads in spec.reads} == {
        ("bf16", "plain", "", ""),
        ("fp16", "plain", "", ""),
        ("w8a8", "modelslim", "ascend", ""),
        ("w8a8", "compressed-tensors", "", ""),
        ("w4a8", "modelslim", "ascend", "experts"),
        ("w4a8", "compressed-tensors", "", ""),
        ("w8a16", "modelslim", "ascend", ""),
        ("w4a16", "modelslim", "ascend", "experts"),
        ("w4a16", "compressed-tensors", "", ""),
        ("w4a4", "modelslim", "ascend", ""),
        ("int4-experts", "compressed-tensors", "", ""),
    }
