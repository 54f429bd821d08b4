"""`headwater build --service FILE`: whether what was built keeps what the services ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

STUDENT = "smollm2-135m-instruct"
LIMITS = "slo: {ttft: 500ms, tpot: 60ms}"


def with_floor(command: Command, floor: str) -> Path:
    return command.quickstart((LIMITS, f"{LIMITS}\n    quality: {floor}"))


@pytest.mark.parametrize(
    ("floor", "said", "met"),
    [
        ("{perplexity: 20%}", "assistant: floor met (needs perplexity at most 20% above the reference, has +", True),
        ("{agreement: 0.99}", "assistant: floor not met (needs agreement at least 0.99, has agreement 0.", False),
    ],
)
def test_a_build_says_whether_the_floor_of_a_service_is_met(
    command: Command, artifact_store: Path, floor: str, said: str, *, met: bool
) -> None:
    (command.home / "artifacts").symlink_to(artifact_store)
    file = with_floor(command, floor)
    told = command.run("build", STUDENT, "--service", file).stdout
    (verdict,) = json.loads(command.run("build", STUDENT, "--service", file, "--output", "json").stdout)["floors"]

    assert said in told
    assert (verdict["service"], verdict["met"]) == ("assistant", met)


def test_a_file_without_a_floor_for_the_model_is_refused_before_anything_is_built(command: Command) -> None:
    said = command.refused("build", STUDENT, "--service", command.quickstart())

    assert f"no student of {STUDENT} has a floor there; write `student.quality` into it" in said
