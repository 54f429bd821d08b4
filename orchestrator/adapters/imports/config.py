"""From a Hugging Face `config.json` to an `Architecture`, or to one sentence that says why not.

Pure: takes the mapping, reads no file. The family is found by `model_type`, else by `architectures`; a class that the
family does not have is refused, because such a model would have other tensors. A family whose count was not verified
is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from orchestrator.adapters.imports.blocks import Family
from orchestrator.adapters.imports.dense import DENSE_FAMILIES
from orchestrator.adapters.imports.early import EARLY_FAMILIES
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
from orchestrator.adapters.imports.wrappers import WRAPPED_FAMILIES
from orchestrator.api.architecture import Architecture
from orchestrator.api.model import Modality
from orchestrator.api.quantization import Format, Quantization
from runtimes.errors import Invalid, Refused

FAMILIES: tuple[Family, ...] = (
    *DENSE_FAMILIES,
    *EARLY_FAMILIES,
    *GEMMA_FAMILIES,
    *MOE_FAMILIES,
    *LATENT_FAMILIES,
    *MINIMAX_FAMILIES,
    *HYBRID_FAMILIES,
    *STATE_SPACE_FAMILIES,
    *WINDOWED_FAMILIES,
    *NAMED_FAMILIES,
    *MULTIMODAL_FAMILIES,
    *WRAPPED_FAMILIES,
)
BY_TYPE: dict[str, tuple[Family, ...]] = {
    one: tuple(family for family in FAMILIES if one in family.types) for named in FAMILIES for one in named.types
}
BY_CLASS = {one: family for family in reversed(FAMILIES) for one in family.classes}
CONTEXT_KEYS = ("max_position_embeddings", "model_max_length", "seq_length", "max_sequence_length", "n_positions")
LONGEST_CONTEXT = 2**40
MOST_CLASSES = 8
LONGEST_NAME = 80
SHAPING = (  # each changes the layers of some family
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "moe_num_experts",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "q_lora_rank",
    "kv_lora_rank",
    "index_topk",
    "linear_attn_config",
    "linear_num_value_heads",
    "mamba_d_state",
    "ssm_state_size",
    "hybrid_override_pattern",
    "attn_type_list",
    "block_configs",
    "layer_group_size",
    "num_kv_shared_layers",
    "cla_share_factor",
    "use_cla",
    "hidden_size_per_layer_input",
    "per_layer_config",
    "attn_output_gate",
    "add_cross_attention",
)
NORMS = ("use_qk_norm", "qk_norm", "qk_layernorm")


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
        architecture = family.read(f.assuming(family.assumes))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"the configuration makes no model of the family {family.name}: {path} {first['msg']}") from error
    _refuse_what_changes_it(f, family, architecture)
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


def _refuse_what_changes_it(f: Fields, family: Family, a: Architecture) -> None:
    """Refuse keys that would change layers of which the family's reader knows nothing, and classes of other code."""
    normed = all(layers.grouped.qk_norm != "none" for layers in a.layers if layers.grouped is not None)
    shaping = SHAPING if normed else (*SHAPING, *NORMS)
    for part in (f, *(one for one in (f.part(key) for key in PARTS) if one is not None)):
        path = part.unasked(*shaping)
        if path is not None:
            raise Refused(f"{path} is given, of which the family {family.name} knows nothing")
    own = f.raw("auto_map")
    for key in ("AutoModelForCausalLM", "AutoModel"):
        named = own.get(key) if isinstance(own, Mapping) else None
        if not isinstance(named, str):
            continue
        if key == "AutoModelForCausalLM" and named.rpartition(".")[2] not in family.classes:
            raise Refused(f"auto_map.{key} is {shown(named)}, no class of the family {family.name}")
        f.notes.append(f"auto_map names {shown(named)}: code of its own, taken to be that of the family {family.name}")
        return


def _context(f: Fields, text: Fields) -> int | None:
    for one in (text, f):
        found = one.maybe(*CONTEXT_KEYS, most=LONGEST_CONTEXT)
        if found is not None:
            return found
    return None


def _family(f: Fields) -> Family:
    named = f.text("model_type")
    classes = _classes(f)
    families = BY_TYPE.get(named or "", ())
    if not families:
        families = tuple(BY_CLASS[one] for one in classes if one in BY_CLASS)[:1]
    if not families:
        said = f"architectures {shown(', '.join(classes))}" if classes else "no architectures"
        near = nearest(named, classes)
        raise Refused(
            f"the architecture is not known: model_type {shown(named)}, {said};{near} {len(FAMILIES)} families are"
            " known"
        )
    of_class = [family for family in families if any(one in family.classes for one in classes)]
    known = ", ".join(one for family in families for one in family.classes)
    if classes and not of_class:
        raise Refused(
            f"architectures {shown(', '.join(classes))} is no class of the family {families[0].name}; known are {known}"
        )
    if not of_class and len(families) > 1:
        raise Refused(f"model_type {shown(named)} is that of several families; give architectures, one of {known}")
    return (of_class or list(families))[0]


def nearest(named: str | None, classes: list[str]) -> str:
    """The families whose names are most like what a configuration calls itself, as part of a sentence."""
    names = {one.lower(): family.name for family in FAMILIES for one in (*family.types, *family.classes)}
    asked = [one.lower()[:LONGEST_NAME] for one in (named or "", *classes) if one]
    near = dict.fromkeys(names[like] for one in asked for like in get_close_matches(one, names, n=3, cutoff=0.7))
    return f" the nearest are {', '.join(list(near)[:3])};" if near else ""


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
