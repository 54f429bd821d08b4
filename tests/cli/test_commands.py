"""Every command explains itself, prints for people and for programs, and can say what it would do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from cli.main import app
from cli.tree import INDEX

if TYPE_CHECKING:
    from conftest import Command

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "manifests" / "examples" / "quickstart.yaml"
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]  # the app is a group
LOOK_AT_PLANS = {"plan", "explain", "diff", "doctor", "fit", "policy", "simulate", "validate", "verify"}
ONLY_LOOK = LOOK_AT_PLANS | {"discover", "models", "hardware", "engines", "status", "logs", "chat"}
HEAVY = ("ray", "kubernetes", "onnxruntime", "torch", "transformers", "pydantic", "aiohttp", "numpy", "yaml")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does_with_an_example(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"TERM": "dumb", "COLUMNS": "200"})

    assert shown.exit_code == 0
    assert f"headwater {name}" in shown.stdout.partition("Example")[2]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - ONLY_LOOK))
def test_a_command_that_changes_something_has_a_dry_run(name: str) -> None:
    options = {option for each in get_command(app).commands[name].params for option in each.opts}  # type: ignore[attr-defined]  # as above

    assert "--dry-run" in options


def test_the_version_is_that_of_the_package() -> None:
    said = CliRunner().invoke(app, ["--version"])

    assert (said.exit_code, said.stdout) == (0, f"headwater {version('headwater')}\n")


@pytest.mark.parametrize("name", ["render", "crds"])
@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        pytest.param("--output", "table", "'table' is not one of 'yaml', 'json'", id="no table"),
        pytest.param("--to", __file__, "is a file", id="no folder"),
    ],
)
def test_documents_are_yaml_or_json_in_a_folder(name: str, option: str, given: str, said: str) -> None:
    files = [str(QUICKSTART)] * (name == "render")
    done = CliRunner().invoke(app, [name, *files, option, given], env={"TERM": "dumb", "COLUMNS": "400"})

    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_page_that_cannot_be_written_is_named_as_it_was_wanted(command: Command) -> None:
    said = command.run("plan", QUICKSTART, "--page", "/nonexist/x.html", code=1).stderr

    assert "error: /nonexist/x.html: No such file or directory" in said


def test_the_whole_help_needs_no_heavy_import() -> None:
    code = f"""
import sys
sys.argv = ["headwater", "--help"]
from cli.main import run
try:
    run()
