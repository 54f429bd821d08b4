"""How a row's weights and cache were stored, in the words of the catalog. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

from orchestrator.api.engine import Engine
from orchestrator.api.model import Model
from orchestrator.api.quantization import Quantization
from orchestrator.core.rows.models import suffix_words
from runtimes.errors import Invalid

_WRITTEN: tuple[tuple[str, Quantization], ...] = (
    (r"gguf.*q8|q8_0", "gguf-q8"),
    (r"gguf|q4_k|q4_0", "gguf-q4"),
    (r"(?:hif8|mxfp8|fp8)[^a-z0-9]+(?:mxfp8-)?mxfp4", "mxfp4-experts-fp8"),
    (r"fp4 weights", "mxfp4"),
    (r"w4a8", "w4a8"),
    (r"w4a4", "w4a4"),
    (r"w8a16|weight.only int8|wint8|int8.weight.only", "w8a16"),
    (r"w8a8", "w8a8"),
    (r"w4a16|awq|gptq|int4|wint4|4.?bit|u4", "w4a16"),
    (r"nvfp4", "nvfp4"),
    (r"mxfp8", "mxfp8"),
    (r"mxfp4", "mxfp4"),
    (r"fp8|f8|e4m3|hif8", "fp8"),
    (r"int8|w8|8.?bit|rtn", "w8a8"),
    (r"fp16|float16|f16|half", "fp16"),
    (r"bf16|bfloat16", "bf16"),
    (r"fp32|float32", "fp32"),
)
"""First match wins: the more special words come first."""

EDGE = ("int8", "int4")  # the edge build's own; elsewhere the words mean w8a8 and w4a16

_ONE_BYTE = re.compile(r"c8\b|kv[ -]?(?:cache)?[ -]?(?:fp8|int8)|kv[-_]cache[-_]dtype[= ](?:fp8|int8)", re.IGNORECASE)
_EXPERTS: dict[Quantization, tuple[Quantization, ...]] = {
    "mxfp4": ("mxfp4-experts", "mxfp4-experts-fp8"),
    "w4a16": ("int4-experts",),
}
"""Words that, of a model whose experts alone are published so, mean its own weights."""


@dataclass(frozen=True)
class Stored:
    """How weights and cache are stored, and what was assumed to say so."""

    quantization: Quantization
    cache_bytes: float | None = None  # of one cached number; None: as usual for the quantization
    notes: tuple[str, ...] = ()


def stored(precision: str, model: Model, written: str, engine: Engine, notes: str) -> Stored:
    """How a row's model was stored.

    Args:
        precision: the row's cell.
        model: that the row means.
        written: the name of the model as the row has it; it tells where the cell does not.
        engine: that ran it; some read one format alone.
        notes: commands and remarks of the row.
    """
    text = precision.lower()[:200]
    if "cpu" in text and "+" in text:
        raise Invalid("chips and the host's CPU share the model's layers")
    cache = 1.0 if _ONE_BYTE.search(precision) or _ONE_BYTE.search(notes) else None
    own = next((name for name in get_args(Quantization) if name == precision), None)
    if own is not None and (own not in EDGE or engine.spec.recipe == "edge"):
        return Stored(own, cache)
    found = _quantization(text)
    if found is not None:
        return Stored(_for(found, model, engine), cache, _remarks(text, found))
    by_name = _quantization(" ".join(suffix_words(written)))
    if by_name is not None:
        return Stored(_for(by_name, model, engine), cache, ("precision taken from the model's name",))
    native = model.spec.native or "bf16"
    note = () if "original" in text else (f"precision is not stated; taken as published: {native}",)
    return Stored(native, cache, note)


def _quantization(text: str) -> Quantization | None:
    return next((name for pattern, name in _WRITTEN if re.search(rf"(?<![a-z])(?:{pattern})", text)), None)


def _for(found: Quantization, model: Model, engine: Engine) -> Quantization:
    """The quantization as this model and this engine have it."""
    native = model.spec.native
    if native is not None and native in _EXPERTS.get(found, ()):
        return native
    if engine.spec.program == "llama.cpp" and found == "w4a16":
        return "gguf-q4"
    return found


def _remarks(text: str, found: Quantization) -> tuple[str, ...]:
    if "to bf16" in text or "to fp8" in text:
        return (f"{found} weights are widened before they are multiplied",)
    return ()
