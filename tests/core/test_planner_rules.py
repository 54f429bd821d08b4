"""What a planner must not get wrong about accelerators: ten rules, each with its test, on the shipped catalog.

The rules are those of the hardware facts the catalog was made from; a test's name begins with the rule's number.
"""

from __future__ import annotations

from typing import Any

import pytest
from plans import enumerate_options
from worlds import a_pool, a_service, a_site, a_tier, a_world

from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.quantization import Quantization
from orchestrator.api.site import Pool
from orchestrator.core.allocation import accepted_counts, check_count, resource_of
from orchestrator.core.asks import asks
from orchestrator.core.checkpoints import Checkpoint, checkpoint_for
from orchestrator.core.cuts import cuts_of
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.memory import usable_bytes, whole_bytes
from orchestrator.core.performance.arithmetic import compute_fact

CATALOG = read_catalog()
GIB = 1 << 30
WITHOUT_FP8 = (
    "ascend-910b1", "ascend-910b2", "ascend-910b3", "ascend-910b4", "ascend-910b4-1", "ascend-910c", "ascend-310p",
    "kunlun-p800", "hygon-k100-ai", "hygon-bw1000", "enflame-s60", "cambricon-mlu370-x8", "metax-c500",
)  # fmt: skip


def counts(chip: str, chips: int, **pool: Any) -> tuple[int, ...]:
    return accepted_counts(CATALOG.cluster_of(CATALOG.profiles[chip]), a_node(chip, chips, **pool))


def a_node(chip: str, chips: int, **pool: Any) -> Pool:
    return Pool.model_validate(a_pool(chip, chips=chips) | pool)


def load(model: str, chip: str, engine: str, quantization: Quantization) -> Checkpoint | Rejected:
    return checkpoint_for(CATALOG.models[model], CATALOG.engines[engine], CATALOG.profiles[chip], quantization, chip)


def test_rule_1_a_910b_server_takes_any_count_and_only_the_old_910a_takes_powers_of_two() -> None:
    assert counts("ascend-910b3", 8) == (1, 2, 3, 4, 5, 6, 7, 8)
    assert counts("ascend-910b3", 8, labels={"accelerator-type": "module"}) == (1, 2, 4, 8)


def test_rule_1_powers_of_two_are_our_own_rule_for_tensor_ranks() -> None:
    a = CATALOG.models["qwen3-32b"].spec.architecture
    assert a is not None

    cuts = cuts_of(a, CATALOG.profiles["ascend-910b3"], a_node("ascend-910b3", 8), counts("ascend-910b3", 8))

    assert [cut.tensor for cut, _ in cuts] == [1, 2, 4, 8]


def test_rule_2_a_910c_is_counted_in_dies_and_packages_are_whole() -> None:
    cluster = CATALOG.cluster_of(CATALOG.profiles["ascend-910c"])
    assert cluster is not None

    assert cluster.spec.unit == "die"
    assert counts("ascend-910c", 16) == (1, 2, 4, 6, 8, 10, 12, 14, 16)
    assert whole_bytes(CATALOG.profiles["ascend-910c"]) is not None
    assert (whole_bytes(CATALOG.profiles["ascend-910c"]) or 0) <= 64 * GIB
    refused = check_count(cluster, a_node("ascend-910c", 16), 3, "it")
    assert refused is not None
    assert refused.hint == "take 4"


@pytest.mark.parametrize("resource", ["huawei.com/Ascend910", "huawei.com/Ascend910B3", "example.com/renamed"])
def test_rule_3_the_resource_is_called_what_the_nodes_publish(resource: str) -> None:
    cluster = CATALOG.cluster_of(CATALOG.profiles["ascend-910b3"])
    assert cluster is not None

    assert resource_of(cluster, a_node("ascend-910b3", 8, resource=resource)) == resource
    assert resource_of(cluster, a_node("ascend-910b3", 8)) == "huawei.com/Ascend910"


@pytest.mark.parametrize(
    ("chip", "sizes"),
    [
        ("ascend-910b4", (32, 64)),
        ("cambricon-mlu590-m9", (80, 96)),
        ("ascend-950pr", (84, 112)),
        ("nvidia-h20", (96, 141)),
    ],
)
def test_rule_4_memory_is_read_from_the_node_and_never_inferred_from_the_name(
    chip: str, sizes: tuple[int, ...]
) -> None:
    profile = CATALOG.profiles[chip]

    assert set(sizes) <= {round(size / GIB) for size in profile.spec.memory_sizes}
    for size in sizes:
        assert whole_bytes(profile, a_node(chip, 8, memory=f"{size}GiB")) == size * GIB


