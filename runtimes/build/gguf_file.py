"""The header of a GGUF file: metadata, tensor table, and whether the file holds all it declares.

Reads with bounds checked at every step; a hostile or cut file ends in one sentence. No weights are loaded and the gguf
package is not imported, so planning can look at a file cheaply. Weights are read in `runtimes.build.gguf_weights`.
Called by `runtimes.build.sources`, `runtimes.build.gguf_weights` and `runtimes.build.gguf_tokenizer`.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from runtimes.build.ggml_types import CONVERTED, TENSOR_TYPES
from runtimes.errors import Invalid, Refused

Scalar = str | int | float | bool
Value = Scalar | list["Value"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
# Bounds of a believable header: a reader of a hostile one stays below 400 MB and two seconds. The largest published
# vocabularies take 15 MB, and with scores, types and merges 1.3 million values; the largest models have 2,000 tensors.
MOST_HEADER_BYTES = 32 << 20
MOST_VALUES = 1 << 21  # in all lists of the metadata together
MOST_ENTRIES = 1 << 16  # metadata keys, or tensors
LONGEST_TENSOR_NAME = 256
MOST_DIMENSIONS = 4
DEEPEST_ARRAY = 4
LIST_IN_LIST = 64  # a list in a list costs as much as this many values; no published model has one
STRING, ARRAY = 8, 9
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One declared tensor.

    Attributes:
        name: as written in the file, for example `blk.0.attn_q.weight`.
        shape: rows first, as PyTorch has it (the file stores the reverse).
        type_id: key of `TENSOR_TYPES`.
        offset_bytes: from the start of the file.
        size_bytes: bytes of its data.
    """

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A checked header."""

    path: Path
    metadata: dict[str, Value]
    tensors: tuple[GgufTensor, ...]

    def check_convertible(self) -> None:
        """Raises Refused, naming the first tensor of a type that the edge build does not convert."""
        for tensor in self.tensors:
            if tensor.type_id not in CONVERTED:
                known = ", ".join(TENSOR_TYPES[type_id][0] for type_id in sorted(CONVERTED))
                label = TENSOR_TYPES[tensor.type_id][0]
                raise Refused(f"{self.path.name}: {tensor.name[:80]} has type {label}; these are converted: {known}")

    @property
    def parameters(self) -> int:
        """Number of weights in all tensors."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    def text(self, key: str, default: str = "") -> str:
        """A string of the metadata."""
        value = self.metadata.get(key, default)
        if not isinstance(value, str):
            raise Invalid(f"{self.path.name}: metadata {key} must be a string")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number of the metadata; an absent one without a default is refused."""
        value = self.metadata.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Invalid(f"{self.path.name}: metadata {key} must be a number, found {_short(value)}")
        return value

    def strings(self, key: str) -> list[str]:
        """A list of strings of the metadata."""
        value = self.metadata.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Invalid(f"{self.path.name}: metadata {key} must be a list of strings, found {_short(value)}")
        return [str(item) for item in value]


def read_gguf(path: Path) -> GgufFile:
    """Reads and checks the header of a GGUF file.

    Raises:
        Invalid: not a GGUF file, an unknown version or tensor type, or a file shorter than its header declares.
    """
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise Invalid(f"{path.name} is empty (0 bytes); a GGUF file was expected")
    with path.open("rb") as file:
        magic = file.read(4)
        if magic != MAGIC:
            raise Invalid(f"{path.name} is not a GGUF file: it starts with {magic!r}, a GGUF file with {MAGIC!r}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return _Reader(path, view, size_bytes).read()


def _short(value: object) -> str:
    return "nothing" if value is None else repr(value)[:60]


class _Reader:
    """Walks the header once, front to back."""

    def __init__(self, path: Path, view: mmap.mmap, size_bytes: int) -> None:
        self._path = path
        self._view = view
        self._size_bytes = size_bytes
        self._at = len(MAGIC)
        self._values_left = MOST_VALUES

    def read(self) -> GgufFile:
        version = self._int("<I")
        if version not in VERSIONS:
            raise Invalid(
                f"{self._path.name} has GGUF version {version}; versions {VERSIONS[0]} and {VERSIONS[1]} work"
            )
        tensor_count = self._count("tensors")
        key_count = self._count("metadata keys")
        metadata: dict[str, Value] = {}
        for _ in range(key_count):
            key = self._string()
            if key in metadata:
                raise Invalid(f"{self._path.name}: metadata {_short(key)} is written twice")
            metadata[key] = self._value(self._int("<I"), depth=0)
        declared = [self._declared() for _ in range(tensor_count)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment <= 0:
            raise Invalid(f"{self._path.name}: metadata general.alignment must be a positive whole number")
        start = -(-self._at // alignment) * alignment
        tensors = tuple(self._placed(start, *entry) for entry in declared)
        self._check_extent(tensors)
        return GgufFile(self._path, metadata, tensors)

    def _check_extent(self, tensors: tuple[GgufTensor, ...]) -> None:
        if not tensors:
            raise Invalid(f"{self._path.name} holds no tensors")
        if len({tensor.name for tensor in tensors}) != len(tensors):
            raise Invalid(f"{self._path.name} declares a tensor twice")
        end_bytes = 0
        for tensor in sorted(tensors, key=lambda tensor: tensor.offset_bytes):
            if tensor.offset_bytes < end_bytes:
                raise Invalid(f"{self._path.name}: tensor {_short(tensor.name)} overlaps the one before it")
            end_bytes = tensor.offset_bytes + tensor.size_bytes
        if end_bytes > self._size_bytes:
            raise Invalid(
                f"{self._path.name} is cut off: its tensors end at byte {end_bytes}, "
                f"the file has {self._size_bytes} bytes"
            )

    def _declared(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        if not 0 < len(name) <= LONGEST_TENSOR_NAME or not name.isprintable():
            raise Invalid(f"{self._path.name} has a tensor name that is empty, too long or not printable")
        dimensions = self._int("<I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise Invalid(f"{self._path.name}: tensor {name[:80]} has {dimensions} dimensions, 1 to 4 are allowed")
        shape = tuple(self._int("<Q") for _ in range(dimensions))
        return name, shape[::-1], self._int("<I"), self._int("<Q")

    def _placed(self, start: int, name: str, shape: tuple[int, ...], type_id: int, offset: int) -> GgufTensor:
        if type_id not in TENSOR_TYPES:
            known = ", ".join(entry[0] for entry in TENSOR_TYPES.values())
            raise Invalid(f"{self._path.name}: tensor {name[:80]} has ggml type {type_id}; these can be read: {known}")
        label, block, block_bytes = TENSOR_TYPES[type_id]
        if 0 in shape or shape[-1] % block:
            raise Invalid(
                f"{self._path.name}: tensor {name[:80]} of type {label} has rows of {shape[-1]}, not of {block}s"
            )
        return GgufTensor(name, shape, type_id, start + offset, math.prod(shape) // block * block_bytes)

    def _value(self, kind: int, *, depth: int) -> Value:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            return self._array(depth)
        if kind not in SCALARS:
            raise Invalid(f"{self._path.name}: metadata has a value of unknown type {kind} at byte {self._at}")
        value: Scalar = self._unpack(SCALARS[kind])
        return value

    def _array(self, depth: int) -> list[Value]:
        if depth >= DEEPEST_ARRAY:
            raise Invalid(f"{self._path.name}: metadata has lists nested deeper than {DEEPEST_ARRAY}")
        kind = self._int("<I")
        length = self._int("<Q")
        cost = length * (LIST_IN_LIST if kind == ARRAY else 1)
        if cost > self._values_left:
            raise Invalid(
                f"{self._path.name} declares a list of {length} values; at most {MOST_VALUES} in all are believable"
            )
        self._values_left -= cost
        smallest_bytes = struct.calcsize(SCALARS[kind]) if kind in SCALARS else _LENGTH.size
        self._need(length * smallest_bytes)
        if kind in SCALARS:
            code = SCALARS[kind]
            values = struct.unpack_from(f"<{length}{code[1]}", self._view, self._at)
            self._at += length * smallest_bytes
            return list(values)
        if kind == STRING:
            return self._strings(length)
        return [self._value(kind, depth=depth + 1) for _ in range(length)]

    def _strings(self, length: int) -> list[Value]:
        """A list of strings; written out, because vocabularies make up nearly all of a header."""
        view, at, end_of_header = self._view, self._at, min(self._size_bytes, MOST_HEADER_BYTES)
        found: list[Value] = []
        for _ in range(length):
            start = at + _LENGTH.size
            if start <= end_of_header:
                at = start + _LENGTH.unpack_from(view, at)[0]
            if not start <= at <= end_of_header:
                self._need(max(start, at) - self._at)
            found.append(str(view[start:at], "utf-8", "replace"))
        self._at = at
        return found

    def _string(self) -> str:
        length = self._int("<Q")
        self._need(length)
        raw = self._view[self._at : self._at + length]
        self._at += length
        return raw.decode("utf-8", errors="replace")

    def _count(self, what: str) -> int:
        count = self._int("<Q")
        if count > MOST_ENTRIES:
            raise Invalid(f"{self._path.name} declares {count} {what}; at most {MOST_ENTRIES} are believable")
        return count

    def _int(self, code: str) -> int:
        return int(self._unpack(code))

    def _unpack(self, code: str) -> int | float | bool:
        length = struct.calcsize(code)
        self._need(length)
        (value,) = struct.unpack_from(code, self._view, self._at)
        self._at += length
        if isinstance(value, bool | int | float):
            return value
        raise Invalid(f"{self._path.name}: unreadable value at byte {self._at}")

    def _need(self, length: int) -> None:
        end_bytes = self._at + length
        if end_bytes > self._size_bytes:
            raise Invalid(
                f"{self._path.name} is cut off: its header needs at least {end_bytes} bytes, "
                f"the file has {self._size_bytes} bytes"
            )
        if end_bytes > MOST_HEADER_BYTES:
            raise Invalid(
                f"{self._path.name} has a header of {end_bytes} bytes or more; "
                f"at most {MOST_HEADER_BYTES} are believable"
            )
