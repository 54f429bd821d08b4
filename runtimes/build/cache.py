"""What has been built already: requests, keys, and the look-up that planning and starting do.

Cheap: imports no build tool. A key covers the weights' content, the request, the recipe and the tools' versions; a
change of any of them builds anew. Building is in `runtimes.build.build`. Called by the CLI and by
`runtimes.build.build`.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pydantic import ValidationError

from runtimes.build.sources import ResolvedSource, resolve_source
from runtimes.contract import MANIFEST_FILE, ArtifactManifest
from runtimes.errors import Invalid, Unavailable

RECIPE = 4  # goes up when the same inputs would give another graph or another measurement
QUANTIZATIONS = {"int4": 4, "int8": 8, "fp32": 32}  # which task has which is in `runtimes.build.tasks`
TOOLS = ("onnxruntime", "onnxruntime-genai", "optimum-onnx", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One artifact.

    Attributes:
        model: its name in the catalog or in the user's file.
        source: a `.gguf` file, a Hugging Face directory, `package://name/file.gguf` or `hf://org/name`.
        quantization: `int4` or `int8`; `int8` or `fp32` for a model that generates no text.
        licence: of the weights, recorded in the manifest.
    """

    model: str
    source: str
    quantization: str
    licence: str


@dataclass(frozen=True, slots=True)
class Built:
    """A finished artifact.

    Attributes:
        path: its folder.
        manifest: what is in it and how good it is.
        cached: whether it was there before.
        wall_s: time that the look-up or the build took.
    """

    path: Path
    manifest: ArtifactManifest
    cached: bool
    wall_s: float


def find_built(request: BuildRequest, store: Path) -> Built | None:
    """The artifact of a request, if it has been built and its files are whole in size.

    Raises:
        Invalid: the request itself cannot be used.
    """
    started_s = time.monotonic()
    check_request(request)
    try:
        source = resolve_source(request.source, store)
    except Unavailable:
        return None
    found = read_artifact(artifact_path(request, source, store))
    return found and Built(found[0], found[1], cached=True, wall_s=time.monotonic() - started_s)


def check_request(request: BuildRequest) -> None:
    """Refuses names that cannot name a folder, and quantizations that do not exist."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", request.model):
        raise Invalid(f"model name {request.model[:80]!r}: letters, digits, dots, dashes and underscores are allowed")
    if request.quantization not in QUANTIZATIONS:
        raise Invalid(f"quantization {request.quantization[:40]!r}: one of {', '.join(QUANTIZATIONS)} was expected")


def tool_versions() -> dict[str, str]:
    """Version of every tool that shapes the result; `absent` where one is not installed."""
    return {name: _version(name) for name in TOOLS}


def build_key(request: BuildRequest, source: ResolvedSource) -> str:
    """Digest of everything that shapes the artifact, licence included since the manifest records it."""
    parts = [source.sha256, request.model, request.quantization, request.licence, RECIPE, tool_versions()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def artifact_path(request: BuildRequest, source: ResolvedSource, store: Path) -> Path:
    """Where the artifact of a request is or will be."""
    return store / f"{request.model}-{request.quantization}-{build_key(request, source)[:12]}"


def read_artifact(path: Path) -> tuple[Path, ArtifactManifest] | None:
    """An artifact whose manifest reads and whose files have the sizes it states."""
    try:
        manifest = ArtifactManifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
        whole = all((path / name).stat().st_size == entry.size_bytes for name, entry in manifest.files.items())
    except (OSError, ValidationError):
        return None
    return (path, manifest) if whole else None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"
