"""The catalog on disk: models, chips and engines that ship with the package, and folders the user adds.

Reading a file means bytes here; what the bytes mean is `orchestrator.api.load`. Called by `orchestrator.wiring` and the
command line. The shipped part is read once per process, and kept for the next; user folders are read on every call,
because people edit them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from orchestrator.api.calibration import Calibration
from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog, Document, from_json
from orchestrator.api.load import MAX_BYTES, Loaded, load_bytes
from orchestrator.api.model import Model
from orchestrator.api.references import check_references
from orchestrator.errors import InvalidSpec, Problem

_ENDINGS = (".yaml", ".yml")


def read_catalog(extra: Iterable[Path] = (), kept: Path | None = None) -> Catalog:
    """The shipped catalog with the files of the `extra` folders over it; later folders win.

    Args:
        kept: a file where the shipped part is kept as it was understood, so that the next process need not read it
            from YAML; a file of another version, or none, costs a third of a second.
        extra: folders, searched through all levels for .yaml and .yml files. A document replaces a shipped or earlier
            one of the same kind and name.

    Raises:
        InvalidSpec: with every problem of every file; also for a folder that is not there, for a kind that belongs in
            no catalog, and for two documents of one name in the same folder.
    """
    shipped = _shipped(kept)
    layers = [_folder(folder) for folder in extra]
    problems = [problem for _, found in layers for problem in found]
    catalog = shipped.with_documents(item.document for loaded, _ in layers for item in loaded)
    if not problems:
        problems = [problem for loaded, _ in layers for problem in check_references(loaded, catalog)]
    if problems:
        raise InvalidSpec(problems)
    return catalog


@cache
def _shipped(kept: Path | None) -> Catalog:
    entries = sorted(_files(files("manifests") / "catalog", "catalog"))
    stamp = _stamp(entries) if kept else None
    documents = _recalled(kept, stamp) if kept and stamp else None
    if documents is None:
        loaded = [item for path, entry in entries for item in load_bytes(entry.read_bytes(), path)]
        documents = [item.document for item in loaded]
        if kept and stamp:
            _keep(kept, stamp, documents)
    return Catalog().with_documents(documents)


def _stamp(entries: Iterable[tuple[str, Traversable]]) -> str | None:
    """What the kept file must have been made from: these files, read by this code; None where files have no dates."""
    code = ((entry.name, entry) for entry in (files("orchestrator") / "api").iterdir() if entry.name.endswith(".py"))
    facts = hashlib.sha256()
    for path, entry in (*entries, *sorted(code, key=lambda one: one[0])):
        if not isinstance(entry, Path):
            return None
        seen = entry.stat()
        facts.update(f"{path} {seen.st_size} {seen.st_mtime_ns}\n".encode())
    return facts.hexdigest()


def _recalled(kept: Path, stamp: str) -> list[Document] | None:
    """The shipped documents as they were understood before; None when anything about the file is not right."""
    try:
        written = json.loads(kept.read_bytes())
        if written["stamp"] != stamp:
            return None
        return [from_json(kind, text) for kind, text in written["documents"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(kept: Path, stamp: str, documents: Iterable[Document]) -> None:
    """Written whole or not at all; where it cannot be written, the next process reads the YAML again."""
    rows = [(document.kind, document.model_dump_json(by_alias=True)) for document in documents]
    fresh = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps({"stamp": stamp, "documents": rows}))
        fresh.replace(kept)
    except OSError:
        fresh.unlink(missing_ok=True)


def _folder(folder: Path) -> tuple[list[Loaded], list[Problem]]:
    """Documents of a user's folder, and what is wrong with its files."""
    loaded: list[Loaded] = []
    problems: list[Problem] = []
    try:
        found = sorted(path for path in folder.rglob("*") if path.suffix in _ENDINGS and path.is_file())
        if not folder.is_dir():
            problems.append(Problem(str(folder), 0, "", "is no folder; name a folder with YAML files"))
    except OSError as error:
        return [], [Problem(str(folder), 0, "", f"cannot be read: {error.strerror}")]
    for path in found:
        try:
            with path.open("rb") as stream:
                loaded += load_bytes(stream.read(MAX_BYTES + 1), str(path))
        except InvalidSpec as error:
            problems += error.problems
        except OSError as error:
            problems.append(Problem(str(path), 0, "", f"cannot be read: {error.strerror}"))
    for item in loaded:
        if not isinstance(item.document, Model | HardwareProfile | KubernetesProfile | Engine | Calibration):
            kinds = "Model, HardwareProfile, KubernetesProfile, Engine and Calibration"
            message = f"a {item.document.kind} belongs in no catalog; keep {kinds} here"
            problems.append(item.problem(("kind",), message))
    return loaded, problems


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        below = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _files(entry, below)
        elif entry.name.endswith(_ENDINGS):
            yield below, entry
