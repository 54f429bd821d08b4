"""From a Hugging Face `config.json` to an `Architecture`, or to one sentence that says why not.

Pure: takes the mapping, reads no file. The family is found by `model_type`, else by `architectures`; a class that the
family does not have is refused, because such a model would have other tensors. A family whose count was not verified
is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from orchestrator.adapters.imports.blocks import Family
from orchestrator.adapters.imports.dense import DENSE_FAMILIES
from orchestrator.adapters.imports.fields import Fields, shown
from orchestrator.adapters.imports.gemma import GEMMA_FAMILIES
from orchestrator.adapters.imports.hybrid import HYBRID_FAMILIES
from orchestrator.adapters.imports.latent import LATENT_FAMILIES
from orchestrator.adapters.imports.minimax import MINIMAX_FAMILIES
from orchestrator.adapters.imports.moe import MOE_FAMILIES
from orchestrator.adapters.imports.multimodal import MULTIMODAL_FAMILIES, PARTS
from orchestrator.adapters.imports.named import NAMED_FAMILIES
from orchestrator.adapters.imports.statespace import STATE_SPACE_FAMILIES
from orchestrator.adapters.imports.stored import stored
from orchestrator.adapters.imports.windowed import WINDOWED_FAMILIES
from orchestrator.api.architecture import Architecture
from orchestrator.api.model import Modality
from orchestrator.api.quantization import Format, Quantization
from runtimes.errors import Invalid, Refused

FAMILIES: tuple[Family, ...] = (
    *DENSE_FAMILIES,
    *GEMMA_FAMILIES,
    *MOE_FAMILIES,
    *LATENT_FAMILIES,
    *MINIMAX_FAMILIES,
    *HYBRID_FAMILIES,
    *STATE_SPACE_FAMILIES,
    *WINDOWED_FAMILIES,
    *NAMED_FAMILIES,
    *MULTIMODAL_FAMILIES,
)
BY_TYPE = {one: family for family in FAMILIES for one in family.types}
BY_CLASS = {one: family for family in reversed(FAMILIES) for one in family.classes}
CONTEXT_KEYS = ("max_position_embeddings", "model_max_length", "seq_length", "max_sequence_length", "n_positions")
LONGEST_CONTEXT = 2**40
MOST_CLASSES = 8
TENSORS = "model can be imported from its tensors"


@dataclass(frozen=True, slots=True)
class Read:
    """What a configuration says."""

    family: str
    architecture: Architecture
    context: int | None
    native: Quantization | None
    native_format: Format
    inputs: tuple[Modality, ...]
    outputs: tuple[Modality, ...]
    notes: tuple[str, ...]


def known_families() -> tuple[str, ...]:
    """Names of the families that can be read."""
    return tuple(sorted({family.name for family in FAMILIES}))


def read_config(config: Mapping[str, Any]) -> Read:
    """Read a configuration.

    Args:
        config: the content of a `config.json`.

    Raises:
        Invalid: a number is missing or impossible; the sentence names its key.
        Refused: the architecture, or a variant of it, is not known.
    """
    if not isinstance(config, Mapping):
        raise Invalid(f"the configuration is {shown(config)}; it must be a mapping")
    f = Fields(config)
    family = _family(f)
    try:
        architecture = family.read(f)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"the configuration makes no model of the family {family.name}: {path} {first['msg']}") from error
    text = next((part for part in (f.part(key) for key in PARTS) if part is not None), f)
    native, layout = stored(f, text)
    return Read(
        family=family.name,
        architecture=architecture,
        context=_context(f, text) or family.context,
        native=native,
        native_format=layout,
        inputs=family.inputs,
        outputs=("text",),
        notes=tuple(dict.fromkeys(f.notes)),
    )


def _context(f: Fields, text: Fields) -> int | None:
    for one in (text, f):
        found = one.maybe(*CONTEXT_KEYS, most=LONGEST_CONTEXT)
        if found is not None:
            return found
    return None


def _family(f: Fields) -> Family:
    named = f.text("model_type")
    classes = _classes(f)
    family = BY_TYPE.get(named or "")
    if family is None:
        family = next((BY_CLASS[one] for one in classes if one in BY_CLASS), None)
    if family is None:
        raise Refused(
            f"the architecture is not known: model_type {shown(named)}, architectures {shown(', '.join(classes))}. With"
            f" its weights beside it the {TENSORS}. Known families: {', '.join(known_families())}"
        )
    if classes and not any(one in family.classes for one in classes):
        raise Refused(
            f"architectures {shown(', '.join(classes))} is no class of the family {family.name}; known are"
            f" {', '.join(family.classes)}. With its weights beside it the {TENSORS}"
        )
    return family


def _classes(f: Fields) -> list[str]:
    listed = f.raw("architectures")
    if listed is None:
        return []
    if not isinstance(listed, list | tuple) or len(listed) > MOST_CLASSES:
        raise Invalid(f"architectures is {shown(listed)}; write a list of class names")
    for one in listed:
        if not isinstance(one, str):
            raise Invalid(f"architectures has {shown(one)}; write names of classes")
    return list(listed)
