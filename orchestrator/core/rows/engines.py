"""Which engine of the catalog a row means; a program that the catalog does not know is taken by its name. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.core.rows.row import NOT_SAID
from runtimes.errors import Invalid

_CALLED = (
    (re.compile(r"\bollama\b|llama_hybrid|llama\.cpp"), "llama.cpp"),
    (re.compile(r"\bmlc\b"), "MLC LLM"),
    (re.compile(r"trt-?llm|tensorrt[- ]llm|\btrtllm\b"), "TensorRT-LLM"),
    (re.compile(r"\bsgl(?:ang)?\b"), "SGLang"),
    (re.compile(r"custom (?:acl|ascendc)"), "own ACL programs"),
)
"""Other names of programs of the catalog."""

_FAMILIES = (
    (re.compile(r"cann-recipes.*eager"), "cann-recipes eager"),
    (re.compile(r"cann-recipes"), "cann-recipes"),
    (re.compile(r"cloudmatrix"), "CloudMatrix-Infer"),
    (re.compile(r"chitu"), "Chitu"),
)
"""Programs that the catalog does not know and that are written with their modes."""

_VERSION = re.compile(r"v?(\d{1,4}\.\d{1,4})(?:\.\w{1,10})*")
_WORDS = re.compile(r"[^a-z0-9.+-]+")


@dataclass(frozen=True)
class Program:
    """An engine and what was assumed to find it."""

    engine: Engine
    notes: tuple[str, ...] = ()


def engine_of(written: str, version: str, profile: HardwareProfile, engines: Mapping[str, Engine]) -> Program:
    """The engine a row means on this chip.

    A program that the catalog does not know is another one in each of its versions, as far as a row names one: what
    an early one reached says little of a later one.
    """
    text = written.lower()[:200].strip()
    if "ktransformers" in text and profile.spec.kind != "cpu":
        raise Invalid("chips and the host's CPU share the model's layers")
    own = [engines[name] for name in profile.spec.engines if name in engines]
    if text in NOT_SAID and own:
        return Program(own[0], (f"the engine is not stated; taken as {own[0].metadata.name}",))
    program = next((name for pattern, name in _CALLED if pattern.search(text)), None)
    if program is None:
        program = _known(text, {engine.spec.program for engine in engines.values()})
    if program is None:
        return Program(_unknown(written, version))
    for engine in own:
        if engine.spec.program == program:
            return Program(engine)
    for engine in own:  # plain `vLLM` on a chip that has a vLLM of its own
        if engine.spec.program.lower().startswith(program.lower()):
            return Program(engine, (f"{program} on {profile.metadata.name} is {engine.metadata.name}",))
    others = [engine for _, engine in sorted(engines.items()) if engine.spec.program == program]
    return Program(others[0] if others else _unknown(written, version))


def _known(text: str, programs: set[str]) -> str | None:
    """The program that is named first; of those that begin there, the longest."""
    found = [(text.find(name.lower()), -len(name), name) for name in programs if name.lower() in text]
    return min(found)[2] if found else None


def _unknown(written: str, version: str) -> Engine:
    """An engine of which nothing is known but its name, so that the factors of all engines hold for it."""
    family = next((name for pattern, name in _FAMILIES if pattern.search(written.lower())), "")
    plain = family or re.sub(r"\(.*?\)", " ", written).strip()
    if (match := _VERSION.fullmatch(version.strip())) is not None:
        plain = f"{plain} {match[1]}"
    words = [word for word in _WORDS.split(plain.lower()) if word]
    name = re.sub(r"[^a-z0-9.-]", "", "-".join(words))[:60].strip(".-") or "unknown"
    document = {
        "apiVersion": "headwater.dev/v1alpha1",
        "kind": "Engine",
        "metadata": {"name": name},
        "spec": {"program": " ".join(plain.split())[:80] or "unknown"},
    }
    return Engine.model_validate(document)
