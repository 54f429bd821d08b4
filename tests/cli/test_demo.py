"""The demo compares each answer with what is predicted for its own lengths."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from cli.chat import Answer
from cli.demo import compare
from orchestrator.offline import open_desk
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from conftest import Command


def test_a_longer_prompt_is_held_against_a_later_first_token(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = open_desk([command.quickstart()], Settings(home=command.home))
    compare([Answer("", 0.05, prompt, 10, 0.5) for prompt in (20, 60)], desk)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" prompt ")]
    planned = next(tier for tier in desk.plan().tiers if tier.tier == "student")
    bands = [re.findall(r"([\d.]+) ms - ([\d.]+) ms", row)[0] for row in rows]

    assert ["20 in, 10 out" in rows[0], "60 in, 10 out" in rows[1]] == [True, True]
    assert float(bands[0][0]) < float(bands[1][0])
    assert hasattr(planned, "groups")
    assert float(bands[1][0]) == pytest.approx(planned.groups[0].option.prediction.ttft_s.low * 1000, rel=0.1)
