"""A Hugging Face directory: which of its files are used, and whether they can be.

Only configuration, tokenizer and safetensors are ever opened: no pickles, no code that a checkpoint brings along.
Imports no build tool. Called by `runtimes.build.sources` and `runtimes.build.staging`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from runtimes.build.architectures import BUILT
from runtimes.build.tasks import TASKS, first_architecture
from runtimes.errors import Invalid, Refused

SETTINGS_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "model.safetensors.index.json",
)
SENTENCE_FILES = ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json")  # of sentence-transformers

PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
LARGEST_SETTINGS_BYTES = 16 << 20  # an index over many shards; a config has some kilobytes
LENGTH_BYTES = 8  # of the length that opens a safetensors file
LARGEST_HEADER_BYTES = 16 << 20  # the largest shards have a few megabytes

Json = dict[str, object]


def used_files(folder: Path) -> list[Path]:
    """Every file that the build opens, sorted by name."""
    found = [folder / name for name in (*SETTINGS_FILES, *SENTENCE_FILES) if (folder / name).is_file()]
    return sorted([*found, *(path for path in folder.glob("*.safetensors") if path.is_file())])


def check_directory(folder: Path) -> int:
    """Checks that the directory can be built.

    Returns:
        Number of weights.

    Raises:
        Refused: pickles instead of safetensors, an unknown architecture, or weights that are quantized already.
        Invalid: a needed file is missing or cut off.
    """
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise Invalid(f"{folder.name} has no {name}; a Hugging Face directory needs config.json and tokenizer.json")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if pickles:
            raise Refused(f"{folder.name} has its weights as pickles only ({pickles[0]}); safetensors are needed")
        raise Invalid(f"{folder.name} has no *.safetensors file")
    check_config(read_json(folder / "config.json"), folder.name)
    return sum(_parameters(path) for path in weights)


def check_config(config: Json, name: str) -> None:
    """Refuses architectures that are not built here, and checkpoints that are quantized already."""
    found = first_architecture(config)
    if found not in BUILT and found not in TASKS:
        raise Refused(f"{name}: architecture {found[:80]} cannot be built; these can: {', '.join([*BUILT, *TASKS])}")
    if config.get("quantization_config"):
        raise Refused(f"{name}: its weights are quantized already; give the float weights")


def read_json(path: Path) -> Json:
    """A JSON object from a file of the directory; an absent file is empty.

    Raises:
        Invalid: not a JSON object, or far too large.
    """
    value = _read_settings(path, {})
    if not isinstance(value, dict):
        raise Invalid(f"{path.name} must hold a JSON object")
    return value


def read_list(path: Path) -> list[Json]:
    """A list of JSON objects from a file of the directory; an absent file is empty.

    Raises:
        Invalid: not a list of JSON objects, or far too large.
    """
    value = _read_settings(path, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise Invalid(f"{path.name} must hold a list of JSON objects")
    return value


def _read_settings(path: Path, absent: object) -> object:
    if not path.is_file():
        return absent
    if path.stat().st_size > LARGEST_SETTINGS_BYTES:
        raise Invalid(f"{path.name} has {path.stat().st_size} bytes; at most {LARGEST_SETTINGS_BYTES} are read")
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path.name} is not JSON: {error}") from None
    return value


def _parameters(path: Path) -> int:
    """Weights declared in a safetensors file, after checking that the file holds them."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        start = LENGTH_BYTES + length
        if start > size_bytes or length > LARGEST_HEADER_BYTES:
            raise Invalid(f"{path.name} is cut off: its header ends at byte {start}, the file has {size_bytes} bytes")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        end = max((int(entry["data_offsets"][1]) for entry in tensors), default=0)
        parameters = sum(math.prod(int(size) for size in entry["shape"]) for entry in tensors)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise Invalid(f"{path.name} has no readable safetensors header") from None
    if start + end > size_bytes:
        raise Invalid(f"{path.name} is cut off: its tensors end at byte {start + end}, the file has {size_bytes} bytes")
    return parameters
