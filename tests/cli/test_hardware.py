"""`headwater hardware list` and `show`: filters, marks on what nobody verified, Kubernetes and engines of a chip."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner
from worlds import a_cluster, a_profile, an_engine, reads

from cli.catalog import print_document
from cli.hardware_cards import print_chip, print_chips
from cli.main import app
from cli.options import chip_names
from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.kinds import Catalog
from orchestrator.api.load import load
from orchestrator.core.hardware_view import hardware_row, hardware_view
from runtimes.errors import Invalid

NPU = a_profile(
    "npu",
    kind="npu",
    memory="64GiB",
    vendor="Far East",
    peaks={
        "bf16": {"value": "313TFLOPS", "status": "unverified", "sources": ["a forum"]},
        "int8": {"value": "626TOPS", "status": "vendor", "sources": ["a sheet"], "note": "dense"},
        "fp8": {"status": "unverified"},
    },
    node_link={"name": "ring", "bandwidth": {"value": "196GB/s", "status": "vendor"}, "group": 8},
    kubernetes="npus",
    engines=["vllm", "nowhere"],
)
BOARD = a_profile("board", kind="npu", memory="4GiB", place="edge", vendor="Near", peaks={}, engines=[])
NPUS = a_cluster(
    "npus",
    counts=[1, 2, 4, 8],
    unit="board",
    pod={"devices": ["/dev/npu"], "environment": {"A": "b"}},
    node_kinds=[{"labels": {"size": "large"}, "counts": [16]}],
)
VLLM = an_engine(
    "vllm",
    reads=[*reads("bf16"), *reads("w8a8", chips=["npu"]), *reads("fp8", chips=["other"])],
    refuses=[{"quantization": "fp8", "why": "no such numbers; take w8a8"}],
)
RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    made = Catalog().with_documents([NPU, BOARD, a_profile("cpu"), NPUS, VLLM])
    monkeypatch.setattr("orchestrator.wiring.catalog", lambda _settings: made)
    return made


def shown(*arguments: str) -> str:
    done = RUNNER.invoke(app, ["hardware", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def value(*arguments: str) -> Any:
    return json.loads(shown(*arguments, "--output", "json"))


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        pytest.param([], ["board", "cpu", "npu"], id="all of them, sorted"),
        pytest.param(["--vendor", "far"], ["npu"], id="a part of a vendor's name"),
        pytest.param(["--place", "edge"], ["board"], id="a place"),
        pytest.param(["--kind", "cpu"], ["cpu"], id="a kind"),
        pytest.param(["--min-memory", "64GiB"], ["npu"], id="so much memory, exactly"),
        pytest.param(["--min-memory", "64.1GiB"], [], id="a little more than there is"),
        pytest.param(["--dtype", "fp8"], ["npu"], id="a path for a type, whatever its rate"),
        pytest.param(["--engine", "vllm"], ["npu"], id="an engine"),
    ],
)
def test_a_list_has(filters: list[str], names: list[str]) -> None:
    assert [row["name"] for row in value("list", *filters)] == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["list", "--vendor", "Farr"], "no vendor is like 'Farr'", id="a vendor"),
        pytest.param(["list", "--min-memory", "64"], "--min-memory: 64 has no unit", id="memory without unit"),
        pytest.param(["list", "--dtype", "fp9"], "no type is named 'fp9'; did you mean fp8", id="a type"),
        pytest.param(["list", "--engine", "vlm"], "no engine is named 'vlm'; did you mean vllm", id="an engine"),
        pytest.param(["show", "npus"], "no hardware profile is named 'npus'; did you mean npu", id="a chip"),
    ],
)
def test_what_means_nothing_is_refused_with_what_was_meant(arguments: list[str], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        RUNNER.invoke(app, ["hardware", *arguments], catch_exceptions=False)


def test_a_number_that_nobody_verified_is_marked_with_a_legend() -> None:
    table = shown("list")

    assert "313 TFLOPS ? bf16" in table
    assert "bf16?, int8, fp8?" in table
    assert "? nobody verified this number" in table
    assert "nobody verified" not in shown("list", "--kind", "cpu")
    assert value("list", "--vendor", "far")[0]["unverified"] == ["peak bf16", "peak fp8"]


def test_a_chip_has_every_number_exactly_with_status_and_sources() -> None:
    numbers = {one["name"]: one for one in value("show", "npu")["numbers"]}

    assert numbers["memory"]["value"] == 64 << 30
    assert numbers["peak int8"] == {
        "name": "peak int8",
        "value": 626 * 10**12,
        "unit": "operations/s",
        "text": "626TOPS",
        "status": "vendor",
        "sources": ["a sheet"],
        "note": "dense",
    }
    assert (numbers["peak fp8"]["value"], numbers["peak fp8"]["text"]) == (None, "")
    assert numbers["node link bandwidth"]["value"] == 196 * 10**9


def test_a_chip_for_people_says_its_numbers_its_kubernetes_profile_and_its_engines() -> None:
    text = shown("show", "npu")

    for line in (
        "npu: Far East, lab",
        "between chips: ring, 8 chips reach each other",
        "626 TOPS",
        "[2] a sheet",
        "Kubernetes: npus",
        "resources: lab/npu (lab, counts units)",
        "one unit is: a board",
        "units a pod may ask for: 1, 2, 4, 8",
        "pods need devices: /dev/npu",
        "pods need environment: A=b",
        "Nodes with size=large",
        "units a pod may ask for: 16",
        "refuses fp8: no such numbers; take w8a8",
        "Engine nowhere: not in the catalog",
    ):
        assert line in text
    assert "Kubernetes: nobody wrote down" in shown("show", "board")


def test_an_engine_of_a_chip_reads_what_it_reads_there() -> None:
    engine = value("show", "npu")["engineDetails"][0]

    assert [one["quantization"] for one in engine["reads"]] == ["bf16", "w8a8"]


@pytest.mark.parametrize("arguments", [["list"], ["show", "npu"]], ids=" ".join)
def test_yaml_says_the_same_as_json(arguments: list[str]) -> None:
    assert yaml.safe_load(shown(*arguments, "-o", "yaml")) == value(*arguments)


def test_every_shipped_chip_can_be_shown_and_its_document_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    shipped = read_catalog()

    for name, profile in shipped.profiles.items():
        view = hardware_view(profile, shipped)
        assert json.loads(json.dumps(view)) == view
        print_chip(view)
        assert capsys.readouterr().out.startswith(f"{name}: ")
        print_document(profile)
        assert load(capsys.readouterr().out, "x.yaml")[0].document == profile


def test_names_complete_in_the_shell() -> None:
    assert "ascend-910b3" in chip_names("ascend")
    assert chip_names("loc") == ["local"]


def test_a_processor_has_no_home_because_it_may_be_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    processor = a_profile("local", kind="cpu")
    print_chips([hardware_row(processor)])
    listed = capsys.readouterr().out
    print_chip(hardware_view(processor, Catalog().with_documents([processor])))
    card = capsys.readouterr().out

    assert "datacenter" not in listed + card
    assert "  kind: cpu\n" in card
