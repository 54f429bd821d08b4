"""How a row's deployment was cut over chips: from its words, its command, or the usual cut. Pure.

Cuts that we plan ourselves are `orchestrator.core.cuts`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.api.architecture import Architecture
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.quantization import Quantization
from orchestrator.core.cuts import has_experts, whole_cut
from orchestrator.core.memory import ENGINE_RESERVE, weight_bytes, whole_bytes
from orchestrator.core.rows.row import Row
from orchestrator.core.world import Parallelism
from runtimes.errors import Invalid

USUAL_NODE = 8  # chips of a node where profile and row say nothing
MANY = 128  # chips of a deployment of which the rate of one chip alone is stated; it hardly depends on their number
SUPERPOD = 768  # dies of a 910C SuperPoD, which reach each other at the rate of a node
SUPERPOD_FROM = 16  # dies of one node; rows with more that name no nodes are of a SuperPoD
DIES = 2  # of a 910C package
MOST_CHIPS = 65_536
SPREAD = ("cann-recipes", "CloudMatrix-Infer")  # programs that cut attention by data where their pages say how
_SPLIT = re.compile(r"\d+P\d+D|\bP:? .*\bD:? |disagg|decode instance", re.IGNORECASE)
_DECODE = re.compile(r"(?:^|[;/,|]|\bP\d*D?:)\s*D\d*:?\s+([^;/|]+)")
_FLAGS = {
    "tensor": re.compile(r"--?(?:tp|tp[-_]size|tensor[-_]parallel[-_]size|tensor[-_]parallel)[= ]+(\d{1,4})\b"),
    "pipeline": re.compile(r"--?(?:pp|pp[-_]size|pipeline[-_]parallel[-_]size)[= ]+(\d{1,4})\b"),
    "data": re.compile(r"--?(?:dp|dp[-_]size|data[-_]parallel[-_]size)[= ]+(\d{1,4})\b"),
    "expert": re.compile(r"--?(?:ep|ep[-_]size|expert[-_]parallel[-_]size)[= ]+(\d{1,4})\b"),
}
_WORDS = {
    "tensor": re.compile(r"(?<![A-Za-z])TP[-= ]?(\d{1,4})|rank_\d+_(\d+)tp", re.IGNORECASE),
    "pipeline": re.compile(r"(?<![A-Za-z])PP[-= ]?(\d{1,4})", re.IGNORECASE),
    "data": re.compile(r"(?<![A-Za-z])DP[-= ]?(\d{1,4})", re.IGNORECASE),
    "expert": re.compile(r"(?<![A-Za-z])EP[-= ]?(\d{1,4})|rank_\d+_(\d+)ep", re.IGNORECASE),
}
_ALL_EXPERTS = re.compile(r"enable-expert-parallel|enable-ep-moe|moe-a2a|(?<![A-Za-z])EP(?![A-Za-z])", re.IGNORECASE)
_PER_UNIT = re.compile(r"\bper (?:gpu|npu|chip|card|die)\b", re.IGNORECASE)
_DATA_ATTENTION = re.compile(r"attention DP|MLA-DP|enable-dp-attention", re.IGNORECASE)


@dataclass(frozen=True)
class Cut:
    """A deployment as chips, ranks and nodes.

    Attributes:
        split: prompts were read by other chips; these are the ones that decode.
        units: as the row counts them.
        reach: chips that exchange at the rate of a node's link, where they are more than a node's.
    """

    cut: Parallelism
    nodes: int
    units: float | None
    split: bool = False
    notes: tuple[str, ...] = ()
    reach: int | None = None


@dataclass(frozen=True)
class _Said:
    """Ranks that a row states; None where it does not."""

    tensor: int | None
    pipeline: int | None
    data: int | None
    expert: int | None
    experts: bool
    data_attention: bool


def cut_of(row: Row, profile: HardwareProfile, a: Architecture, quantization: Quantization, program: str) -> Cut:
    """The cut of a row. Raises Invalid when the number of chips cannot be told."""
    split = bool(_SPLIT.search(row.parallelism)) or "disaggreg" in row.notes.lower()
    part = match[1] if (match := _DECODE.search(row.parallelism)) is not None else row.parallelism
    said = _said(part, "" if part != row.parallelism else row.notes)
    whole, notes = _chips(row, profile, said, a, quantization)
    if split and said.tensor is None and said.data is None and said.expert is None:
        raise Invalid("which of the chips decode is not stated")
    cut, more = _cut(said, whole, a, lambda chips: _hold(profile, a, quantization, chips), split=split)
    chips, notes = cut.chips, (*notes, *more)
    per_node = _per_node(row, profile, whole)
    nodes = 1 if row.nodes == 1 else max(1, math.ceil(chips / per_node))
    if said == _Said(None, None, None, None, experts=False, data_attention=False) and chips > 1:
        cut, more = _usual(a, chips, per_node, program)
        notes = (*notes, *more)
    if profile.metadata.name == "ascend-910c" and not row.nodes and chips > SUPERPOD_FROM:
        return Cut(cut, nodes, _units(row), split, (*notes, "taken as part of a SuperPoD"), reach=SUPERPOD)
    return Cut(cut, nodes, _units(row), split, notes)


def _said(words: str, command: str) -> _Said:
    def count(name: str) -> int | None:
        found = _FLAGS[name].search(command) or _WORDS[name].search(words)
        numbers = [int(group) for group in found.groups() if group] if found else []
        return numbers[0] if numbers and 0 < numbers[0] <= MOST_CHIPS else None

    both = f"{words} {command}"
    return _Said(
        count("tensor"),
        count("pipeline"),
        count("data"),
        count("expert"),
        bool(
            _ALL_EXPERTS.search(words)
            or _ALL_EXPERTS.search(command.rsplit("cmd:", maxsplit=1)[-1] if "cmd:" in command else "")
        ),
        bool(_DATA_ATTENTION.search(both)),
    )


def _units(row: Row) -> float | None:
    match = re.fullmatch(r"(\d{1,12})(?:\.0*)?", row.units.strip())
    return float(match[1]) if match and int(match[1]) else None


def per_unit(row: Row) -> bool:
    """Whether the rates of a row are of one chip, which its remarks say where no number of chips is stated."""
    return not row.units and bool(_PER_UNIT.search(row.notes))


def _chips(
    row: Row, profile: HardwareProfile, said: _Said, a: Architecture, quantization: Quantization
) -> tuple[int | None, tuple[str, ...]]:
    """Chips of the profile that the row counts; None when its ranks must tell."""
    units = _units(row)
    if units is not None:
        if units > MOST_CHIPS:
            raise Invalid("there are more chips than anybody has")
        return _dies(row, profile, int(units), said)
    either = re.fullmatch(r"(\d{1,4}) (?:or|to|-) (\d{1,4})", row.units)
    stated = [int(one) for one in either.groups()] if either else []
    if said.tensor or said.pipeline or said.data or (said.expert or 1) > 1:
        return None, ()
    counts = stated or [1, 2, 4, 8]
    fits = next((n for n in sorted(counts) if n and _hold(profile, a, quantization, n)), None)
    if fits is None and not stated and has_experts(a) and (row.out_tps_per_unit or per_unit(row)):
        return MANY, (f"the number of chips is not stated; {MANY} assumed, as rates are of one",)
    if fits is None and not stated:
        raise Invalid("the number of chips is not stated")
    return fits or max(counts), (f"the number of chips is not stated; the weights need {fits or max(counts)}",)


def _hold(profile: HardwareProfile, a: Architecture, quantization: Quantization, chips: int) -> bool:
    """Whether so many chips hold the weights, with what an engine leaves alone."""
    return weight_bytes(a, quantization) / chips < (whole_bytes(profile) or math.inf) * (1 - ENGINE_RESERVE)


def _dies(row: Row, profile: HardwareProfile, units: int, said: _Said) -> tuple[int, tuple[str, ...]]:
    """Chips as the profile counts them: of a 910C each die is one."""
    if profile.metadata.name != "ascend-910c":
        return units, ()
    text = f"{row.device} {row.notes}".lower()
    if "package" in text and "die or package" not in text:
        return units * DIES, ("a unit is a package of two dies",)
    if re.search(r"\bdies?\b", text) and "die or package" not in text:
        return units, ()
    ranks = (said.tensor or 1) * (said.pipeline or 1) * (said.data or 1)
    if max(ranks, said.expert or 1) == units * DIES:
        return units * DIES, ("as many ranks as dies: a unit is a package of two",)
    return units, ("whether a unit is a die is not stated; taken as one",)


def _cut(
    said: _Said, whole: int | None, a: Architecture, hold: Callable[[int], bool], *, split: bool
) -> tuple[Parallelism, tuple[str, ...]]:
    """The cut of so many chips; `hold` says whether the weights fit on a number of them."""
    notes: tuple[str, ...] = ()
    experts = has_experts(a)
    tensor, pipeline, data = said.tensor, said.pipeline or 1, said.data or 1
    if tensor and data > 1 and (said.data_attention or (whole and tensor * pipeline * data > whole)):
        tensor = max(1, tensor // data) if tensor >= data else tensor  # data ranks lie inside the tensor group
    used = (tensor or 0) * pipeline * data
    if tensor and whole and not split and used < whole > (said.expert or 1) and not hold(used):
        pipeline = whole // (tensor * data)
        notes = (f"the weights do not fit on {used} chips; the rest are taken as stages",)
    if tensor is None and whole is not None:
        if said.data:
            tensor = max(1, whole // (data * pipeline))
        elif said.data_attention or (said.expert or 0) > 1:
            tensor, data = 1, max(1, whole // pipeline)
            notes = () if said.data_attention else ("attention is taken to be cut by data",)
        else:
            tensor = max(1, whole // pipeline)
    elif tensor is None:
        tensor, data = 1, max(data, said.expert or 1)
    if whole is not None and not split:
        used = tensor * pipeline * data
        if (said.expert or 0) >= whole > used and whole % used == 0:
            data = whole // (tensor * pipeline)
        elif used != whole:
            notes = (*notes, f"the command uses {used} chips, the row counts {whole}")
    spread = experts and (said.experts or (said.expert or 1) > 1 or data > 1)
    return Parallelism(tensor=tensor, pipeline=pipeline, data=data, expert=spread), notes


def _usual(a: Architecture, chips: int, per_node: int, program: str) -> tuple[Parallelism, tuple[str, ...]]:
    """The cut where the row says nothing: tensor ranks in a node, as most do."""
    if chips <= per_node:
        return Parallelism(tensor=chips), ("the cut is not stated; taken as tensor ranks",)
    if (program in SPREAD or chips == MANY) and has_experts(a):
        return Parallelism(data=chips, expert=True), ("the cut is not stated; attention by data, experts over all",)
    if program.startswith("Chitu"):
        return Parallelism(tensor=per_node, pipeline=chips // per_node), ("the cut is not stated; a stage a node",)
    return whole_cut(a, chips, per_node), ("the cut is not stated; taken as usual over nodes",)


def _per_node(row: Row, profile: HardwareProfile, whole: int | None) -> int:
    nodes = row.nodes or (float(match[1]) if (match := re.search(r"(\d{1,4}) nodes", row.parallelism)) else None)
    if nodes and whole and nodes <= whole:
        return max(1, int(whole / nodes))
    link = profile.spec.node_link
    group = link.group if link is not None else 1
    return group if group > 1 else USUAL_NODE
