"""The performance model on 3,400 measured rows of tuned NVIDIA servers, each model predicted without its own rows.

The rows are `silicon_sample.csv` of the package `aiconfigurator-core` 0.12.0 (Apache-2.0), NVIDIA's own planner. It is
given as a path, or found in the installed package. NVIDIA's planner reaches a mean absolute error of 32.5 % and a
median of 18.2 % of the time per output token on the rows that it can predict. Nothing here is a test.

    python benchmarks/silicon.py [--rows silicon_sample.csv] [--output table|json]
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import math
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.quantization import Quantization
from orchestrator.core.fitting.fit import cross_validate
from orchestrator.core.fitting.score import Scored, scores
from orchestrator.core.memory import chip_memory, reserved_bytes, usable_bytes
from orchestrator.core.performance.case import Case
from orchestrator.core.performance.runner import Runner, Workload
from orchestrator.core.world import Parallelism

THEIRS = {"mape": 0.325, "median": 0.182}
MOST_TENSOR = 16
MODELS = {  # Llama's dimensions are those of its distillates
    "deepseek-ai/DeepSeek-R1": "deepseek-r1",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-r1",
    "deepseek-ai/DeepSeek-V3": "deepseek-v3",
    "nvidia/DeepSeek-V3.1-NVFP4": "deepseek-v3",
    "MiniMaxAI/MiniMax-M2.5": "minimax-m2.5",
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "meta-llama/Llama-3.1-70B": "r1-distill-llama-70b",
    "meta-llama/Llama-3.1-8B-Instruct": "r1-distill-llama-8b",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "r1-distill-llama-8b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "nvidia/Qwen3-32B-NVFP4": "qwen3-32b",
    "Qwen/Qwen3-235B-A22B-FP8": "qwen3-235b-a22b",
    "Qwen/Qwen3.5-397B-A17B": "qwen3.5-397b-a17b",
    "moonshotai/Kimi-K2.5": "kimi-k2.5",
    "zhipuai/GLM-5": "glm-5",
}
ENGINES = {"vllm": "vllm", "sglang": "sglang", "trtllm": "tensorrt-llm"}
CHIPS = {"h100_sxm": "nvidia-h100-sxm", "h200_sxm": "nvidia-h200-sxm", "b200_sxm": "nvidia-b200"}
OTHERS: Mapping[str, Mapping[str, Any]] = {  # as the package's own systems/*.yaml say, on top of the B200
    "b300_sxm": {
        "name": "nvidia-b300",
        "memory": "268.5GiB",
        "bandwidth": "7750GB/s",
        "peaks": {"bf16": "2250TFLOPS", "fp16": "2250TFLOPS", "fp8": "4500TFLOPS", "fp4": "14PFLOPS"},
        "group": 8,
    },
    "gb200": {
        "name": "nvidia-gb200",
        "memory": "185GiB",
        "bandwidth": "8000GB/s",
        "peaks": {"bf16": "2500TFLOPS", "fp16": "2500TFLOPS", "fp8": "5PFLOPS", "fp4": "10PFLOPS"},
        "group": 72,
    },
    "gb300": {
        "name": "nvidia-gb300",
        "memory": "277.5GiB",
        "bandwidth": "8000GB/s",
        "peaks": {"bf16": "2500TFLOPS", "fp16": "2500TFLOPS", "fp8": "5PFLOPS", "fp4": "15PFLOPS"},
        "group": 72,
    },
}
NARROW = frozenset({"fp8", "nvfp4"})  # released with an 8-bit cache by these engines' recipes


def main() -> int:
    """Read the rows, and score each model without its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, help="silicon_sample.csv; absent: of the installed aiconfigurator_core")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    asked = parser.parse_args()
    path = asked.rows or installed()
    if path is None or not path.is_file():
        sys.stderr.write("name the rows: --rows silicon_sample.csv, or install aiconfigurator-core==0.12.0\n")
        return 2
    rows = tuple(silicon(path, read_catalog()))
    begun_s = time.perf_counter()
    scored = cross_validate(rows)
    seconds = time.perf_counter() - begun_s
    show(scored, asked.output, seconds)
    return 0


def installed() -> Path | None:
    """The table of the installed package."""
    found = importlib.util.find_spec("aiconfigurator_core")
    return Path(found.origin).parent / "systems" / "silicon_sample.csv" if found and found.origin else None


def silicon(path: Path, catalog: Catalog) -> Iterator[Case]:
    """Aggregated rows whose layout and number of clients are certain.

    Left out: more than 16 tensor ranks, and rows whose number of clients is neither the batch nor the batch times the
    data ranks (several replicas behind one address).
    """
    chips = {name: catalog.profiles[chip] for name, chip in CHIPS.items()}
    chips |= {name: _chip(catalog.profiles["nvidia-b200"], changed) for name, changed in OTHERS.items()}
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["mode"] != "agg" or int(row["tp_size"]) > MOST_TENSOR or row["model_path"] not in MODELS:
                continue
            ranks = _count(row["attention_dp_size"])
            batch = _count(row["batch_size"])
            said = re.search(r"silicon_concurrency=(\d+)", row["silicon_data_source"])
            clients = int(said[1]) if said else batch
            if clients in (batch, batch * ranks):
                yield _case(row, clients, chips[row["system"]], catalog)


