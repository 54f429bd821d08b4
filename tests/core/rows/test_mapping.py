"""Cells of a row in, the case out: cuts, loads, drafts, and what is not believed."""

from __future__ import annotations

import pytest
from measured_rows import a_case, a_row, the_catalog, why_not

from orchestrator.core.rows.mapping import cases
from orchestrator.core.world import Parallelism

BIG = {"device": "nvidia-h200-sxm", "model": "deepseek-r1", "precision": "FP8", "tpot_ms": "60"}
V4 = {"model": "deepseek-v4-flash", "precision": "FP8", "tpot_ms": "60"}


@pytest.mark.parametrize(
    ("cells", "cut", "nodes"),
    [
        ({"units": "1", "parallelism": ""}, Parallelism(), 1),
        ({"units": "8", "parallelism": "TP8"} | BIG, Parallelism(8), 1),
        ({"units": "8", "parallelism": "TP8 EP"} | BIG, Parallelism(8, expert=True), 1),
        ({"units": "8", "parallelism": "TP8 DP8", "engine": "SGLang"} | BIG, Parallelism(1, 1, 8, expert=True), 1),
        ({"units": "16", "nodes": "2", "parallelism": "TP8 PP2"} | BIG, Parallelism(8, 2), 2),
        ({"units": "32", "nodes": "", "parallelism": "DP32 EP32"} | BIG, Parallelism(1, 1, 32, expert=True), 4),
        (
            {"units": "16", "nodes": "", "parallelism": "attention DP + MoE EP"} | V4,
            Parallelism(1, 1, 16, expert=True),
            2,
        ),
        ({"units": "32", "nodes": "", "parallelism": "TP8 EP32 DP1"} | BIG, Parallelism(8, 1, 4, expert=True), 4),
        ({"units": "8", "parallelism": "TP4"} | V4, Parallelism(4), 1),
        ({"units": "2", "parallelism": "TP4"} | V4, Parallelism(4), 1),
        ({"units": "1 or 2", "parallelism": ""}, Parallelism(), 1),
        ({"units": "1 or 2", "parallelism": "", "model": "qwen3-235b-a22b", "precision": "w4a16"}, Parallelism(2), 1),
        ({"units": "1 or 2", "notes": "cmd: vllm serve x -tp 2"}, Parallelism(2), 1),
        ({"units": "48", "nodes": "", "parallelism": "6 nodes", "engine": "Chitu"} | BIG, Parallelism(8, 6), 6),
        ({"units": "16", "nodes": "2", "parallelism": ""} | BIG, Parallelism(8, 1, 2, expert=True), 2),
        (
            {"units": "8", "notes": "cmd: sglang --tp-size 8 --dp-size 8 --enable-dp-attention --ep-size 8"} | BIG,
            Parallelism(1, 1, 8, expert=True),
            1,
        ),
        (
            {"units": "8", "notes": "cmd: vllm serve x -tp 8 --enable-expert-parallel"} | BIG,
            Parallelism(8, expert=True),
            1,
        ),
    ],
)
def test_a_deployment_is_cut_as_its_words_or_its_command_say(
    cells: dict[str, str], cut: Parallelism, nodes: int
) -> None:
    runner = a_case(**cells).runner

    assert (runner.cut, runner.nodes) == (cut, nodes)


@pytest.mark.parametrize(
    ("cells", "chips"),
    [
        ({"device": "ascend-910c package", "parallelism": "attention DP + MoE EP"}, 32),
        ({"device": "ascend-910c die", "parallelism": "DP8 TP2 EP16"}, 16),
        ({"device": "ascend-910c", "parallelism": "attention DP32 + MoE EP32"}, 32),
        ({"device": "ascend-910c", "parallelism": "TP16"}, 16),
    ],
)
def test_a_910c_is_counted_in_dies(cells: dict[str, str], chips: int) -> None:
    case = a_case(**(BIG | cells), units="16", nodes="", engine="cann-recipes")

    assert case.runner.cut.chips == chips


