"""`headwater policy check`, and the gate that every command passes before it builds, writes or starts anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner, Result
from weights import WEIGHTS

from cli import build, demo, policy, up
from runtimes.errors import HeadwaterError, Invalid, Refused

if TYPE_CHECKING:
    from conftest import Command

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "policy.yaml"
ACCEPTED = "accepted: [LicenseRef-Kimi-K2-Modified-MIT]"
MODEL = """\
---
apiVersion: headwater.dev/v1alpha1
kind: Model
metadata: {name: mine}
spec:
  family: mine
  organisation: Mine
  context: 4096
  licence:
    spdx: MIT OR LicenseRef-Mine
    status: unverified
    duties: [{kind: registration, text: register with Mine}]
    excluded: [eu, gb, kr]
    outputsMayTrain: false
"""
SITE = """\
---
apiVersion: headwater.dev/v1alpha1
kind: Site
metadata: {name: paris}
spec: {role: cloud, region: fr-paris, fleet: none, pools: [{profile: ascend-910b3, chips: 8}]}
"""
HERE = "  role: edge\n  region: cn-east"


@pytest.fixture
def write(command: Command) -> Any:
    """The example with texts replaced and others put behind it."""

    def written(*changes: tuple[str, str], more: str = "") -> Path:
        text = EXAMPLE.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return command.write(text + more)

    return written


@pytest.fixture
def check(command: Command, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command in this process, which is faster; raises what the command line would print as an error."""
    monkeypatch.setenv("HEADWATER_HOME", str(command.home))
    app = typer.Typer()
    app.callback()(lambda: None)
    policy.register(app)

    def run(*arguments: str | Path) -> Result:
        done = CliRunner().invoke(app, ["policy", "check", *map(str, arguments)])
        if isinstance(done.exception, HeadwaterError):
            raise done.exception
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done

    return run


def test_the_example_is_allowed_and_every_rule_says_why(check: Any) -> None:
    done = check(EXAMPLE)

    assert done.exit_code == 0
    assert "careful/teacher: kimi-k2-instruct" in done.stdout
    assert "show Kimi K2 in the interface" in done.stdout
    assert done.stdout.endswith("Allowed: careful.\n")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows if row[1:2] == ["yes"] or row[2:3] == ["yes"]] == [
        "licence", "duty", "territory", "residency", "territory",
        "licence", "duty", "territory", "training", "residency", "territory",
    ]  # fmt: skip


def test_a_refusal_is_code_1_a_conclusion_and_what_to_write(write: Any, check: Any) -> None:
    done = check(write((ACCEPTED, "accepted: []")))

    assert done.exit_code == 1
    assert "  duty: when you accept that, write policy: {accepted: [LicenseRef-Kimi-K2-Modified-MIT]}" in done.stdout
    assert done.stdout.endswith("Refused: careful/teacher (duty).\n")


def test_programs_get_every_verdict(write: Any, check: Any) -> None:
    done = check(write((ACCEPTED, "accepted: []"), ("users: [cn, sg]", "users: []")), "--output", "json")
    value = json.loads(done.stdout)
    (service,) = value.pop("services")

    assert value == {"allowed": False, "conclusion": "refused: careful/teacher (duty)"}
    assert (service["service"], service["allowed"], len(service["verdicts"])) == ("careful", False, 11)
    assert service["verdicts"][3] == {
        "tier": "student",
        "model": "smollm2-135m-instruct",
        "site": "here",
        "rule": "residency",
        "allowed": True,
        "need": "a region in cn",
        "have": "cn-east",
        "hint": "",
    }
    assert [verdict["rule"] for verdict in service["verdicts"] if not verdict["allowed"]] == ["duty"]
    assert check(EXAMPLE, "--output", "yaml").stdout.startswith("allowed: true\n")


def test_models_of_the_files_are_judged_by_their_own_licence(write: Any, check: Any) -> None:
    file = write(
        ("kimi-k2-instruct", "mine"),
        ("users: [cn, sg]", "users: [cn, ie]"),
        ("trainOnOutputs: false", "trainOnOutputs: true"),
        more=MODEL + SITE,
    )
    value = json.loads(check(file, "--output", "json").stdout)
    no = [one for one in value["services"][0]["verdicts"] if not one["allowed"]]

    assert value["conclusion"] == "refused: careful/teacher (duty, territory, training)"
    assert [(one["rule"], one["site"], one["have"]) for one in no] == [
        ("duty", None, "only LicenseRef-Kimi-K2-Modified-MIT accepted"),
        ("territory", None, "users in ie"),
        ("training", None, "a licence that forbids it"),
        ("residency", "paris", "fr-paris"),
        ("territory", "paris", "fr-paris"),
    ]


def test_weights_that_are_not_here_are_judged_by_the_licence_that_is_stated(write: Any, check: Any) -> None:
    stated = "model: {source: hf://some/where, licence: LicenseRef-Kimi-K2-Modified-MIT}"
    done = check(write(("model: smollm2-135m-instruct", stated), (ACCEPTED, "accepted: []")))

    assert done.exit_code == 1
    assert done.stdout.endswith("Refused: careful/student (duty); careful/teacher (duty).\n")


