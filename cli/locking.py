"""Locks as files: written by `headwater plan --lock`, held against by `--locked`, compared by `headwater diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.files import write_whole
from runtimes.errors import Invalid, Refused

if TYPE_CHECKING:
    from orchestrator.core.lock import Lock
    from orchestrator.offline import Desk

NAME = "headwater.lock"


def lock_of_desk(desk: Desk, view: dict[str, Any]) -> Lock:
    """The lock of a plan of everything on the desk."""
    from importlib.metadata import version

    from orchestrator.core.lock import lock_of

    services, world = desk.wanted()
    sites, artifacts = world.sites.values(), world.artifacts.values()
    return lock_of(view, services, sites, desk.catalog, artifacts, version=version("headwater"))


def read_lock_file(path: Path) -> Lock:
    """The lock in a file. Raises Invalid when it cannot be read or is none."""
    from orchestrator.core.lock import MAX_BYTES, read_lock

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise Invalid(f"{path}: {exc.strerror or exc}; give a lock, as `headwater plan --lock` writes it") from exc
    if len(content) > MAX_BYTES:
        raise Invalid(
            f"{path}: larger than {MAX_BYTES >> 20} MiB, so not a lock; write one with `headwater plan --lock`"
        )
    try:
        return read_lock(content.decode(), str(path))
    except UnicodeDecodeError as exc:
        raise Invalid(f"{path}: not UTF-8 text, so not a lock; write one with `headwater plan --lock`") from exc


def write_lock(path: Path, lock: Lock) -> str:
    """Write a lock and say what was done: written, replaced or unchanged.

    Raises:
        Refused: when a tier has no place, or the file there is no lock; nothing else is ever overwritten.
    """
    from orchestrator.core.lock import whole_text

    text = whole_text(lock)
    there = path.exists()
    if there:
        try:
            before = read_lock_file(path)
        except Invalid as exc:
            if not _is_old_lock(path):
                raise Refused(f"{path} is there and is no lock, so it is left alone; give another --lock-file") from exc
        else:
            if before == lock and path.read_bytes() == text.encode():
                return f"{path} is unchanged"
    write_whole(path, text)
    return f"{path} is replaced" if there else f"wrote {path}"


def _is_old_lock(path: Path) -> bool:
    """Whether it is a lock that another version wrote: its first bytes name a schema of ours."""
    with path.open("rb") as file:
        start = file.read(1 << 20).decode(errors="replace")
    return '"schema": "headwater.dev/lock/' in start


def verify_lock(path: Path, lock: Lock) -> dict[str, Any]:
    """What differs between a lock and the plan as it comes out now; `same` says whether nothing does."""
    from orchestrator.core.difference import difference

    return difference(read_lock_file(path), lock)
