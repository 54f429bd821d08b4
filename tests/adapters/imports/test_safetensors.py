"""Safetensors headers: what is read, and every rule of the format that a file can break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from headers import in_bf16, write_raw, write_safetensors
from safetensors.numpy import save_file

from orchestrator.adapters.imports.bounded import parse_object
from orchestrator.adapters.imports.safetensors import BITS, INDEX, Tensor, index_shards, read_file, read_folder
from orchestrator.errors import Invalid, Refused

SHAPES = {"model.embed_tokens.weight": (10, 4), "model.norm.weight": (4,), "lm_head.weight": (10, 4)}


def test_a_file_reads_as_the_library_wrote_it(tmp_path: Path) -> None:
    import numpy as np  # noqa: PLC0415  this test alone writes numbers

    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros((3, 5), np.float32), "b": np.zeros((7,), np.float16), "c": np.zeros((), np.int64)}, path)

    assert sorted(read_file(path)) == [
        Tensor("a", "F32", (3, 5), 60),
        Tensor("b", "F16", (7,), 14),
        Tensor("c", "I64", (), 8),
    ]


def test_numbers_of_less_than_a_byte_are_counted_in_bits(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F4","shape":[4,6],"data_offsets":[0,12]}}'

    (found,) = read_file(write_raw(tmp_path / "x.safetensors", header, 12))

    assert (found.size_bytes, found.numbers) == (12, 24)
    assert BITS["F6_E2M3"] == 6


def entry(dtype: Any = "F32", shape: Any = (2, 3), offsets: Any = (0, 24), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


@pytest.mark.parametrize(
    ("header", "payload", "sentence"),
    [
        pytest.param({"w": entry("F99")}, 24, "unknown dtype F99", id="unknown dtype"),
        pytest.param({"w": entry(dtype=["F32"])}, 24, "unknown dtype list", id="a list for a dtype"),
        pytest.param({"w": entry(shape=[2, -3])}, 24, "whole numbers below", id="negative size"),
        pytest.param({"w": entry(shape=[2.0, 3])}, 24, "whole numbers below", id="a fraction for a size"),
        pytest.param({"w": entry(shape=[True, 6])}, 24, "whole numbers below", id="a truth for a size"),
        pytest.param({"w": entry(shape=[1] * 9)}, 24, "up to 8 sizes", id="nine dimensions"),
        pytest.param({"w": entry(shape=[10**400])}, 24, "whole numbers below", id="an enormous size"),
        pytest.param({"w": entry(shape="23")}, 24, "whole numbers below", id="text for a shape"),
        pytest.param({"w": entry(shape=[2**40, 2**40])}, 24, "and claims 24", id="more numbers than bytes"),
        pytest.param({"w": entry(shape=[3])}, 24, "needs 12 bytes and claims 24", id="fewer numbers than bytes"),
        pytest.param({"w": entry(offsets=[0])}, 24, "two data_offsets", id="one offset"),
        pytest.param({"w": entry(offsets=[24, 0])}, 24, "claims -24", id="offsets backwards"),
        pytest.param({"w": entry(offsets=[0, 2**60])}, 24, "two data_offsets", id="offset out of any file"),
        pytest.param({"w": entry(offsets=[8, 32])}, 32, "leaves a gap before it", id="a gap"),
        pytest.param({"w": entry(), "v": entry(offsets=[8, 32])}, 32, "overlaps the one before it", id="an overlap"),
        pytest.param({"w": entry(), "v": entry()}, 24, "overlaps the one before it", id="two in one place"),
        pytest.param({"w": entry()}, 23, "take 24 bytes and the file has 23", id="cut off"),
        pytest.param({"w": entry()}, 25, "take 24 bytes and the file has 25", id="bytes that nobody declares"),
        pytest.param({"w": entry(kind=1)}, 24, "nothing else", id="a field too many"),
        pytest.param({"w": {"dtype": "F32"}}, 0, "must have dtype, shape and data_offsets", id="fields missing"),
        pytest.param({"w": 7}, 0, "must have dtype, shape and data_offsets", id="a number for a tensor"),
        pytest.param({"a\nb": entry()}, 24, r"not printable: a\\nb", id="a newline in a name"),
        pytest.param({"\ud800": entry()}, 24, "not printable", id="half a character in a name"),
        pytest.param({"": entry()}, 24, "empty", id="no name"),
        pytest.param({"x" * 513: entry()}, 24, "too long", id="a name of 513 characters"),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused(
    tmp_path: Path, header: dict[str, Any], payload: int, sentence: str
) -> None:
    path = write_raw(tmp_path / "model.safetensors", json.dumps(header).encode(), payload)

    with pytest.raises(Invalid, match=sentence) as told:
        read_file(path)
    assert str(told.value).isprintable()


@pytest.mark.parametrize(
    ("raw", "length", "sentence"),
    [
        pytest.param(b"{}", 1 << 63, "is cut off", id="a length beyond the file"),
        pytest.param(b"{}", 3, "is cut off", id="one byte too long"),
        pytest.param(b"", 0, "does not open with a brace", id="no header"),
        pytest.param(b"[1]", None, "does not open with a brace", id="a list"),
        pytest.param(
            b"{" + b" " * (17 << 20) + b"}", None, "at most 16,777,216 are believable", id="17 MiB of nothing"
        ),
        pytest.param(b'{"a":' * 100_000, None, "nested too deeply", id="deep"),
        pytest.param(b'{"a":' + b"[]," * 600_000, None, "at most 524,288 are read", id="600,000 values"),
        pytest.param(b'{"a":NaN}', None, "NaN is no number", id="NaN"),
        pytest.param(b'{"a":{},"a":{}}', None, "a is written twice", id="a name twice"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", None, "is not JSON", id="a number of 5000 digits"),
        pytest.param(b'{"\xff":1}', None, "is not JSON", id="no UTF-8"),
    ],
)
def test_a_header_that_is_no_header_is_refused(tmp_path: Path, raw: bytes, length: int | None, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        read_file(write_raw(tmp_path / "model.safetensors", raw, 0, length))


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_file_shorter_than_its_length_field_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "x.safetensors").write_bytes(bytes(size))

    with pytest.raises(Invalid, match="is cut off"):
        read_file(tmp_path / "x.safetensors")


def sharded(folder: Path, **changes: Any) -> Path:
    """Two shards and their index; a change replaces what the index says of a tensor."""
    first, second = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
    write_safetensors(folder / first, in_bf16({"a": (2, 2)}))
    write_safetensors(folder / second, in_bf16({"b": (3, 3), "c": (1,)}))
    listed = {"a": first, "b": second, "c": second} | changes
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 28}, "weight_map": listed}))
    return folder


def test_a_folder_is_read_from_the_shards_its_index_names(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "consolidated.safetensors", in_bf16({"a": (2, 2)}))

    assert [tensor.name for tensor in read_folder(sharded(tmp_path))] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"a": "../model.safetensors"}, "a plain name that ends in .safetensors", id="upwards"),
        pytest.param({"a": "/etc/passwd"}, "a plain name", id="absolute"),
        pytest.param({"a": "sub/x.safetensors"}, "a plain name", id="in a folder"),
        pytest.param({"a": "x..safetensors"}, "a plain name", id="two dots"),
        pytest.param({"a": "x.bin"}, "a plain name", id="no safetensors"),
        pytest.param({"a": "gone.safetensors"}, "gone.safetensors, which is not there; 1 of 2", id="missing"),
        pytest.param({"d": "model-00001-of-00002.safetensors"}, "lists 4 tensors and its shards hold 3", id="one more"),
        pytest.param({"a": "x\n.safetensors"}, "is not JSON of tensor names", id="an escape"),
        pytest.param({"a": 7}, "is not JSON of tensor names", id="a number"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        read_folder(sharded(tmp_path, **changes))


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        pytest.param(b"{}", "no weight_map", id="no map"),
        pytest.param(b'{"weight_map":{}}', "lists no tensors", id="empty map"),
        pytest.param(b'{"x":{"weight_map":{"a":"b.safetensors"}}}', "wrong place", id="a map inside something"),
        pytest.param(b'{"weight_map":{"a":"b.safetensors"}', "is not JSON", id="not closed"),
        pytest.param(b'{"weight_map":{"a":"b.safetensors"},"weight_map":1}', "written twice", id="two maps"),
        pytest.param(b'{"weight_map":{"a":"b.safetensors",}}', "is not JSON of tensor names", id="a trailing comma"),
    ],
)
def test_what_is_no_index_is_refused(raw: bytes, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        index_shards(raw, INDEX)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        write_safetensors(tmp_path / f"model-0000{number}-of-00002.safetensors", in_bf16({"a": (2, 2)}))

    with pytest.raises(Invalid, match="a is in another file as well"):
        read_folder(tmp_path)


def test_a_numbered_shard_wants_its_siblings(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model-00001-of-00003.safetensors", in_bf16({"a": (2, 2)}))

    with pytest.raises(Invalid, match="has 1 of the 3 files"):
        read_folder(tmp_path)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")

    with pytest.raises(Refused, match="pickles only"):
        read_folder(tmp_path)


def test_a_link_out_of_the_folder_is_refused_and_a_hubs_cache_is_not(tmp_path: Path) -> None:
    elsewhere = write_safetensors(tmp_path / "secret.safetensors", in_bf16(SHAPES))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(elsewhere)
    with pytest.raises(Invalid, match="is a link out of model"):
        read_folder(folder)

    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "123", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    write_safetensors(blobs / "0af", in_bf16(SHAPES))
    (snapshot / "model.safetensors").symlink_to("../../blobs/0af")
    assert {tensor.name for tensor in read_folder(snapshot)} == set(SHAPES)


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    import os  # noqa: PLC0415  this test alone makes a pipe

    os.mkfifo(tmp_path / "model.safetensors")

    with pytest.raises(Invalid, match="no regular file"):
        read_file(tmp_path / "model.safetensors")


def test_an_object_of_json_is_one() -> None:
    assert parse_object(b'{"a":[1,{"b":null}]}', "x") == {"a": [1, {"b": None}]}
    with pytest.raises(Invalid, match="must hold a JSON object"):
        parse_object(b"[1]", "x")
