"""Rules of the house that a machine can hold: file sizes, names in prose, promises that have a test, clean text."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST_LINES = 300
MOST_TEST_LINES = 400
PROMISES = (1, 2, 3, 5, 6, 7, 8, 9)  # 4 and 10 have their tests at the benchmark and the gateway
SOURCES = sorted(path for folder in ("orchestrator", "runtimes", "cli") for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
NAME = re.compile(r"`((?:orchestrator|runtimes|cli)(?:\.\w+)+)`")
WORKPLACE = re.compile(rf"(?<![\w.]){'/'}(?:work|root)(?![\w-])")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=shown)
def test_a_file_is_one_subject_and_short(path: Path) -> None:
    most = MOST_TEST_LINES if path in TESTS else MOST_LINES

    assert len(path.read_text().splitlines()) <= most


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_a_module_opens_with_what_is_here(path: Path) -> None:
    text = path.read_text()

    assert not text or ast.get_docstring(ast.parse(text))


def exists(name: str) -> bool:
    """Whether a dotted name is a module or package, or an attribute at the top of one."""
    path = ROOT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module = path.parent.with_suffix(".py") if not path.parent.is_dir() else path.parent / "__init__.py"
    return (
        module.is_file()
        and re.search(rf"^(?:class |def |async def )?{path.name}\b", module.read_text(), re.MULTILINE) is not None
    )


PROSE = [*SOURCES, *TESTS, *sorted(ROOT.glob("*.md"))]


@pytest.mark.parametrize("path", PROSE, ids=shown)
def test_names_in_prose_are_names_of_something(path: Path) -> None:
    assert [name for name in NAME.findall(path.read_text()) if not exists(name)] == []


@pytest.mark.parametrize("promise", PROMISES)
def test_every_promise_has_a_test_that_names_it(promise: int) -> None:
    named: set[int] = set()
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                said = re.findall(r"[Pp]romises? ((?:\d+(?:, | and )?)+)", ast.get_docstring(node) or "")
                named |= {int(number) for numbers in said for number in re.findall(r"\d+", numbers)}

    assert promise in named


def test_no_text_speaks_of_the_place_it_was_written_in() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    guilty = []
    for name in listed.stdout.decode().split("\0")[:-1]:
        try:
            text = (ROOT / name).read_text()
        except (OSError, UnicodeDecodeError):
            continue
        guilty += [f"{name}: {found.group()}" for found in WORKPLACE.finditer(text)]

    assert guilty == []
