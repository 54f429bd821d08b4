"""A folder of rendered files: written where they differ, removed where a former render made them.

An index beside the files says which are ours and what they were. Called by `cli.render`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.files import write_whole
from runtimes.errors import Invalid, Refused

INDEX = ".headwater-render.json"
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Changes:
    """What a render did, or would do, to a folder; all are names in it."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]  # of a former render, and changed by somebody since


def write_tree(folder: Path, files: Mapping[str, str], *, dry_run: bool) -> Changes:
    """Make our part of a folder hold exactly these files.

    Raises:
        Refused: a file of that name is there and no render made it, or somebody changed it.
        Invalid: the index is none.
    """
    before = _index(folder)
    there = {name: _digest(folder / name) for name in files.keys() | before.keys()}
    wanted = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    foreign = [name for name in wanted if there[name] not in {None, before.get(name), wanted[name]}]
    if foreign:
        names = ", ".join(sorted(foreign))
        raise Refused(f"{names} in {folder} is not as a render wrote it; move it away, or take another folder")
    stale = [name for name in before if name not in wanted and there[name] is not None]
    removed = tuple(sorted(name for name in stale if there[name] == before[name]))
    fresh = tuple(sorted(name for name in wanted if there[name] != wanted[name]))
    if not dry_run:
        folder.mkdir(parents=True, exist_ok=True)
        # The index comes first: a file that is listed and not there yet is written by the next render.
        _write_index(folder, before | wanted)
        try:
            for name in fresh:
                write_whole(folder / name, files[name])
        except OSError:
            _write_index(folder, {name: one for name, one in (before | wanted).items() if _digest(folder / name)})
            raise
        for name in removed:
            (folder / name).unlink()
        _write_index(folder, wanted)
    return Changes(
        written=fresh,
        unchanged=tuple(sorted(name for name in wanted if there[name] == wanted[name])),
        removed=removed,
        kept=tuple(sorted(set(stale) - set(removed))),
    )


def _write_index(folder: Path, files: Mapping[str, str]) -> None:
    if files:
        write_whole(folder / INDEX, json.dumps({"files": dict(sorted(files.items()))}, indent=2) + "\n")
    else:
        (folder / INDEX).unlink(missing_ok=True)


def _index(folder: Path) -> dict[str, str]:
    path = folder / INDEX
    try:
        with path.open(encoding="utf-8") as stream:
            found = json.loads(stream.read(MOST_BYTES))["files"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Invalid(f"{path} is no index of rendered files; remove it, and what is there counts as yours") from error
    if not isinstance(found, dict) or not all(_plain(name) and isinstance(one, str) for name, one in found.items()):
        raise Invalid(f"{path} names files outside its folder; remove it, and what is there counts as yours")
    return found


def _plain(name: object) -> bool:
    return isinstance(name, str) and name not in {"", ".", ".."} and "/" not in name and "\\" not in name


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
