"""Verifying an artifact folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes.edge.artifact import cache_bytes, open_artifact
from runtimes.errors import HeadwaterError, Invalid, Refused

FILES = {"model.onnx": b"graph" * 1000, "tokenizer.json": b"{}", "parts/more.bin": b"x" * 3_000_000}


def a_manifest(**changes: Any) -> dict[str, Any]:
    listed = {n: {"sha256": hashlib.sha256(b).hexdigest(), "size_bytes": len(b)} for n, b in FILES.items()}
    return {
        "model": "tiny",
        "quantization": "int4",
        "licence": "MIT",
        "source": {"kind": "directory", "name": "tiny", "sha256": "0" * 64, "size_bytes": 1},
        "shape": {
            "layers": 2,
            "kv_heads": 3,
            "head_dim": 4,
            "vocabulary": 10,
            "context_tokens": 100,
            "eos_token_ids": [2],
        },
        "needs": {"weights_bytes": 1, "resident_bytes": 1, "kv_bytes_per_token": 1},
        "quality": {
            "reference": "r",
            "tokens": 1,
            "perplexity": 1.0,
            "reference_perplexity": 1.0,
            "greedy_agreement": 1.0,
        },
        "files": listed,
        "tools": {},
        **changes,
    }


def an_artifact(folder: Path, **changes: Any) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(a_manifest(**changes)))
    return folder


def listing(name: str) -> dict[str, Any]:
    return a_manifest()["files"] | {name: {"sha256": "0" * 64, "size_bytes": 1}}


def test_a_whole_artifact_opens(tmp_path: Path) -> None:
    artifact = open_artifact(an_artifact(tmp_path))

    assert artifact.manifest.model == "tiny"
    assert artifact.graph == tmp_path / "model.onnx"
    assert artifact.chat_template() is None


def _tamper(folder: Path) -> None:
    content = bytearray(FILES["parts/more.bin"])
    content[2_000_000] ^= 1
    (folder / "parts/more.bin").write_bytes(content)


def _link(folder: Path) -> None:
    (folder / "parts/more.bin").rename(folder / "elsewhere")
    (folder / "parts/more.bin").symlink_to(folder / "elsewhere")


def _link_folder(folder: Path) -> None:
    (folder / "parts").rename(folder / "elsewhere")
    (folder / "parts").symlink_to(folder / "elsewhere")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        pytest.param(_tamper, "more.bin .* was changed", id="one changed bit"),
        pytest.param(lambda f: (f / "model.onnx").write_bytes(b"graph"), "has 5 bytes, .* says 5000", id="truncated"),
        pytest.param(lambda f: (f / "model.onnx").unlink(), "model.onnx .* is missing", id="missing"),
        pytest.param(_link, "is a link", id="a link instead of a file"),
        pytest.param(_link_folder, "is a link", id="a link on the way to a file"),
    ],
)
def test_harm_to_a_file_is_refused(tmp_path: Path, harm: Callable[[Path], object], sentence: str) -> None:
    harm(an_artifact(tmp_path))

    with pytest.raises(Refused, match=sentence):
        open_artifact(tmp_path)


@pytest.mark.parametrize(
    "name", ["../out", "/etc/passwd", "a/../../b", "", ".", "a\\..\\b", "a//b", "manifest.json", "a\0b"]
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="names must stay inside"):
        open_artifact(an_artifact(tmp_path, files=listing(name)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(None, "has no manifest.json", id="no manifest"),
        pytest.param("{", "wrong at the whole file", id="not JSON"),
        pytest.param("[" * 100_000, "wrong at the whole file", id="nested too deeply"),
        pytest.param(" " * (1 << 20) + "{}", "larger than", id="too large"),
        pytest.param(json.dumps(a_manifest(surprise=1)), "wrong at surprise", id="an unknown field"),
        pytest.param(json.dumps(a_manifest(schema_version=99)), "version 99", id="a newer version"),
        pytest.param(json.dumps(a_manifest(files={})), "lists no model.onnx", id="no graph"),
        pytest.param(
            json.dumps(a_manifest(shape=a_manifest()["shape"] | {"kv_dtype": "int3"})), "cache as int3", id="cache type"
        ),
        pytest.param(
            json.dumps(a_manifest(shape=a_manifest()["shape"] | {"layers": 0})), "wrong at shape.layers", id="no layers"
        ),
    ],
)
def test_a_bad_manifest_gets_one_sentence(tmp_path: Path, text: str | None, sentence: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(Invalid, match=sentence) as caught:
        open_artifact(tmp_path)

    assert isinstance(caught.value, HeadwaterError)
    assert "\n" not in str(caught.value)


def test_caches_are_counted_before_start(tmp_path: Path) -> None:
    shape = open_artifact(an_artifact(tmp_path)).manifest.shape

    assert cache_bytes(shape, slots=5, context_tokens=7) == 5 * 7 * 2 * 2 * 3 * 4 * 4
