"""Shipped chips and platforms: every public figure with its status and source, and the rules that are pure data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from facts_hardware import ALLOCATABLE, ENGINES, NO_FP8, PLATFORMS, SIZES, STATUS, figures

from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.cluster import KubernetesSpec
from orchestrator.api.document import Fact
from orchestrator.api.engine import Reads
from orchestrator.api.hardware import HardwareSpec
from orchestrator.api.quantities import BANDWIDTH, COMPUTE, MEMORY, POWER

FIGURES = figures()
MIB = 2**20
UNITS = {"memory": (MEMORY, "GiB"), "power": (POWER, "W")} | dict.fromkeys(
    ("bandwidth", "link", "network"), (BANDWIDTH, "GB/s")
)
PEAKS = ("fp32", "bf16", "fp16", "fp8", "int8", "fp4", "int4")
A2 = [chip for chip in FIGURES if chip.startswith("ascend-910b")]


def chip(name: str) -> HardwareSpec:
    return read_catalog().profiles[name].spec


def platform(name: str) -> KubernetesSpec:
    return read_catalog().clusters[name].spec


def reads_on(name: str) -> Iterator[tuple[str, Reads]]:
    """What engines read on a chip."""
    engines = read_catalog().engines
    for engine in chip(name).engines:
        for reads in engines[engine].spec.reads:
            if not reads.chips or name in reads.chips:
                yield engine, reads


def facts(spec: HardwareSpec) -> Iterator[tuple[str, Fact[float] | None]]:
    """Every figure of a chip, by the name of its column."""
    yield from (("memory", spec.memory), ("bandwidth", spec.bandwidth), ("power", spec.power))
    yield from ((dtype, spec.peaks.get(dtype)) for dtype in PEAKS)
    yield "link", spec.node_link.bandwidth if spec.node_link else None
    yield "network", spec.network.bandwidth if spec.network else None


def others(spec: HardwareSpec) -> Iterator[Fact[float] | None]:
    yield from (spec.allocatable, spec.reached.compute, spec.reached.memory)
    for link in (spec.node_link, spec.network):
        if link is not None:
            yield from (link.latency, link.efficiency)


def written(column: str, fact: Fact[float] | None) -> str:
    """A figure as the table writes it."""
    if fact is None:
        return "-"
    if fact.value is None:
        return "?"
    kind, unit = UNITS.get(column, (COMPUTE, "TFLOPS"))
    letter = next(letter for letter, status in STATUS.items() if status == fact.status)
    return f"{fact.value / kind.units[unit]:.6g}{letter}"


def test_every_chip_of_the_facts_is_there_and_no_other() -> None:
    assert sorted(read_catalog().profiles) == sorted(FIGURES)
    assert len(FIGURES) == 49


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_of_the_facts_with_their_status(name: str) -> None:
    assert {column: written(column, fact) for column, fact in facts(chip(name))} == FIGURES[name]


def test_what_programs_can_have_of_the_memory_is_that_of_the_facts() -> None:
    found = {name: chip(name).allocatable for name in FIGURES}

    assert {name: (fact.known / MIB, fact.status) for name, fact in found.items() if fact} == {
        name: (pytest.approx(mib), STATUS[letter]) for name, (mib, letter) in ALLOCATABLE.items()
    }


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_where_it_was_read_unless_nobody_vouches_for_it(name: str) -> None:
    every = [*(fact for _, fact in facts(chip(name))), *others(chip(name))]
    known = [fact for fact in every if fact is not None]

    assert [fact for fact in known if fact.status != "unverified" and not fact.sources] == []
    assert [fact for fact in known if fact.value is None and fact.status != "unverified"] == []


@pytest.mark.parametrize("name", ["jetson-orin-nano-8g", "jetson-orin-nx-16g", "jetson-agx-orin-64g"])
def test_a_rate_with_structured_sparsity_is_a_note_and_no_peak(name: str) -> None:
    int8 = chip(name).peaks["int8"]

    assert int8.value is None
    assert "sparsity" in int8.note


@pytest.mark.parametrize("name", ["iluvatar-bi-v150", "ascend-310b"])
def test_a_measured_rate_says_that_it_is_no_peak(name: str) -> None:
    assert chip(name).bandwidth.status == "measured"
    assert "not a peak" in chip(name).bandwidth.note


def test_every_platform_of_the_facts_is_there_and_no_other() -> None:
    assert sorted(read_catalog().clusters) == sorted(PLATFORMS)
    assert len(PLATFORMS) == 20


@pytest.mark.parametrize(("name", "expected"), PLATFORMS.items())
def test_a_pod_asks_by_default_for_what_the_vendors_plugin_publishes(
    name: str, expected: tuple[str | None, str]
) -> None:
    units = [resource.name for resource in platform(name).resources if resource.counts == "units"]

    assert (next(iter(units), None), platform(name).unit) == expected


@pytest.mark.parametrize("name", sorted(set(PLATFORMS) - {"none"}))
def test_a_platform_says_where_it_was_read(name: str) -> None:
    assert platform(name).sources


def test_a_chip_names_a_platform_and_engines_that_exist_and_no_platform_is_left_over() -> None:
    catalog = read_catalog()
    named = {name: (chip(name).kubernetes, chip(name).engines) for name in FIGURES}

    assert {cluster for cluster, _ in named.values()} == set(PLATFORMS)
    assert {engine for _, engines in named.values() for engine in engines} <= set(catalog.engines)
    assert {name for name, (_, engines) in named.items() if not engines} == {"biren-br166m"}


@pytest.mark.parametrize("name", FIGURES)
def test_labels_of_a_chip_are_labels_of_its_platform(name: str) -> None:
    known = platform(chip(name).kubernetes or "").node_labels

    assert {key: value for key, value in chip(name).node_labels.items() if value not in known.get(key, ())} == {}


@pytest.mark.parametrize("name", PLATFORMS)
def test_only_values_that_a_manifest_can_carry_are_in_fields(name: str) -> None:
    spec = platform(name)
    pod = spec.pod
    values = [
        *(resource.name for resource in spec.resources),
        *pod.labels.values(), *pod.annotations.values(), *pod.environment.values(),
        *pod.devices, *pod.host_paths, *pod.multi_node_host_paths, pod.scheduler, pod.runtime_class,
    ]  # fmt: skip

    assert [value for value in values if any(sign in value for sign in " <>{}*|()")] == []
    assert all(path.startswith("/") for path in (*pod.devices, *pod.host_paths, *pod.multi_node_host_paths))


@pytest.mark.parametrize("name", A2)
def test_rule_1_910b_takes_any_count_and_one_two_four_eight_is_a_rule_of_the_old_910(name: str) -> None:
    spec = platform(chip(name).kubernetes or "")
    kinds = {kind.labels["accelerator-type"]: kind.counts for kind in spec.node_kinds}

    assert spec.counts == (1, 2, 3, 4, 5, 6, 7, 8)
    assert kinds == {
        "module-910b-8": (1, 2, 3, 4, 5, 6, 7, 8),
        "module-910b-16": (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16),
        "module": (1, 2, 4, 8),
    }


def test_rule_2_910c_is_counted_in_dies_and_its_figures_are_per_die() -> None:
    spec, a3 = chip("ascend-910c"), platform("ascend-a3")

    assert (a3.unit, a3.counts) == ("die", (1, 2, 4, 6, 8, 10, 12, 14, 16))
    assert (spec.memory.value, spec.bandwidth.value, spec.peaks["int8"].value) == (64 * 2**30, 1.6e12, 752e12)
    assert "per die" in spec.memory.note


@pytest.mark.parametrize(
    ("name", "resource", "plugin"),
    [
        ("ascend-a2", "huawei.com/Ascend910", "mindcluster"),
        ("ascend-a2", "huawei.com/Ascend910B3", "hami"),
        ("ascend-a3", "huawei.com/Ascend910C", "hami"),
        ("hygon", "hygon.com/dcu", "hygon"),
        ("hygon", "hygon.com/dcunum", "hami"),
        ("iluvatar", "iluvatar.com/gpu", "iluvatar"),
        ("iluvatar", "iluvatar.ai/BI-V150-vgpu", "hami"),
        ("mthreads", "mthreads.com/gpu", "mthreads"),
        ("mthreads", "mthreads.com/vgpu", "hami"),
    ],
)
def test_rule_3_the_plugin_gives_the_resource_its_name(name: str, resource: str, plugin: str) -> None:
    assert (resource, plugin) in {(one.name, one.plugin) for one in platform(name).resources}


def test_rule_4_a_name_under_which_several_sizes_are_sold_lists_them() -> None:
    found = {name: chip(name).memory_sizes for name in FIGURES if chip(name).memory_sizes}

    assert {name: tuple(size / MIB for size in sizes) for name, sizes in found.items()} == SIZES
    assert all(chip(name).memory.known in sizes for name, sizes in found.items())


@pytest.mark.parametrize("name", FIGURES)
def test_rule_5_no_engine_reads_fp8_where_the_chip_has_none(name: str) -> None:
    has = {"fp8": "fp8" in chip(name).peaks, "fp4": "fp4" in chip(name).peaks}
    needs = {"fp8": "fp8", "mxfp8": "fp8", "mxfp4": "fp4", "nvfp4": "fp4", "mxfp4-experts-fp8": "fp8"}

    assert [
        (engine, reads.quantization)
        for engine, reads in reads_on(name)
        if reads.quantization in needs and not has[needs[reads.quantization]]
    ] == []


@pytest.mark.parametrize("name", NO_FP8)
def test_rule_5_fp8_is_refused_on_domestic_chips_that_lack_it(name: str) -> None:
    engines = {engine: read_catalog().engines[engine].spec for engine in chip(name).engines}
    refusing = {
        engine
        for engine, spec in engines.items()
        for refusal in spec.refuses
        if refusal.quantization == "fp8" and (not refusal.chips or name in refusal.chips)
    }

    assert "fp8" not in chip(name).peaks
    assert refusing == {
        engine for engine, spec in engines.items() if any(reads.format != "gguf" for reads in spec.reads)
    }


@pytest.mark.parametrize("name", ["ascend-950pr", "ascend-950dt", "hygon-bw1100", "mthreads-s5000"])
def test_rule_5_fp8_is_there_where_the_vendor_has_it(name: str) -> None:
    assert "fp8" in chip(name).peaks
    assert "fp8" in {reads.quantization for _, reads in reads_on(name)}


def test_rule_6_310p_is_float16_alone() -> None:
    assert {"bf16", "fp8", "fp4"} & set(chip("ascend-310p").peaks) == set()
    assert "bf16" not in {reads.quantization for _, reads in reads_on("ascend-310p")}
    assert read_catalog().engines["vllm-ascend-310p"].spec.dtypes == ("fp16",)


def test_rule_6_rk3588_runs_w8a8_alone_and_not_through_onnx_runtime() -> None:
    assert {reads.quantization for _, reads in reads_on("rockchip-rk3588")} == {"w8a8"}
    assert chip("rockchip-rk3588").engines == ("rkllm",)


@pytest.mark.parametrize("name", ["ascend-910b3", "ascend-910c", "ascend-310p", "ascend-950pr"])
def test_rule_7_vllm_ascend_reads_modelslim_with_a_flag_and_no_awq_or_gptq(name: str) -> None:
    engine = next(engine for engine in chip(name).engines if engine.startswith("vllm-ascend"))
    flags = {(reads.format, reads.flag) for reader, reads in reads_on(name) if reader == engine}
    refused = {refusal.format for refusal in read_catalog().engines[engine].spec.refuses}

    assert ("modelslim", "ascend") in flags
    assert {flag for layout, flag in flags if layout == "compressed-tensors"} <= {""}
    assert {layout for layout, _ in flags} & {"awq", "gptq"} == set()
    assert {"awq", "gptq"} <= refused


@pytest.mark.parametrize(
    ("name", "compute", "memory"),
    [
        *((name, 0.7, 0.6) for name in [*A2, "ascend-910c"]),
        ("ascend-950pr", 0.9, 0.8),
        ("ascend-950dt", 0.9, 0.8),
        *((name, None, 0.8) for name in FIGURES if name.startswith("nvidia-")),
    ],
)
def test_rule_8_vendors_reckon_with_a_share_of_their_peaks(name: str, compute: float | None, memory: float) -> None:
    reached = chip(name).reached

    assert (reached.compute and reached.compute.value, reached.memory and reached.memory.value) == (compute, memory)


def test_rule_9_p800_takes_one_two_four_or_eight_inside_halves_of_four() -> None:
    spec = platform("kunlunxin")

    assert (spec.counts, spec.numa_group) == ((1, 2, 4, 8), 4)


def test_rule_10_slices_of_several_cards_work_with_nvidia_alone() -> None:
    assert [name for name in PLATFORMS if platform(name).sharing.multi_card] == ["nvidia"]


def test_the_list_of_engines_is_whole() -> None:
    assert len(ENGINES) == len(set(ENGINES)) == 56
