"""A plan can be locked, held against its lock, compared and drawn; no file is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "manifests" / "examples" / "quickstart.yaml"
TEXT = EXAMPLE.read_text().replace("{ttft: 500ms, tpot: 60ms}", "{ttft: 50s, tpot: 6s}")  # on a busy machine too
DEARER = ("price: 11.2/h", "price: 12.2/h")


def locked(command: Command, name: str = "service.yaml") -> tuple[Path, Path]:
    """The example in the working folder, and its lock."""
    file = command.write(TEXT, name)
    command.run("plan", file, "--lock", "--output", "json")
    return file, command.folder / "headwater.lock"


def test_a_lock_lies_beside_the_file_is_the_same_every_time_and_holds(command: Command) -> None:
    """Promise 1, over files: documents in another order, split into two files named the other way round."""
    file, lock = locked(command)
    first = lock.read_bytes()
    again = command.run("plan", file, "--lock")
    service, *sites = TEXT.split("\n---\n")
    parts = command.write("\n---\n".join(reversed(sites)), "sites.yaml"), command.write(service, "only.yaml")
    command.run("plan", *parts, "--lock-file", "other.lock")
    held = command.run("plan", *parts, "--locked", lock)

    assert "headwater.lock is unchanged" in again.stderr
    assert lock.read_bytes() == first == (command.folder / "other.lock").read_bytes()
    assert "proven lower bound" in held.stdout


def test_a_lock_that_does_not_hold_is_refused_with_what_differs(command: Command) -> None:
    _, lock = locked(command)
    changed = command.write(TEXT.replace(*DEARER))
    done = command.run("plan", changed, "--locked", lock, code=1)
    value = json.loads(command.run("plan", changed, "--locked", lock, "--output", "json", code=1).stdout)

    assert "does not hold any more" in done.stderr
    assert "wuxi-cloud" in done.stdout
    assert "22.4/h -> 24.4/h" in done.stdout
    assert (value["same"], value["costPerHour"]) == (False, {"old": 22.4, "new": 24.4})


def test_a_changed_plan_replaces_a_lock_and_says_so(command: Command) -> None:
    _, lock = locked(command)
    before = lock.read_bytes()

    assert "headwater.lock is replaced" in command.run("plan", command.write(TEXT.replace(*DEARER)), "--lock").stderr
    assert lock.read_bytes() != before


def test_a_plan_that_fails_leaves_the_lock_as_it_was(command: Command) -> None:
    _, lock = locked(command)
    before = lock.read_bytes()
    nowhere = command.quickstart(("ttft: 500ms", "ttft: 1us"))
    done = command.run("plan", nowhere, "--lock", code=1)

    assert "not locked: assistant/student has no place" in done.stderr
    assert "(ttft): needs" in done.stderr
    assert lock.read_bytes() == before


def test_a_file_that_is_no_lock_is_never_overwritten(command: Command) -> None:
    file = command.write(TEXT)
    notes = command.write("my notes", "notes.txt")

    for other in (notes, file):
        assert "is no lock, so it is left alone" in command.run("plan", file, "--lock-file", other, code=1).stderr
    assert (notes.read_text(), file.read_text()) == ("my notes", TEXT)


def test_a_full_disk_leaves_the_old_lock_and_no_half_one(command: Command, with_no_room: Callable[[], None]) -> None:
    _, lock = locked(command)
    before = command.files()
    text = TEXT.replace(*DEARER)
    service, *sites = text.split("\n---\n")
    more = "\n---\n".join(service.replace("name: assistant", f"name: assistant-{n}") for n in range(3))
    large = command.write("\n---\n".join([text, more, *sites[:0]]), "large.yaml")
    done = command.run("plan", large, "--lock", before=with_no_room, code=1)

    assert "error: " in done.stderr
    assert {name: seen for name, seen in command.files().items() if name != str(large)} == before
    assert lock.stat().st_size > 0


def test_two_locks_or_a_lock_and_files_are_compared(command: Command) -> None:
    file, lock = locked(command)
    changed = command.write(TEXT.replace(*DEARER), "changed.yaml")
    command.run("plan", changed, "--lock-file", "new.lock")
    by_locks = command.run("diff", lock, command.folder / "new.lock", code=1).stdout
    by_file = command.run("diff", lock, changed, code=1).stdout
    value = json.loads(command.run("diff", lock, changed, "--output", "json", code=1).stdout)

    assert by_locks == by_file
    assert "Site   wuxi-cloud   changed" in by_file
    assert value["inputs"] == [{"kind": "Site", "name": "wuxi-cloud", "change": "changed"}]
    assert command.run("diff", lock, file).stdout == "Nothing differs.\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "not a lock; it ends too early", id="empty"),
        pytest.param(b"\xff\xfe\x00", "not UTF-8 text, so not a lock", id="bytes"),
        pytest.param(b"[" * 100_000, "not a lock; write one with", id="deep"),
        pytest.param(b"{" + b" " * (32 << 20), "larger than 32 MiB, so not a lock", id="enormous"),
        pytest.param(b'{"schema": "headwater.dev/lock/v7"}', "this program reads headwater.dev/lock/v1", id="version"),
    ],
)
def test_what_is_no_lock_is_refused(command: Command, content: bytes, said: str) -> None:
    """Promise 9, for locks at the door."""
    bad = command.write(content, "bad.lock")

    assert said in command.refused("diff", bad, bad)


def test_a_page_is_one_file_with_the_picture(command: Command) -> None:
    done = command.run("plan", command.write(TEXT), "--page", "plan.html")
    page = (command.folder / "plan.html").read_text()

    assert "wrote plan.html" in done.stderr
    assert page.startswith("<!doctype html>")
    for text in ("assistant/student", "wuxi-cloud", "25% escalated", "proven lower bound", "ascend-910b3"):
        assert text in page


def test_a_page_of_a_plan_that_fails_is_written_and_says_what_binds(command: Command) -> None:
    command.run("plan", command.quickstart(("ttft: 500ms", "ttft: 1us")), "--page", "plan.html", code=1)

    assert "assistant/student has no place" in (command.folder / "plan.html").read_text()
