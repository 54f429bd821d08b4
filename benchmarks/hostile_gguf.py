"""GGUF headers that somebody broke. Used by `fuzz_import.py`."""

from __future__ import annotations

import random
import struct
from pathlib import Path

U32, F32, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10
SIZES = {"F32": (0, 4), "F16": (1, 2), "BF16": (30, 2)}
NUMBERS = (0, 1, 2, 3, 7, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 1 << 40)
Value = tuple[int, bytes]


def text(value: str | bytes) -> bytes:
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def whole(value: int) -> Value:
    return U32, struct.pack("<I", value & 0xFFFFFFFF)


def array(kind: int, length: int, content: bytes) -> Value:
    return ARRAY, struct.pack("<IQ", kind, length) + content


def _good(rng: random.Random) -> tuple[list[tuple[str, Value]], list[tuple[str, list[int], int]]]:
    """Metadata and tensors (sizes as the file stores them, columns first) of a small model."""
    family = rng.choice(("llama", "qwen2", "qwen3", "qwen3moe", "deepseek2", "gemma3", "gpt-oss", "glm4moe", "phi3"))
    hidden, wide, vocabulary = 64, 128, 300
    numbers = {
        "block_count": 3,
        "context_length": 2048,
        "embedding_length": hidden,
        "feed_forward_length": wide,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
        "attention.value_length": 16,
        "expert_count": 4,
        "expert_used_count": 2,
        "attention.sliding_window": 128,
        "split.count": 0,
    }
    metadata: list[tuple[str, Value]] = [("general.architecture", (STRING, text(family)))]
    metadata += [(f"{family}.{key}", whole(value)) for key, value in numbers.items()]
    metadata += [
        ("general.alignment", whole(32)),
        ("tokenizer.ggml.tokens", array(STRING, 3, text("a") + text("b") + text("ab"))),
        ("tokenizer.ggml.scores", array(F32, 3, bytes(12))),
    ]
    kind = rng.choice((0, 1, 30))
    tensors = [("token_embd.weight", [hidden, vocabulary], kind), ("output_norm.weight", [hidden], 0)]
    for layer in range(3):
        at = f"blk.{layer}."
        tensors += [(f"{at}{name}.weight", [hidden], 0) for name in ("attn_norm", "ffn_norm")]
        if family == "deepseek2":
            tensors += [(f"{at}attn_q.weight", [hidden, 96], kind), (f"{at}attn_kv_a_mqa.weight", [hidden, 40], kind)]
            tensors += [(f"{at}attn_kv_a_norm.weight", [32], 0), (f"{at}attn_kv_b.weight", [32, 128], kind)]
            tensors += [(f"{at}attn_output.weight", [64, hidden], kind)]
        else:
            tensors += [(f"{at}attn_{name}.weight", [hidden, 64], kind) for name in ("q", "output")]
            tensors += [(f"{at}attn_{name}.weight", [hidden, 32], kind) for name in ("k", "v")]
        if family in ("qwen3moe", "gpt-oss"):
            tensors += [(f"{at}ffn_{name}_exps.weight", [hidden, wide, 4], kind) for name in ("gate", "up")]
            tensors += [
                (f"{at}ffn_down_exps.weight", [wide, hidden, 4], kind),
                (f"{at}ffn_gate_inp.weight", [hidden, 4], 0),
            ]
        else:
            tensors += [(f"{at}ffn_{name}.weight", [hidden, wide], kind) for name in ("gate", "up")]
            tensors += [(f"{at}ffn_down.weight", [wide, hidden], kind)]
    return metadata, tensors


def _value(rng: random.Random) -> Value:
    """A value that nobody expects under a known key."""
    count = rng.choice((0, 1, 3, 5000))
    deep = struct.pack("<IQ", U32, 1) + bytes(4) + struct.pack("<IQ", ARRAY, 1) + bytes(12)
    return rng.choice(
        (
            whole(rng.choice((0, 1, 3, 2**24, 2**31, 2**32 - 1))),
            (F32, struct.pack("<f", rng.choice((float("nan"), float("inf"), -1.5, 0.0)))),
            (STRING, text(rng.choice(("", "\x00", "llama", "x" * 5000, b"\xff\xfe", "\x1b[2J", "\ud800")))),
            (U64, struct.pack("<Q", rng.choice(NUMBERS))),
            array(U32, count, struct.pack(f"<{count}I", *([rng.choice((0, 1, 2, 2**31))] * count))),
            array(rng.choice((0, 4, 8, 9, 77)), rng.choice(NUMBERS), bytes(64)),
            (BOOL, rng.choice((b"\x00", b"\x01", b"\xff"))),
            array(ARRAY, 2, deep),
            (rng.choice((13, 77, 2**32 - 1)), bytes(8)),
        )
    )


