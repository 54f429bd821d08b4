"""Promise 9: bad input of any kind gets one clear sentence and an exit code, and leaves nothing behind.

`command.refused` compares files and processes before and after, and refuses tracebacks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from weights import WEIGHTS

if TYPE_CHECKING:
    from conftest import Command

QUICKSTART = Path(__file__).parents[2] / "manifests" / "examples" / "quickstart.yaml"
STUDENT = "smollm2-135m-instruct"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)
)


PROFILE = """\
apiVersion: headwater.dev/v1alpha1
kind: HardwareProfile
metadata: {{name: odd{n}}}
spec:
  vendor: odd
  family: odd
  kind: cpu
  memory: {{value: {value}, status: vendor}}
  bandwidth: {{value: 10GB/s, status: vendor}}
"""
FIELDS = {
    "unknown field": ("quantization: [", "quantisation: [", ["spec.student.quantisation", "quantization"]),
    "no unit": ("ttft: 500ms", "ttft: 500", ["spec.student.slo.ttft", "no unit", "500ms"]),
    "wrong unit": ("ttft: 500ms", "ttft: 500GiB", ["spec.student.slo.ttft", "unknown unit 'GiB'"]),
    "negative number": ("min: 1", "min: -1", ["spec.student.replicas.min", "at least 0"]),
    "bounds in disorder": ("min: 1, max: 2", "min: 3, max: 2", ["min 3 is more than max 2"]),
    "missing model": (f"model: {STUDENT}", "model: smollm2", ["unknown model 'smollm2'", STUDENT]),
    "missing profile": ("profile: local", "profile: lokal", ["unknown hardware profile 'lokal'", "local"]),
    "unknown quantization": ("[int4, int8]", "[int3]", ["unknown quantization 'int3'", "int4"]),
    "bad name": ("name: assistant", "name: My Assistant", ["is not a name", "my-assistant"]),
    "duplicate names": ("name: here", "name: wuxi-cloud", ["already defined on line"]),
    "unknown kind": ("kind: ModelService", "kind: ModelServer", ["ModelServer", "ModelService"]),
    "a word that YAML takes for false": ("residency: [cn]", "residency: [no]", ["quotes"]),
    "absent weights": (f"model: {STUDENT}", "model: {source: ./no.gguf, licence: MIT}", ["student.model.source", "no"]),
}
CONTENTS = {
    "empty": (b"", "holds no document"),
    "binary": (b"\x7fELF\x02\0\0\0", "binary file"),
    "YAML bomb": (BOMB.encode(), "aliases expanded"),
    "nested too deep": (b"[" * 5000, "deep"),
    "a tag that would run code": (b"a: !!python/object/apply:os.system [id]\n", "not allowed"),
    "broken YAML": (b"a: [1, 2\n", "not closed"),
    "another encoding": ("name: caf\xe9\n".encode("latin-1"), "not UTF-8"),
    "too large": (b"#" * (1 << 21), "larger than 1 MiB"),
    "words": (b"just words\n", "a document is a mapping"),
}


@pytest.fixture(scope="module")
def told(new_command: Callable[[Path], Command], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What `plan` says of all broken files given together, by the name of the file."""
    command = new_command(tmp_path_factory.mktemp("told"))
    example = QUICKSTART.read_text()
    files = [command.write(example.replace(old, new), f"{name}.yaml") for name, (old, new, _) in FIELDS.items()]
    files += [command.write(content, f"{name}.yaml") for name, (content, _) in CONTENTS.items()]
    lines = command.refused("plan", *files).split("\n")
    return {file.stem: [line for line in lines if line.startswith(f"{file}:")] for file in files}


@pytest.mark.parametrize("name", FIELDS)
def test_a_wrong_field_is_named_with_its_line_and_what_would_be_right(told: dict[str, list[str]], name: str) -> None:
    _, _, said = FIELDS[name]
    lines = [line for line in told[name] if all(word in line for word in said)]

    assert len(lines) == 1, told[name]
    assert lines[0].partition(".yaml:")[2].partition(":")[0].isdigit()


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_that_is_no_specification_is_refused_in_a_line(told: dict[str, list[str]], name: str) -> None:
    (line,) = told[name]

    assert CONTENTS[name][1] in line


