"""Names that tables of measurements use, and what of the catalog they mean."""

from __future__ import annotations

import pytest
from measured_rows import a_case, the_catalog, why_not

from orchestrator.core.rows.models import Names
from orchestrator.core.world import Parallelism
from runtimes.errors import Invalid


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1"),
        ("/workspace/DeepSeek-R1-0528", "deepseek-r1"),
        ("DeepSeek-R1-671B", "deepseek-r1"),
        ("DeepSeek-R1-671B Q4", "deepseek-r1"),
        ("DeepSeek-R1/V3", "deepseek-r1"),
        ("DeepSeek-R1-0528-w8a8", "deepseek-r1"),
        ("DeepSeek-V3-0324-w8a8", "deepseek-v3"),
        ("DeepSeek-V3.1-w8a8-mtp-QuaRot", "deepseek-v3"),
        ("/workspace/DeepSeek-v3.2", "deepseek-v3.2-exp"),
        ("DeepSeek-V3.2-Exp-bf16", "deepseek-v3.2-exp"),
        ("Qwen3-235B int8", "qwen3-235b-a22b"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "qwen3-235b-a22b"),
        ("Qwen3-30B-A3B (dummy weights)", "qwen3-30b-a3b"),
        ("Qwen/Qwen3-32B-AWQ", "qwen3-32b"),
        ("vllm-ascend/Qwen3-8B-W8A8", "qwen3-8b"),
        ("Qwen3-0.6B Q4_K_M decoded to FP16 planes", "qwen3-0.6b"),
        ("GLM-4.5-Air-106B-A12B", "glm-4.5-air"),
        ("zai-org/GLM-4.6-FP8", "glm-4.6"),
        ("moonshotai/Kimi-K2-Instruct-0905", "kimi-k2-instruct"),
        ("Kimi-K2", "kimi-k2-instruct"),
        ("moonshotai/Kimi-K2-Thinking", "kimi-k2-thinking"),
        ("Qwen3-235B-A22B-Thinking-2507", "qwen3-235b-a22b"),
        ("Qwen/Qwen3-4B-Thinking-2507-FP8", "qwen3-4b"),
        ("Qwen2-VL-2B-Instruct", "qwen2.5-1.5b"),
        ("Gemma-4 MoE", "gemma-4-26b-a4b"),
        ("Qwen2.5-VL-7B-Instruct", "qwen2.5-7b"),
        ("Qwen2-0.5B", "qwen2.5-0.5b"),
        ("llama3.1-8b Q4", "r1-distill-llama-8b"),
        ("meta-llama/Llama-3.3-70B-Instruct", "r1-distill-llama-70b"),
        ("llama2-13b Q4", "llama-2-13b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("Qwen3-Next", "qwen3-next-80b-a3b"),
    ],
)
def test_a_model_is_known_by_the_names_people_write(written: str, name: str) -> None:
    assert Names(the_catalog().models).find(written).model.metadata.name == name


@pytest.mark.parametrize(
    "written", ["not named", "Qwen3.5-5B", "DeepSeek-R1-7B", "Qwen3-33B", "RWKV7-1.5B", "8B", "..", "()"]
)
def test_a_model_that_is_not_certainly_one_of_the_catalog_is_none(written: str) -> None:
    with pytest.raises(Invalid, match="not in the catalog"):
        Names(the_catalog().models).find(written)


def test_models_of_the_same_layers_are_held_out_together() -> None:
    models = the_catalog().models
    names = Names(models)

    assert names.group(models["deepseek-v3"]) == names.group(models["deepseek-r1"])
    assert names.group(models["qwen3-8b"]) != names.group(models["qwen3-14b"])


@pytest.mark.parametrize(
    ("device", "profile"),
    [
        ("nvidia-h100-sxm", "nvidia-h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm"),
        ("H20", "nvidia-h20"),
        ("nvidia-h200 class (see page)", "nvidia-h200-sxm"),
        ("A800-40GB", "nvidia-a800-40"),
        ("ascend-910b (SKU not named)", "ascend-910b3"),
        ("ascend-910b (Atlas 800I A2, other reports show 910B4)", "ascend-910b4"),
        ("ascend-910b2 (910B2C)", "ascend-910b2"),
        ("Atlas A2", "ascend-910b3"),
        ("ascend-910c (4 nodes A3-752T)", "ascend-910c"),
        ("ascend-310p (20 x 300I Duo available; EP32 TP8 DP1)", "ascend-310p"),
        ("hygon DCU 64GB (model not named)", "hygon-k100-ai"),
        ("MTT S4000", "mthreads-s4000"),
        ("MetaX C500", "metax-c500"),
        ("Kunlun P800", "kunlun-p800"),
        ("Jetson AGX Orin 64GB", "jetson-agx-orin-64g"),
        ("RK3588S", "rockchip-rk3588"),
        ("rockchip-rk182x (RK1828)", "rockchip-rk182x"),
        ("iluvatar-mr-v100", "iluvatar-mr-v100-announced"),
        ("cpu-xeon-amx (Xeon Gold 6430, one NUMA node)", "cpu-xeon-6430"),
    ],
)
def test_a_chip_is_known_by_the_names_people_write(device: str, profile: str) -> None:
    assert a_case(device=device, model="qwen2.5-0.5b", tpot_ms="100").runner.profile.metadata.name == profile


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("ascend-910b/910c", "the chip is not in the catalog, or is not named"),
        ("Intel Core Ultra 7 155H NPU", "the chip is not in the catalog, or is not named"),
        ("nvidia-h20 + Xeon 8480P", "chips and the host's CPU share the model's layers"),
        ("ascend-910c (1 card) + Kunpeng host", "chips and the host's CPU share the model's layers"),
        ("enflame-s60", "nobody published the memory bandwidth of the chip"),
    ],
)
def test_a_chip_that_cannot_be_predicted_says_why(device: str, reason: str) -> None:
    assert why_not(device=device) == reason


