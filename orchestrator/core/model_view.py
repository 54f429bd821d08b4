"""Model cards as plain values with stable keys: what `models list`, `show` and `tree` print. Pure.

Counts are exact here; how a person likes to read them is the command line's business. What is computed from dimensions
and what somebody published stand side by side, with the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.api.architecture import Architecture
from orchestrator.api.kinds import as_json
from orchestrator.api.model import Model
from orchestrator.core.architecture import parameters
from orchestrator.core.architecture_words import in_words
from orchestrator.core.cache import index_bytes_per_token, kv_bytes_per_token, state_bytes_per_sequence
from orchestrator.core.lineage import Lineage
from orchestrator.core.memory import STORAGE, weight_bytes

CACHE_BYTES_PER_NUMBER = 2  # engines keep keys and values in 16 bits unless told otherwise


def model_row(model: Model) -> dict[str, Any]:
    """What a list says of a model; a count nobody can compute is the published one, or None."""
    card = model.spec
    counts = _counts(model)
    return {
        "name": model.metadata.name,
        "family": card.family,
        "organisation": card.organisation,
        "totalParameters": counts["total"],
        "activeParameters": counts["active"],
        "countedFrom": counts["from"],
        "contextTokens": card.context,
        "native": card.native,
        "licence": {"spdx": card.licence.spdx, "status": card.licence.status},
        "inputs": list(card.inputs),
        "outputs": list(card.outputs),
        "quantizations": _quantizations(model),
        "confidence": card.confidence,
    }


def model_view(model: Model, lineage: Lineage) -> dict[str, Any]:
    """Everything a card says and what follows from it."""
    card, name = model.spec, model.metadata.name
    written = as_json(model)["spec"]
    a = card.architecture
    return model_row(model) | {
        "hub": card.hub,
        "also": list(card.also),
        "source": card.source,
        "reasoning": card.reasoning,
        "nativeFormat": card.native_format,
        "architecture": written["architecture"],
        "inWords": [] if a is None else in_words(a),
        "components": written["components"],
        "footprints": [
            {"setting": one.setting, "bytes": int(one.memory), "sources": list(one.sources)} for one in card.footprints
        ],
        "parameters": None if a is None else _parts(a),
        "published": _published(model),
        "memory": None if a is None else _memory(model, a),
        "licence": written["licence"],
        "base": [_relative(one, lineage) for one in card.base],
        "teachers": [_relative(one, lineage) for one in sorted(lineage.teachers(name))],
        "students": [_relative(one, lineage) for one in sorted(lineage.students(name))],
        "releases": written["releases"],
        "unverified": list(card.unverified),
        "sources": list(card.sources),
    }


def tree_view(lineage: Lineage, name: str | None = None) -> dict[str, Any]:
    """The lineage of one model, upwards and downwards; without a name every lineage from its origins down."""
    shown = name and lineage.called(name)
    if shown:
        family = [{"name": shown, "parents": lineage.ancestors(shown), "children": lineage.descendants(shown)}]
    else:
        family = [{"name": one, "children": lineage.descendants(one)} for one in lineage.origins()]
    named = {shown or ""} | set(_names(family))
    rows = {one: model_row(lineage.models[one]) for one in sorted(named) if one in lineage.models}
    return {"models": rows, "trees": family}


def _names(trees: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for tree in trees:
        yield tree["name"]
        yield from _names([*tree.get("children", ()), *tree.get("parents", ())])


def _relative(name: str, lineage: Lineage) -> dict[str, str | None]:
    """A relative as it is written, and the model of the catalog that is meant."""
    own = lineage.called(name)
    return {"name": name, "model": own if own in lineage.models else None}


def _counts(model: Model) -> dict[str, Any]:
    card = model.spec
    if card.architecture is not None:
        p = parameters(card.architecture)
        return {"total": p.total, "active": p.active, "from": "dimensions"}
    if card.components:
        return {"total": sum(part.parameters for part in card.components), "active": None, "from": "components"}
    if card.published is not None:
        return {"total": card.published.total, "active": card.published.active, "from": "published"}
    return {"total": None, "active": None, "from": None}


def _parts(a: Architecture) -> dict[str, int]:
    p = parameters(a)
    return {
        "embedding": p.embedding,
        "head": 0 if p.tied else p.head,
        "dense": p.dense,
        "routedExperts": p.routed_experts,
        "beside": p.beside,
        "total": p.total,
        "active": p.active,
    }


def _published(model: Model) -> dict[str, Any] | None:
    """The published counts, and by what share of them the computed ones differ."""
    said, counts = model.spec.published, _counts(model)
    if said is None:
        return None
    computed = counts["from"] != "published"
    return {
        "total": said.total,
        "totalDifference": _difference(counts["total"], said.total) if computed else None,
        "active": said.active,
        "activeDifference": _difference(counts["active"], said.active) if computed else None,
        "note": said.note,
        "sources": list(said.sources),
    }


def _difference(computed: int | None, published: int | None) -> float | None:
    return None if computed is None or published is None else round((computed - published) / published, 6)


def _memory(model: Model, a: Architecture) -> dict[str, Any]:
    return {
        "kvBytesPerToken": kv_bytes_per_token(a, CACHE_BYTES_PER_NUMBER),
        "kvBytesPerNumber": CACHE_BYTES_PER_NUMBER,
        "indexBytesPerToken": index_bytes_per_token(a),
        "stateBytesPerSequence": state_bytes_per_sequence(a, CACHE_BYTES_PER_NUMBER),
        "weightBytes": {name: weight_bytes(a, name) for name in STORAGE if name in _quantizations(model)},
    }


def _quantizations(model: Model) -> list[str]:
    """What the weights can be had in, the organisation's own first."""
    card = model.spec
    released = sorted({one.quantization for one in card.releases} - {card.native})
    return [*([card.native] if card.native else []), *released]
