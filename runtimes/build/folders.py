"""Folders of the store: one build of a key at a time, nothing half-made, room before work.

A build works in a hidden sibling folder named by its process and appears by one rename. What a dead process left is
removed at the next build. Called by `runtimes.build.build`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from runtimes.errors import Refused

UNFINISHED = ".building-"
LOCKS_FOLDER = ".locks"


@contextmanager
def one_at_a_time(store: Path, key: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock of a key; calls `waiting` once if another build holds it."""
    folder = store / LOCKS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / key).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def unfinished_folder(store: Path, key: str) -> Iterator[Path]:
    """A fresh folder for a build; whatever is still there at the end is removed."""
    _remove_left_behind(store, key)
    folder = store / f"{UNFINISHED}{os.getpid()}-{key}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, final: Path) -> None:
    """Makes a finished folder durable and gives it its name in one step; a broken one of that name gives way."""
    for path in folder.iterdir():
        path.chmod(0o644)
        _sync(path)
    _sync(folder)
    if final.exists():
        broken = final.with_name(f"{UNFINISHED}{os.getpid()}-replaced-{final.name}")
        final.rename(broken)
        shutil.rmtree(broken)
    folder.rename(final)
    _sync(final.parent)


def check_room(store: Path, needed_bytes: int) -> None:
    """Refuses a build that the disk cannot hold.

    Raises:
        Refused: with what is needed and what there is.
    """
    free_bytes = free_bytes_at(store)
    if free_bytes < needed_bytes:
        raise Refused(
            f"the build needs {needed_bytes / 2**20:.0f} MiB of disk while it works, "
            f"{store} has {free_bytes / 2**20:.0f} MiB free"
        )


def free_bytes_at(folder: Path) -> int:
    """Bytes that may still be written below a folder."""
    return shutil.disk_usage(folder).free


def _remove_left_behind(store: Path, key: str) -> None:
    for folder in store.glob(f"{UNFINISHED}*"):
        pid = folder.name.removeprefix(UNFINISHED).partition("-")[0]
        ours = folder.name.endswith(f"-{key}")  # we hold this key's lock, so nobody is at work in it
        if ours or not pid.isdigit() or not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
