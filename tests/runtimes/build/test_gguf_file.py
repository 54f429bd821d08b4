"""GGUF headers, whole and broken."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from runtimes.build.ggml_types import CONVERTED, TENSOR_TYPES
from runtimes.build.gguf_file import read_gguf
from runtimes.errors import Invalid, Refused


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "whole.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_float32("llama.rope.freq_base", 500.0)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "ab"])
    writer.add_array("tokenizer.ggml.token_type", [1, 1, 3])
    writer.add_tensor("one", np.ones((4, 32), np.float32))
    writer.add_tensor("two", np.ones((8, 64), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_whole_file_reads_as_the_gguf_package_reads_it(whole):
    ours, theirs = read_gguf(whole), gguf.GGUFReader(whole)

    assert ours.metadata["general.architecture"] == "llama"
    assert ours.number("llama.block_count") == 2
    assert ours.strings("tokenizer.ggml.tokens") == ["a", "b", "ab"]
    assert ours.metadata["tokenizer.ggml.token_type"] == [1, 1, 3]
    assert [(t.name, t.offset_bytes, t.size_bytes, t.shape) for t in ours.tensors] == [
        (t.name, t.data_offset, t.n_bytes, tuple(int(size) for size in reversed(t.shape))) for t in theirs.tensors
    ]
    assert ours.parameters == 4 * 32 + 8 * 64


def test_the_type_table_is_that_of_the_gguf_package():
    assert set(TENSOR_TYPES) == {kind.value for kind in gguf.GGMLQuantizationType}
    for number, (name, block, block_bytes) in TENSOR_TYPES.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (block, block_bytes))


def header(version: int = 3, tensors: int = 1, keys: int = 0, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + rest


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


def tensor(dimensions: int, sizes: list[int], kind: int = 0) -> bytes:
    return text(b"t") + struct.pack(f"<I{len(sizes)}QIQ", dimensions, *sizes, kind, 0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", r"is empty \(0 bytes\)", id="empty"),
        pytest.param(b"GGUX" + bytes(60), "not a GGUF file: it starts with b'GGUX'", id="wrong magic"),
        pytest.param(b"Dear reader, this is a text.", "it starts with b'Dear'", id="a text file, renamed"),
        pytest.param(
            header(keys=1, rest=text(b"k") + struct.pack("<IIQ", 9, 0, 1 << 22) + bytes(1 << 22)),
            "at most 2097152 in all are believable",
            id="a list longer than any vocabulary",
        ),
        pytest.param(
            header(keys=2, rest=(text(b"k") + struct.pack("<II", 4, 1)) * 2),
            "metadata .k. is written twice",
            id="twice a key",
        ),
        pytest.param(
            header(keys=1, rest=text(b"k", 1 << 26) + bytes((1 << 26) - 1)),
            "at most 33554432 are believable",
            id="a header larger than any",
        ),
        pytest.param(
            header(tensors=2, rest=tensor(1, [32]) + tensor(1, [32]).replace(b"t", b"u", 1) + bytes(999)),
            "tensor 'u' overlaps the one before it",
            id="overlap",
        ),
        pytest.param(
            header(rest=tensor(1, [1]).replace(b"t", b"\n", 1) + bytes(99)), "not printable", id="a name with a newline"
        ),
        pytest.param(b"GG", "it starts with b'GG'", id="two bytes"),
        pytest.param(b"GGUF", "needs at least 8 bytes, the file has 4 bytes", id="magic only"),
        pytest.param(header(version=1), "has GGUF version 1; versions 2 and 3 work", id="old version"),
        pytest.param(header(version=0x03000000), "versions 2 and 3 work", id="big-endian"),
        pytest.param(header(tensors=1 << 60), "at most 65536 are believable", id="far too many tensors"),
        pytest.param(header(keys=1, rest=text(b"k", 1 << 62)), r"needs at least \d+ bytes", id="endless key"),
        pytest.param(
            header(keys=1, rest=text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 61)), "are believable", id="endless list"
        ),
        pytest.param(header(keys=1, rest=text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 20)), "cut off", id="cut list"),
        pytest.param(
            header(keys=1, rest=text(b"k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9 + bytes(64)),
            "nested deeper than 4",
            id="nested lists",
        ),
        pytest.param(header(keys=1, rest=text(b"k") + struct.pack("<I", 77)), "unknown type 77", id="unknown value"),
        pytest.param(header(rest=tensor(9, [1] * 9)), "has 9 dimensions, 1 to 4", id="nine dimensions"),
        pytest.param(header(rest=tensor(1, [32], kind=99)), "has ggml type 99; these can be read: F32", id="type"),
        pytest.param(header(rest=tensor(1, [33], kind=3)), "has rows of 33, not of 32s", id="rows not of blocks"),
        pytest.param(header(rest=tensor(2, [1 << 40, 1 << 20])), "its tensors end at byte", id="huge tensor"),
        pytest.param(header(tensors=0), "holds no tensors", id="nothing in it"),
        pytest.param(header(tensors=2, rest=tensor(1, [1]) * 2 + bytes(99)), "declares a tensor twice", id="twice"),
    ],
)
def test_a_broken_file_ends_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)

    with pytest.raises(Invalid, match=sentence) as caught:
        read_gguf(path)
    assert str(caught.value).startswith("broken.gguf")


def test_a_file_cut_in_half_is_refused_with_both_sizes(whole):
    content = whole.read_bytes()
    whole.write_bytes(content[:-1000])

    with pytest.raises(Invalid, match=rf"end at byte {len(content)}, the file has {len(content) - 1000} bytes"):
        read_gguf(whole)


def test_no_cut_of_a_file_ends_in_anything_but_one_sentence(whole):
    content = whole.read_bytes()
    for length in range(0, len(content) - 1, 7):
        whole.write_bytes(content[:length])
        with pytest.raises(Invalid):
            read_gguf(whole)


def test_a_type_that_is_not_converted_is_read_and_refused_to_the_build(tmp_path):
    path = tmp_path / "ternary.gguf"
    path.write_bytes(header(rest=tensor(1, [256], kind=34) + bytes(54 + 99)))
    read = read_gguf(path)

    assert read.parameters == 256
    assert 34 not in CONVERTED
    with pytest.raises(Refused, match="t has type TQ1_0; these are converted: F32, F16, Q4_0"):
        read.check_convertible()


def test_a_number_that_is_none_is_refused(tmp_path):
    path = tmp_path / "nan.gguf"
    path.write_bytes(header(keys=1, rest=text(b"k") + struct.pack("<If", 6, float("nan")) + tensor(1, [1]) + bytes(99)))

    with pytest.raises(Invalid, match="metadata k must be a number, found nan"):
        read_gguf(path).number("k")
