"""The answer of `headwater fit` as plain values with stable keys. Pure; drawn by the command line."""

from __future__ import annotations

from typing import Any

from orchestrator.api.architecture import Architecture
from orchestrator.api.kinds import Catalog
from orchestrator.api.quantities import MEMORY
from orchestrator.core.architecture import parameters
from orchestrator.core.cache import index_bytes_per_token, kv_bytes_per_token, state_bytes_per_sequence
from orchestrator.core.cuts import show_cut
from orchestrator.core.doubts import unverified_numbers
from orchestrator.core.explain import rejection_view
from orchestrator.core.memory import STORAGE, usable_bytes, whole_bytes
from orchestrator.core.performance.arithmetic import unknown
from orchestrator.core.sizing import Answer, Question, answer


def fit_view(question: Question, catalog: Catalog) -> dict[str, Any]:
    """The whole answer. Bytes are of the fullest chip; tokens and sequences are counts."""
    found, rejections = answer(question, catalog)
    spec = question.model.spec
    view: dict[str, Any] = {
        "model": question.model.metadata.name,
        "chip": question.profile.metadata.name,
        "fits": found is not None and found.refused is None,
        "contextTokens": question.context_tokens,
        "sequences": question.sequences,
        "usableBytes": usable_bytes(question.profile, question.pool),
        "chipBytes": whole_bytes(question.profile, question.pool),
    }
    if found is not None and spec.architecture is not None:
        view |= _found(found, question, spec.architecture)
        view["noSpeedWithout"] = list(unknown(question.profile, found.checkpoint.quantization))
    elif spec.architecture is None:
        view |= _without_dimensions(question)
        rejections = () if view["fits"] else rejections
    first = [found.refused] if found and found.refused else []
    view["rejected"] = [rejection_view(one) for one in (*first, *(one for one in rejections if one not in first))]
    named = unverified_numbers(question.profile, question.pool, question.model, {})
    reads = [] if found is None or found.checkpoint.verified else [f"that {found.engine} reads {view['format']}"]
    view["unverified"] = sorted({*named, *reads})
    return view


def _found(found: Answer, question: Question, a: Architecture) -> dict[str, Any]:
    m, cache = found.memory, STORAGE[found.checkpoint.quantization].kv
    view: dict[str, Any] = {
        "engine": found.engine,
        "quantization": found.checkpoint.quantization,
        "checkpoint": found.checkpoint.name,
        "format": found.checkpoint.format,
        "convert": found.checkpoint.convert,
        "chips": question.chips or found.cut.chips,
        "nodes": found.nodes,
        "parallelism": show_cut(found.cut, found.nodes),
        "parameters": parameters(a).total,
        "perToken": {
            "kvBytes": kv_bytes_per_token(a, cache),
            "indexBytes": index_bytes_per_token(a),
            "stateBytesPerSequence": state_bytes_per_sequence(a, cache),
            "cacheBytesPerNumber": cache,
        },
        "memory": None,
        "longestContextTokens": found.longest_tokens,
        "mostSequences": found.most_sequences,
        "fewestChips": found.fewest_chips,
    }
    if m is not None:
        view["memory"] = {
            "weightsBytes": m.weights,
            "kvCacheBytes": m.kv_cache,
            "activationsBytes": m.activations,
            "buffersBytes": m.buffers,
            "engineBytes": m.engine,
            "totalBytes": m.total,
            "reservedBytes": found.whole_bytes - found.usable_bytes,
        }
    return view


def _without_dimensions(question: Question) -> dict[str, Any]:
    """What can be said of a model without a decoder's dimensions: published settings, and weights alone."""
    spec = question.model.spec
    usable = usable_bytes(question.profile, question.pool)
    settings = [
        {
            "setting": one.setting,
            "bytes": int(one.memory),
            "written": MEMORY.show(one.memory),
            "fits": one.memory <= usable,
        }
        for one in spec.footprints
    ]
    count = sum(part.parameters for part in spec.components) or (spec.published.total if spec.published else 0)
    return {"settings": settings, "weightsAtLeastBytes": 2 * count, "fits": any(one["fits"] for one in settings)}
