"""From what a user writes to files and a digest, and what is refused on the way."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from runtimes.build import sources
from runtimes.build.sources import check_source, file_digest, resolve_source
from runtimes.errors import Invalid, Refused, Unavailable

CONFIG = {"architectures": ["LlamaForCausalLM"]}
EMPTY_TABLE = (2).to_bytes(8, "little") + b"{}"


def a_directory(folder: Path, **files: bytes | None) -> Path:
    """A directory that passes, with files replaced, added or (None) left out; `__` stands for a dot."""
    content: dict[str, bytes | None] = {
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": EMPTY_TABLE,
    }
    folder.mkdir()
    for name, body in (content | {key.replace("__", "."): value for key, value in files.items()}).items():
        if body is not None:
            (folder / name).write_bytes(body)
    return folder


def table(end: int, length: int | None = None) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, end]}}).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header


@pytest.mark.parametrize(
    ("files", "error", "sentence"),
    [
        pytest.param({"tokenizer__json": None}, Invalid, "model has no tokenizer.json", id="no tokenizer"),
        pytest.param({"config__json": None}, Invalid, "model has no config.json", id="no config"),
        pytest.param(
            {"model__safetensors": None, "pytorch_model__bin": b"x"},
            Refused,
            r"weights as pickles only \(pytorch_model\.bin\); safetensors are needed",
            id="pickles only",
        ),
        pytest.param({"model__safetensors": None}, Invalid, "has no .*safetensors file", id="no weights"),
        pytest.param(
            {"config__json": b'{"architectures": ["MambaForCausalLM"]}'},
            Refused,
            "architecture MambaForCausalLM cannot be built; these can: LlamaForCausalLM, MistralForCausalLM",
            id="unknown architecture",
        ),
        pytest.param({"config__json": b"{}"}, Refused, "architecture none cannot be built", id="no architecture"),
        pytest.param({"config__json": b"[1]"}, Invalid, "config.json must hold a JSON object", id="a list"),
        pytest.param({"config__json": b"{"}, Invalid, "config.json is not JSON", id="broken config"),
        pytest.param({"config__json": b"[" * 9999}, Invalid, "config.json is not JSON", id="deep config"),
        pytest.param({"config__json": b"\xff\xfe"}, Invalid, "config.json is not JSON", id="not text"),
        pytest.param(
            {"config__json": json.dumps(CONFIG | {"quantization_config": {"bits": 4}}).encode()},
            Refused,
            "its weights are quantized already",
            id="quantized already",
        ),
        pytest.param(
            {"model__safetensors": table(24)}, Invalid, r"tensors end at byte \d+, the file has \d+ bytes", id="cut"
        ),
        pytest.param({"model__safetensors": b"abc"}, Invalid, "is cut off: its header ends", id="three bytes"),
        pytest.param({"model__safetensors": table(0, 1 << 50)}, Invalid, "header ends at byte", id="endless header"),
        pytest.param(
            {"model__safetensors": (3).to_bytes(8, "little") + b"[1]"},
            Invalid,
            "no readable safetensors",
            id="odd header",
        ),
    ],
)
def test_a_directory_that_cannot_be_built_is_named(tmp_path, files, error, sentence):
    source = resolve_source(str(a_directory(tmp_path / "model", **files)), tmp_path / "store")

    with pytest.raises(error, match=sentence):
        check_source(source)


def test_a_directory_counts_its_weights(tmp_path):
    whole = a_directory(tmp_path / "model", model__safetensors=table(24) + bytes(24))

    assert check_source(resolve_source(str(whole), tmp_path / "store")) == 6


def test_a_directorys_digest_covers_what_is_read_and_nothing_else(tmp_path):
    folder, store = a_directory(tmp_path / "model"), tmp_path / "store"
    first = resolve_source(str(folder), store)

    (folder / "README.md").write_text("not read")
    assert resolve_source(str(folder), store) == first
    assert (first.kind, first.name) == ("directory", "model")
    (folder / "tokenizer.json").write_text('{"changed": 1}')
    assert resolve_source(str(folder), store).sha256 != first.sha256


def test_a_settled_file_is_hashed_once_until_it_changes(tmp_path, monkeypatch):
    file, store = tmp_path / "weights", tmp_path / "store"
    file.write_bytes(b"one")
    os.utime(file, (1e9, 1e9))
    hashed = []
    monkeypatch.setattr(sources, "hash_file", lambda path: hashed.append(path) or "a" * 64)

    assert [file_digest(file, store) for _ in range(3)] == ["a" * 64] * 3
    assert len(hashed) == 1
    file.write_bytes(b"two")
    os.utime(file, (1e9 + 1, 1e9 + 1))
    file_digest(file, store)
    assert len(hashed) == 2


def test_a_file_that_changed_just_now_is_hashed_again(tmp_path):
    file, store = tmp_path / "weights", tmp_path / "store"
    file.write_bytes(b"one")
    first = file_digest(file, store)
    found = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))

    assert file_digest(file, store) != first


def test_a_kept_hash_that_is_broken_is_not_believed(tmp_path):
    file, store = tmp_path / "weights", tmp_path / "store"
    file.write_bytes(b"one")
    os.utime(file, (1e9, 1e9))
    first = file_digest(file, store)
    (kept,) = (store / "digests").iterdir()
    kept.write_text('{"identity": ')

    assert file_digest(file, store) == first


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere.gguf", "no such file or directory"),
        (__file__, r"a \.gguf file, a Hugging Face directory, package:// or hf:// was expected"),
        ("package://no_such_package/x.gguf", "the Python package no_such_package is not installed"),
        ("package://os", "package://name/file was expected"),
        ("package://a.b/x", "package://name/file was expected"),
        ("package://json/../../x.gguf", "the file must lie inside the package"),
        ("package://json/x.gguf", r"the package json has no file x\.gguf"),
        ("hf://nameless", "hf://organisation/name was expected"),
        ("hf://../../etc", "hf://organisation/name was expected"),
    ],
)
def test_a_source_that_is_nothing_usable_is_named(tmp_path, source, sentence):
    with pytest.raises(Invalid, match=sentence):
        resolve_source(source, tmp_path)


def test_a_directory_with_nothing_to_read_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match="the directory holds no config"):
        resolve_source(str(tmp_path / "empty"), tmp_path)


@pytest.mark.parametrize("download", [False, True])
def test_a_hub_that_does_not_answer_is_one_sentence(tmp_path, monkeypatch, download):
    def no_hub(*_: str, local_files_only: bool, **__: object) -> str:
        assert local_files_only is not download
        raise huggingface_hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_hub)

    with pytest.raises(Unavailable) as caught:
        resolve_source("hf://org/name", tmp_path, download=download)

    assert str(caught.value) == (
        "source hf://org/name: it is not on this machine and no hub answered; download it, then write "
        "model: {source: ./folder-or-file.gguf, licence: SPDX} in the tier, or set up access to a hub"
    )


def test_a_hub_snapshot_is_read_like_a_directory(tmp_path, monkeypatch):
    folder = a_directory(tmp_path / "snapshot")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))

    found = resolve_source("hf://org/name", tmp_path)

    assert (found.kind, found.name, found.path) == ("hub", "org/name", folder)
    assert found.sha256 == resolve_source(str(folder), tmp_path).sha256


def test_planning_can_ask_without_the_build_tools():
    heavy = ["torch", "transformers", "optimum", "onnxruntime", "onnxruntime_genai", "gguf", "onnx"]
    code = f"import sys, runtimes.build.cache, runtimes.build.build; sys.exit(bool(set({heavy}) & set(sys.modules)))"
    root = Path(importlib.util.find_spec("runtimes").origin).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
