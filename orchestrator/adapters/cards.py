"""A model card for weights that a service names instead of a catalog model, named by their content.

The reading is `orchestrator.adapters.imports.card`; here are the digest in the name, so that other weights under the
same file name are another model, and the refusal of what the edge build cannot build. Weights are hashed, never loaded.
Called by `orchestrator.offline` for tiers that give a source instead of a name. Building is `runtimes.build`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.adapters.imports.bounded import shown
from orchestrator.adapters.imports.card import card_of, described, first_problem, slug
from orchestrator.adapters.imports.gguf import read_gguf_model
from orchestrator.adapters.imports.look import Found, look_into
from orchestrator.api.model import Model
from orchestrator.errors import HeadwaterError, Invalid, Refused, Unavailable
from runtimes.build.architectures import FROM_GGUF, context_key
from runtimes.build.directory import check_directory
from runtimes.build.gguf_file import read_gguf
from runtimes.build.sources import HUB, ResolvedSource, check_source, resolve_source
from runtimes.build.tasks import GENERATION, task_of

LONGEST_NAME, DIGEST_DIGITS = 48, 8
SIXTEEN_BITS = "bf16"  # what the edge build makes of a GGUF file before it quantizes


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
        source_files = _buildable(found)
        read = described(source_files)
        spec: dict[str, Any] = {
            "organisation": "unknown",
            "licence": {"spdx": licence, "status": "unverified", "note": "as stated beside the source"},
            "source": source if "://" in source else str(found.path.absolute()),
        }
        if found.kind == "gguf":
            spec |= {"native": SIXTEEN_BITS, "native_format": "plain"}
        spec |= _built_context(source_files.config or {})
        return Model.model_validate(card_of(read, _name(found, licence), spec))
    except ValidationError as exc:
        raise Invalid(f"source {source}: {first_problem(exc)}") from exc
    except Unavailable as exc:
        raise _unknown_hub(source) from exc
    except HeadwaterError as exc:
        said = str(exc)
        raise type(exc)(said if said.startswith("source ") else f"source {source}: {said}") from exc
    except OSError as exc:
        raise Invalid(f"source {source}: {exc.filename or source}: {exc.strerror}") from exc


def name_from_source(source: str, licence: str, store: Path) -> str:
    """The name of weights that are in no catalog; of a model that generates text the card is read as well.

    Args:
        source: a `.gguf` file, a Hugging Face folder, `package://` or `hf://`.
        licence: SPDX id, as the user states it.
        store: folder of artifacts; digests of the weights are kept in it.

    Raises:
        Invalid, Refused: as `card_from_source`.
    """
    try:
        found = resolve_source(source, store)
        check_source(found)
    except Unavailable as exc:
        raise _unknown_hub(source) from exc
    if task_of(found.path) != GENERATION:
        return _name(found, licence)
    return card_from_source(source, licence, store).metadata.name


def _buildable(found: ResolvedSource) -> Found:
    """What lies there, if the edge build can build it."""
    if found.kind != "gguf":
        check_directory(found.path)
        task = task_of(found.path)
        if task != GENERATION:
            raise Refused(
                f"a model for {task} is built and served alone, with `headwater build` and `headwater serve`; "
                "a tier's model generates text"
            )
        return look_into(found.path)
    header = read_gguf(found.path)
    family = header.text("general.architecture")
    if family not in FROM_GGUF:
        known = ", ".join(FROM_GGUF)
        raise Refused(f"architecture {shown(family) or 'unnamed'} is not built for the edge; these are: {known}")
    if header.number(f"{family}.expert_count", 0):
        raise Refused(f"a mixture of experts cannot be built for the edge; dense {', '.join(FROM_GGUF)} models can")
    header.check_convertible()
    return Found(found.name, gguf=read_gguf_model(found.path))


def _built_context(config: Mapping[str, Any]) -> dict[str, int]:
    """The context of the artifact, where the build ends it before the model does."""
    key = context_key(config)
    return {} if key == "max_position_embeddings" else {"context": config[key]}


def _name(found: ResolvedSource, licence: str) -> str:
    bare = found.name.removesuffix(".gguf") if found.kind == "gguf" else found.name.rpartition("/")[2]
    digest = hashlib.sha256(f"{found.sha256} {licence}".encode()).hexdigest()[:DIGEST_DIGITS]
    return f"{slug(bare)[:LONGEST_NAME].strip('-.')}-{digest}"


def _unknown_hub(source: str) -> Invalid:
    return Invalid(
        f"source {source}: a model on a hub cannot be planned without its files; download "
        f"{source.removeprefix(HUB)} first, or give a folder or a .gguf file"
    )
