"""`headwater engines list` and `show`: by chip and by what they read."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner
from worlds import a_calibration, a_profile, an_engine, reads

from cli.catalog import print_document
from cli.engine_cards import print_engine
from cli.main import app
from cli.options import engine_names
from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.kinds import Catalog
from orchestrator.api.load import load
from orchestrator.core.engine_view import engine_view
from runtimes.errors import Invalid

VLLM = an_engine(
    "vllm",
    program="vLLM",
    reads=[*reads("bf16"), *reads("w8a8", chips=["npu"], note="static"), *reads("fp8", only="experts")],
    refuses=[{"format": "awq", "chips": ["npu"], "why": "it cannot be read; take w8a8"}],
    images=["lab/vllm:<ver>"],
    flags=["--fast"],
    environment={"B": "2", "A": "1"},
    versions="1.0 seen",
    sources=["a manual"],
)
QUIET = an_engine("quiet", program="Quiet", recipe=None, reads=[], dtypes=[])
RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    chips = [a_profile("npu", kind="npu", engines=["vllm", "quiet"]), a_profile("gpu", kind="gpu", engines=["vllm"])]
    made = Catalog().with_documents([*chips, VLLM, QUIET, a_calibration("fast-vllm", engine="vLLM")])
    monkeypatch.setattr("orchestrator.wiring.catalog", lambda _settings: made)
    return made


def shown(*arguments: str) -> str:
    done = RUNNER.invoke(app, ["engines", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def value(*arguments: str) -> Any:
    return json.loads(shown(*arguments, "--output", "json"))


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        pytest.param([], ["quiet", "vllm"], id="all of them, sorted"),
        pytest.param(["--chip", "npu"], ["quiet", "vllm"], id="a chip"),
        pytest.param(["--chip", "gpu"], ["vllm"], id="another chip"),
        pytest.param(["--quantization", "w8a8"], ["vllm"], id="a quantization"),
        pytest.param(["--quantization", "w8a8", "--chip", "gpu"], [], id="a quantization it reads elsewhere only"),
        pytest.param(["--format", "fp8"], ["vllm"], id="a format"),
        pytest.param(["--format", "fp8", "--quantization", "bf16"], [], id="both, but not together"),
    ],
)
def test_a_list_has(filters: list[str], names: list[str]) -> None:
    assert [row["name"] for row in value("list", *filters)] == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["list", "--chip", "npuu"], "no hardware profile is named 'npuu'; did you mean npu", id="a chip"),
        pytest.param(["list", "--quantization", "w8a9"], "did you mean w8a8", id="a quantization"),
        pytest.param(["list", "--format", "awqq"], "no format is named 'awqq'; did you mean awq", id="a format"),
        pytest.param(["show", "vlm"], "no engine is named 'vlm'; did you mean vllm", id="an engine"),
    ],
)
def test_what_means_nothing_is_refused_with_what_was_meant(arguments: list[str], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        RUNNER.invoke(app, ["engines", *arguments], catch_exceptions=False)


def test_an_engine_for_people_says_what_it_reads_and_refuses_and_how_it_is_had() -> None:
    text = shown("show", "vllm")

    for line in (
        "vllm: vLLM",
        "chips: gpu, npu",
        "started: by recipe vllm",
        "published images: lab/vllm:<ver>",
        "flags: --fast",
        "environment: A=1, B=2",
        "versions: 1.0 seen",
        "models with experts",
        "refuses awq on npu: it cannot be read; take w8a8",
        "fast-vllm",
        "a manual",
    ):
        assert line in text


def test_an_engine_nobody_measured_says_so() -> None:
    text = shown("show", "quiet")

    assert "not from here yet" in text
    assert "reads nothing that the catalog knows" in text
    assert "nobody measured it, so its band is wide" in text
    assert [row["predicted"] for row in value("list")] == [False, True]


def test_an_engine_for_programs_has_its_chips_and_reads() -> None:
    engine = value("show", "vllm")

    assert engine["chips"] == ["gpu", "npu"]
    assert engine["quantizations"] == ["bf16", "w8a8", "fp8"]
    assert engine["reads"][1] == {
        "quantization": "w8a8",
        "format": "modelslim",
        "flag": "",
        "chips": ["npu"],
        "only": "",
        "status": "vendor",
        "note": "static",
    }


@pytest.mark.parametrize("arguments", [["list"], ["show", "vllm"]], ids=" ".join)
def test_yaml_says_the_same_as_json(arguments: list[str]) -> None:
    assert yaml.safe_load(shown(*arguments, "-o", "yaml")) == value(*arguments)


def test_every_shipped_engine_can_be_shown_and_its_document_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    shipped = read_catalog()

    for name, engine in shipped.engines.items():
        view = engine_view(engine, shipped)
        assert json.loads(json.dumps(view)) == view
        print_engine(view)
        assert capsys.readouterr().out.startswith(f"{name}: ")
        print_document(engine)
        assert load(capsys.readouterr().out, "x.yaml")[0].document == engine


def test_names_complete_in_the_shell() -> None:
    assert "vllm-ascend-a2" in engine_names("vllm")