def _case(row: Mapping[str, str], clients: int, chip: HardwareProfile, catalog: Catalog) -> Case:
    name = MODELS[row["model_path"]]
    model = catalog.models[name]
    if model.spec.architecture is None:
        raise ValueError(f"{name} has no dimensions")
    quantization = _stored(row)
    runner = Runner(
        architecture=model.spec.architecture,
        quantization=quantization,
        profile=chip,
        engine=catalog.engines[ENGINES[row["backend"]]],
        cut=_cut(row),
        nodes=1,
        cache_bytes=1.0 if quantization in NARROW else None,
    )
    work = Workload(int(row["isl"]), int(row["osl"]))
    return Case(
        row=row["id"],
        model=name,
        group="deepseek-v3" if name.startswith("deepseek") else name,
        quality="silicon",
        runner=runner,
        load="closed",
        workload=work,
        concurrency=min(float(clients), _room(runner, work)),
        tpot_s=float(row["silicon_tpot_ms"]) / 1000,
        ttft_s=float(row["silicon_ttft_ms"]) / 1000,
    )


def _stored(row: Mapping[str, str]) -> Quantization:
    if "gpt-oss" in row["model_path"]:
        return "mxfp4-experts"
    if row["precision"] == "fp8" and row["gemm_quant_mode"]:
        return "fp8"
    known: Mapping[str, Quantization] = {"fp4": "nvfp4", "int4": "int4-experts"}
    return known.get(row["precision"], "bf16")


def _cut(row: Mapping[str, str]) -> Parallelism:
    """The layout. Two ways of writing it count ranks twice, as the same measurements under the right layout show.

    A row of 4 chips with TP4 and EP4 also appears as TP16 with 4 x 4, or as 16 data ranks; and one with 4 data ranks as
    TP4 x DP4 with EP16.
    """
    tensor, data = int(row["tp_size"]), _count(row["attention_dp_size"])
    slices, experts = _count(row["moe_tp_size"]), _count(row["moe_ep_size"])
    if slices == experts > 1 and tensor * data == slices * experts:
        return Parallelism(
            tensor=max(1, tensor // experts) if tensor > data else 1, data=max(1, data // experts), expert=True
        )
    if data > 1 and tensor == data and experts == tensor * data:
        return Parallelism(data=data, expert=True)
    return Parallelism(tensor=tensor, data=data, expert=experts > 1 or data > 1)


def _room(runner: Runner, work: Workload) -> float:
    """Sequences that memory has room for; the clients beyond them wait."""
    ranks, context = runner.cut.data, work.input_tokens + work.output_tokens // 2
    reserved = reserved_bytes(runner.profile)
    none, one = (
        chip_memory(
            runner.architecture,
            runner.quantization,
            runner.cut,
            sequences=sequences,
            context_tokens=context,
            reserved_bytes=reserved,
        ).total
        for sequences in (0, ranks)
    )
    return (
        max(1.0, math.floor((usable_bytes(runner.profile) - none) / (one - none)) * ranks) if one > none else math.inf
    )


def _count(cell: str) -> int:
    """A number of ranks; empty and 0 mean that there is one."""
    return max(1, int(float(cell))) if cell else 1


def _chip(like: HardwareProfile, changed: Mapping[str, Any]) -> HardwareProfile:
    document = like.model_dump(mode="json", by_alias=True)
    document["metadata"]["name"] = changed["name"]
    spec = document["spec"]
    spec["memory"] = {"value": changed["memory"], "status": "vendor"}
    spec["allocatable"] = None
    spec["bandwidth"] = {"value": changed["bandwidth"], "status": "vendor"}
    spec["peaks"] = {dtype: {"value": peak, "status": "vendor"} for dtype, peak in changed["peaks"].items()}
    spec["nodeLink"]["group"] = changed["group"]
    return HardwareProfile.model_validate(document)


def show(scored: Sequence[Scored], output: str, seconds: float) -> None:
    """By chip and engine, and in total, beside NVIDIA's own planner."""
    groups: dict[tuple[str, str], list[Scored]] = {}
    for one in scored:
        if one.case.quality == "silicon":
            runner = one.case.runner
            groups.setdefault((runner.profile.metadata.name, runner.engine.metadata.name), []).append(one)
    lines = [_line(*key, rows, metric) for metric in ("tpot", "ttft") for key, rows in sorted(groups.items())]
    whole = [one for rows in groups.values() for one in rows]
    lines += [_line("all", "all", whole, metric) for metric in ("tpot", "ttft")]
    if output == "json":
        print(json.dumps({"rows": lines, "theirs": THEIRS, "seconds": round(seconds, 1)}, indent=1))
        return
    print(f"{'chip':<18}{'engine':<14}{'of':<6}{'n':>6}{'MAPE %':>9}{'median %':>10}{'bias %':>9}{'in band %':>11}")
    for line in lines:
        numbers = (100 * line[name] for name in ("mape", "median", "bias", "coverage"))
        mape, median, bias, coverage = numbers
        print(
            f"{line['chip']:<18}{line['engine']:<14}{line['metric']:<6}{line['rows']:>6}"
            f"{mape:>9.1f}{median:>10.1f}{bias:>+9.1f}{coverage:>11.0f}"
        )
    print(
        f"NVIDIA AIConfigurator 0.12.0, time per token: MAPE {100 * THEIRS['mape']:.1f}, "
        f"median {100 * THEIRS['median']:.1f}"
    )
    print(f"each model by factors fitted without its rows; {seconds:.0f} s")


def _line(chip: str, engine: str, rows: Sequence[Scored], metric: str) -> dict[str, Any]:
    [score] = [one for one in scores(rows) if one.metric == metric]
    return {"chip": chip, "engine": engine} | score.model_dump()


if __name__ == "__main__":
    raise SystemExit(main())
