"""Rejections put together so that a person can read them: by rule, then by what was alike, the nearest first. Pure.

Called by `orchestrator.core.explain.answer` and for the page of a plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PLACES = 5  # named beside each reason; the others are counted
AMOUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[A-Za-z/]*)")
UNITS: Mapping[str, float] = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "ms": 1e-3, "us": 1e-6}
FAR = float("inf")


def grouped(rejected: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Noes by rule, the most telling rule first; in each the distinct reasons, the nearest to a yes first.

    Args:
        rejected: as `orchestrator.core.explain.view.rejection_view` writes them, the most telling rule first.
    """
    by_rule: dict[str, list[Mapping[str, str]]] = {}
    for no in rejected:
        by_rule.setdefault(no["rule"], []).append(no)
    return [{"rule": rule, "count": len(noes), "reasons": _reasons(noes)} for rule, noes in by_rule.items()]


def _reasons(noes: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Noes with the same numbers are one reason with all their subjects."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for no in noes:
        alike.setdefault((no["need"], no["have"], no.get("hint", "")), []).append(no["subject"])
    ordered = sorted(alike.items(), key=lambda one: (_missing(one[0][0], one[0][1]), one[0]))
    return [_reason(need, have, hint, subjects) for (need, have, hint), subjects in ordered]


def _reason(need: str, have: str, hint: str, subjects: Sequence[str]) -> dict[str, Any]:
    told = sorted(set(subjects))
    view: dict[str, Any] = {"need": need, "have": have, "subjects": told[:PLACES], "count": len(subjects)}
    return view | ({"hint": hint} if hint else {})


def _missing(need: str, have: str) -> float:
    """How far off a no was: the ratio of the two amounts, 1 being just missed; infinite where they are no amounts."""
    wanted, there = _amount(need), _amount(have)
    if not wanted or not there:
        return FAR
    return max(wanted / there, there / wanted)


def _amount(text: str) -> float | None:
    found = AMOUNT.search(text)
    return float(found["number"]) * UNITS.get(found["unit"], 1.0) if found else None
