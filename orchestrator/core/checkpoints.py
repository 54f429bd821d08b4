"""Which published checkpoint an engine can load for a model in one quantization, and why not another. Pure.

Engines read formats, not quantizations: vLLM-Ascend runs int4 weights and cannot read an AWQ file. Called by
`orchestrator.core.configurations`, `orchestrator.core.sizing` and the Kubernetes renderer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.api.engine import Engine, Reads
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.model import Model
from orchestrator.api.quantization import Format, Quantization
from orchestrator.core.fit import Rejected, Why

CONVERTED: tuple[Format, ...] = ("rkllm", "bmodel", "gguf")  # made from plain weights with the engine's own tools
CAST = ("bf16", "fp16")  # plain weights of one are loaded as the other


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What to load, and what to tell the engine about it."""

    name: str  # on a hub; empty for what the edge build makes itself
    quantization: Quantization
    format: Format
    flag: str = ""
    convert: bool = False  # to be converted from the weights of that name first
    verified: bool = True  # somebody verified that the engine reads it


def checkpoint_for(
    model: Model, engine: Engine, profile: HardwareProfile, quantization: Quantization, subject: str
) -> Checkpoint | Rejected:
    """The checkpoint to load, or which rule refuses it and what would do instead."""
    reads = [one for one in _readable(model, engine, profile) if one.quantization == quantization]
    nothing = f"nothing for models of {model.spec.family}" if engine.spec.reads else "nothing"
    have = ", ".join(readable_quantizations(model, engine, profile)) or nothing
    for refusal in engine.spec.refuses:
        if refusal.chips and profile.metadata.name not in refusal.chips:
            continue
        if refusal.quantization == quantization and refusal.format is None:
            hint = _also(refusal.why, instead(model, engine, profile))
            return Rejected(subject, Why.QUANTIZATION, quantization, have, hint)
    if not reads:
        return Rejected(subject, Why.QUANTIZATION, quantization, have, _also("", instead(model, engine, profile)))
    if engine.spec.recipe == "edge":
        return Checkpoint("", quantization, "onnx")
    found = next(_loadable(model, profile, reads), None)
    if found is not None:
        return found
    published = [one for one in _published(model, profile) if one.quantization == quantization]
    if published:
        formats = ", ".join(sorted({one.format for one in reads}))
        have = ", ".join(f"{one.name} in {one.format}" for one in published)
        whys = [r.why for r in engine.spec.refuses if r.format in {one.format for one in published}]
        hint = _also(whys[0] if whys else "", instead(model, engine, profile))
        return Rejected(subject, Why.CHECKPOINT, f"{quantization} in {formats}", have, hint)
    have = ", ".join(sorted({one.quantization for one in _published(model, profile)})) or "nothing"
    hint = _also("", instead(model, engine, profile))
    return Rejected(subject, Why.CHECKPOINT, quantization, f"published: {have}", hint)


def no_folder(model: Model, engine: Engine, checkpoint: Checkpoint, subject: str) -> Rejected | None:
    """A teacher's recipe names a folder of weights that the sites have; None when the checkpoint is one."""
    if engine.spec.recipe == "edge":
        return None
    need = f"{checkpoint.quantization} as a published folder of weights"
    if checkpoint.convert or checkpoint.format == "gguf":
        how = ", converted from" if checkpoint.convert else " files in"
        have = f"{checkpoint.format.upper()}{how} {checkpoint.name}"
        hint = "a recipe starts folders, not one file out of many; `fit` sizes it"
        return Rejected(subject, Why.CHECKPOINT, need, have, hint)
    if not model.spec.hub and checkpoint.name not in {release.name for release in model.spec.releases}:
        hint = "write the name it has below the sites' models folder into the card, as `hub: org/name`"
        return Rejected(subject, Why.CHECKPOINT, need, model.spec.source or "a card without weights", hint)
    return None


