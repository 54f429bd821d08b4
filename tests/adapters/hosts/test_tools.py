"""Tools that hang, flood, fail or are not there."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from orchestrator.adapters.hosts.tools import ask, find


def a_tool(folder: Path, script: str, name: str = "tool") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_both_outputs_are_read_and_arguments_arrive_as_they_are(tmp_path: Path) -> None:
    tool = a_tool(tmp_path, 'echo "$1"; echo to stderr >&2')

    answer = ask(tool, ["a b; echo c $(id)"])

    assert sorted(answer.text.splitlines()) == ["a b; echo c $(id)", "to stderr"]
    assert answer.problem == ""


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("sleep 60", "tool did not answer in time"),
        ("exec >&- 2>&-; sleep 60", "tool did not end in time"),
        ("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", "tool printed more than 4096 bytes"),
        ("echo no; exit 3", "tool ended with code 3"),
        ("kill -9 $$", "tool ended with code -9"),
    ],
)
def test_a_tool_that_misbehaves_is_ended_and_named(tmp_path: Path, script: str, problem: str) -> None:
    tool = a_tool(tmp_path, script)
    started = time.monotonic()

    answer = ask(tool, [], timeout_s=0.5, most_bytes=4096)

    assert answer.problem == problem
    assert len(answer.text) <= 4096
    assert time.monotonic() - started < 5
    assert not [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


def test_a_tool_that_goes_on_is_ended_after_its_first_line(tmp_path: Path) -> None:
    answer = ask(a_tool(tmp_path, "echo one; sleep 60; echo two"), [], lines=1)

    assert answer.text.splitlines()[0] == "one"
    assert answer.problem == ""


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    answer = ask(a_tool(tmp_path, r"printf 'a\377\376b'"), [])

    assert answer.text == "a\ufffd\ufffdb"


def test_a_file_that_is_no_program_is_a_problem_and_no_error(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)

    assert "cannot be started" in ask(path, []).problem


def test_a_tool_is_found_on_the_search_path_then_in_its_makers_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ["/usr/local/corex*/bin"]
    elsewhere = tmp_path / "usr/local/corex-4.3.0/bin"
    elsewhere.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find("ixsmi", places, tmp_path) is None
    theirs = a_tool(elsewhere, "", "ixsmi")
    assert find("ixsmi", places, tmp_path) == theirs
    assert find("ixsmi", places, tmp_path) == theirs
    ours = a_tool(tmp_path, "", "ixsmi")
    assert find("ixsmi", places, tmp_path) == ours


def test_a_search_path_relative_to_the_working_folder_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tool(tmp_path, "", "ixsmi")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")

    assert find("ixsmi", [], tmp_path) is None