def test_every_problem_of_every_file_is_told_a_line_each(command: Command) -> None:
    first = command.quickstart(("ttft: 500ms", "ttft: 500"), ("name: here", "nom: here"))
    second = command.write("kind: nothing\n", "second.yaml")
    lines = command.refused("plan", first, second).split("\n")

    assert len(lines) >= 3
    assert {line.partition(":")[0] for line in lines} == {str(first), str(second)}


def test_a_licence_that_is_not_allowed_stops_before_anything_is_built_or_written(command: Command) -> None:
    file = command.quickstart(("licences: [Apache-2.0, MIT]", "licences: [MIT]"))

    assert "Apache-2.0" in command.refused("render", file, "--to", "manifests")
    assert "Apache-2.0" in command.refused("deploy", file)
    planned = command.run("plan", file, code=1)
    assert "(licence): needs one of MIT, has Apache-2.0" in planned.stdout


def test_a_pool_that_is_too_small_is_refused_with_both_numbers(command: Command) -> None:
    file = command.quickstart(("nodes: 4, chips: 8", "nodes: 1, chips: 8"))
    planned = command.run("plan", file, code=1)

    assert "assistant/teacher has no place" in planned.stdout
    assert "(memory): needs 79.9 GiB, has 55.5 GiB" in planned.stdout
    assert "no place" in command.refused("render", file, "--to", "manifests")


def test_a_profile_with_impossible_memory_is_refused(command: Command) -> None:
    values = ("0GiB", "-5GiB", "5", "much")
    files = [command.write(PROFILE.format(n=n, value=value), f"odd{n}.yaml") for n, value in enumerate(values)]
    lines = command.refused("plan", command.quickstart(), *files).split("\n")

    assert [line.partition(" ")[2].partition(":")[0] for line in lines] == ["spec.memory.value"] * len(values)


