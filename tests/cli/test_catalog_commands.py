"""What `headwater models`, `hardware` and `engines` have in common: help, completion, errors, counts for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cli.catalog import alike, count_for_people, tokens_for_people, whole_count
from cli.main import app
from runtimes.errors import Invalid

if TYPE_CHECKING:
    from conftest import Command

GROUPS = ("models", "hardware", "engines")
COMMANDS = [
    (group, name)
    for group in GROUPS
    for name in sorted(get_command(app).commands[group].commands)  # type: ignore[attr-defined]  # both are groups
]


@pytest.mark.parametrize(("group", "name"), COMMANDS)
def test_help_says_what_a_command_does_with_an_example(group: str, name: str) -> None:
    shown = CliRunner().invoke(app, [group, name, "--help"], env={"TERM": "dumb", "COLUMNS": "200"})

    assert shown.exit_code == 0
    assert f"headwater {group} {name}" in shown.stdout.partition("Example")[2]
    assert "--output" in shown.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        pytest.param("headwater models show deepseek-r", "deepseek-r1", id="a model"),
        pytest.param("headwater models list --student-of deepseek-r", "deepseek-r1", id="a teacher"),
        pytest.param("headwater hardware show kunlun-p", "kunlun-p800", id="a chip"),
        pytest.param("headwater engines list --chip kunlun-p", "kunlun-p800", id="a chip of engines"),
        pytest.param("headwater engines show vllm-k", "vllm-kunlun", id="an engine"),
    ],
)
def test_the_shell_completes(typed: str, offered: str) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    shown = CliRunner().invoke(app, [], prog_name="headwater", env={"_HEADWATER_COMPLETE": "complete_bash"} | words)

    assert offered in shown.stdout.split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("models", "show", "deepsek-r1"), "did you mean deepseek-r1"),
        (("hardware", "show", "kunlun-p80"), "did you mean kunlun-p800"),
        (("engines", "show", "vllm-kunlum"), "did you mean vllm-kunlun"),
    ],
    ids=GROUPS,
)
def test_a_name_that_means_nothing_ends_with_1_and_one_line(
    command: Command, arguments: tuple[str, ...], message: str
) -> None:
    said = command.refused(*arguments)

    assert message in said
    assert said.count("\n") == 0


def test_a_filter_that_no_choice_has_is_a_wrong_command_line(command: Command) -> None:
    assert "'datacenter', 'edge'" in command.refused("hardware", "list", "--place", "moon", code=2)


@pytest.mark.parametrize(
    ("written", "count"),
    [("8B", 8 * 10**9), ("135m", 135 * 10**6), ("1.5T", 15 * 10**11), ("512K", 512_000), ("42", 42), (None, None)],
)
def test_a_count_is_read(written: str | None, count: int | None) -> None:
    assert whole_count(written, "--max-parameters") == count


@pytest.mark.parametrize("written", ["", "B", "-1", "1e9", "8 B", "8G", "9" * 40, "1.2.3", "inf"])
def test_what_is_no_count_is_refused(written: str) -> None:
    with pytest.raises(Invalid, match="is no count; write one such as 8B"):
        whole_count(written, "--max-parameters")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (671_026_404_352, "671.0B"),
        (1_600_000_000_000, "1.6T"),
        (999, "999"),
        (134_515_008, "134.5M"),
        (None, "unknown"),
    ],
)
def test_a_count_is_said(count: int | None, said: str) -> None:
    assert count_for_people(count) == said


@pytest.mark.parametrize(
    ("tokens", "said"), [(163_840, "160K"), (1 << 20, "1M"), (4000, "4,000"), (512, "512"), (None, "unknown")]
)
def test_tokens_are_said(tokens: int | None, said: str) -> None:
    assert tokens_for_people(tokens) == said


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(None, {"qwen3", "qwen3-moe", "GLM"}, id="no filter keeps all"),
        pytest.param("QWEN3", {"qwen3"}, id="the same wins over what contains it"),
        pytest.param("qwen", {"qwen3", "qwen3-moe"}, id="a part"),
        pytest.param("glm", {"GLM"}, id="whatever the case"),
    ],
)
def test_a_filter_means(wanted: str | None, found: set[str]) -> None:
    assert alike(wanted, ["qwen3", "qwen3-moe", "GLM"], "family") == found


def test_an_empty_filter_means_nothing() -> None:
    with pytest.raises(Invalid, match="no family is like ''"):
        alike(" ".strip(), ["qwen3"], "family")
