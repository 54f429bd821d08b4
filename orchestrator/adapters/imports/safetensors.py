"""Headers of safetensors files: name, dtype, shape and bytes of every tensor, without loading a weight.

The format's own rules are held strictly: tensors follow each other without gap or overlap and fill the file. What the
tensors mean is not known here. Called by `orchestrator.adapters.imports.card` for files and by
`orchestrator.adapters.imports.hub` for headers that came over the network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.adapters.imports.bounded import parse_object, read_bytes, shown
from orchestrator.errors import Invalid, Refused

LENGTH_BYTES = 8  # of the length that opens a file
# The format allows 100 MB, which parsed can take 2 GB and a minute. Published headers have some 130 bytes a tensor; a
# shard has a few thousand tensors, below 1 MB.
MOST_HEADER_BYTES = 16 << 20
MOST_INDEX_BYTES = 96 << 20  # 120 bytes a tensor; read without building a value for each
MOST_TENSORS = 600_000  # of all shards; 93 layers of 896 experts stored one by one have 500,000 with their scales
MOST_SHARDS = 2048
MOST_DIMENSIONS = 8
LONGEST_NAME = 512
LARGEST_SIZE = 1 << 50
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")

# bits of one number, by the names of the format
BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}

_FIELDS = frozenset({"dtype", "shape", "data_offsets"})
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}\.safetensors")
_NUMBERED = re.compile(r"(.*-)(\d{5})-of-(\d{5})(\.safetensors)")
_MAP = re.compile(rb'"weight_map"\s*:\s*\{')
_PAIR = re.compile(rb'\s*"([^"\\\x00-\x1f]{1,512})"\s*:\s*"([^"\\\x00-\x1f]{1,255})"\s*([,}])')
_EMPTY = re.compile(rb"\s*\}")


class Tensor(NamedTuple):
    """One tensor as a file declares it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds, packed ones counted as stored."""
        return math.prod(self.shape)


def read_folder(folder: Path) -> tuple[Tensor, ...]:
    """The tensors of a folder: of the shards its index names, or of the safetensors files in it.

    Raises:
        Invalid: no safetensors, a missing shard, an index that contradicts the shards, or a file that lies.
        Refused: pickles, which run code when they are opened.
    """
    index = folder / INDEX
    counted = None
    if index.is_file():
        shards, counted = index_shards(read_bytes(inside(folder, index), MOST_INDEX_BYTES), INDEX)
        missing = [name for name in shards if not (folder / name).is_file()]
        if missing:
            raise Invalid(
                f"{INDEX} names {missing[0]}, which is not there; {len(missing)} of {len(shards)} are missing"
            )
    else:
        shards = _unlisted(folder)
    found = together((name, read_file(inside(folder, folder / name))) for name in shards)
    if counted is not None and counted != len(found):
        raise Invalid(f"{INDEX} lists {counted:,} tensors and its shards hold {len(found):,}; one of them is wrong")
    return found


def read_file(path: Path) -> tuple[Tensor, ...]:
    """The tensors of one safetensors file.

    Raises:
        Invalid: the file is cut off, or its header is not one the format allows.
    """
    if not path.is_file():
        raise Invalid(f"{path.name} is not there, or is no regular file")
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = header_length(file.read(LENGTH_BYTES), size_bytes, path.name)
        raw = file.read(length)
    return read_header(raw, size_bytes - LENGTH_BYTES - length, path.name)


def header_length(first: bytes, size_bytes: int, what: str) -> int:
    """Bytes of the header that follows the first eight bytes of a file of this size."""
    length = int.from_bytes(first, "little")
    if len(first) < LENGTH_BYTES or length > size_bytes - LENGTH_BYTES:
        raise Invalid(f"{what} is cut off: its header ends at byte {LENGTH_BYTES + length}, the file has {size_bytes}")
    if length > MOST_HEADER_BYTES:
        raise Invalid(f"{what} declares a header of {length:,} bytes; at most {MOST_HEADER_BYTES:,} are believable")
    return length


def read_header(raw: bytes, payload_bytes: int, what: str) -> tuple[Tensor, ...]:
    """The tensors that a header declares, checked against the bytes that follow it.

    Args:
        raw: the header, as many bytes as its length says.
        payload_bytes: bytes of the file after the header.
        what: name of the file, for messages.

    Raises:
        Invalid: names the tensor and the rule of the format it breaks.
    """
    if not raw.startswith(b"{"):
        raise Invalid(f"{what} is no safetensors file: its header does not open with a brace")
    entries = parse_object(raw, f"the header of {what}")
    entries.pop("__metadata__", None)
    placed: list[tuple[int, int, str]] = []
    tensors: list[Tensor] = []
    for name, entry in entries.items():
        tensor, begin = _tensor(name, entry, what)
        tensors.append(tensor)
        placed.append((begin, tensor.size_bytes, name))
    end = 0
    for begin, size_bytes, name in sorted(placed):
        if begin != end:
            wrong = "overlaps the one before it" if begin < end else "leaves a gap before it"
            raise Invalid(f"{what}: tensor {shown(name)} {wrong} (begins at {shown(begin)}, expected {end})")
        end = begin + size_bytes
    if end != payload_bytes:
        has = f"the file has {payload_bytes:,} for them"
        raise Invalid(f"{what}: its tensors take {end:,} bytes and {has}; it is cut off or altered")
    return tuple(tensors)


def _tensor(name: str, entry: Any, what: str) -> tuple[Tensor, int]:
    """One entry of a header, and where its bytes begin. Runs for each of up to half a million tensors."""
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Invalid(f"{what} has a tensor name that is empty, too long or not printable: {shown(name)}")
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        bits = BITS[dtype]
        size_bytes, rest = divmod(math.prod(shape) * bits, 8)
        sizes = [*shape, begin, end]
        right = len(entry) == len(_FIELDS) and len(shape) <= MOST_DIMENSIONS and isinstance(shape, list)
    except (TypeError, ValueError, LookupError, OverflowError):
        raise Invalid(f"{what}: {_complaint(name, entry)}") from None
    for size in sizes:
        right = right and type(size) is int and 0 <= size < LARGEST_SIZE
    if not right:
        raise Invalid(f"{what}: {_complaint(name, entry)}")
    if rest or end - begin != size_bytes:
        needs = f"of {dtype} {shape} needs {shown(size_bytes)} bytes"
        raise Invalid(f"{what}: tensor {shown(name)} {needs} and claims {end - begin}")
    return Tensor(name, dtype, tuple(shape), size_bytes), begin


def _complaint(name: str, entry: Any) -> str:
    """What is wrong with an entry that is no tensor."""
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        return f"tensor {shown(name)} must have dtype, shape and data_offsets and nothing else"
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in BITS:
        return f"tensor {shown(name)} has the unknown dtype {shown(entry['dtype'])}"
    sizes = f"whole numbers below {LARGEST_SIZE:,}"
    return f"tensor {shown(name)} needs a shape of up to {MOST_DIMENSIONS} sizes and two data_offsets, all {sizes}"


def together(shards: Iterable[tuple[str, tuple[Tensor, ...]]]) -> tuple[Tensor, ...]:
    """The tensors of all shards.

    Raises:
        Invalid: a tensor lies in two shards, there are too many, or there is none.
    """
    found: dict[str, Tensor] = {}
    for shard, tensors in shards:
        for tensor in tensors:
            if tensor.name in found:
                raise Invalid(f"{shard}: tensor {shown(tensor.name)} is in another file as well")
            found[tensor.name] = tensor
        if len(found) > MOST_TENSORS:
            raise Invalid(f"more than {MOST_TENSORS:,} tensors; that is more than any published model has")
    if not found:
        raise Invalid("the safetensors files hold no tensors")
    return tuple(found.values())


def index_shards(raw: bytes, what: str) -> tuple[list[str], int]:
    """Shards that an index names, sorted, and how many tensors it lists.

    The map of tensors is walked with a pattern, so that an index of half a million tensors costs its bytes alone.

    Raises:
        Invalid: no index, or a shard that is no plain file name.
    """
    opening = _MAP.search(raw)
    if opening is None:
        raise Invalid(f"{what} has no weight_map from tensors to files")
    shards: set[bytes] = set()
    count, at = 0, opening.end()
    closed = _EMPTY.match(raw, at)
    if closed is not None:
        raise Invalid(f"{what} lists no tensors")
    while True:
        pair = _PAIR.match(raw, at)
        if pair is None:
            raise Invalid(f"{what} is not JSON of tensor names and file names, near byte {at}")
        count, at = count + 1, pair.end()
        shards.add(pair.group(2))
        if len(shards) > MOST_SHARDS or count > MOST_TENSORS:
            raise Invalid(f"{what} lists more than {MOST_SHARDS:,} files or {MOST_TENSORS:,} tensors")
        if pair.group(3) == b"}":
            break
    around = raw[: opening.end()] + b"}" + raw[at:]
    if parse_object(around, what).get("weight_map") != {}:
        raise Invalid(f"{what} has its weight_map in the wrong place")
    names = sorted(shard.decode("utf-8", errors="replace") for shard in shards)
    for name in names:
        _check_shard(name, what)
    return names, count


def _check_shard(name: str, what: str) -> None:
    if _SHARD.fullmatch(name) is None or ".." in name:
        raise Invalid(f"{what} names the file {shown(name)}; a plain name that ends in .safetensors was expected")


def _unlisted(folder: Path) -> list[str]:
    """Files to read where no index says it."""
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    names = sorted(path.name for path in folder.glob("*.safetensors") if path.is_file())
    if len(names) > MOST_SHARDS:
        raise Invalid(f"{folder.name} has {len(names):,} safetensors files; at most {MOST_SHARDS:,} are read")
    if not names:
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if pickles:
            only = f"pickles only ({shown(pickles[0])})"
            raise Refused(f"{folder.name} has its weights as {only}; safetensors are needed")
        raise Invalid(f"{folder.name} has no *.safetensors file")
    for name in names:
        _check_shard(name, folder.name)
        numbered = _NUMBERED.fullmatch(name)
        last = int(numbered.group(3)) if numbered else 0
        if numbered and last > len(names):
            raise Invalid(f"{folder.name} has {len(names)} of the {last} files that {shown(name)} counts itself among")
    return names


def inside(folder: Path, path: Path) -> Path:
    """The path, if it stays in its folder; in a hub's cache it may lead to the blobs of the same model.

    Raises:
        Invalid: a link that leads elsewhere: another file than the folder's owner can have meant.
    """
    home, there = folder.resolve(), path.resolve()
    blobs = home.parent.parent / "blobs"
    in_cache = home.parent.name == "snapshots" and there.is_relative_to(blobs)
    if not there.is_relative_to(home) and not in_cache:
        raise Invalid(f"{path.name} is a link out of {folder.name}; give the folder where the file lies")
    return path