def test_a_mirror_with_credentials_in_it_is_refused(command: Command) -> None:
    file = command.quickstart(("  link: {rtt", "  images: user:hunter2@mirror.example/x\n  link: {rtt"))
    message = command.refused("render", file)

    assert "images" in message
    assert "registry.example/mirror" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "no such file", id="absent"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"just text\n" * 9, "is not a GGUF file", id="text"),
        pytest.param(b"GGUF\x09\0\0\0" + bytes(64), "version 9", id="unknown version"),
        pytest.param(b"GGUF\x03\0\0\0" + b"\xff" * 64, "believable", id="absurd counts"),
        pytest.param("half", "is cut off", id="cut in half"),
    ],
)
def test_weights_that_are_no_whole_gguf_are_refused(command: Command, content: bytes | str | None, said: str) -> None:
    if content == "half":
        content = WEIGHTS.read_bytes()[: WEIGHTS.stat().st_size // 2]
    if content is not None:
        command.write(content, "model.gguf")  # type: ignore[arg-type]  # not text any more

    assert said in command.refused("build", "model.gguf", "--licence", "MIT")


def test_weights_with_a_given_name_are_checked_all_the_same(command: Command) -> None:
    command.write(WEIGHTS.read_bytes()[:1_000_000], "model.gguf")

    assert "is cut off" in command.refused("build", "model.gguf", "--licence", "MIT", "--name", "mine")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param((STUDENT, "-q", "int3"), 1, "int4, int8", id="unknown quantization"),
        pytest.param(("mystery",), 1, "in no catalog", id="unknown model without licence"),
        pytest.param(("x.gguf", "--name", "../x", "--licence", "MIT"), 1, "model name '../x'", id="a name that climbs"),
        pytest.param((STUDENT, "--licence", "MIT"), 1, "leave out", id="another licence for a catalog model"),
        pytest.param(("hf://no/such", "--name", "x", "--licence", "MIT"), 1, "no hub answered", id="no hub"),
        pytest.param(("qwen3-0.6b", "--dry-run"), 1, "model: {source: ./FILE.gguf", id="no hub for a dry run"),
        pytest.param(("./no.gguf",), 1, "no such file", id="absent file"),
        pytest.param(("hf://no/such",), 1, "--name and --licence", id="hub without both"),
        pytest.param(("x.gguf", "--name", STUDENT, "--licence", "MIT"), 1, "other weights", id="a name of the catalog"),
        pytest.param(("hf://no/such", "--licence", "MIT"), 1, "--name", id="hub without a name"),
        pytest.param(("package://no_such/x.gguf", "--licence", "MIT"), 1, "not installed", id="absent package"),
        pytest.param((".", "--licence", "MIT"), 1, "config.json", id="a folder without a model"),
    ],
)
def test_a_build_that_cannot_be_is_refused(command: Command, arguments: tuple[str, ...], code: int, said: str) -> None:
    assert said in command.refused("build", *arguments, code=code)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("nonsense",), "nonsense", id="unknown command"),
        pytest.param(("plan", "--nonsense"), "--nonsense", id="unknown option"),
        pytest.param(("plan",), "files", id="no file"),
        pytest.param(("plan", "absent.yaml"), "absent.yaml", id="absent file"),
        pytest.param(("plan", "."), "directory", id="directory for a file"),
        pytest.param(("plan", "--output", "xml", "x.yaml"), "xml", id="unknown output"),
        pytest.param(("up", "--port", "70000"), "65535", id="port out of range"),
        pytest.param(("up", "--port", "http"), "--port", id="port that is no number"),
        pytest.param(("chat", "assistant", "hi", "--max-tokens", "0"), "max-tokens", id="no tokens"),
        pytest.param(("serve", "absent"), "absent", id="absent artifact"),
    ],
)
def test_a_wrong_command_line_is_2_and_says_which_part(command: Command, arguments: tuple[str, ...], said: str) -> None:
    assert said in command.refused(*arguments, code=2)


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("chat", "assistant", "hi"), ("deploy", "service.yaml"), ("delete", "assistant")],
    ids=lambda arguments: arguments[0],
)
def test_when_nothing_runs_it_is_not_yet_and_says_how_to_start(command: Command, arguments: tuple[str, ...]) -> None:
    command.quickstart()

    assert "headwater up" in command.refused(*arguments, code=3)


@pytest.mark.parametrize("arguments", [("status",), ("chat", "assistant", "hi")], ids=lambda arguments: arguments[0])
def test_a_node_that_was_killed_is_told_apart_from_one_that_never_ran(
    command: Command, arguments: tuple[str, ...]
) -> None:
    run = command.home / "run"
    run.mkdir()
    for name, text in {"token": "secret", "control.port": "1", "node.lock": ""}.items():
        (run / name).write_text(text)

    assert "ended from outside" in command.refused(*arguments, code=3)


@pytest.mark.parametrize("name", ["foo/bar", "/bar"])
def test_deleting_what_is_no_kind_names_the_kinds(command: Command, name: str) -> None:
    assert "ModelService, Site, Model, HardwareProfile, KubernetesProfile, Engine, Calibration" in command.refused(
        "delete", name
    )


def test_when_nothing_runs_there_is_no_log_and_nothing_to_end(command: Command) -> None:
    assert "none yet" in command.refused("logs", "assistant")
    assert "nothing runs" in command.run("down").stderr


def test_a_taken_port_is_named_before_anything_starts(command: Command, taken: int, artifact: Path) -> None:
    for arguments in (("up",), ("up", "--dry-run"), ("serve", str(artifact))):
        message = command.refused(*arguments, "--port", str(taken))
        assert f"port {taken} is taken" in message
        assert "--port" in message


