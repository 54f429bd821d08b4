"""What lies at a source, read and not yet understood: a folder, a file, or a name on a hub.

Only configuration, headers and a README's first lines are ever opened. Called by `orchestrator.adapters.imports.card`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.adapters.imports.bounded import read_bytes, read_object, shown
from orchestrator.adapters.imports.gguf import GgufModel, read_gguf_model
from orchestrator.adapters.imports.licences import MOST_README_BYTES
from orchestrator.adapters.imports.safetensors import Tensor, inside, read_file, read_folder
from orchestrator.errors import HeadwaterError, Invalid

HUB = "hf://"
CONFIG = "config.json"
EXPECTED = "a folder, config.json, a .safetensors or .gguf file, or hf://organisation/name was expected"
_NUMBERED = re.compile(r".*-\d{5}-of-\d{5}\.(safetensors|gguf)")
_FIRST = re.compile(r"(.*)-00001-of-\d{5}\.gguf")


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a source, read and not yet understood."""

    name: str
    config: Mapping[str, Any] | None = None
    tensors: tuple[Tensor, ...] | None = None
    gguf: GgufModel | None = None
    readme: str = ""
    hub: str = ""  # organisation/name
    source: str = ""  # where the edge build could take the weights from


def look(source: str) -> Found:
    """What lies at a source."""
    if source.startswith(HUB):
        from orchestrator.adapters.imports.hub import fetch  # noqa: PLC0415  the network is needed by this form alone

        snapshot = fetch(source.removeprefix(HUB))
        return Found(
            snapshot.name.rpartition("/")[2],
            snapshot.config,
            snapshot.tensors,
            readme=snapshot.readme,
            hub=snapshot.name,
        )
    if "://" in source:
        raise Invalid(EXPECTED)
    path = Path(source).expanduser()
    if path.is_dir():
        return look_into(path)
    if not path.is_file():
        raise Invalid("no such file or folder")
    if path.suffix == ".gguf":
        return _gguf(path)
    readme = _readme(path.parent)
    if path.suffix == ".safetensors":
        if _NUMBERED.fullmatch(path.name):
            raise Invalid("this is one of several files of a model; give the folder they lie in")
        beside = path.parent / CONFIG
        config = read_object(inside(path.parent, beside)) if beside.is_file() else None
        stem = path.name.removesuffix(".safetensors")
        return Found(path.resolve().parent.name if stem == "model" else stem, config, read_file(path), readme=readme)
    if path.suffix == ".json":
        stem = path.stem.removesuffix("config").rstrip("-_.")
        return Found(stem or path.resolve().parent.name, read_object(path), readme=readme)
    raise Invalid(EXPECTED)


def look_into(folder: Path) -> Found:
    """What lies in a folder: a configuration with weights, weights alone, or one GGUF model."""
    name, config = folder.resolve().name, folder / CONFIG
    ggufs = sorted(path for path in folder.glob("*.gguf") if path.is_file())
    if not config.is_file() and ggufs:
        models = [path for path in ggufs if _FIRST.fullmatch(path.name) or not _NUMBERED.fullmatch(path.name)]
        if len(models) != 1:
            raise Invalid(f"{shown(name)} holds {len(models)} GGUF models; give one file")
        return _gguf(inside(folder, models[0]))
    settings = read_object(inside(folder, config)) if config.is_file() else None
    has_weights = any(folder.glob("*.safetensors")) or any(folder.glob("*.safetensors.index.json"))
    if settings is None and not has_weights:
        raise Invalid(f"{shown(name)} has neither config.json nor *.safetensors nor *.gguf")
    tensors = read_folder(folder) if has_weights else None
    where = str(folder.absolute()) if has_weights else ""
    return Found(name, settings, tensors, readme=_readme(folder), source=where)


def _gguf(path: Path) -> Found:
    first = _FIRST.fullmatch(path.name)
    name = first[1] if first else path.name.removesuffix(".gguf")
    return Found(name, gguf=read_gguf_model(path), readme=_readme(path.parent), source=str(path.absolute()))


def _readme(folder: Path) -> str:
    path = folder / "README.md"
    try:
        return read_bytes(inside(folder, path), MOST_README_BYTES).decode("utf-8", errors="replace")
    except (HeadwaterError, OSError):
        return ""  # a licence that cannot be read is not stated
