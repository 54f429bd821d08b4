"""A model card for weights that are in no catalog, read from the files themselves.

A Hugging Face folder says its dimensions in `config.json`, a GGUF file in its header; weights are hashed, never loaded.
The name ends in a digest of content and licence, so that other weights under the same file name are another model.
Called by `orchestrator.offline` for tiers that give a source instead of a name. Building is `runtimes.build`.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.api.document import API_VERSION
from orchestrator.api.model import Architecture, Model
from orchestrator.core.architecture import parameters
from orchestrator.errors import HeadwaterError, Invalid, Refused, Unavailable
from runtimes.build.directory import Json, check_directory, read_json
from runtimes.build.gguf_file import GgufFile, read_gguf
from runtimes.build.sources import HUB, ResolvedSource, resolve_source

GGUF_FAMILIES = ("llama", "qwen2", "qwen3")  # a Mistral or SmolLM file calls itself llama
HEAD_NORMED = ("qwen3",)
BIASED = ("qwen2",)
LARGEST_DIMENSION = 1 << 32
COUNTS_MAY_DIFFER = 0.05  # biases and frequency tables are stored and not in the formula
LONGEST_NAME, DIGEST_DIGITS = 48, 8
NATIVE = {"bfloat16": "bf16", "float16": "fp16"}


def card_from_source(source: str, licence: str, store: Path) -> Model:
    """Read the card of a model from its files.

    Args:
        source: a `.gguf` file, a Hugging Face folder, `package://` or `hf://`.
        licence: SPDX id, as the user states it.
        store: folder of artifacts; digests of the weights are kept in it.

    Raises:
        Invalid: nothing usable is there, a file is cut off, or its numbers contradict each other.
        Refused: an architecture or a format that is not built here.
    """
    try:
        found = resolve_source(source, store)
        if found.kind == "gguf":
            header = read_gguf(found.path)
            family, architecture, context, native = (*_of_gguf(header), "bf16")
            stored = header.parameters
        else:
            stored = check_directory(found.path)
            config = read_json(found.path / "config.json")
            family, architecture, context = _of_config(config)
            native = NATIVE.get(str(config.get("torch_dtype") or config.get("dtype")), "bf16")
        _check_counts(found.name, architecture, stored)
        return Model.model_validate(_card(found, source, licence, (family, architecture, context, native)))
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"source {source}: {where}: {first['msg']}") from exc
    except Unavailable as exc:
        raise _unknown_hub(source) from exc
    except HeadwaterError as exc:
        said = str(exc)
        raise type(exc)(said if said.startswith("source ") else f"source {source}: {said}") from exc
    except OSError as exc:
        raise Invalid(f"source {source}: {exc.filename or source}: {exc.strerror}") from exc


def _card(found: ResolvedSource, source: str, licence: str, read: tuple[str, Architecture, int, str]) -> dict[str, Any]:
    family, architecture, context, native = read
    return {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"name": _name(found, licence)},
        "spec": {
            "family": family,
            "organisation": "unknown",
            "licence": {"spdx": licence, "status": "unverified", "note": "as stated beside the source"},
            "source": source if "://" in source else str(found.path.absolute()),
            "architecture": architecture,
            "context": context,
            "native": native,
            "published": {"total": parameters(architecture).total},
        },
    }


def _name(found: ResolvedSource, licence: str) -> str:
    bare = found.name.removesuffix(".gguf") if found.kind == "gguf" else found.name.rpartition("/")[2]
    slug = re.sub(r"[^a-z0-9.]+", "-", bare.lower()).strip("-.")[:LONGEST_NAME].strip("-.") or "model"
    digest = hashlib.sha256(f"{found.sha256} {licence}".encode()).hexdigest()[:DIGEST_DIGITS]
    return f"{slug}-{digest}"


def _of_gguf(header: GgufFile) -> tuple[str, Architecture, int]:
    """Family, dimensions and longest context."""
    family = header.text("general.architecture")
    if family not in GGUF_FAMILIES:
        raise Refused(f"architecture {family[:80] or 'unnamed'} is not known here; known: {', '.join(GGUF_FAMILIES)}")
    if header.number(f"{family}.expert_count", 0):
        raise Refused(f"a mixture of experts cannot be built for the edge; dense {', '.join(GGUF_FAMILIES)} models can")
    names = {tensor.name: tensor for tensor in header.tensors}
    if "token_embd.weight" not in names:
        raise Invalid("it has no tensor token_embd.weight")
    numbers = {key.removeprefix(f"{family}."): value for key, value in header.metadata.items()}
    hidden, heads = _whole(numbers, "embedding_length"), _whole(numbers, "attention.head_count")
    architecture = Architecture(
        layers=_whole(numbers, "block_count"),
        hidden_size=hidden,
        intermediate_size=_whole(numbers, "feed_forward_length"),
        heads=heads,
        kv_heads=_whole(numbers, "attention.head_count_kv", heads),
        head_dim=_whole(numbers, "attention.key_length", hidden // heads),
        vocabulary=names["token_embd.weight"].shape[0],
        tied_embeddings="output.weight" not in names,
        qkv_bias=family in BIASED,
        qk_norm="head" if family in HEAD_NORMED else "none",
    )
    return family, architecture, _whole(numbers, "context_length")


def _of_config(config: Json) -> tuple[str, Architecture, int]:
    """Family, dimensions and longest context; the architecture has been checked already."""
    family = str(config.get("model_type") or "llama").lower()
    hidden, heads = _whole(config, "hidden_size"), _whole(config, "num_attention_heads")
    architecture = Architecture(
        layers=_whole(config, "num_hidden_layers"),
        hidden_size=hidden,
        intermediate_size=_whole(config, "intermediate_size"),
        heads=heads,
        kv_heads=_whole(config, "num_key_value_heads", heads),
        head_dim=_whole(config, "head_dim", hidden // heads),
        vocabulary=_whole(config, "vocab_size"),
        tied_embeddings=config.get("tie_word_embeddings") is True,
        qkv_bias=family in BIASED or config.get("attention_bias") is True,
        qk_norm="head" if family in HEAD_NORMED else "none",
    )
    return (
        re.sub(r"[^a-z0-9]+", "-", family)[:40].strip("-") or "llama",
        architecture,
        _whole(config, "max_position_embeddings"),
    )


def _whole(numbers: Any, key: str, default: int | None = None) -> int:
    value = numbers.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < LARGEST_DIMENSION:
        raise Invalid(f"{key} must be a whole number above zero, found {str(value)[:40]}")
    return value


def _check_counts(name: str, architecture: Architecture, stored: int) -> None:
    """The dimensions must describe the weights that lie beside them; a tied table may be stored twice."""
    counted = parameters(architecture)
    tied_twice = counted.total + (counted.head if counted.tied else 0)
    if not any(abs(stored - expected) <= COUNTS_MAY_DIFFER * expected for expected in (counted.total, tied_twice)):
        raise Invalid(f"{name} describes {counted.total:,} parameters and holds {stored:,}; one of them is wrong")


def _unknown_hub(source: str) -> Invalid:
    return Invalid(
        f"source {source}: a model on a hub cannot be planned without its files; download "
        f"{source.removeprefix(HUB)} first, or give a folder or a .gguf file"
    )
