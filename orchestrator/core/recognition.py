"""Which catalog profile a chip is: by its name and its memory, or by its PCI ids. Unknown stays unknown.

Pure. Called by `orchestrator.adapters.hosts.detect` and `orchestrator.adapters.kubernetes.nodes`. A family name alone
never decides about memory: the same name is sold in several sizes, so what was read goes over what the profile says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.quantities import MEMORY

SAME = 0.02  # what drivers keep for themselves; a larger difference is another size
_GIB = 1 << 30
_MAKERS = re.compile(
    "nvidia|huawei|ascend|cambricon|kunlun|kunlunxin|hygon|mthreads|mtt|metax|iluvatar|corex|enflame|biren|thead|rockchip"
    "|sophgo|geforce|tesla|jetson|gpu|npu|card"
)
_PREFIXES = (("ascend", ""), ("biren", "br"), ("mxc", "c"))
_SIZE = re.compile(r"\d{1,4}g(?:i?b)?|hbm\w*")
_FORMS = ("pcie", "sxm", "nvl", "oam")
_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Match:
    """The profile, if one was found, and what a person should know about it."""

    profile: str | None
    memory_bytes: int | None  # what was read, when the profile says something else
    note: str  # empty: nothing to add


@dataclass(frozen=True, slots=True)
class _Words:
    """A name without maker and size, and the form of the card it tells."""

    core: tuple[str, ...]
    forms: frozenset[str]


def recognise(name: str, memory_bytes: int | None, profiles: Iterable[HardwareProfile]) -> Match:
    """The profile of a chip by its name; among equally good names the one with the nearest memory.

    Args:
        name: as a tool or a node label says it.
        memory_bytes: of the chip, None when it was not read.
        profiles: those that come into question; CPUs never do.
    """
    chips = sorted((p for p in profiles if p.spec.kind != "cpu"), key=lambda profile: profile.metadata.name)
    asked = _words(name)
    ranked = [(_rank(asked, profile), profile) for profile in chips]
    best = max((rank for rank, _ in ranked), default=0)
    if not best:
        near = [p.metadata.name for p in chips if any(_near(asked, _words(n)) for n in _names(p))][:_NEAREST]
        return Match(None, None, f"no profile in the catalog is called {name}" + _listed("; nearest: ", near))
    found = [profile for rank, profile in ranked if rank == best]
    if memory_bytes is not None and len(found) > 1:
        distances = [_distance(memory_bytes, profile) for profile in found]
        found = [profile for profile, far in zip(found, distances, strict=True) if far <= min(distances) + SAME]
    if len(found) > 1:
        return Match(None, None, f"{name} can be " + _listed("", [profile.metadata.name for profile in found]))
    return _with_memory(found[0], memory_bytes)


def recognise_pci(pci_id: str, profiles: Iterable[HardwareProfile]) -> Match:
    """The profile of a chip of which only the ids on the bus are known, such as `1d22:3686`."""
    vendor, _, device = pci_id.partition(":")
    made = [profile for profile in profiles if f"0x{vendor}" in {one.lower() for one in profile.spec.pci.vendors}]
    found = [profile for profile in made if device in {one.lower() for one in profile.spec.pci.devices}]
    if len(found) == 1:
        return _with_memory(found[0], None)
    names = sorted(profile.metadata.name for profile in found or made)
    return Match(None, None, f"PCI {pci_id} is not enough to tell the chip" + _listed("; of this maker: ", names))


def differs(read_bytes: float, said_bytes: float) -> bool:
    """Whether two sizes of memory are two sizes, and not one that was counted in two ways."""
    return abs(read_bytes / said_bytes - 1) > SAME


def _with_memory(profile: HardwareProfile, read: int | None) -> Match:
    name, spec = profile.metadata.name, profile.spec
    said = [fact.value for fact in (spec.memory, spec.allocatable) if fact is not None and fact.value is not None]
    if read is None:
        sizes = [MEMORY.show(size) for size in spec.memory_sizes]
        several = f"memory was not read, and {name} is sold with {' or '.join(sizes)}: set `memory` of the pool"
        return Match(name, None, several if len(sizes) > 1 else "memory was not read; the profile's is taken")
    if any(not differs(read, size) for size in said):
        return Match(name, None, "")
    if not said:
        return Match(name, read, f"{name} says no memory; what was read is taken")
    return Match(name, read, f"has {read / _GIB:.1f} GiB where {name} says {said[0] / _GIB:.1f} GiB; taken as read")


def _names(profile: HardwareProfile) -> tuple[str, ...]:
    return (profile.metadata.name, profile.spec.architecture, *profile.spec.names)


def _rank(asked: _Words, profile: HardwareProfile) -> int:
    """0: another chip. Else higher where the form of the card is the same, or is what a missing word means."""
    ranks = [0]
    for name in _names(profile):
        words = _words(name)
        if not words.core or words.core != asked.core:
            continue
        if words.forms == asked.forms:
            ranks.append(3)
        elif not asked.forms and words.forms == {"sxm"}:
            ranks.append(2)  # only cards of the other forms carry a word for it in their name
        elif (words.forms | asked.forms) == {"oam"}:
            ranks.append(1)
    return max(ranks)


def _near(asked: _Words, words: _Words) -> bool:
    """Whether two names share the word that tells the model, or one begins with the other."""
    models = [[word for word in name.core if any(c.isdigit() for c in word)] for name in (asked, words)]
    shortest = 3
    return any(
        min(len(one), len(other)) >= shortest and (one.startswith(other) or other.startswith(one))
        for one in models[0]
        for other in models[1]
    )


@lru_cache(maxsize=4096)
def _words(name: str) -> _Words:
    core, forms = [], set()
    for word in re.split(r"[^a-z0-9]+", name.lower()[:200]):
        form = next((form for form in _FORMS if re.fullmatch(rf"{form}\d?", word)), None)
        if form:
            forms.add(form)
        elif word and not _MAKERS.fullmatch(word) and not _SIZE.fullmatch(word):
            core.append(_without_maker(word))
    return _Words(tuple(core), frozenset(forms))


def _without_maker(word: str) -> str:
    for prefix, instead in _PREFIXES:
        if word.startswith(prefix):
            return instead + word.removeprefix(prefix)
    return word


def _distance(read: int, profile: HardwareProfile) -> float:
    sizes = [size for size in (profile.spec.memory.value, *profile.spec.memory_sizes) if size]
    return min((abs(math.log(read / size)) for size in sizes), default=math.inf)


def _listed(start: str, names: list[str]) -> str:
    return start + " or ".join(names) if names else ""