def instead(model: Model, engine: Engine, profile: HardwareProfile) -> tuple[Checkpoint, ...]:
    """Every published checkpoint of the model that the engine reads on this chip, the organisation's own first."""
    found: dict[tuple[str, Format, bool], Checkpoint] = {}
    for one in _loadable(model, profile, list(_readable(model, engine, profile))):
        found.setdefault((one.name, one.format, one.convert), one)
    return tuple(found.values())


def worth_trying(model: Model, engine: Engine, profile: HardwareProfile) -> tuple[Quantization, ...]:
    """What can be loaded, and the model's own, so that its refusal is told; all the engine reads when that is nothing.

    Sorted. The edge build makes whatever it reads.
    """
    loadable = {one.quantization for one in _loadable(model, profile, list(_readable(model, engine, profile)))}
    own = {model.spec.native} if model.spec.native else set()
    if engine.spec.recipe == "edge" or not loadable | own:
        return readable_quantizations(model, engine, profile)
    return tuple(sorted(loadable | own))


def readable_quantizations(model: Model, engine: Engine, profile: HardwareProfile) -> tuple[Quantization, ...]:
    """What the engine runs of such a model on this chip, sorted."""
    return tuple(sorted({one.quantization for one in _readable(model, engine, profile)}))


def bits(quantization: Quantization) -> int:
    """Width of most weights, in the three classes that matter for what is lost: 16, 8 and 4."""
    if quantization in {"fp32", "bf16", "fp16"}:
        return 16
    return 8 if quantization in {"fp8", "mxfp8", "w8a8", "w8a16", "int8", "gguf-q8"} else 4


def loss(quantization: Quantization, native: Quantization | None) -> int:
    """Bits that are lost against the organisation's own weights; 0 for what is as wide or wider."""
    return max(0, bits(native or "bf16") - bits(quantization))


def _readable(model: Model, engine: Engine, profile: HardwareProfile) -> Iterator[Reads]:
    a = model.spec.architecture
    kind = "experts" if a and any(layers.experts for layers in a.layers) else "dense"
    for one in engine.spec.reads:
        here = not one.chips or profile.metadata.name in one.chips
        such = one.only in {"", kind} and (not one.families or model.spec.family in one.families)
        if here and such:
            yield one


def _published(model: Model, profile: HardwareProfile) -> Iterator[Checkpoint]:
    """What there is for this chip, the organisation's own weights first; nothing made from a sibling checkpoint."""
    card = model.spec
    if card.native:
        yield Checkpoint(card.hub or card.source or model.metadata.name, card.native, card.native_format)
    for release in card.releases:
        if release.of or (release.chips and profile.metadata.name not in release.chips):
            continue
        yield Checkpoint(release.name, release.quantization, release.format)


def _loadable(model: Model, profile: HardwareProfile, reads: list[Reads]) -> Iterator[Checkpoint]:
    """Published checkpoints in the order of `_published`, each with the way it is read; conversions come last."""
    converted: list[Checkpoint] = []
    for one in _published(model, profile):
        for way in reads:
            verified = way.status != "unverified"
            same = way.quantization == one.quantization and way.format == one.format
            wide = one.quantization in CAST
            plain = wide and one.format == "plain"
            cast = plain and way.format == "plain" and way.quantization in CAST
            if same or cast or (way.format == "online" and wide and one.format in {"plain", "paddle"}):
                yield Checkpoint(one.name, way.quantization, one.format, way.flag, verified=verified)
            elif plain and way.format in CONVERTED:
                converted.append(_converted(one.name, way))
    yield from converted


def _converted(name: str, way: Reads) -> Checkpoint:
    sure = way.status != "unverified"
    return Checkpoint(name, way.quantization, way.format, way.flag, convert=True, verified=sure)


def _also(why: str, others: tuple[Checkpoint, ...]) -> str:
    names = (f"{one.quantization} ({'converted from ' if one.convert else ''}{one.name})" for one in others)
    offer = f"it can load {', '.join(names)}" if others else ""
    return "; ".join(text for text in (why, offer) if text)
