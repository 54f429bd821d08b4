"""Where weights come from: what a user writes, to files on this machine and their digest.

Four forms: a `.gguf` file, a Hugging Face directory, `package://name/inside` for either of them inside an installed
Python package, and `hf://org/name` on a hub. Imports no build tool, so planning can ask. Hashes are kept by path, size,
modification time and inode. Called by `runtimes.build.cache` and `runtimes.build.build`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from runtimes.build.directory import check_directory, used_files
from runtimes.build.gguf_file import read_gguf
from runtimes.errors import Invalid, Unavailable

PACKAGE = "package://"
HUB = "hf://"
DIGESTS_FOLDER = "digests"
CHUNK_BYTES = 1 << 22
SETTLED_S = 2.0  # a file changed within this time could change again without its times showing it
HUB_FILES = ["*.json", "*.safetensors", "chat_template.jinja"]


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """Weights on this machine.

    Attributes:
        kind: `gguf`, `directory` or `hub`.
        name: file or directory name, or the hub name.
        path: a file, or a folder.
        sha256: of all content that the build reads.
        size_bytes: of the same content.
    """

    kind: str
    name: str
    path: Path
    sha256: str
    size_bytes: int


def resolve_source(source: str, store: Path, *, download: bool = False) -> ResolvedSource:
    """Finds the weights and their digest.

    Args:
        source: one of the four forms.
        store: folder of artifacts; hashes are kept in it.
        download: whether a hub may be asked for what is not here yet.

    Raises:
        Invalid: nothing usable is at that place.
        Unavailable: the hub's files are not here and cannot be fetched now.
    """
    if source.startswith(HUB):
        name = source.removeprefix(HUB)
        return _folder("hub", name, _snapshot(name, download=download), store)
    path = _in_package(source) if source.startswith(PACKAGE) else Path(source).expanduser()
    if path.is_dir():
        return _folder("directory", path.resolve().name, path, store)
    if not path.is_file():
        raise Invalid(f"source {source}: no such file or directory")
    if path.suffix != ".gguf":
        raise Invalid(f"source {source}: a .gguf file, a Hugging Face directory, package:// or hf:// was expected")
    return ResolvedSource("gguf", path.name, path, file_digest(path, store), path.stat().st_size)


def check_source(source: ResolvedSource) -> int:
    """Looks into the files, as far as that is cheap, and refuses what cannot be built.

    Returns:
        Number of weights.

    Raises:
        Invalid: a file is cut off, missing or not what it claims.
        Refused: an architecture or a format that is not built here.
    """
    if source.kind == "gguf":
        return read_gguf(source.path).parameters
    return check_directory(source.path)


def file_digest(path: Path, store: Path) -> str:
    """The sha256 of a file, from the store if the file is unchanged since it was last hashed."""
    found = path.stat()
    identity = [str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ino]
    kept = store / DIGESTS_FOLDER / f"{hashlib.sha256(str(identity[0]).encode()).hexdigest()[:24]}.json"
    try:
        entry = json.loads(kept.read_text())
        if entry["identity"] == identity and re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
            return str(entry["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing usable is kept: hash the file
    digest = hash_file(path)
    if time.time() - found.st_mtime > SETTLED_S:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}.partial")
        try:
            partial.write_text(json.dumps({"identity": identity, "sha256": digest}))
            partial.replace(kept)
        finally:
            partial.unlink(missing_ok=True)  # there only when the disk was full
    return digest


def hash_file(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _folder(kind: str, name: str, path: Path, store: Path) -> ResolvedSource:
    files = used_files(path)
    if not files:
        raise Invalid(f"source {name}: the directory holds no config.json, tokenizer.json or *.safetensors")
    listing = [(file.relative_to(path).as_posix(), file_digest(file, store)) for file in files]
    digest = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
    return ResolvedSource(kind, name, path, digest, sum(file.stat().st_size for file in files))


def _in_package(source: str) -> Path:
    package, _, inside = source.removeprefix(PACKAGE).partition("/")
    if not re.fullmatch(r"[A-Za-z_]\w*", package) or not inside:
        raise Invalid(
            f"source {source}: package://name/file was expected, with the name of an installed Python package"
        )
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Invalid(f"source {source}: the Python package {package} is not installed")
    root = Path(spec.origin).parent
    path = root / inside
    if not path.resolve().is_relative_to(root.resolve()):
        raise Invalid(f"source {source}: the file must lie inside the package")
    if not path.exists():
        raise Invalid(f"source {source}: the package {package} has no file {inside}")
    return path


def _snapshot(name: str, *, download: bool) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        raise Invalid(f"source hf://{name}: hf://organisation/name was expected")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 slow to import, and only hub sources need it
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415 same

    disable_progress_bars()
    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES, local_files_only=not download))
    except (OSError, ValueError):
        raise Unavailable(
            f"source hf://{name}: it is not on this machine and no hub answered; download it, then write "
            "model: {source: ./folder-or-file.gguf, licence: SPDX} in the tier, or set up access to a hub",
            retry_in_s=60,
        ) from None
