"""Carries out a decision: every move once, in order; one that fails never stops the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from orchestrator.core.actions import Action, SetRoutes, Start, Stop
from orchestrator.core.decide import Decision
from orchestrator.core.world import World
from orchestrator.errors import HeadwaterError, NotOurs, Refused
from orchestrator.ports import Fleet, Outside


@dataclass(frozen=True, slots=True)
class Carried:
    """A move and how it went; no error means it went well."""

    action: Action
    error: HeadwaterError | None = None

    @property
    def what(self) -> str:
        """The move in words."""
        match self.action:
            case Start():
                return f"start of {self.action.spec.name}"
            case Stop():
                return f"stop of {self.action.replica}"
            case SetRoutes():
                return "setting routes"

    @property
    def to_be_repeated(self) -> bool:
        """Whether it failed and may go well by itself the next time; what was refused may not."""
        return self.error is not None and not isinstance(self.error, Refused | NotOurs)


def act(decision: Decision, world: World, outside: Outside) -> tuple[Carried, ...]:
    """Carry out all moves. When the routes could not be set, nothing is stopped in this pass."""
    carried: list[Carried] = []
    routes_set = True
    for action in decision.actions:
        if isinstance(action, Stop) and not routes_set:
            continue
        try:
            _perform(action, world, outside)
            carried.append(Carried(action))
        except HeadwaterError as exc:
            routes_set = routes_set and not isinstance(action, SetRoutes)
            carried.append(Carried(action, exc))
    return tuple(carried)


def refused_starts(carried: Iterable[Carried]) -> dict[str, str]:
    """By `service/tier`, why a start was refused: trying again will not help before somebody acts."""
    return {
        f"{one.action.spec.service}/{one.action.spec.tier}": str(one.error)
        for one in carried
        if isinstance(one.action, Start) and isinstance(one.error, Refused | NotOurs)
    }


def _perform(action: Action, world: World, outside: Outside) -> None:
    match action:
        case Start():
            _fleet(action.spec.site, world, outside).start(action.spec)
        case Stop():
            _fleet(action.site, world, outside).stop(action.replica)
        case SetRoutes():
            outside.router.set_routes(action.table)
        case _:
            assert_never(action)


def _fleet(site: str, world: World, outside: Outside) -> Fleet:
    """The fleet of a site; a replica whose site was forgotten is looked for in the only fleet there is."""
    known = world.sites.get(site)
    kind = known.spec.fleet if known is not None else next(iter(outside.fleets))
    if kind not in outside.fleets:
        raise Refused(f"site {site} has fleet {kind}; this controller runs {', '.join(sorted(outside.fleets))}")
    return outside.fleets[kind]