def test_rule_4_a_plan_that_took_memory_from_the_name_says_so() -> None:
    service = a_service(student=a_tier("qwen3-0.6b", quantization=("bf16",)))
    (ask,) = asks(service, CATALOG)
    assert not isinstance(ask, Rejected)

    def rests_on(**pool: Any) -> str:
        site = a_site("lab", a_pool("nvidia-rtx4090", chips=8) | pool)
        options, rejections = enumerate_options(ask, CATALOG, a_world(site))
        assert options, rejections
        return " ".join(text for option in options for text in option.unverified)

    assert "the node's tool says which" in rests_on()
    assert "the node's tool says which" not in rests_on(memory="48GiB")


@pytest.mark.parametrize("chip", WITHOUT_FP8)
def test_rule_5_fp8_runs_only_where_the_chip_has_it_and_w8a8_is_offered(chip: str) -> None:
    profile = CATALOG.profiles[chip]

    assert compute_fact(profile, "fp8") is None
    for name in profile.spec.engines:
        refused = load("deepseek-v3", chip, name, "fp8")
        assert isinstance(refused, Rejected), f"{name} would load fp8 on {chip}"


def test_rule_5_w8a8_is_named_where_fp8_is_refused() -> None:
    refused = load("deepseek-v3", "ascend-910b3", "vllm-ascend-a2", "fp8")

    assert isinstance(refused, Rejected)
    assert "vllm-ascend/DeepSeek-V3-W8A8" in refused.hint


def test_rule_6_a_310p_computes_in_fp16_only() -> None:
    profile = CATALOG.profiles["ascend-310p"]

    assert compute_fact(profile, "bf16") is None
    assert compute_fact(profile, "fp16") is not None
    loaded = load("qwen3-8b", "ascend-310p", "vllm-ascend-310p", "fp16")
    assert isinstance(loaded, Checkpoint)
    assert isinstance(load("qwen3-8b", "ascend-310p", "vllm-ascend-310p", "bf16"), Rejected)


def test_rule_6_an_rk3588_runs_language_models_in_w8a8_only_and_not_with_onnx_runtime() -> None:
    profile = CATALOG.profiles["rockchip-rk3588"]
    read = {
        reads.quantization
        for name in profile.spec.engines
        for reads in CATALOG.engines[name].spec.reads
        if not reads.chips or "rockchip-rk3588" in reads.chips
    }

    assert read == {"w8a8"}
    assert "onnxruntime" not in profile.spec.engines


@pytest.mark.parametrize("engine", ["vllm-ascend-a2", "vllm-ascend-a3"])
@pytest.mark.parametrize("format_", ["awq", "gptq"])
def test_rule_7_vllm_ascend_reads_no_awq_and_no_gptq(engine: str, format_: str) -> None:
    assert format_ not in {reads.format for reads in CATALOG.engines[engine].spec.reads}
    assert isinstance(load("deepseek-v3", "ascend-910b3", engine, "w4a16"), Rejected)


def test_rule_7_modelslim_weights_need_a_flag_and_compressed_tensors_do_not() -> None:
    reads = CATALOG.engines["vllm-ascend-a2"].spec.reads

    assert {one.flag for one in reads if one.format == "modelslim"} == {"ascend"}
    assert {one.flag for one in reads if one.format == "compressed-tensors"} == {""}


def test_rule_8_no_engine_is_planned_at_a_vendors_peak() -> None:
    factors = [one.spec.factors for one in CATALOG.calibrations.values() if one.spec.chip or one.spec.vendor]

    assert factors
    assert all(one.weights < 1 and one.compute < 1 for one in factors)
    reached = [profile.spec.reached for profile in CATALOG.profiles.values()]
    shares = [fact.value for one in reached for fact in (one.compute, one.memory) if fact]
    assert shares
    assert all(share is not None and share < 1 for share in shares)


def test_rule_9_a_p800_takes_1_2_4_or_8_and_fewer_stay_in_one_numa_half() -> None:
    profile = CATALOG.profiles["kunlun-p800"]
    cluster = CATALOG.cluster_of(profile)
    assert cluster is not None

    assert (counts("kunlun-p800", 8), cluster.spec.numa_group) == ((1, 2, 4, 8), 4)
    refused = check_count(cluster, a_node("kunlun-p800", 8), 3, "it")
    assert refused is not None
    assert refused.why is Why.COUNT
    assert refused.hint.startswith("take 4; fewer than 8 must stay inside one half of 4")


@pytest.mark.parametrize(
    "profile", [one for one in CATALOG.profiles.values() if one.spec.kind != "cpu"], ids=lambda one: one.metadata.name
)
def test_rule_10_only_nvidia_slices_several_cards_for_one_pod(profile: HardwareProfile) -> None:
    node = a_node(profile.metadata.name, 8, slice="8GiB")
    several = accepted_counts(CATALOG.cluster_of(profile), node) != (1,)

    assert several == (profile.spec.kubernetes in {"nvidia", None})
    assert usable_bytes(profile, node) == int(8 * GIB * 0.92)
