"""A folder of weights that is offered only when every file of it was verified: made beside its place, then moved there.

A marker in the folder says so, with the checksum of the list it was held against; a folder with the marker is taken
without a network and without reading it again. Two that want the same folder on one node take turns. Called by `main`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtimes.contract import MANIFEST_FILE
from runtimes.edge.artifact import open_artifact
from runtimes.errors import Invalid, Refused, Unavailable
from runtimes.fetch import transfer
from runtimes.fetch.listing import JOURNAL, MARKER, MOST_BYTES, SUMS_FILE, Listing, of_manifest, of_sums

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which folder, and where it may come from."""

    root: Path  # of all weights on the node or volume
    name: str  # of the folder below it, such as org/model
    mirror: str = ""  # address that has a folder of that name; empty: what is there must do
    sums: str = ""  # SHA-256 of the list of checksums; empty: of whatever list the mirror has

    @property
    def folder(self) -> Path:
        """Where the weights will be."""
        return self.root / self.name

    @property
    def unfinished(self) -> Path:
        """Where they are until they are whole; on the same file system, so that moving is one step."""
        return self.root / f".{self.name.replace('/', '--')}.part"


def checkpoint(wanted: Wanted, say: Say) -> None:
    """Bring a published checkpoint and verify it by its `SHA256SUMS`, unless it is there.

    Raises:
        Refused: a file is not what the list says, or weights are missing and there is no mirror.
        Invalid: the list is none, or the folder cannot be written.
        Unavailable: the mirror does not answer.
    """
    with _alone(wanted):
        if _is_there(wanted, wanted.sums):
            say(f"{wanted.name} is there and verified")
            return
        if not wanted.mirror:
            raise Refused(f"{wanted.folder} has no verified weights, and no mirror is given to fetch them from")
        where = transfer.address(wanted.mirror, wanted.name, SUMS_FILE)
        text = transfer.text(where, MOST_BYTES)
        listing = of_sums(text, where, wanted.sums)
        if wanted.folder.exists():  # brought by hand: it is verified where it lies
            _check(wanted.folder, listing)
            _mark(wanted.folder, listing.digest)
        else:
            part = _bring(wanted, listing, say)
            (part / SUMS_FILE).write_bytes(text)
            _offer(wanted, part, listing.digest)
        say(f"{wanted.name} is whole and verified: {len(listing.files)} files")


def artifact(wanted: Wanted, manifest: Path, say: Say) -> None:
    """Bring an edge artifact that is exactly the one of a manifest, and open it as the edge engine would.

    Raises:
        Refused: a file is not what the manifest says, or it is missing and there is no mirror.
        Invalid: the manifest is none, or the folder cannot be written.
        Unavailable: the mirror does not answer.
    """
    text = _read(manifest)
    listing = of_manifest(text, str(manifest))
    with _alone(wanted):
        if _is_there(wanted, listing.digest):
            say(f"{wanted.name} is there and verified")
            return
        if wanted.folder.exists():  # brought by hand, or in an image: it is verified where it lies
            if _read(wanted.folder / MANIFEST_FILE) != text:
                raise Refused(f"{wanted.folder} is another artifact than the one that was planned; remove it")
            open_artifact(wanted.folder)
            _mark(wanted.folder, listing.digest)
        elif not wanted.mirror:
            raise Refused(f"{wanted.folder} is not there, and no mirror is given to fetch it from")
        else:
            part = _bring(wanted, listing, say)
            (part / MANIFEST_FILE).write_bytes(text)
            open_artifact(part)
            _offer(wanted, part, listing.digest)
        say(f"{wanted.name} is whole and verified: {len(listing.files)} files")


