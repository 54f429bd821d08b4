"""Which hardware profile a row means, and what was assumed where it names a family alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.api.hardware import HardwareProfile
from orchestrator.core.recognition import recognise
from runtimes.errors import Invalid

_HYBRID = re.compile(r"\+\s*(?:\d+\s*x\s*)?(?:xeon|kunpeng|epyc|core|cpu|host)|\bcpu\s*\+", re.IGNORECASE)
_SKU = re.compile(r"(?<![0-9a-z])910b([1-4](?:-1)?)(?![0-9])")
_FAMILIES: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"910b\s*/|/\s*910"), "", ""),
    (re.compile(r"910b|atlas (?:800[ti] )?a2"), "ascend-910b3", "which 910B is not named; taken as 910B3"),
    (re.compile(r"910c|910_93|atlas (?:800[ti] )?a3|a3-752t"), "ascend-910c", ""),
    (re.compile(r"300i[ -]duo|310p"), "ascend-310p", ""),
    (re.compile(r"310b|orange ?pi ai ?pro"), "ascend-310b", ""),
    (re.compile(r"950dt"), "ascend-950dt", ""),
    (re.compile(r"950pr|atlas 350"), "ascend-950pr", ""),
    (re.compile(r"bw1100"), "hygon-bw1100", ""),
    (re.compile(r"bw1000"), "hygon-bw1000", ""),
    (re.compile(r"k100"), "hygon-k100-ai", ""),
    (re.compile(r"\b[dh]cu\b"), "hygon-k100-ai", "which DCU is not named; taken as K100-AI"),
    (re.compile(r"a800.*40 ?g"), "nvidia-a800-40", ""),
    (re.compile(r"a800"), "nvidia-a800-sxm-80", ""),
    (re.compile(r"a100.*pcie"), "nvidia-a100-pcie-80", ""),
    (re.compile(r"h100.*pcie"), "nvidia-h100-pcie", ""),
    (re.compile(r"a100(?!.*40 ?g)"), "nvidia-a100-sxm-80", ""),
    (re.compile(r"h100(?!.*nvl)"), "nvidia-h100-sxm", ""),
    (re.compile(r"h200"), "nvidia-h200-sxm", ""),
    (re.compile(r"\bh20\b(?!-3e)"), "nvidia-h20", ""),
    (re.compile(r"agx orin"), "jetson-agx-orin-64g", ""),
    (re.compile(r"orin nx"), "jetson-orin-nx-16g", ""),
    (re.compile(r"orin nano"), "jetson-orin-nano-8g", ""),
    (re.compile(r"s5000(?!c)"), "mthreads-s5000", ""),
    (re.compile(r"s4000"), "mthreads-s4000", ""),
    (re.compile(r"p800"), "kunlun-p800", ""),
    (re.compile(r"c500"), "metax-c500", ""),
    (re.compile(r"c550"), "metax-c550", ""),
    (re.compile(r"\bs60\b"), "enflame-s60", ""),
    (re.compile(r"mr-?v100"), "iluvatar-mr-v100", ""),
    (re.compile(r"bi-?v150"), "iluvatar-bi-v150", ""),
)
"""What a device is called in tables, the profile, and the note when the name leaves something open."""


@dataclass(frozen=True)
class Chip:
    """A profile and what was assumed to find it."""

    profile: HardwareProfile
    notes: tuple[str, ...] = ()


def chip_of(device: str, profiles: Mapping[str, HardwareProfile]) -> Chip:
    """The profile a row means. Raises Invalid when no profile of the catalog describes the device."""
    text = device.lower()[:200]
    if _HYBRID.search(text):
        raise Invalid("chips and the host's CPU share the model's layers")
    chip = _named(text, profiles)
    announced = f"{chip.profile.metadata.name}-announced"
    if chip.profile.spec.bandwidth.value is None and announced in profiles:
        return Chip(profiles[announced], (*chip.notes, "bandwidth as announced; nobody published it since"))
    return chip


def _named(text: str, profiles: Mapping[str, HardwareProfile]) -> Chip:
    head = re.split(r"\s*[(,]", text, maxsplit=1)[0].strip()
    if (special := re.search(r"xeon.*6430", text)) is None and head in profiles:
        return Chip(profiles[head])
    if special is not None and "cpu-xeon-6430" in profiles:
        return Chip(profiles["cpu-xeon-6430"])
    if (sku := _SKU.search(text)) is not None and f"ascend-910b{sku[1]}" in profiles:
        return Chip(profiles[f"ascend-910b{sku[1]}"])
    by_words = next((found for pattern, *found in _FAMILIES if pattern.search(text)), None)
    if by_words is not None and by_words[0] in profiles:
        return Chip(profiles[by_words[0]], tuple(filter(None, by_words[1:])))
    if by_words is None and (match := recognise(head, None, profiles.values())).profile is not None:
        return Chip(profiles[match.profile])
    raise Invalid("the chip is not in the catalog, or is not named")


def reaching(profile: HardwareProfile, chips: int | None) -> HardwareProfile:
    """The profile with so many chips at the rate of a node's link, as in a SuperPoD; None leaves it as it is."""
    link = profile.spec.node_link
    if chips is None or link is None:
        return profile
    spec = profile.spec.model_copy(update={"node_link": link.model_copy(update={"group": chips})})
    return profile.model_copy(update={"spec": spec})