def test_many_dies_that_name_no_nodes_are_of_one_superpod() -> None:
    cells = {"device": "ascend-910c package", "units": "64", "nodes": "", "engine": "cann-recipes"}

    case = a_case(**(BIG | cells))
    link = case.runner.profile.spec.node_link

    assert case.notes[-1] == "taken as part of a SuperPoD"
    assert link is not None
    assert link.group == 768
    assert case.runner.cut == Parallelism(data=128, expert=True)


def test_of_a_split_deployment_the_decoding_half_is_predicted() -> None:
    split = "P DP4 TP8 EP32 / D DP32 TP1 EP32"

    case = a_case(**(BIG | {"device": "ascend-910b3"}), units="64", nodes="8", parallelism=split, ttft_ms="3680")

    assert (case.runner.role, case.runner.cut) == ("decode", Parallelism(1, 1, 32, expert=True))
    assert (case.tpot_s, case.ttft_s, case.output_per_s) == (0.06, None, None)


@pytest.mark.parametrize(
    ("cells", "load", "lengths", "concurrency"),
    [
        ({"concurrency": "100"}, "burst", (1000, 100), 100),
        ({"concurrency": "", "num_prompts": "5000"}, "burst", (1000, 100), 319),
        ({"concurrency": "8"}, "closed", (1000, 100), 8),
        ({"workload": "ShareGPT batch size 4", "concurrency": "11"}, "closed", (1000, 100), 4),
        ({"workload": "BS=2", "concurrency": "7"}, "closed", (1000, 100), 2),
        ({"workload": "batch", "num_prompts": "", "concurrency": "16"}, "burst", (1000, 100), 16),
        ({"workload": "single stream", "num_prompts": "", "concurrency": ""}, "closed", (1000, 100), 1),
        ({"workload": "fixed decode step", "ttft_ms": "", "input_len": "4096"}, "step", (4096, 1), 8),
        ({"workload": "KV 4K", "ttft_ms": "", "input_len": "", "output_len": ""}, "step", (4096, 1), 8),
        (
            {"workload": "prefill 64 x 4K", "output_len": "0", "num_prompts": "64", "tpot_ms": ""},
            "prefill",
            (1000, 1),
            64,
        ),
        ({"workload": "2k/3k", "input_len": "", "output_len": ""}, "closed", (2048, 3072), 8),
        ({"workload": "1 x 15K", "input_len": "", "num_prompts": "", "concurrency": "1"}, "closed", (15360, 100), 1),
        ({"workload": "ShareGPT", "input_len": "", "output_len": "", "concurrency": "8"}, "closed", (217, 201), 8),
        ({"workload": "qps 4", "num_prompts": "", "concurrency": ""}, "closed", (1000, 100), 8),
        ({"workload": "random rate 100", "concurrency": ""}, "burst", (1000, 100), 100),
        ({"workload": "ShareGPT", "concurrency": "30"}, "closed", (1000, 100), 8),
    ],
)
def test_a_load_is_what_the_row_comes_to(
    cells: dict[str, str], load: str, lengths: tuple[int, int], concurrency: float
) -> None:
    case = a_case(**cells)

    assert case.load == load
    assert (case.workload.input_tokens, case.workload.output_tokens) == lengths
    assert case.concurrency == pytest.approx(concurrency, rel=0.1)


@pytest.mark.parametrize(
    ("cells", "guessed", "accepted"),
    [
        ({"notes": ""}, 0, 0),
        ({"notes": "MTP1, 0.7 accepted of 1 draft"}, 1, 0.7),
        ({"notes": "MTP3 (1.44 of 3 accepted), forced EPLB"}, 3, 1.44),
        ({"workload": "HumanEval + suffix decoding 3 tokens", "notes": "accept rate 27.0 %"}, 3, 0.81),
        ({"workload": "KV 4K, MTP 1 token 70 %", "ttft_ms": ""}, 1, 0.7),
        ({"notes": 'cmd: vllm serve x --speculative-config {"method":"mtp","num_speculative_tokens":2}'}, 2, 1.19),
        ({"notes": "no MTP"}, 0, 0),
        ({"parallelism": "TP1 + MTP"}, 1, 0.7),
        (
            {"notes": "--speculative-algorithm EAGLE3 --speculative-num-steps 2 --speculative-num-draft-tokens 4"},
            3,
            1.19,
        ),
    ],
)
def test_a_draft_is_known_by_its_words(cells: dict[str, str], guessed: int, accepted: float) -> None:
    case = a_case(**cells)

    assert case.runner.speculation.guessed == guessed
    assert case.accepted == pytest.approx(accepted)


