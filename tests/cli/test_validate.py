"""`headwater validate` and `headwater calibrate`, as typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from conftest import Command

SHIPPED = Path(__file__).parents[2] / "manifests" / "measured" / "serving.csv"
HEAD = "id,quality,device,units,model,precision,engine,workload,input_len,output_len,concurrency,tpot_ms\n"


def rows(batches: tuple[int, ...], chip: str = "nvidia-h20") -> str:
    """Rows of Qwen3-32B on one chip, a batch each."""
    line = "{chip}-{n},ok,{chip},1,Qwen3-32B,BF16,vLLM,fixed,128,1024,{n},{ms}\n"
    return HEAD + "".join(line.format(chip=chip, n=n, ms=22 + n / 3) for n in batches)


def slower_chitu(times: float) -> str:
    """The shipped rows that Chitu was measured with, as if it had been slower by so much."""
    with SHIPPED.open(newline="") as file:
        head, *lines = list(csv.reader(file))
    kept = [line for line in lines if line[head.index("engine")] == "Chitu"]
    powers = {"tpot_ms": 1, "tpot_ms_median": 1, "ttft_ms": 1}
    powers |= {"out_tps_total": -1, "total_tps": -1, "out_tps_per_unit": -1}
    for line in kept:
        for at, power in ((head.index(name), power) for name, power in powers.items()):
            line[at] = line[at] and str(float(line[at]) * times**power)
    return "".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in [head, *kept])


def test_the_shipped_rows_are_judged_by_chip_and_engine(command: Command) -> None:
    said = command.run("validate").stdout

    assert "nvidia-h100-sxm, vllm " in said
    assert "= chips of Huawei " in said
    assert "= all " in said
    assert "rows mapped" in said
    assert "skipped 8: chips and the host's CPU share the model's layers" in said
    assert "of other quality; --quality all takes them too" in said


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_read_every_row(command: Command, output: str, read: Any) -> None:
    path = command.write(rows((1, 8)) + "odd,ok,abacus,1,Qwen3-32B,BF16,vLLM,fixed,128,1024,1,22\n", "rows.csv")

    value = read(command.run("validate", path, "--output", output).stdout)

    assert (value["rows"], value["mapped"], value["leftOut"]) == (3, 2, 0)
    assert [row["row"] for row in value["results"]] == ["nvidia-h20-1", "nvidia-h20-8"]
    assert value["results"][0]["figures"]["tpot"]["measured"] == 0.02233
    assert value["skipped"] == [
        {
            "row": "odd",
            "quality": "ok",
            "reason": "the chip is not in the catalog, or is not named",
            "detail": "Qwen3-32B on abacus, vLLM",
        }
    ]


def test_why_names_the_rows_that_are_skipped(command: Command) -> None:
    path = command.write(rows((1,), "abacus"), "rows.csv")

    said = command.run("validate", path, "--why").stdout

    assert "0 of 1 rows mapped (0.0%)" in said
    assert "abacus-1   ok        Qwen3-32B on abacus, vLLM" in said


@pytest.mark.parametrize(
    ("chip", "model", "near"),
    [
        ("nvidia-h2o", "Qwen3-32B", "Qwen3-32B on nvidia-h2o, vLLM; did you mean nvidia-h20 or "),
        ("nvidia-h20", "qwen3-33b", "qwen3-33b on nvidia-h20, vLLM; did you mean qwen3-32b or "),
    ],
)
def test_why_offers_the_nearest_names(command: Command, chip: str, model: str, near: str) -> None:
    path = command.write(rows((1,), chip).replace("Qwen3-32B", model), "rows.csv")

    assert near in command.run("validate", path, "--why").stdout


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", (), "rows.csv: has no rows"),
        ("id,engine\n1,vLLM\n", (), "rows.csv:1: has no column device, model"),
        (rows((1,)).replace(",22", ",nan"), (), "rows.csv:2: tpot_ms: 'nan.333"),
        (rows((1,)).replace(",22", ",-22"), (), "rows.csv:2: tpot_ms: '-22.33"),
        (rows((1, 1)), (), "rows.csv:3: id: 'nvidia-h20-1' is the id of line 2 too"),
        (rows((1,)), ("--quality", ","), "--quality names no quality"),
        (rows((1,)), ("--quality", "gold"), "no row is of quality gold; the rows have ok"),
    ],
)
def test_what_cannot_be_read_is_refused(command: Command, text: str, arguments: tuple[str, ...], message: str) -> None:
    path = command.write(text, "rows.csv")

    assert message in command.refused("validate", path, *arguments)


def test_calibrating_with_rows_unlike_the_shipped_ones_makes_their_predictions_better(command: Command) -> None:
    path = command.write(slower_chitu(2), "rows.csv")
    before = json.loads(command.run("validate", path, "-o", "json").stdout)

    said = command.run("calibrate", path).stdout
    after = json.loads(command.run("validate", path, "-o", "json").stdout)

    assert "Chitu, nvidia-h20" in said
    assert "not fitted: Chitu on hygon-k100-ai has 3 rows; 2 more are needed" in said
    assert (command.home / "catalog" / "calibrations" / "chitu-nvidia-h20.yaml").is_file()
    assert after["totals"][-1]["pace"]["mape"] < before["totals"][-1]["pace"]["mape"] / 1.5


def test_a_dry_run_shows_the_documents_and_writes_none(command: Command) -> None:
    path = command.write(rows((1, 2, 4, 8, 16, 32)), "rows.csv")
    left = command.files()

    value = json.loads(command.run("calibrate", path, "--dry-run", "-o", "json").stdout)

    (group,) = value["groups"]
    assert (group["engine"], group["chip"], group["rows"], group["models"]) == ("vLLM", "nvidia-h20", 6, ["qwen3-32b"])
    assert group["after"]["mape"] <= group["before"]["mape"]
    assert [(one["kind"], one["spec"]["chip"]) for one in value["documents"]] == [("Calibration", "nvidia-h20")] * 2
    assert [one["spec"].get("model") for one in value["documents"]] == [None, "qwen3-32b"]
    assert value["folder"] is None
    assert command.files() == left


def test_documents_go_where_they_are_asked_for(command: Command) -> None:
    path = command.write(rows((1, 2, 4, 8, 16)), "rows.csv")

    command.run("calibrate", path, "--to", command.folder / "found")

    written = sorted((command.folder / "found").iterdir())
    assert [yaml.safe_load(path.read_text())["metadata"]["name"] for path in written] == [path.stem for path in written]
    assert len(written) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rows((1, 2)), "no engine on a chip has the 5 mapped rows that a fit needs: vLLM on nvidia-h20 has 2"),
        (rows((1, 2, 3, 4, 5), "abacus"), "needs: none of the rows is mapped; `headwater validate --why` says more"),
    ],
)
def test_too_few_rows_are_refused_with_the_number_needed(command: Command, text: str, message: str) -> None:
    path = command.write(text, "rows.csv")

    assert message in command.refused("calibrate", path)


def test_the_same_row_in_two_files_is_refused(command: Command) -> None:
    one, two = (command.write(rows((1, 2, 4, 8, 16)), name) for name in ("one.csv", "two.csv"))

    assert "'nvidia-h20-1' is the id of rows of two files" in command.refused("calibrate", one, two)
