"""`headwater explain` answers why here, why not there and what if, from files or from what runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.control import Control
from cli.explain import explained
from orchestrator.api.load import load_bytes

if TYPE_CHECKING:
    from conftest import Command

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "quickstart.yaml"
TEXT = EXAMPLE.read_text().replace("{ttft: 500ms, tpot: 60ms}", "{ttft: 50s, tpot: 6s}")  # on a busy machine too


def test_a_service_is_explained_for_people(command: Command) -> None:
    told = command.run("explain", "assistant", command.write(TEXT)).stdout

    for text in (
        "Why here",
        "Why not elsewhere",
        "needs 79.9 GiB, has 55.5 GiB",
        "At 2 times the demand the whole plan costs",
        "At 0.5 times the demand the whole plan costs",
        "Without site wuxi-cloud the whole plan costs 0/h, 22.4/h less",
        "teacher has no place: here (place): needs cloud, has edge",
        "25% of requests go to the teacher",
        "The whole plan costs 22.4/h; proven lower bound 22.4/h; gap 0.0%.",
    ):
        assert text in told


def test_one_tier_is_explained_for_programs_the_same_every_time(command: Command) -> None:
    first, again = (command.run("explain", "assistant/teacher", EXAMPLE, "-o", "json").stdout for _ in range(2))
    value = json.loads(first)

    assert first == again
    assert [tier["tier"] for tier in value["tiers"]] == ["teacher"]
    assert list(value) == [
        "service", "costPerHour", "lowerBoundPerHour", "gap", "proof", "escalations", "tiers", "load", "without",
    ]  # fmt: skip
    assert value["tiers"][0]["restsOn"]["speed"][0]["engine"] == "vllm-ascend-a2"


def test_what_would_be_cheaper_is_planned_and_told(command: Command) -> None:
    cheaper = (
        "---\napiVersion: headwater.dev/v1alpha1\nkind: Site\nmetadata: {name: away}\n"
        "spec: {role: cloud, region: cn-west, fleet: none, pools: [{profile: ascend-910b3, nodes: 4, chips: 8, "
        "price: 1/h}], link: {rtt: 20ms, bandwidth: 1Gbps}}\n"
    )
    text = EXAMPLE.read_text().replace("where: {role: cloud}", "where: {role: cloud, site: wuxi-cloud}")
    told = command.run("explain", "assistant/teacher", command.write(text + cheaper), "-o", "json").stdout
    (first, *_) = json.loads(told)["tiers"][0]["wouldHelp"]

    assert (first["change"], first["savingPerHour"]) == ("any site instead of wuxi-cloud", 20.4)
    assert first["groups"][0]["site"] == "away"


def test_a_tier_without_a_place_is_explained_and_the_exit_code_says_so(command: Command) -> None:
    file = command.quickstart(("where: {role: cloud}", "where: {role: cloud, region: cn-north}"))
    told = command.run("explain", "assistant/teacher", file, code=1).stdout

    assert "assistant/teacher has no place" in told
    assert "needs cn-north, has cn-east: wuxi-cloud" in told
    assert "any region instead of cn-north" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("other", EXAMPLE), "no service is named other; there are: assistant", id="no such service"),
        pytest.param(("assistant/pupil", EXAMPLE), "has no tier 'pupil'; it has: student, teacher", id="no such tier"),
        pytest.param(("assistant",), "or give the files to explain", id="nothing runs and no files"),
    ],
)
def test_what_cannot_be_explained_is_refused(command: Command, arguments: tuple[str | Path, ...], said: str) -> None:
    assert said in command.refused("explain", *arguments)


def test_without_files_what_the_controller_keeps_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: bytes
) -> None:
    (tmp_path / "machine.json").write_bytes(machine)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path))
    kept = tuple(one.document for one in load_bytes(EXAMPLE.read_bytes(), str(EXAMPLE)))
    monkeypatch.setattr(Control, "documents", lambda _: kept)

    value = explained("assistant/teacher", [])

    assert value["tiers"][0]["groups"][0]["site"] == "wuxi-cloud"
