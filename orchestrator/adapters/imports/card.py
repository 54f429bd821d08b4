"""A `Model` card from whatever a user has: a folder, a `config.json`, safetensors, GGUF, or a name on a hub.

Dimensions come from the configuration where its family is known, else from the tensors. Where both are there, the
parameters that the dimensions make are held against those that the headers declare. Nothing is loaded or run. Called by
`cli.models_import` and, for weights that a service names, by `orchestrator.adapters.cards`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from orchestrator.adapters.imports.bounded import shown
from orchestrator.adapters.imports.config import read_config
from orchestrator.adapters.imports.gguf import GgufModel
from orchestrator.adapters.imports.licences import licence_in, licence_of
from orchestrator.adapters.imports.look import Found, look
from orchestrator.adapters.imports.packed import Weight, weights
from orchestrator.adapters.imports.parts import parameters_of
from orchestrator.adapters.imports.tensors import architecture_of
from orchestrator.api.architecture import Architecture
from orchestrator.api.document import API_VERSION
from orchestrator.api.model import Model
from orchestrator.core.architecture import parameters
from orchestrator.errors import HeadwaterError, Invalid, Refused

COUNTS_MAY_DIFFER = 0.01  # of what the headers declare; more, and one of the two is another model's
WITH_WEIGHTS = "In a folder with its weights it can be read from its tensors: headwater models import FOLDER"
LONGEST_SLUG, LONGEST_NOTE = 56, 300
MOST_NOTES = 20
DTYPES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32", "F8_E4M3": "fp8"}
GGUF_TYPES = {"F32": "fp32", "F16": "fp16", "BF16": "bf16", "Q8_0": "gguf-q8", "Q8_1": "gguf-q8"}


@dataclass(frozen=True, slots=True)
class Described:
    """A model as its files describe it."""

    family: str
    architecture: Architecture
    context: int | None
    native: str | None
    native_format: str
    inputs: tuple[str, ...] = ("text",)
    outputs: tuple[str, ...] = ("text",)
    total: int | None = None  # parameters that the headers declare, where there are headers
    size_bytes: Mapping[str, int] = field(default_factory=dict)  # as stored, by type
    from_tensors: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """A card, and what only its files know."""

    card: Model
    size_bytes: Mapping[str, int]  # of the weights as stored, by type; empty for a bare configuration
    total: int | None  # parameters that the headers declare
    notes: tuple[str, ...]


def import_model(
    source: str,
    *,
    name: str | None = None,
    licence: str | None = None,
    organisation: str | None = None,
    hub: str | None = None,
) -> Imported:
    """Read a card.

    Args:
        source: a folder, a `config.json`, a `.safetensors` or `.gguf` file, or `hf://organisation/name[@revision]`.
        name: of the card; made from the source where it is not given.
        licence: SPDX expression; where it is not given, what the files say.
        organisation: who made the model; of a hub name its first part.
        hub: name that the weights have on a hub and below the sites' models folder; of a hub source its own.

    Raises:
        Invalid: nothing usable is there, or what is there contradicts itself.
        Refused: a model that cannot be described, with what is missing.
        Unavailable: the hub does not answer.
    """
    try:
        found = look(source)
        read = described(found)
        stated = {"spdx": licence, "status": "unverified", "note": "as stated on import"} if licence else None
        spec = {
            "organisation": organisation or found.hub.rpartition("/")[0] or "unknown",
            "licence": stated or _licence(found),
            "hub": hub or found.hub,
            "source": found.source,
            "sources": (source,) if found.hub else (),
            "confidence": "high" if read.total is not None and not read.from_tensors else "medium",
        }
        card = Model.model_validate(card_of(read, name or slug(found.name), spec))
    except ValidationError as error:
        raise Invalid(f"{source}: {first_problem(error)}") from None
    except HeadwaterError as error:
        error.args = (f"{source}: {error}",)
        raise
    except OSError as error:
        raise Invalid(f"{source}: {error.strerror or 'cannot be read'}") from None
    return Imported(card, read.size_bytes, read.total, read.notes)


def described(found: Found) -> Described:
    """The model that lies at a source.

    Raises:
        Invalid: configuration and weights speak of different models.
        Refused: a family that is not known, without weights that could say it.
    """
    if found.gguf is not None:
        return _of_gguf(found.gguf)
    config = found.config or {}
    stored = None if found.tensors is None else weights(found.tensors, config)
    size_bytes: dict[str, int] = {}
    for tensor in found.tensors or ():
        size_bytes[tensor.dtype] = size_bytes.get(tensor.dtype, 0) + tensor.size_bytes
    if found.config is None:
        return _of_tensors(stored or [], config, size_bytes, ("there is no config.json beside the weights",))
    try:
        read = read_config(config)
    except Refused as refusal:
        if stored is None:
            raise Refused(f"{refusal}. {WITH_WEIGHTS}") from None
        return _of_tensors(stored, config, size_bytes, (f"read from its tensors: {refusal}",))
    total = None
    if stored is not None:
        total = _checked(found.name, read.architecture, stored)
    return Described(
        read.family,
        read.architecture,
        read.context,
        read.native,
        read.native_format,
        tuple(read.inputs),
        tuple(read.outputs),
        total,
        size_bytes,
        notes=tuple(read.notes),
    )


def _checked(name: str, architecture: Architecture, stored: list[Weight]) -> int:
    """Parameters that the headers declare, when the dimensions make as many."""
    layers = sum(group.count for group in architecture.layers)
    total = parameters_of(stored, count=layers, tied=architecture.tied_embeddings)
    counted = parameters(architecture).total
    if abs(counted - total) > COUNTS_MAY_DIFFER * total:
        raise Invalid(
            f"config.json of {shown(name)} describes {counted:,} parameters and its weights hold {total:,}; "
            "one of them is wrong"
        )
    return total


def _of_tensors(
    stored: list[Weight], config: Mapping[str, Any], size_bytes: Mapping[str, int], notes: tuple[str, ...]
) -> Described:
    architecture = architecture_of(stored, config)
    widest = max(size_bytes, key=lambda dtype: size_bytes[dtype])
    kind = config.get("model_type")
    family = slug(kind)[:40].strip("-.") if isinstance(kind, str) else "unknown"
    context = config.get("max_position_embeddings")
    known = isinstance(context, int) and not isinstance(context, bool) and 0 < context < 1 << 40
    native = None if "quantization_config" in config else DTYPES.get(widest)
    return Described(
        family or "unknown",
        architecture,
        context if known else None,
        native,
        "fp8" if native == "fp8" else "plain",
        total=parameters(architecture).total,
        size_bytes=size_bytes,
        from_tensors=True,
        notes=notes,
    )


def _of_gguf(read: GgufModel) -> Described:
    native = GGUF_TYPES.get(read.quantized) or ("gguf-q4" if read.quantized.startswith(("Q4", "IQ4")) else None)
    notes = () if native else (f"most of its weights have the type {read.quantized}, which is not planned with",)
    return Described(
        slug(read.family),
        read.architecture,
        read.context,
        native,
        "gguf",
        total=read.parameters,
        size_bytes=read.bytes_by_type,
        notes=notes,
    )


def card_of(read: Described, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A card as a document, with what the caller knows of the model."""
    counted = {"total": read.total, "note": "counted in the headers of the files"} if read.total else None
    return {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"name": name},
        "spec": {
            "family": read.family,
            "inputs": read.inputs,
            "outputs": read.outputs,
            "architecture": read.architecture,
            "context": read.context,
            "native": read.native,
            "native_format": read.native_format,
            "published": counted,
            "unverified": tuple(note[:LONGEST_NOTE] for note in read.notes[:MOST_NOTES]),
            **spec,
        },
    }


def slug(text: str) -> str:
    """A name that documents may have, from any text."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:LONGEST_SLUG].strip("-.") or "model"


def _licence(found: Found) -> dict[str, Any]:
    if found.gguf is not None and found.gguf.licence:
        return licence_of(found.gguf.licence)
    return licence_in(found.readme)


def first_problem(error: ValidationError) -> str:
    """The first thing pydantic found, as one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"
