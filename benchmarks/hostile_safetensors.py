"""Safetensors headers that somebody broke, alone, in shards and beside a configuration. Used by `fuzz_import.py`."""

from __future__ import annotations

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

from hostile_configs import CONFIGS, HOSTILE, broken, broken_text

WIDTHS = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1, "I32": 4}
NAMES = (
    "",
    "\x00",
    "a\nb",
    "\ud800",
    "\u202e",
    "x" * 600,
    "x" * 70_000,
    "../x",
    "__metadata__",
    "model.layers.99999.q",
    "🙂",
)
TRICKS = (
    "../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", "model.safetensors\x00", "con.safetensors ", "",
    "x" * 300,
    "model-00001-of-00002.safetensors", "%2e%2e/x.safetensors", "~/x.safetensors", "\\\\host\\x.safetensors",
)  # fmt: skip
LENGTHS = (0, 1, 7, 8, 2**31, 2**32, 2**53, 2**63, 2**64 - 1, 100 << 20, 16 << 20)


def _shapes(rng: random.Random) -> dict[str, list[int]]:
    """The tensors of a small decoder, sometimes with experts."""
    hidden, wide, vocabulary = 64, 128, 500
    found = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden]}
    experts = rng.random() < 0.3
    for layer in range(4):
        at = f"model.layers.{layer}."
        found |= {
            f"{at}self_attn.q_proj.weight": [hidden, hidden],
            f"{at}self_attn.k_proj.weight": [hidden // 2, hidden],
            f"{at}self_attn.v_proj.weight": [hidden // 2, hidden],
            f"{at}self_attn.o_proj.weight": [hidden, hidden],
            f"{at}input_layernorm.weight": [hidden],
            f"{at}post_attention_layernorm.weight": [hidden],
        }
        names = [f"mlp.experts.{number}" for number in range(8)] if experts else ["mlp"]
        for name in names:
            found |= {f"{at}{name}.{part}_proj.weight": [wide, hidden] for part in ("gate", "up")}
            found[f"{at}{name}.down_proj.weight"] = [hidden, wide]
        if experts:
            found[f"{at}mlp.gate.weight"] = [8, hidden]
    if rng.random() < 0.5:
        found["lm_head.weight"] = [vocabulary, hidden]
    return found


def _header(rng: random.Random, shapes: dict[str, list[int]]) -> tuple[dict[str, Any], int]:
    dtype = rng.choice(("BF16", "BF16", "F16", *WIDTHS))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}} if rng.random() < 0.5 else {}
    at = 0
    for name, shape in shapes.items():
        size = math.prod(shape) * WIDTHS[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return header, at


def _bent(rng: random.Random, header: dict[str, Any]) -> None:
    """Break one entry as somebody would who knows the format."""
    name = rng.choice([name for name in header if name != "__metadata__"])
    entry = header[name]
    deed = rng.randrange(7)
    if not isinstance(entry, dict) or deed == 0:
        header[rng.choice(NAMES)] = header.pop(name)
    elif deed == 1:
        entry["shape"] = rng.choice(
            ([2**62, 2**62], [0], [], [-1, 4], [2**63], [1] * 50, [True, 2], [1.5], [10**400], None)
        )
    elif deed == 2:
        entry["data_offsets"] = rng.choice(
            ([0, 0], [0, 2**63], [-8, 0], [8, 0], [0], [1, 2, 3], "0-8", [0, 10**400], [None, 1])
        )
    elif deed == 3:
        entry["dtype"] = rng.choice(("F99", "", "f32", 7, None, ["F32"], "F4", "F6_E2M3", "C64", "BOOL", "U32"))
    elif deed == 4:
        entry[rng.choice(("x", "dtype", "shape"))] = copy.deepcopy(rng.choice(HOSTILE))
    elif deed == 5:
        other = rng.choice([other for other in header if other != "__metadata__"])
        header[name], header[other] = header[other], header[name]
    else:
        header.setdefault(f"model.layers.{rng.choice((0, 3, 4, 9999))}.{rng.choice(NAMES)}", dict(entry))


def _bomb(rng: random.Random) -> tuple[bytes, int]:
    """A header made to cost: many tensors, wide or deep values, or nothing but space."""
    deed = rng.randrange(6)
    if deed == 0:
        count = rng.choice((20_000, 120_000))
        entries = (f'"t{n}":{{"dtype":"U8","shape":[1],"data_offsets":[{n},{n + 1}]}}' for n in range(count))
        return b"{" + ",".join(entries).encode() + b"}", count
    if deed == 1:
        return b'{"a":' * rng.choice((900, 100_000)) + b"1", 0
    if deed == 2:
        return b'{"a":[' + b"[]," * rng.choice((100_000, 500_000)) + b"[]]}", 0
    if deed == 3:
        return b'{"a":{"dtype":"U8","shape":[' + b"1," * 400_000 + b'1],"data_offsets":[0,1]}}', 1
    if deed == 4:
        return b"{" + b" " * rng.choice((1 << 20, 17 << 20)) + b"}", 0
    return b'{"a":"' + b"x" * (12 << 20) + "🙂".encode() + b'"}', 0


def _write(rng: random.Random, path: Path, header: bytes, payload: int) -> None:
    length = len(header)
    if rng.random() < 0.05:
        length = rng.choice((*LENGTHS, length + 1, length - 1))
    payload = max(0, payload + (rng.choice((-1, 1, 100, -(payload // 2))) if rng.random() < 0.05 else 0))
    with path.open("wb") as file:
        file.write(max(length, 0).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + payload)
    if rng.random() < 0.05:
        with path.open("r+b") as file:
            file.truncate(rng.choice((0, 1, 7, 8, 9, 8 + len(header) // 2)))


def _sharded(rng: random.Random, folder: Path, shapes: dict[str, list[int]]) -> None:
    """Two shards and an index that may lie."""
    names = list(shapes)
    halves = (names[: len(names) // 2], names[len(names) // 2 :])
    files = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    listed = {}
    for file, half in zip(files, halves, strict=True):
        header, payload = _header(rng, {name: shapes[name] for name in half})
        if rng.random() < 0.2:
            _bent(rng, header)
        _write(rng, folder / file, json.dumps(header).encode(), payload)
        listed |= dict.fromkeys(half, file)
    index: dict[str, Any] = {"metadata": {"total_size": 1}, "weight_map": listed}
    deed = rng.random()
    if deed < 0.3:
        listed[rng.choice(names)] = rng.choice(TRICKS)
    elif deed < 0.5:
        broken(rng, index)
    elif deed < 0.6:
        index["weight_map"] = {f"t{n}": "model-00001-of-00002.safetensors" for n in range(rng.choice((10, 200_000)))}
    content = json.dumps(index)
    raw = broken_text(rng, content) if rng.random() < 0.3 else content.encode("utf-8", "surrogatepass")
    if rng.random() < 0.9:
        (folder / "model.safetensors.index.json").write_bytes(raw)


def make(rng: random.Random, folder: Path) -> Path:
    """Broken weights, as a file or as a folder."""
    shapes = _shapes(rng)
    if rng.random() < 0.7:
        config = json.loads(
            json.dumps(
                rng.choice(
                    (CONFIGS[0], CONFIGS[3], CONFIGS[4], CONFIGS[0] | {"model_type": "new", "architectures": ["New"]})
                )
            )
        )
        if rng.random() < 0.3:
            broken(rng, config)
        (folder / "config.json").write_bytes(json.dumps(config).encode("utf-8", "surrogatepass"))
    if rng.random() < 0.25:
        _sharded(rng, folder, shapes)
        return folder
    path = folder / "model.safetensors"
    if rng.random() < 0.05:
        header, payload = _bomb(rng)
        _write(rng, path, header, payload)
    else:
        entries, payload = _header(rng, shapes)
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            rng.choice((_bent, broken))(rng, entries)
        text = json.dumps(entries)
        header = broken_text(rng, text) if rng.random() < 0.2 else text.encode("utf-8", "surrogatepass")
        _write(rng, path, header, payload)
    return rng.choice((path, folder))
