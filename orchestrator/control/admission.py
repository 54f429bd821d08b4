"""May these documents be wanted? Not when a tier would have no place with them, or less than it asks for. Pure.

Called by `orchestrator.control.loop` before anything is kept; the former ones go on then. A tier that had no place, or
had to give something up before, is no reason to refuse: nothing gets worse. Nor is one whose model is not built yet: it
has a place.
"""

from __future__ import annotations

from orchestrator.core.nearest import nearest
from orchestrator.core.placement.result import Placed, Placement, Unplaced
from orchestrator.errors import Refused


def check_places(before: Placement, after: Placement) -> None:
    """Raises Refused when a tier has no place in `after` that is new, or has one in `before`, or must give up more."""
    poor = {(t.service, t.tier) for t in before.tiers if isinstance(t, Unplaced) or t.gave_up}
    had = {(tier.service, tier.tier): not isinstance(tier, Unplaced) for tier in before.tiers}
    lost = [
        _sentence(tier, "would lose its place" if (tier.service, tier.tier) in had else "has no place")
        for tier in after.tiers
        if isinstance(tier, Unplaced) and had.get((tier.service, tier.tier), True)
    ]
    lost += [
        f"{tier.service}/{tier.tier} would have less: {'; '.join(tier.gave_up)}"
        for tier in after.tiers
        if isinstance(tier, Placed) and tier.gave_up and (tier.service, tier.tier) not in poor
    ]
    if lost:
        raise Refused("; ".join([*lost, "nothing was changed"]))


def _sentence(tier: Unplaced, how: str) -> str:
    why = str(nearest(tier.rejections)[0]) if tier.rejections else "no site is known; deploy one first or with it"
    return f"{tier.service}/{tier.tier} {how}: {why}"