def check(wanted: Wanted, manifest: Path, say: Say) -> None:
    """Hold an artifact that came in a read-only volume against a manifest; nothing is written.

    Raises:
        Refused: it is another, or a file of it was changed.
        Invalid: one of the manifests is none.
    """
    if _read(wanted.folder / MANIFEST_FILE) != _read(manifest):
        raise Refused(f"{wanted.folder} is another artifact than the one that was planned")
    open_artifact(wanted.folder)
    say(f"{wanted.name} is the artifact that was planned")


def await_checkpoint(wanted: Wanted, patience_s: float, say: Say, pause: transfer.Pause = time.sleep) -> None:
    """Wait until somebody else has brought the checkpoint.

    Raises:
        Unavailable: it is not there after `patience_s` seconds.
        Refused: another list of weights is there.
    """
    until = time.monotonic() + patience_s
    while not _is_there(wanted, wanted.sums):
        if time.monotonic() > until:
            raise Unavailable(f"{wanted.folder} was not brought in {patience_s:.0f} s", retry_in_s=60)
        say(f"waiting for {wanted.name}")
        pause(min(10.0, patience_s))
    say(f"{wanted.name} is there and verified")


def _is_there(wanted: Wanted, digest: str) -> bool:
    marker = wanted.folder / MARKER
    try:
        said = marker.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return False
    if digest and said != digest:
        raise Refused(
            f"{wanted.folder} was verified against the list {said[:12]}…, not {digest[:12]}…; move it away, or give "
            f"the checkpoint another name"
        )
    return True


def _bring(wanted: Wanted, listing: Listing, say: Say) -> Path:
    """Fetch every file that is not verified yet into the unfinished folder."""
    part = wanted.unfinished
    try:
        part.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid(f"{part} cannot be made: {error.strerror}; let user {os.getuid()} write there") from error
    journal = part / JOURNAL
    said = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    done = set(said[1:]) if said[:1] == [listing.digest] else set()
    journal.write_text("\n".join([listing.digest, *sorted(done)]) + "\n", encoding="utf-8")
    for number, (name, entry) in enumerate(sorted(listing.files.items()), start=1):
        if name in done and (part / name).exists():
            continue
        say(f"{wanted.name}: {number} of {len(listing.files)}, {name}")
        transfer.fetch(transfer.address(wanted.mirror, wanted.name, name), part / name, entry)
        with journal.open("a", encoding="utf-8") as stream:
            stream.write(name + "\n")
    for path in sorted(part.rglob("*")):
        if path.is_file() and path != journal and path.relative_to(part).as_posix() not in listing.files:
            path.unlink()  # of an earlier list
    journal.unlink()
    return part


def _check(folder: Path, listing: Listing) -> None:
    for name, entry in sorted(listing.files.items()):
        if transfer.sha256(folder / name) != entry.sha256:
            raise Refused(f"{folder / name} is not the file that the mirror lists; remove {folder} to have it fetched")


def _offer(wanted: Wanted, part: Path, digest: str) -> None:
    _mark(part, digest)
    wanted.folder.parent.mkdir(parents=True, exist_ok=True)
    part.rename(wanted.folder)


def _mark(folder: Path, digest: str) -> None:
    """Written whole and on the disk before anyone may believe it."""
    fresh = folder / f"{MARKER}.new"
    try:
        with fresh.open("w", encoding="ascii") as stream:
            stream.write(digest + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(folder / MARKER)
    except OSError as error:
        raise Invalid(f"{folder} cannot be marked: {error.strerror}; let user {os.getuid()} write there") from error


@contextmanager
def _alone(wanted: Wanted) -> Iterator[None]:
    """Take turns with others on this node; whoever waited finds the weights there."""
    try:
        wanted.root.mkdir(parents=True, exist_ok=True)
        lock = wanted.unfinished.with_suffix(".lock").open("w")
    except OSError as error:
        raise Invalid(f"{wanted.root} cannot be written: {error.strerror}; let user {os.getuid()} write") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            text = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > MOST_BYTES:
        raise Invalid(f"{path} has more than {MOST_BYTES} bytes; that is no manifest")
    return text
