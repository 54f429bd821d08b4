"""The demo compares each answer with what is predicted for its own lengths."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from cli.chat import Answer
from cli.demo import compare
from orchestrator.core.performance.runner import Workload
from orchestrator.core.performance.serving import predict
from orchestrator.core.placement.result import Placed
from orchestrator.core.runners import runner_of
from orchestrator.offline import open_desk
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from conftest import Command


def test_each_answer_is_held_against_what_is_predicted_for_its_lengths(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = open_desk([command.quickstart()], Settings(home=command.home))
    compare([Answer("", 0.05, prompt, 10, 0.5) for prompt in (20, 60)], desk)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" prompt ")]
    bands = [[float(edge) for edge in re.findall(r"([\d.]+) ms - ([\d.]+) ms", row)[0]] for row in rows]
    (student,) = (tier for tier in desk.plan().tiers if isinstance(tier, Placed) and tier.tier == "student")
    way = runner_of(student.groups[0].option.configuration, desk.catalog, {})
    expected = [predict(way, Workload(length, 10), sequences=1, round_trip_s=0).ttft_s for length in (20, 60)]

    assert ["20 in, 10 out" in rows[0], "60 in, 10 out" in rows[1]] == [True, True]
    assert bands[0][0] < bands[1][0]
    for shown, band in zip(bands, expected, strict=True):
        assert shown == pytest.approx([band.low * 1000, band.high * 1000], rel=0.01)