def _bomb(rng: random.Random) -> Value:
    """A list made to cost: millions of empty strings, numbers, or lists."""
    count = rng.choice((100_000, 1_500_000, 2_097_152, 3_000_000))
    return rng.choice(
        (
            array(STRING, count, bytes(8 * count)),
            array(STRING, count, text("ab") * count if count < 200_000 else bytes(8 * count)),
            array(0, count, b"\x7f" * count),
            array(U64, count, b"\xff" * (8 * count)),
            array(ARRAY, count // 50, struct.pack("<IQ", U32, 0) * (count // 50)),
            (STRING, text(b"\xf0\x9f\x99\x82" + b"x" * (24 << 20))),
        )
    )


def make(rng: random.Random, folder: Path) -> Path:
    """A broken GGUF file."""
    metadata, tensors = _good(rng)
    for _ in range(rng.choice((0, 1, 1, 2))):
        at = rng.randrange(len(metadata))
        key, value = metadata[at]
        deed = rng.randrange(5)
        if deed < 3:
            metadata[at] = (key, _value(rng))
        elif deed == 3:
            metadata.append((key, value) if rng.random() < 0.5 else (rng.choice(("", "\x00", "x" * 100_000)), value))
        else:
            del metadata[at]
    if rng.random() < 0.03:
        metadata.append(("bomb", _bomb(rng)))
    for _ in range(rng.choice((0, 0, 1, 2))):
        at = rng.randrange(len(tensors))
        name, sizes, kind = tensors[at]
        deed = rng.randrange(4)
        if deed == 0:
            name = rng.choice(
                ("", "\x00", "blk.0.attn_q.weight", "blk.9999.attn_q.weight", "x" * 300, "blk.1.new.weight", "\u202e")
            )
        elif deed == 1:
            sizes = rng.choice(([0], [1] * 9, [2**63, 2**63], [2**40, 2**20], [33], [], [64, 64, 64, 64]))
        elif deed == 2:
            kind = rng.choice((2, 8, 12, 34, 39, 4, 5, 99, 2**32 - 1))
        else:
            tensors.append(tensors[at])
            continue
        tensors[at] = (name, sizes, kind)
    many = 70_000 if rng.random() < 0.005 else 0
    tensors += [(f"t{number}", [1], 0) for number in range(many)]
    path = folder / rng.choice(("model.gguf", "model.gguf", "model-00001-of-00002.gguf"))
    _write(rng, path, metadata, tensors)
    return path


def _write(
    rng: random.Random, path: Path, metadata: list[tuple[str, Value]], tensors: list[tuple[str, list[int], int]]
) -> None:
    lies = rng.random() < 0.1
    counts = [rng.choice(NUMBERS) if lies and rng.random() < 0.5 else len(found) for found in (tensors, metadata)]
    raw = bytearray(b"GGUF" + struct.pack("<IQQ", rng.choice((3, 3, 3, 2, 1)) if lies else 3, *counts))
    for key, (kind, content) in metadata:
        raw += text(key) + struct.pack("<I", kind) + content
    at = 0
    for name, sizes, kind in tensors:
        offset = rng.choice((0, 2**63, at + 1)) if rng.random() < 0.005 else at
        raw += text(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes) + struct.pack("<IQ", kind, offset)
        numbers = 1
        for size in sizes:
            numbers *= size
        at += -(-min(numbers, 1 << 24) * 4 // 32) * 32
    deed = rng.random()
    if deed < 0.1:
        for _ in range(rng.choice((1, 5, 50))):
            raw[rng.randrange(min(len(raw), 20_000))] ^= 1 << rng.randrange(8)
    elif deed < 0.2:
        del raw[rng.randrange(len(raw)) :]
    elif deed < 0.25:
        place = rng.randrange(len(raw))
        raw[place : place + 8] = struct.pack("<Q", rng.choice(NUMBERS))
    with path.open("wb") as file:
        file.write(raw)
        if deed > 0.2:
            file.truncate(len(raw) + 64 + at)