def test_a_region_is_looked_at_only_when_there_is_a_site(command: Command, check: Any) -> None:
    service = command.write(EXAMPLE.read_text().partition("\n---\n")[0])

    assert check(service).stdout.endswith("Allowed: careful; no site was given, so regions were not looked at.\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("model: kimi-k2-instruct", "model: kimi-k9-instruct"),
            r"spec.teacher.model: unknown model 'kimi-k9-instruct'; did you mean",
        ),
        (("[Apache-2.0,", "[Apache 2.0,"), r"spec.policy.licences\[0\]: 'Apache 2.0' is no SPDX expression"),
        (("users: [cn, sg]", "users: [CN]"), r"spec.policy.users\[0\]: 'CN' is no territory; .* such as cn"),
        (("residency: [cn]", "residency: [CN]"), r"spec.policy.residency\[0\]: 'CN' is not a name; .* such as cn"),
        (("trainOnOutputs: false", "trainOutputs: false"), "did you mean trainOnOutputs"),
        (("kind: ModelService", "kind: Modelservice"), "did you mean ModelService"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_field(write: Any, check: Any, change: tuple[str, str], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check(write(change))


def test_files_without_a_service_have_no_policy(command: Command, check: Any) -> None:
    with pytest.raises(Invalid, match=r"no ModelService in .*service\.yaml; give the file that has it as well"):
        check(command.write(SITE))


def test_the_command_line_has_the_command(command: Command) -> None:
    done = command.run("policy", "check", EXAMPLE)

    assert done.stdout.endswith("Allowed: careful.\n")
    assert "Examples: headwater policy check" in command.run("policy", "check", "--help").stdout


GATE = {
    "licence": ((", LicenseRef-Kimi-K2-Modified-MIT]   #", "]   #"), "licence (needs one of Apache-2.0, MIT, has"),
    "duty": ((ACCEPTED, "accepted: []"), "accepted, which asks: show Kimi K2"),
    "residency": (("residency: [cn]", "residency: [us]"), "residency (needs a region in us, has cn-east"),
}


@pytest.mark.parametrize(("change", "said"), GATE.values(), ids=GATE)
def test_plan_render_and_deploy_refuse_before_anything_is_built_written_or_started(
    write: Any, command: Command, change: tuple[str, str], said: str
) -> None:
    """Promise 8: a licence that the policy does not allow is refused before anything starts."""
    file = write(change)

    assert said.partition(" (")[2] in command.run("plan", file, code=1).stdout
    for arguments in (
        ("render", file),
        ("render", file, "--to", "out"),
        ("deploy", file),
        ("deploy", file, "--dry-run"),
    ):
        assert said in command.refused(*arguments)
    assert not (command.folder / "out").exists()


def test_the_demo_refuses_before_it_builds_or_starts(
    write: Any, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 8, for the command that does everything."""
    done: list[str] = []
    monkeypatch.setenv("HEADWATER_HOME", str(command.home))
    monkeypatch.setattr(build, "run", lambda *_: done.append("built"))
    monkeypatch.setattr(up, "start", lambda *_: done.append("started"))
    for dry_run in (True, False):
        with pytest.raises(Refused, match="show Kimi K2"):
            demo._run([write((ACCEPTED, "accepted: []"))], command.port, command.folder, keep=False, dry_run=dry_run)

    assert done == []


def test_what_was_accepted_stands_in_the_plan(command: Command) -> None:
    tiers = json.loads(command.run("plan", EXAMPLE, "--output", "json").stdout)["tiers"]
    student, teacher = (tier["licence"] for tier in tiers)
    told = command.run("plan", EXAMPLE).stdout

    assert (student["spdx"], student["duties"], student["accepted"]) == ("Apache-2.0", [], [])
    assert teacher["accepted"][0] == teacher["spdx"] == "LicenseRef-Kimi-K2-Modified-MIT"
    assert teacher["accepted"][1].startswith("show Kimi K2")
    assert "  licence LicenseRef-Kimi-K2-Modified-MIT, accepted; it asks: show Kimi K2" in told
    assert told.count("  licence ") == 1


def test_a_build_without_a_service_says_what_the_licence_asks(command: Command) -> None:
    (command.folder / "own.gguf").symlink_to(WEIGHTS)
    wanted = ("build", "own.gguf", "--name", "own", "--dry-run", "--licence")
    asked = command.run(*wanted, "LicenseRef-Kimi-K2-Modified-MIT").stderr

    assert asked.startswith("licence LicenseRef-Kimi-K2-Modified-MIT; it asks: show Kimi K2")
    assert command.run(*wanted, "MIT").stderr == "would build own int4\n"
    assert "--licence: 'Apache 2.0' is no SPDX expression" in command.refused(*wanted, "Apache 2.0")
