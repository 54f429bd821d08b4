"""The catalog on disk: models, chips and engines that ship with the package, and folders the user adds.

Reading a file means bytes here; what the bytes mean is `orchestrator.api.load`. Called by `orchestrator.wiring` and the
command line. The shipped part is read once per process; user folders are read on every call, because people edit them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from orchestrator.api.calibration import Calibration
from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.load import MAX_BYTES, Loaded, load_bytes
from orchestrator.api.model import Model
from orchestrator.api.references import check_references
from orchestrator.errors import InvalidSpec, Problem

_ENDINGS = (".yaml", ".yml")


def read_catalog(extra: Iterable[Path] = ()) -> Catalog:
    """The shipped catalog with the files of the `extra` folders over it; later folders win.

    Args:
        extra: folders, searched through all levels for .yaml and .yml files. A document replaces a shipped or earlier
            one of the same kind and name.

    Raises:
        InvalidSpec: with every problem of every file; also for a folder that is not there, for a kind that belongs in
            no catalog, and for two documents of one name in the same folder.
    """
    shipped = _shipped()
    layers = [_folder(folder) for folder in extra]
    problems = [problem for _, found in layers for problem in found]
    catalog = shipped.with_documents(item.document for loaded, _ in layers for item in loaded)
    if not problems:
        problems = [problem for loaded, _ in layers for problem in check_references(loaded, catalog)]
    if problems:
        raise InvalidSpec(problems)
    return catalog


@cache
def _shipped() -> Catalog:
    loaded: list[Loaded] = []
    for path, entry in sorted(_files(files("manifests") / "catalog", "catalog")):
        loaded += load_bytes(entry.read_bytes(), path)
    return Catalog().with_documents(item.document for item in loaded)


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