@pytest.mark.parametrize(
    ("engine", "device", "name"),
    [
        ("vLLM", "nvidia-h100-sxm", "vllm"),
        ("vLLM (assumed)", "nvidia-h100-sxm", "vllm"),
        ("vLLM", "ascend-910b3", "vllm-ascend-a2"),
        ("vLLM-Ascend (+ MindIE Turbo assumed)", "ascend-910b3", "vllm-ascend-a2"),
        ("vLLM-Ascend", "ascend-910c", "vllm-ascend-a3"),
        ("SGLang + superkernel", "ascend-910c", "sglang-ascend"),
        ("TRT-LLM", "nvidia-h100-sxm", "tensorrt-llm"),
        ("RKLLM 1.3.0", "rockchip-rk3588", "rkllm"),
        ("MLC", "jetson-orin-nano-8g", "mlc-llm"),
        ("custom ACL", "ascend-310b", "custom-acl"),
        ("not stated", "nvidia-h100-sxm", "vllm"),
        ("Chitu", "nvidia-h20", "chitu"),
        ("cann-recipes (torch_npu graph)", "ascend-910c", "cann-recipes"),
        ("cann-recipes eager", "ascend-910b3", "cann-recipes-eager"),
        ("!!!", "nvidia-h20", "unknown"),
    ],
)
def test_an_engine_is_that_of_the_chip_or_taken_by_its_name(engine: str, device: str, name: str) -> None:
    case = a_case(engine=engine, device=device, model="qwen3-0.6b", precision="FP16", tpot_ms="100")

    assert case.runner.engine.metadata.name == name


@pytest.mark.parametrize(
    ("engine", "version", "name", "program"),
    [
        ("Chitu", "0.3.0", "chitu-0.3", "Chitu 0.3"),
        ("Chitu", "newest PERFORMANCE.md", "chitu", "Chitu"),
        ("vLLM", "0.11.0", "vllm", "vLLM"),
    ],
)
def test_a_program_nobody_knows_is_another_one_in_each_version(
    engine: str, version: str, name: str, program: str
) -> None:
    found = a_case(engine=engine, engine_version=version).runner.engine

    assert (found.metadata.name, found.spec.program) == (name, program)


@pytest.mark.parametrize(
    ("precision", "model", "quantization", "cache_bytes"),
    [
        ("BF16", "qwen3-8b", "bf16", None),
        ("FP16", "qwen3-8b", "fp16", None),
        ("FP8", "qwen3-8b", "fp8", None),
        ("W8A8C8", "deepseek-r1", "w8a8", 1.0),
        ("INT8 RTN", "deepseek-r1", "w8a8", None),
        ("AWQ INT4", "qwen3-8b", "w4a16", None),
        ("w4a16", "qwen3-8b", "w4a16", None),
        ("MXFP4", "openai/gpt-oss-20b", "mxfp4-experts", None),
        ("Hybrid HiF8-MXFP8-MXFP4", "deepseek-v4-flash", "mxfp4-experts-fp8", None),
        ("MoE W4A8 + attn W8A8C8", "deepseek-v3.2-exp", "w4a8", 1.0),
        ("FP4 weights to BF16", "deepseek-r1", "mxfp4", None),
        ("W8A16", "qwen3-8b", "w8a16", None),
        ("INT4", "moonshotai/Kimi-K2-Thinking", "int4-experts", None),
        ("GGUF Q4_K_M", "qwen3-8b", "gguf-q4", None),
        ("original dtype", "glm-4.5-air", "bf16", None),
        ("", "Qwen/Qwen3-8B-FP8", "fp8", None),
        ("", "qwen3-8b", "bf16", None),
    ],
)
def test_a_precision_is_one_of_the_catalog(
    precision: str, model: str, quantization: str, cache_bytes: float | None
) -> None:
    runner = a_case(precision=precision, model=model, units="64", device="ascend-910b3", tpot_ms="500").runner

    assert (runner.quantization, runner.cache_bytes) == (quantization, cache_bytes)


def test_what_was_assumed_stands_in_the_notes() -> None:
    notes = a_case(device="ascend-910b (not named)", precision="", parallelism="", units="2", model="Qwen2-7B").notes

    assert notes == (
        "which 910B is not named; taken as 910B3",
        "qwen2-7b has the layers of qwen2.5-7b",
        "vLLM on ascend-910b3 is vllm-ascend-a2",
        "precision is not stated; taken as published: bf16",
        "the cut is not stated; taken as tensor ranks",
    )


def test_a_row_in_the_names_of_the_catalog_needs_no_assumption() -> None:
    ours = {"device": "ascend-910b3", "engine": "vLLM-Ascend", "model": "qwen3-32b", "precision": "w8a8"}

    case = a_case(**ours, units="4", workload="closed loop", parallelism="TP4 on 1 node")

    assert case.notes == ()
    assert (case.runner.cut, case.load, case.concurrency) == (Parallelism(4), "closed", 8)


def test_the_edge_build_has_quantizations_of_its_own() -> None:
    row = {"device": "cpu-kunpeng-920", "engine": "headwater edge", "model": "qwen3-0.6b", "tpot_ms": "100"}

    assert a_case(**row, precision="int8").runner.quantization == "int8"
    assert a_case(precision="INT8").runner.quantization == "w8a8"