finally:
    heavy = [name for name in {HEAVY!r} if name in sys.modules]
    print("heavy:", heavy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert all(f" {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_comes_out_for(shell: str) -> None:
    variables = {"_HEADWATER_COMPLETE": f"source_{shell}"}
    shown = CliRunner().invoke(app, [], prog_name="headwater", env=variables)

    assert "_HEADWATER_COMPLETE" in shown.stdout
    assert f"complete_{shell}" in shown.stdout


def test_a_plan_for_programs_carries_the_numbers_and_is_the_same_every_time(command: Command) -> None:
    """Promise 1: same inputs, same plan, byte for byte; input order never matters."""
    shuffled = command.write("\n---\n".join(reversed(QUICKSTART.read_text().split("\n---\n"))), "shuffled.yaml")
    first = command.run("plan", QUICKSTART, "--output", "json").stdout
    again = command.run("plan", shuffled, "--output", "json").stdout
    plan: dict[str, Any] = json.loads(first)
    (student,), (teacher,) = (tier["groups"] for tier in plan["tiers"])

    assert again == first
    assert [tier["tier"] for tier in plan["tiers"]] == ["student", "teacher"]
    assert (student["site"], student["profile"], student["replicas"]) == ("here", "local", 1)
    assert (teacher["quantization"], teacher["parallelism"]) == ("w8a8", "TP8 DP2 EP on 2 nodes")
    assert (plan["costPerHour"], plan["lowerBoundPerHour"], plan["gap"]) == (22.4, 22.4, 0.0)
    assert teacher["memory"]["totalBytes"] < teacher["memory"]["usableBytes"] == int(60.32 * (1 << 30) * 0.92)
    bands = [student["predicted"][name] for name in ("ttftSeconds", "tpotSeconds", "requestsPerSecond")]
    assert all(0 < band["p10"] <= band["p50"] <= band["p90"] for band in bands)
    assert {"rule": "memory", "need": "79.9 GiB", "have": "55.5 GiB"} in [
        {key: no[key] for key in ("rule", "need", "have")} for no in plan["tiers"][1]["rejected"]
    ]


def test_a_plan_for_people_shows_places_bands_reasons_and_the_bound(command: Command) -> None:
    nearest = command.run("plan", QUICKSTART).stdout
    everything = command.run("plan", QUICKSTART, "--why").stdout

    for text in ("here, pool 0: local", "22.4/h", "(p10 - p90)", "proven lower bound 22.4/h; gap 0.0%"):
        assert text in nearest
    assert "per token, N at once" in nearest
    assert re.search(r"ms\), \d+ at once", nearest)
    assert "started on Kubernetes" not in nearest
    assert "(memory): needs 79.9 GiB, has 55.5 GiB" in nearest
    assert len(everything.splitlines()) >= len(nearest.splitlines())
    assert all(line == line.rstrip() for line in nearest.splitlines())


def test_many_rejections_are_counted_and_shown_when_asked(command: Command) -> None:
    site = (
        "---\napiVersion: headwater.dev/v1alpha1\nkind: Site\nmetadata: {{name: more{n}}}\n"
        "spec: {{role: edge, region: us-east, fleet: none, pools: [{{profile: local}}]}}\n"
    )
    file = command.write(QUICKSTART.read_text() + "".join(site.format(n=n) for n in range(9)))

    assert "more that do not fit; show them with --why" in command.run("plan", file).stdout
    everything = command.run("plan", file, "--why").stdout
    assert all(f"not more{n} (residency): needs a region in cn, has us-east" in everything for n in range(9))
    assert "--why" not in everything


def test_a_plan_that_places_nothing_says_so_and_not_a_price(command: Command) -> None:
    file = command.quickstart(("residency: [cn]", "residency: [eu]"))
    lines = command.run("plan", file, code=1).stdout.splitlines()

    assert lines[-1] == "Nothing placed."
    assert not any("lower bound" in line for line in lines)


def test_an_objective_that_holds_only_by_the_middle_is_told(command: Command) -> None:
    plan = json.loads(command.run("plan", QUICKSTART, "--output", "json").stdout)
    teacher = next(tier for tier in plan["tiers"] if tier["tier"] == "teacher")
    held = teacher["groups"][0]["predicted"]["ttftSeconds"]
    between_ms = round((held["p50"] + held["p90"]) / 2 * 1000, 3)
    file = command.quickstart(("ttft: 2s", f"ttft: {between_ms}ms"))

    told = "met by the middle of the prediction only: first token"
    assert told in command.run("plan", file).stdout
    assert told not in command.run("plan", QUICKSTART).stdout


def test_yaml_and_json_say_the_same(command: Command) -> None:
    as_yaml = command.run("plan", QUICKSTART, "--output", "yaml").stdout
    as_json = command.run("plan", QUICKSTART, "--output", "json").stdout

    assert yaml.safe_load(as_yaml) == json.loads(as_json)


def test_rendering_is_the_same_every_time_on_the_terminal_and_in_a_folder(command: Command) -> None:
    first, again = (command.run("render", QUICKSTART).stdout for _ in range(2))
    done = command.run("render", QUICKSTART, "--to", "manifests")
    written = command.folder / "manifests" / "assistant-teacher.yaml"

    assert first == again == written.read_text()
    assert {path.name for path in written.parent.iterdir()} == {written.name, INDEX}
    assert {document["kind"] for document in yaml.safe_load_all(first)} >= {"LeaderWorkerSet", "Service"}
    assert "wrote manifests/assistant-teacher.yaml" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("up",), "would start site here", id="up"),
        pytest.param(("down",), "nothing runs\n", id="down"),
        pytest.param(("render", str(QUICKSTART)), "would write assistant-teacher.yaml to standard output", id="render"),
        pytest.param(("render", str(QUICKSTART), "--to", "out"), "would write out/assistant-teacher.yaml", id="folder"),
        pytest.param(("build", "smollm2-135m-instruct"), "would build smollm2-135m-instruct int4", id="build"),
    ],
)
def test_a_dry_run_says_what_would_happen_and_changes_nothing(
    command: Command, arguments: tuple[str, ...], said: str
) -> None:
    before = command.files()
    done = command.run(*arguments, "--dry-run")

    assert said in done.stderr
    assert done.stdout == ""
    assert command.files() == before
    assert not (command.folder / "out").exists()
    assert command.processes() == []


def test_a_dry_run_of_serving_checks_the_artifact_and_listens_nowhere(command: Command, artifact: Path) -> None:
    before = command.files()
    done = command.run("serve", artifact, "--port", str(command.port), "--dry-run")

    assert "smollm2-135m-instruct int4" in done.stderr
    assert "for 4 x 4096 tokens" in done.stderr
    assert command.files() == before


def test_a_dry_run_of_the_demo_plans_the_example_that_ships(command: Command) -> None:
    done = command.run("demo", "--dry-run")

    assert "assistant/student" in done.stdout
    assert "proven lower bound" in done.stdout
    assert command.processes() == []


def test_a_dry_run_of_a_build_speaks_to_programs_too(command: Command) -> None:
    done = command.run("build", "smollm2-135m-instruct", "--dry-run", "--output", "json")

    assert json.loads(done.stdout) == {
        "model": "smollm2-135m-instruct", "quantization": "int4", "path": None, "built": False
    }  # fmt: skip
    assert done.stderr == ""


def test_a_built_model_is_found_and_its_quality_told(command: Command, artifact_store: Path) -> None:
    (command.home / "artifacts").symlink_to(artifact_store)
    told = command.run("build", "smollm2-135m-instruct").stdout
    value = json.loads(command.run("build", "smollm2-135m-instruct", "--output", "json").stdout)

    assert told.startswith("found: ")
    assert "greedy agreement" in told
    assert value["cached"] is True
    assert value["manifest"]["licence"] == "Apache-2.0"


def test_render_as_json_is_one_list_that_holds_the_same_objects(command: Command) -> None:
    listed = json.loads(command.run("render", QUICKSTART, "--output", "json").stdout)
    written = [one for one in yaml.safe_load_all(command.run("render", QUICKSTART).stdout) if one]

    assert listed == {"apiVersion": "v1", "kind": "List", "items": written}


def test_down_with_nothing_running_says_so_to_programs_too(command: Command) -> None:
    assert json.loads(command.run("down", "--output", "json").stdout) == {"stopped": False}
