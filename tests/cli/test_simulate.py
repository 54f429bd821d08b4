"""`headwater simulate`, as typed: the answer for people and for programs, and what it says to wrong input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

QUICKSTART = Path(__file__).parents[2] / "manifests" / "examples" / "quickstart.yaml"
ROWS = "".join(f"2023-11-16 18:{at // 2:02d}:{30 * (at % 2):02d}.0000000,60,60\n" for at in range(40))


@pytest.fixture
def service(command: Command) -> Path:
    """The quickstart with objectives that this machine meets, however busy it was when it was measured."""
    return command.quickstart(("ttft: 500ms, tpot: 60ms", "ttft: 50s, tpot: 6s"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + ROWS)
    return path


def test_people_read_times_objectives_escalations_and_cost(command: Command, service: Path, trace: Path) -> None:
    said = command.run("simulate", service, "--trace", trace).stdout

    assert "assistant: 40 requests in 1,1" in said
    assert "0 refused" in said
    assert "prompts of 60 tokens and answers of 60 in the mean; planned for 60 and 60" in said
    for part in ("student first token", "student each further token", "student whole answer", "teacher queue"):
        assert f"\n {part} " in said
    assert "student at here/0: smollm2-135m-instruct int" in said
    assert "to the teacher: 10, 25.0% of the student's answers" in said
    assert "objectives met" in said
    assert "for a million answered requests" in said
    assert " time with work   requests at once in the mean " in said


def test_without_objectives_the_share_that_is_answered_is_called_so(command: Command, trace: Path) -> None:
    service = command.quickstart(("slo: {ttft: 500ms, tpot: 60ms}", "slo: {}"), ("slo: {ttft: 2s, tpot: 100ms}", ""))
    one = trace.with_name("one.csv")
    one.write_text("".join(trace.read_text().splitlines(keepends=True)[:2]))
    said = command.run("simulate", service, "--trace", one).stdout

    assert "assistant: 1 request in " in said
    assert "no objectives are set; answered 100.0%" in said
    assert "no request came here" in said
    assert "objectives met" not in said


@pytest.mark.parametrize("speed", ["nan", "0", "inf", "-1"])
def test_a_speed_must_be_one(command: Command, service: Path, trace: Path, speed: str) -> None:
    said = command.refused("simulate", service, "--trace", trace, "--speed", speed, code=2)

    assert f"{float(speed):g} is no speed; write a number from 0.000001 to 1,000,000" in said


def test_programs_get_the_same_bytes_for_the_same_input(command: Command, service: Path, trace: Path) -> None:
    one, two = (command.run("simulate", service, "-t", trace, "--speed", "9", "-o", "json").stdout for _ in range(2))

    assert one == two
    value = json.loads(one)
    assert (value["requests"], value["services"][0]["answered"]) == (40, 40)


def test_a_trace_can_be_repeated_and_cut(command: Command, service: Path, trace: Path) -> None:
    said = command.run("simulate", service, "-t", trace, "--repeat", "5", "--limit", "150", "-o", "json").stdout

    assert json.loads(said)["requests"] == 150


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ("--service", "other"), "--service other is not in the files; they have assistant", id="no service"
        ),
        pytest.param(("--trace", QUICKSTART), "quickstart.yaml:1: is no trace that can be read", id="no trace"),
    ],
)
def test_wrong_input_is_one_sentence(
    command: Command, service: Path, trace: Path, arguments: tuple[str | Path, ...], sentence: str
) -> None:
    assert sentence in command.refused("simulate", service, "--trace", trace, *arguments)


def test_nothing_to_simulate_on_is_said(command: Command, trace: Path) -> None:
    service = command.folder / "service.yaml"
    service.write_text(QUICKSTART.read_text().split("\n---\n")[0])

    assert "no Site in" in command.refused("simulate", service, "--trace", trace)
