"""An artifact folder: read its manifest, verify every file, hand out the paths.

Every byte is hashed before the engine starts, so a torn copy or a changed file is refused with one sentence. Building
artifacts is `runtimes.build`; running one is `runtimes.edge.session`. Called by `runtimes.edge.replica`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from runtimes.contract import (
    KINDS,
    MANIFEST_FILE,
    SCHEMA,
    ArtifactManifest,
    DecoderShape,
    FileEntry,
    Shape,
    SpeechShape,
)
from runtimes.errors import Invalid, Refused

GRAPH_FILE = "model.onnx"
ENCODER_FILE = "encoder.onnx"  # of a speech model, beside its decoder
TOKENIZER_FILE = "tokenizer.json"
TEMPLATE_FILE = "chat_template.jinja"  # optional: without it only plain completions are served
MANIFEST_LIMIT_BYTES = 1 << 20
TEMPLATE_LIMIT_BYTES = 1 << 18
READ_BYTES = 1 << 20
HASH_THREADS = 4
NAMED = {kind.__name__ for pair in KINDS.values() for kind in pair}  # named between a field and its parts
KV_BYTES = {"float32": 4, "float16": 2, "int8": 1}


@dataclass(frozen=True)
class Artifact:
    """A verified folder."""

    folder: Path
    manifest: ArtifactManifest

    @property
    def graph(self) -> Path:
        """The decoder graph; its weights lie beside it."""
        return self.folder / GRAPH_FILE

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, in the format of the `tokenizers` library."""
        return self.folder / TOKENIZER_FILE

    @property
    def decoder(self) -> DecoderShape:
        """Shape of the decoder.

        Raises:
            Invalid: the artifact holds no decoder.
        """
        return decoder_shape(self.manifest)

    def chat_template(self) -> str | None:
        """Source of the chat template, or None when the model has none."""
        if TEMPLATE_FILE not in self.manifest.files:
            return None
        try:
            return (self.folder / TEMPLATE_FILE).read_text(encoding="utf-8")
        except UnicodeDecodeError as exc:
            raise Invalid(f"{TEMPLATE_FILE} of artifact {self.folder} is not UTF-8 text.") from exc


def open_artifact(folder: Path) -> Artifact:
    """Read and verify an artifact in full: names, sizes and the sha256 of every file.

    Raises:
        Invalid: the folder or its manifest cannot be read or says something impossible.
        Refused: a file is not what the manifest promises.
    """
    manifest = read_manifest(folder)
    paths = {name: _inside(folder, name) for name in sorted(manifest.files)}
    speech = isinstance(manifest.shape, SpeechShape)
    for name in (GRAPH_FILE, TOKENIZER_FILE, *([ENCODER_FILE] if speech else [])):
        if name not in paths:
            raise Invalid(f"Artifact {folder} lists no {name} in its manifest; build it again.")
    template = manifest.files.get(TEMPLATE_FILE)
    if template is not None and template.size_bytes > TEMPLATE_LIMIT_BYTES:
        raise Invalid(
            f"{TEMPLATE_FILE} of artifact {folder} has {template.size_bytes} bytes; "
            f"at most {TEMPLATE_LIMIT_BYTES} are read."
        )
    for name, path in paths.items():
        _check_size(folder, name, path, manifest.files[name])
    largest_first = sorted(paths, key=lambda name: -manifest.files[name].size_bytes)
    with ThreadPoolExecutor(HASH_THREADS, thread_name_prefix="edge-verify") as pool:
        digests = dict(zip(largest_first, pool.map(lambda name: _sha256(paths[name]), largest_first), strict=True))
    for name, entry in manifest.files.items():
        if digests[name] != entry.sha256:
            raise Refused(
                f"{name} of artifact {folder} was changed: its sha256 starts with {digests[name][:12]}, "
                f"the manifest says {entry.sha256[:12]}; copy or build the artifact again."
            )
    return Artifact(folder, manifest)


