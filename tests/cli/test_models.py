"""`headwater models`: lists with filters, whole cards, lineages."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner
from worlds import a_model

from cli.catalog import print_document
from cli.main import app
from cli.model_cards import print_model, print_trees
from cli.options import model_names
from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.kinds import Catalog
from orchestrator.api.load import load
from orchestrator.core.lineage import Lineage
from orchestrator.core.model_view import model_view, tree_view
from runtimes.errors import Invalid

TEACHER = a_model(
    "teacher",
    family="big",
    organisation="Far Lab",
    dims={"layers": 4, "experts": {"routed": 8, "per_token": 2, "intermediate_size": 64}},
    published={"total": 400_000, "active": 200_000, "note": "rounded", "sources": ["card"]},
    releases=[{"quantization": "w8a8", "format": "modelslim", "name": "lab/teacher-w8a8", "sources": ["hub"]}],
    native="fp8",
    students=["lab/student"],
    context=1 << 20,
)
STUDENT = a_model(
    "student",
    licence="MIT AND LicenseRef-Own",
    base=["far/seed"],
    confidence="low",
    unverified=["head count"],
    sources=["config.json"],
)
PAINTER = a_model(
    "painter",
    family="paint",
    outputs=["image"],
    architecture=None,
    components=[{"name": "tower", "parameters": 3_000_000_000}],
    native=None,
    context=None,
    published=None,
    licence="NOASSERTION",
    footprints=[{"setting": "720p", "memory": "60GiB"}],
)
RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    made = Catalog().with_documents([TEACHER, STUDENT, PAINTER])
    monkeypatch.setattr("orchestrator.wiring.catalog", lambda _settings: made)
    return made


def shown(*arguments: str) -> str:
    done = RUNNER.invoke(app, ["models", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def value(*arguments: str) -> Any:
    return json.loads(shown(*arguments, "--output", "json"))


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        pytest.param([], ["painter", "student", "teacher"], id="all of them, sorted"),
        pytest.param(["--family", "BIG"], ["teacher"], id="a family, whatever the case"),
        pytest.param(["--organisation", "far"], ["teacher"], id="a part of an organisation's name"),
        pytest.param(["--modality", "image"], ["painter"], id="what it gives"),
        pytest.param(["--licence", "mit"], ["student"], id="one licence of several"),
        pytest.param(["--max-parameters", "2B"], ["student", "teacher"], id="at most so many parameters"),
        pytest.param(["--student-of", "lab/teacher"], ["student"], id="students, by the teacher's hub name"),
        pytest.param(["--family", "paint", "--licence", "MIT"], [], id="filters that leave nothing"),
    ],
)
def test_a_list_has(filters: list[str], names: list[str]) -> None:
    assert [row["name"] for row in value("list", *filters)] == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["list", "--family", "bigg"], "no family is like 'bigg'; did you mean big", id="a family"),
        pytest.param(["list", "--licence", "WTFPL"], "no licence is like 'WTFPL'", id="a licence"),
        pytest.param(["list", "--max-parameters", "-1"], "is no count; write one such as 8B", id="a count"),
        pytest.param(["list", "--student-of", "techer"], "did you mean teacher", id="a teacher"),
    ],
)
def test_what_means_nothing_is_refused_with_what_was_meant(arguments: list[str], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        RUNNER.invoke(app, ["models", *arguments], catch_exceptions=False)


@pytest.mark.parametrize("command", ["show", "tree"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("studnt", r"'studnt'; did you mean student\? `headwater models list` names", id="nearly one"),
        pytest.param("zzz", "'zzz'; `headwater models list` names them all", id="like none"),
    ],
)
def test_a_model_that_is_not_there_is_refused_alike_everywhere(command: str, name: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        RUNNER.invoke(app, ["models", command, name], catch_exceptions=False)


def test_a_table_speaks_to_people() -> None:
    table = shown("list")

    assert "3 models" in table
    assert "3.0B" in table
    assert "1M" in table
    assert "? nobody verified" not in table


def test_an_unverified_licence_is_marked_with_a_legend(monkeypatch: pytest.MonkeyPatch) -> None:
    licence = STUDENT.spec.licence.model_copy(update={"status": "unverified", "spdx": "MIT"})
    doubtful = STUDENT.model_copy(update={"spec": STUDENT.spec.model_copy(update={"licence": licence})})
    monkeypatch.setattr("orchestrator.wiring.catalog", lambda _settings: Catalog().with_documents([doubtful]))

    assert "MIT ?" in shown("list")
    assert "? nobody verified this licence" in shown("list")


def test_a_card_has_exact_numbers_and_how_they_differ_from_the_published_ones() -> None:
    card = value("show", "teacher")
    total = card["totalParameters"]

    assert card["countedFrom"] == "dimensions"
    assert card["parameters"]["total"] == total
    assert card["published"]["totalDifference"] == round((total - 400_000) / 400_000, 6)
    assert card["memory"]["kvBytesPerToken"] == 2 * 4 * 2 * 16 * 2
    assert list(card["memory"]["weightBytes"]) == ["fp8", "w8a8"]
    assert card["students"] == [{"name": "student", "model": "student"}]
    assert card["inWords"][0].startswith("4 layers: grouped attention")


def test_a_card_of_parts_is_counted_from_them() -> None:
    card = value("show", "painter")

    assert (card["totalParameters"], card["countedFrom"]) == (3_000_000_000, "components")
    assert (card["memory"], card["architecture"]) == (None, None)
    assert card["footprints"] == [{"setting": "720p", "bytes": 60 << 30, "sources": []}]


def test_a_card_for_people_says_licence_lineage_confidence_and_sources() -> None:
    text = shown("show", "student")

    for line in (
        "Licence: MIT AND LicenseRef-Own (verified)",
        "base: far/seed",
        "teachers: teacher",
        "Confidence in the dimensions: low",
        "head count",
        "config.json",
    ):
        assert line in text
    assert "lab/teacher-w8a8" in shown("show", "teacher")
    assert "60.0 GiB" in shown("show", "painter")


def test_a_tree_goes_up_and_down() -> None:
    text = shown("tree", "student")

    assert "came from" in text
    assert "far/seed (weights, not in the catalog)" in text
    assert "teacher (distilled," in text
    assert [tree["name"] for tree in value("tree")["trees"]] == ["far/seed", "teacher"]
    assert value("tree", "far/seed")["models"].keys() == {"student"}


@pytest.mark.parametrize("arguments", [["list"], ["show", "teacher"], ["tree"]], ids=" ".join)
def test_yaml_says_the_same_as_json(arguments: list[str]) -> None:
    assert yaml.safe_load(shown(*arguments, "-o", "yaml")) == value(*arguments)


@pytest.mark.parametrize("name", ["teacher", "student", "painter"])
def test_a_document_can_be_read_back(name: str, catalog: Catalog) -> None:
    assert load(shown("show", name, "--document"), "x.yaml")[0].document == catalog.models[name]


def test_every_shipped_model_can_be_shown_and_its_document_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    shipped = read_catalog()
    lineage = Lineage(shipped.models)

    for name, model in shipped.models.items():
        view = model_view(model, lineage)
        assert json.loads(json.dumps(view)) == view
        print_model(view)
        assert capsys.readouterr().out.startswith(f"{name}: ")
        print_document(model)
        assert load(capsys.readouterr().out, "x.yaml")[0].document == model
    print_trees(tree_view(lineage))
    assert capsys.readouterr().out


def test_names_complete_in_the_shell() -> None:
    assert "deepseek-r1" in model_names("deepseek")
    assert all(name.startswith("qwen") for name in model_names("qwen"))
