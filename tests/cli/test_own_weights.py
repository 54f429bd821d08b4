"""A tier may name its weights instead of a catalog model: `{source: ..., licence: ...}`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from weights import WEIGHTS

from orchestrator.api.load import load_bytes
from orchestrator.api.model import Model
from orchestrator.api.service import ModelService
from orchestrator.offline import open_desk
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from conftest import Command

CATALOG = "model: smollm2-135m-instruct"
OWN = "model: {source: ./weights/own.gguf, licence: Apache-2.0}"


@pytest.fixture
def service(command: Command) -> Path:
    """The example with the student's weights beside it, under the user's own name."""
    (command.folder / "weights").mkdir()
    (command.folder / "weights" / "own.gguf").symlink_to(WEIGHTS)
    return command.quickstart((CATALOG, OWN))


def student(command: Command, file: Path) -> dict[str, Any]:
    tiers = json.loads(command.run("plan", file, "--output", "json").stdout)["tiers"]
    tier = next(tier for tier in tiers if tier["tier"] == "student")
    return tier | tier["groups"][0]


def test_a_gguf_file_is_planned_as_the_catalog_card_of_the_same_model_is(command: Command, service: Path) -> None:
    own, known = student(command, service), student(command, command.write(_catalog(service), "known.yaml"))

    assert own["model"].startswith("own-")
    assert own["placed"]
    assert [own[key] for key in ("memory", "predicted", "quantization", "replicas")] == [
        known[key] for key in ("memory", "predicted", "quantization", "replicas")
    ]
    assert own["unverified"] == [f"{own['model']} licence"]


def _catalog(service: Path) -> str:
    return service.read_text().replace(OWN, CATALOG)


def test_a_relative_path_is_meant_from_the_file_that_names_it(command: Command, service: Path) -> None:
    inside = student(command, service)
    command.folder = command.folder.parent

    assert student(command, service) == inside


def test_build_gives_weights_the_name_that_the_plan_gives_them(command: Command, service: Path) -> None:
    name = student(command, service)["model"]
    done = command.run("build", "weights/own.gguf", "--licence", "Apache-2.0", "--dry-run")

    assert done.stderr == f"would build {name} int4\n"


def test_the_policy_holds_for_the_licence_that_the_user_states(command: Command, service: Path) -> None:
    file = command.write(service.read_text().replace("licence: Apache-2.0", "licence: GPL-3.0-only"))

    assert "(licence): needs one of Apache-2.0, MIT, has GPL-3.0-only" in command.run("plan", file, code=1).stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("./absent.gguf", "no such file", id="absent"),
        pytest.param("./cut.gguf", "is cut off", id="cut"),
        pytest.param("./text.gguf", "is not a GGUF file", id="text"),
        pytest.param(".", "config.json", id="folder without a model"),
        pytest.param("hf://no/such", "without its files", id="hub"),
    ],
)
def test_weights_that_cannot_be_planned_are_told_with_the_line(command: Command, source: str, said: str) -> None:
    command.write(WEIGHTS.read_bytes()[:100_000], "cut.gguf")
    command.write("just text", "text.gguf")
    file = command.quickstart((CATALOG, f"model: {{source: {source}, licence: MIT}}"))
    message = command.refused("plan", file)

    assert message.startswith(f"{file}:10: spec.student.model.source: ")
    assert said in message
    assert "\n" not in message


def test_the_controller_gets_every_document_in_one_text_with_cards_for_what_it_cannot_know(
    command: Command, service: Path
) -> None:
    first, _, sites = service.read_text().partition("\n---\n")
    files = [command.write(first, "service.yaml"), command.write("# sites\n" + sites, "sites.yaml")]
    desk = open_desk(files, Settings(home=command.home))
    sent = load_bytes(desk.as_text().encode(), "request")
    documents = [one.document for one in sent]
    deployed, card = documents[0], documents[-1]

    assert [document.kind for document in documents] == ["ModelService", "Site", "Site", "Model"]
    assert isinstance(deployed, ModelService)
    assert isinstance(card, Model)
    assert deployed.spec.student is not None
    assert deployed.spec.student.model == card.metadata.name
    assert Path(card.spec.source).is_absolute()
    assert documents[:3] == [one.document for one in desk.written]
    assert [desk.place_of(one.line) for one in sent] == [
        f"{files[0]}:5", f"{files[1]}:3", f"{files[1]}:15", ""
    ]  # fmt: skip


def test_a_model_that_generates_no_text_gets_a_name_and_a_quantization_of_its_own(command: Command) -> None:
    folder = command.folder / "my-whisper"
    folder.mkdir()
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    (folder / "config.json").write_text('{"architectures": ["WhisperForConditionalGeneration"]}')
    (folder / "tokenizer.json").write_text("{}")
    asked = ("build", folder, "--licence", "MIT", "--dry-run")

    told = json.loads(command.run(*asked, "--output", "json").stdout)
    assert (told["model"][:11], told["quantization"], told["built"]) == ("my-whisper-", "int8", False)
    assert "transcription is built as int8 or fp32, not as int4" in command.refused(*asked, "-q", "int4")
    (command.folder / "weights").mkdir()
    service = command.quickstart((CATALOG, "model: {source: ./my-whisper, licence: MIT}"))
    assert "a model for transcription is built and served alone" in command.refused("plan", service)