def test_times_are_seconds_and_rates_are_of_the_whole_deployment() -> None:
    case = a_case(units="2", parallelism="TP2", out_tps_total="", out_tps_per_unit="250", total_tps="5500")

    assert (case.tpot_s, case.ttft_s, case.output_per_s, case.total_per_s) == (0.015, 0.06, 500, 5500)


def test_rates_of_one_chip_are_those_of_many_chips() -> None:
    cells = {"units": "", "nodes": "", "workload": "decode, KV 4K", "ttft_ms": "", "concurrency": "", "input_len": ""}

    case = a_case(
        **(BIG | cells | {"device": "nvidia-h800"}), notes="per GPU", out_tps_total="", out_tps_per_unit="2000"
    )

    assert case.runner.cut == Parallelism(1, 1, 128, expert=True)
    assert (case.output_per_s, case.concurrency) == (128 * 2000, 128 * 2000 * 0.06)


@pytest.mark.parametrize(
    ("notes", "left"),
    [("TTFT is P99", (0.015, None)), ("TPOT P99 100 ms", (None, 0.06)), ("TPOT is the SLO", (None, 0.06))],
)
def test_what_is_no_mean_is_left_out(notes: str, left: tuple[float | None, float | None]) -> None:
    case = a_case(notes=notes)

    assert (case.tpot_s, case.ttft_s) == left


def test_a_time_per_token_that_no_chip_can_reach_is_not_believed() -> None:
    case = a_case(tpot_ms="0.5", concurrency="100")

    assert (case.tpot_s, case.ttft_s, case.output_per_s) == (None, None, 500)
    assert case.notes[0].startswith("the stated time per token is shorter than reading the weights once takes")


def test_times_that_contradict_the_throughput_are_not_believed() -> None:
    case = a_case(concurrency="100", out_tps_total="500", tpot_ms="15")

    assert (case.tpot_s, case.ttft_s, case.output_per_s) == (None, None, 500)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"model": "RWKV7-1.5B"}, "the model is not in the catalog"),
        ({"units": "", "model": "deepseek-r1"}, "the number of chips is not stated"),
        ({"units": "99999999"}, "there are more chips than anybody has"),
        ({"parallelism": "2P1D"}, "which of the chips decode is not stated"),
        ({"tpot_ms": "", "ttft_ms": "", "out_tps_total": ""}, "no time and no throughput is stated"),
        ({"tpot_ms": "", "concurrency": "", "num_prompts": ""}, "the number of requests at once is not stated"),
        ({"model": "ling-2.6-1t"}, "nobody published the model's dimensions"),
        ({"concurrency": "89"}, "throughput and times contradict the number of requests at once"),
        (
            {"workload": "document OCR", "input_len": ""},
            "pictures are part of the load, and their tokens are not stated",
        ),
        ({"path_or_url": "lab/qwen3-14b/h100.md"}, "the page is about another model than the row names"),
        ({"model": "deepseek-r1"}, "the weights do not fit on the chips that the row counts or that were assumed"),
        ({"precision": "NPU W8A8 + CPU MXFP4 experts"}, "chips and the host's CPU share the model's layers"),
        (
            {"tpot_ms": "0.5"},
            "the time per token is shorter than reading the weights once takes, and the load is not stated",
        ),
    ],
)
def test_a_row_that_cannot_be_mapped_says_why(cells: dict[str, str], reason: str) -> None:
    assert why_not(**cells) == reason


def test_every_row_is_mapped_or_skipped_in_order() -> None:
    rows = [a_row(id=str(n), model="?" if n % 3 else "qwen3-8b") for n in range(9)]

    mapped, skipped = cases(rows, the_catalog())

    assert [case.row for case in mapped] == ["0", "3", "6"]
    assert [row.row for row in skipped] == ["1", "2", "4", "5", "7", "8"]