@pytest.mark.parametrize("value", ["abc", "0", "70000", "8400.5"])
def test_a_bad_environment_variable_is_named(command: Command, value: str) -> None:
    command.environment = {"HEADWATER_PORT": value}

    said = f"environment variable HEADWATER_PORT is '{value}'; write the port of the OpenAI endpoint, from 1 to 65535\n"
    assert command.refused("status") == said.rstrip()


def test_an_empty_environment_variable_is_as_good_as_none(command: Command) -> None:
    """An empty home must not mean the folder one happens to stand in."""
    command.environment = {"HEADWATER_PORT": "", "HEADWATER_HOME": "", "HOME": str(command.home)}

    assert "headwater up" in command.refused("status", code=3)
    assert "port 8400" in command.run("up", "--dry-run").stderr


@pytest.mark.parametrize("arguments", [("up",), ("build", STUDENT)], ids=["up", "build"])
@pytest.mark.parametrize("home", ["a file", "a file's child", "not ours"])
def test_a_home_that_cannot_be_used_is_named(
    command: Command, arguments: tuple[str, ...], home: str, without_privilege: Callable[[], None]
) -> None:
    file = command.write("", "file")
    closed = command.folder / "closed"
    closed.mkdir(mode=0o500)
    command.home = {"a file": file, "a file's child": file / "home", "not ours": closed}[home]
    message = command.refused(*arguments, before=without_privilege)

    assert str(command.home) in message


def test_a_file_that_may_not_be_read_is_named(command: Command, without_privilege: Callable[[], None]) -> None:
    file = command.quickstart()
    file.chmod(0)

    assert "service.yaml" in command.refused("plan", file, code=2, before=without_privilege)


def test_a_full_disk_leaves_no_half_written_manifest(command: Command, with_no_room: Callable[[], None]) -> None:
    message = command.refused("render", command.quickstart(), "--to", "manifests", before=with_no_room)

    assert "File too large" in message


def test_a_full_disk_ends_a_build_without_half_an_artifact(command: Command, with_no_room: Callable[[], None]) -> None:
    done = command.run("build", STUDENT, code=1, before=with_no_room)
    left = [path for path in (command.home / "artifacts").iterdir() if path.name not in {"digests", ".locks", "logs"}]

    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "File too large" in done.stderr
    assert left == []
    assert command.processes() == []


@pytest.fixture
def copy(artifact: Path, command: Command) -> Path:
    """A copy of the student's artifact to break; its weights are links to the built ones."""
    shutil.copytree(artifact, command.folder / "artifact")
    return command.folder / "artifact"


def _cut(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)


def _change(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(100)
        stream.write(b"\xff")


@pytest.mark.parametrize(
    ("name", "break_it", "said"),
    [
        pytest.param("tokenizer.json", _change, "was changed", id="one byte changed"),
        pytest.param("model.onnx", _cut, "bytes, the manifest says", id="graph cut"),
        pytest.param("tokenizer.json", Path.unlink, "is missing", id="file missing"),
        pytest.param("manifest.json", _cut, "manifest.json", id="manifest cut"),
        pytest.param("manifest.json", Path.unlink, "is not an artifact", id="no manifest"),
    ],
)
def test_a_broken_artifact_is_not_served(
    command: Command, copy: Path, name: str, break_it: Callable[[Path], None], said: str
) -> None:
    break_it(copy / name)

    assert said in command.refused("serve", copy, "--port", str(command.port))


def test_more_than_the_model_or_the_machine_has_is_not_served(command: Command, artifact: Path) -> None:
    assert "at most 8192" in command.refused("serve", artifact, "--context", "8193", "--dry-run")
    assert "lower --slots" in command.refused("serve", artifact, "--context", "8192", "--slots", "4096", "--dry-run")


def test_a_service_without_its_site_is_told_what_is_missing(command: Command) -> None:
    service = command.write(command.quickstart().read_text().partition("\n---\n")[0], "alone.yaml")

    assert "no Site" in command.refused("plan", service)