def read_manifest(folder: Path) -> ArtifactManifest:
    """Parse `manifest.json` alone, without touching the other files.

    Raises:
        Invalid: it is missing, too large, not JSON, or of another shape or version.
    """
    path = folder / MANIFEST_FILE
    try:
        with path.open("rb") as stream:
            text = stream.read(MANIFEST_LIMIT_BYTES + 1)
    except FileNotFoundError as exc:
        raise Invalid(f"{folder} is not an artifact: it has no {MANIFEST_FILE}.") from exc
    except OSError as exc:
        raise Invalid(f"{MANIFEST_FILE} of artifact {folder} cannot be read: {exc.strerror}.") from exc
    if len(text) > MANIFEST_LIMIT_BYTES:
        raise Invalid(f"{MANIFEST_FILE} of artifact {folder} is larger than {MANIFEST_LIMIT_BYTES} bytes.")
    try:
        manifest = ArtifactManifest.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in NAMED) or "the whole file"
        raise Invalid(f"{MANIFEST_FILE} of artifact {folder} is wrong at {where}: {first['msg']}.") from exc
    if manifest.schema_version > SCHEMA:
        raise Invalid(
            f"Artifact {folder} has manifest version {manifest.schema_version}; this engine reads up to {SCHEMA}."
        )
    if isinstance(manifest.shape, DecoderShape) and manifest.shape.kv_dtype not in KV_BYTES:
        raise Invalid(
            f"Artifact {folder} keeps its cache as {manifest.shape.kv_dtype}; this engine knows {', '.join(KV_BYTES)}."
        )
    return manifest


def kv_bytes_per_token(shape: DecoderShape) -> int:
    """Bytes of key and value that one token of one sequence keeps in all layers."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * KV_BYTES[shape.kv_dtype]


def decoder_shape(manifest: ArtifactManifest) -> DecoderShape:
    """Shape of the decoder.

    Raises:
        Invalid: the artifact holds no decoder.
    """
    if not isinstance(manifest.shape, DecoderShape):
        raise Invalid(f"{manifest.model} is a model for {manifest.task} and generates no text.")
    return manifest.shape


def cache_bytes(shape: Shape, *, slots: int, context_tokens: int) -> int:
    """Bytes of all caches: they are reserved before start and never grow. Only a decoder of text has some."""
    return slots * context_tokens * kv_bytes_per_token(shape) if isinstance(shape, DecoderShape) else 0


def _inside(folder: Path, name: str) -> Path:
    """Path of a listed file; a name that could point out of the folder is refused."""
    pure = PurePosixPath(name)
    plain = name and "\\" not in name and "\0" not in name and not pure.is_absolute() and ".." not in pure.parts
    if not plain or pure.as_posix() != name or name in {".", MANIFEST_FILE}:
        raise Refused(f"Artifact {folder} lists a file named {name!r}; names must stay inside the folder.")
    return folder / pure


def _check_size(folder: Path, name: str, path: Path, entry: FileEntry) -> None:
    for step in _steps(folder, path):
        try:
            found = step.lstat()
        except OSError as exc:
            raise Refused(f"{name} of artifact {folder} is missing; copy or build the artifact again.") from exc
        if stat.S_ISLNK(found.st_mode):
            raise Refused(f"{name} of artifact {folder} is a link; an artifact holds plain files only.")
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"{name} of artifact {folder} is not a plain file.")
    if found.st_size != entry.size_bytes:
        raise Refused(
            f"{name} of artifact {folder} has {found.st_size} bytes, the manifest says {entry.size_bytes}; "
            "copy or build the artifact again."
        )


def _steps(folder: Path, path: Path) -> Iterator[Path]:
    """Every step from below the folder down to the file."""
    step = folder
    for part in path.relative_to(folder).parts:
        step = step / part
        yield step


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as stream:
            chunk = bytearray(READ_BYTES)
            view = memoryview(chunk)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while size := stream.readinto(chunk):
                digest.update(view[:size])
    except OSError as exc:
        raise Refused(f"{path} cannot be read: {exc.strerror}.") from exc
    return digest.hexdigest()
