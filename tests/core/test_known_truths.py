"""What practitioners know to fit and not to fit must come out of the shipped catalog, with its numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from worlds import a_service, a_site, a_tier, a_world

from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.quantization import Quantization
from orchestrator.api.site import Pool
from orchestrator.core.allocation import node_of
from orchestrator.core.cache import kv_bytes_per_token
from orchestrator.core.placement.place import place
from orchestrator.core.placement.result import Placed
from orchestrator.core.sizing import Question
from orchestrator.core.sizing_view import fit_view


def ask(
    model: str,
    chip: str,
    chips: int | None = None,
    quantization: Quantization | None = None,
    *,
    pool: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    catalog = read_catalog()
    profile = catalog.profiles[chip]
    node = {"profile": chip, "chips": node_of(profile, catalog.cluster_of(profile))}
    question = Question(
        model=catalog.models[model],
        profile=profile,
        pool=Pool.model_validate(node | (pool or {})),
        quantization=quantization,
        engine=None,
        chips=chips,
        context_tokens=4096,
        sequences=1,
    )
    return fit_view(replace(question, **fields), catalog)


@pytest.mark.parametrize(
    ("model", "chip", "chips", "quantization"),
    [
        pytest.param("deepseek-r1", "nvidia-h20", 8, "fp8", id="DeepSeek-R1 in FP8 on one node of 8 H20-96G"),
        pytest.param("deepseek-v3", "ascend-910b3", 16, "w8a8", id="DeepSeek-V3 in W8A8 on two nodes of 8 x 910B"),
        pytest.param("deepseek-r1", "ascend-910c", 16, "w8a8", id="DeepSeek-R1 in W8A8 on one node of 16 dies"),
        pytest.param("qwen3-32b", "ascend-910b3", 2, "bf16", id="Qwen3-32B in BF16 on 2 x 910B3"),
        pytest.param("qwen3-0.6b", "rockchip-rk3588", 1, "w8a8", id="Qwen3-0.6B in w8a8 on an RK3588"),
        pytest.param("qwen3-235b-a22b", "nvidia-h20", 8, "bf16", id="Qwen3-235B-A22B in BF16 on 8 x H20"),
        pytest.param("deepseek-v3.2-exp", "ascend-910c", 16, "w8a8", id="DeepSeek-V3.2 in W8A8 on one node of 16 dies"),
        pytest.param("kimi-k2.5", "ascend-910c", 16, "int4-experts", id="Kimi-K2.5 in INT4 on one node of 16 dies"),
        pytest.param("kimi-k2.5", "ascend-910b3", 16, "int4-experts", id="Kimi-K2.5 in INT4 on two nodes of 8 x 910B"),
        pytest.param("minimax-m2", "nvidia-h20", 4, "fp8", id="MiniMax-M2 in FP8 on 4 x 96 GB"),
        pytest.param("minimax-m2.7", "ascend-910b3", 8, "w8a8", id="MiniMax-M2.7 in W8A8 on one node of 8 x 910B"),
        pytest.param("glm-4.5", "nvidia-h100-sxm", 8, "fp8", id="GLM-4.5 in FP8 on 8 x 80 GB"),
        pytest.param("glm-4.5", "nvidia-h100-sxm", 16, "bf16", id="GLM-4.5 in BF16 on 16 x 80 GB"),
        pytest.param(
            "qwen3-235b-a22b", "ascend-910b3", 8, "w8a8", id="Qwen3-235B-A22B in W8A8 on one node of 8 x 910B"
        ),
        pytest.param("qwen3-14b", "ascend-310p", 2, "fp16", id="Qwen3-14B in FP16 on both chips of a 300I Duo"),
        pytest.param("qwen3-8b", "rockchip-rk3588", 1, "w8a8", id="Qwen3-8B in w8a8 on an RK3588 with 16 GB"),
        pytest.param("qwen3-30b-a3b", "nvidia-a100-sxm-80", 1, "bf16", id="Qwen3-30B-A3B in BF16 on one A100-80G"),
    ],
)
def test_it_fits(model: str, chip: str, chips: int, quantization: Quantization) -> None:
    view = ask(model, chip, chips, quantization)

    assert view["fits"], view["rejected"]
    assert view["memory"]["totalBytes"] <= view["usableBytes"]


@pytest.mark.parametrize(
    ("model", "chip", "chips", "quantization"),
    [
        pytest.param("deepseek-v3", "ascend-910b3", 8, "bf16", id="DeepSeek-V3 in BF16 on 8 x 64 GB"),
        pytest.param("deepseek-v3", "ascend-910b3", 8, "w8a8", id="DeepSeek-V3 in W8A8 on one node of 8 x 910B"),
        pytest.param("qwen3-32b", "ascend-910b3", 1, "bf16", id="Qwen3-32B in BF16 on one 910B3"),
        pytest.param("deepseek-r1", "nvidia-h100-sxm", 8, "fp8", id="DeepSeek-R1 in FP8 on one node of 8 H100-80G"),
        pytest.param("glm-4.5", "nvidia-h100-sxm", 8, "bf16", id="GLM-4.5 in BF16 on 8 x 80 GB"),
        pytest.param("kimi-k3", "nvidia-b200", 8, "nvfp4", id="Kimi-K3 in NVFP4, which needs 1680 GB, on 8 x 180 GB"),
        pytest.param("qwen3-14b", "ascend-310p", 1, "fp16", id="Qwen3-14B in FP16 on one chip of a 300I Duo"),
        pytest.param("qwen3-14b", "nvidia-rtx4090", 1, "bf16", id="Qwen3-14B in BF16 on one RTX 4090"),
    ],
)
def test_it_does_not_fit_for_memory(model: str, chip: str, chips: int, quantization: Quantization) -> None:
    """Promise 2: with what was needed and what there was."""
    view = ask(model, chip, chips, quantization)

    assert not view["fits"]
    assert view["rejected"][0]["rule"] == "memory"
    assert view["memory"]["totalBytes"] > view["usableBytes"]


def test_the_fewest_chips_are_a_number_that_shares_the_key_heads() -> None:
    """96 query heads would divide by 3 and 6; the 8 key heads do not."""
    assert ask("glm-4.5", "nvidia-h100-sxm", None, "fp8")["fewestChips"] == 8
    assert ask("glm-4.5-air", "nvidia-h100-sxm", None, "bf16")["fewestChips"] == 4


def test_w8a8_needs_two_nodes_of_eight_910b() -> None:
    assert ask("deepseek-v3", "ascend-910b3", None, "w8a8")["fewestChips"] == 16


def test_an_fp8_checkpoint_on_910b_is_refused_and_w8a8_proposed() -> None:
    view = ask("deepseek-v3", "ascend-910b3", 16, "fp8")

    assert not view["fits"]
    assert view["rejected"][0]["rule"] == "quantization"
    assert "w8a8 (vllm-ascend/DeepSeek-V3-W8A8)" in view["rejected"][0]["hint"]


def test_without_a_wish_the_release_that_the_chip_can_run_is_taken_and_the_native_one_explained() -> None:
    view = ask("deepseek-v3", "ascend-910b3", 16)

    assert (view["fits"], view["quantization"], view["checkpoint"]) == (True, "w8a8", "vllm-ascend/DeepSeek-V3-W8A8")
    assert view["rejected"][0]["need"] == "fp8"


def test_three_kunlun_p800_are_refused_and_four_proposed() -> None:
    view = ask("qwen3-32b", "kunlun-p800", 3)

    assert not view["fits"]
    assert view["rejected"][0]["rule"] == "count"
    assert "take 4" in view["rejected"][0]["hint"]


def test_the_longest_context_and_the_most_sequences_are_on_the_edge_of_fitting() -> None:
    view = ask("qwen3-32b", "ascend-910b3", 2, "bf16")
    longest, most = view["longestContextTokens"], view["mostSequences"]

    assert ask("qwen3-32b", "ascend-910b3", 2, "bf16", context_tokens=longest)["fits"]
    assert ask("qwen3-32b", "ascend-910b3", 2, "bf16", sequences=most)["fits"]
    assert not ask("qwen3-32b", "ascend-910b3", 2, "bf16", sequences=most + 1)["fits"]


@pytest.mark.parametrize("model", sorted(read_catalog().models))
@pytest.mark.parametrize("chip", ["ascend-910b3", "nvidia-h20", "kunlun-p800", "rockchip-rk3588", "cpu-xeon-amx"])
def test_every_model_of_the_catalog_gets_an_answer_or_a_reason(model: str, chip: str) -> None:
    """Promise 2 over the catalog: no pair ends without a verdict and numbers."""
    view = ask(model, chip)

    assert view["fits"] or view["rejected"]
    assert all(no["need"] and no["have"] for no in view["rejected"])
    if view["fits"] and "quantization" in view:
        assert view["quantization"] in get_args(Quantization)


def test_deepseek_r1_is_placed_on_eight_h20_where_a_rule_of_thumb_says_no() -> None:
    """1.2 x weights + 2 GiB would ask for 771 GiB of 8 x 96 GB; it was measured to run there."""
    site = a_site("cloud", {"profile": "nvidia-h20", "memory": "96GiB", "chips": 8, "price": "14/h"})
    teacher = a_tier("deepseek-r1", quantization=("fp8",), context=4096)

    (tier,) = place([a_service(student=None, teacher=teacher)], read_catalog(), a_world(site)).tiers

    assert isinstance(tier, Placed)
    assert [(group.option.chips, group.replicas) for group in tier.groups] == [(8, 1)]
    assert "nvidia-h20 peak fp8" in tier.groups[0].option.unverified


def test_the_latent_cache_of_deepseek_keeps_rank_and_position_of_each_token() -> None:
    """512 + 64 numbers in each of 61 layers, not twice the width of a head."""
    architecture = read_catalog().models["deepseek-r1"].spec.architecture

    assert architecture is not None
    assert kv_bytes_per_token(architecture, 1) == 61 * 576
