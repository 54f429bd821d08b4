"""What a folder of weights holds: names, checksums and, where known, sizes. Pure.

From `SHA256SUMS`, as `sha256sum` writes it, or from the manifest of an edge artifact. Called by `transfer` and
`verified` beside this file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from runtimes.contract import ArtifactManifest
from runtimes.errors import Invalid, Refused

SUMS_FILE = "SHA256SUMS"
MARKER = ".headwater-verified"  # in a verified folder
JOURNAL = ".headwater-fetched"  # in an unfinished one: names of files that were verified
OURS = {MARKER, JOURNAL}
MOST_BYTES = 8 << 20
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file."""

    sha256: str
    size_bytes: int | None = None  # None: not known before it is there


@dataclass(frozen=True, slots=True)
class Listing:
    """All files of a folder, and the checksum of the list itself."""

    digest: str
    files: Mapping[str, Entry]


def of_sums(text: bytes, where: str, wanted: str = "") -> Listing:
    """The files that `SHA256SUMS` names.

    Args:
        text: of the file.
        where: names the file in messages.
        wanted: its SHA-256; empty: whatever it is.

    Raises:
        Refused: it is not the file that was wanted, or a name leads out of the folder.
        Invalid: it is no such file.
    """
    digest = hashlib.sha256(text).hexdigest()
    if wanted and digest != wanted:
        raise Refused(f"{where} has the SHA-256 {digest[:12]}…, not {wanted[:12]}…; it is another list of weights")
    files: dict[str, Entry] = {}
    for number, line in enumerate(text.decode("utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise Invalid(f"{where} line {number} is no checksum; write the file with `sha256sum * > {SUMS_FILE}`")
        name = found.group(2).removeprefix("./")
        if name != SUMS_FILE:
            files[inside(name, where)] = Entry(found.group(1))
    if not files:
        raise Invalid(f"{where} names no files; write the file with `sha256sum * > {SUMS_FILE}`")
    return Listing(digest, files)


def of_manifest(text: bytes, where: str) -> Listing:
    """The files of an edge artifact.

    Raises:
        Invalid: the text is no manifest.
        Refused: a name leads out of the folder.
    """
    try:
        manifest = ArtifactManifest.model_validate_json(text)
    except ValueError as error:
        raise Invalid(f"{where} is no manifest of an artifact: {str(error).splitlines()[0]}") from error
    files = {inside(name, where): Entry(file.sha256, file.size_bytes) for name, file in manifest.files.items()}
    return Listing(hashlib.sha256(text).hexdigest(), files)


def inside(name: str, where: str) -> str:
    """The name, when it is a plain path below a folder and none of ours.

    Raises:
        Refused: it leads out of the folder, or is called like a mark of ours.
    """
    pure = PurePosixPath(name)
    strange = not name or "\\" in name or "\0" in name or pure.is_absolute() or pure.as_posix() != name
    if strange or ".." in pure.parts or name == "." or OURS & set(pure.parts):
        raise Refused(f"{where} names {name[:80]!r}; names must be plain and stay inside the folder")
    return name
