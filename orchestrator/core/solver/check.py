"""Whether a problem makes sense: names known and unique, numbers that mean something. Pure; called by `solve`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from orchestrator.core.solver.problem import Choice, Column, Demand, Pool, Problem


def check(problem: Problem) -> None:
    """Raise ValueError that says what is wrong, and where, for a problem without a meaning."""
    _unique("demand", [d.name for d in problem.demands])
    _unique("pool", [p.name for p in problem.pools])
    _unique("column", [c.name for c in problem.columns])
    _unique("choice", [c.name for c in problem.choices])
    pools = {p.name: p for p in problem.pools}
    demands = {d.name for d in problem.demands}
    for demand in problem.demands:
        _demand(demand)
    for pool in problem.pools:
        _whole(f"pool {pool.name}", "nodes", pool.nodes, least=0)
        _whole(f"pool {pool.name}", "room", pool.room, least=0)
    for column in problem.columns:
        _column(column, demands, pools)
    _choices(problem.choices, demands)


def _unique(kind: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{kind} {name} is there twice; names must be unique")
        seen.add(name)


def _finite(where: str, what: str, number: float, *, above: bool = False) -> None:
    if not math.isfinite(number) or number < 0 or (above and number == 0):
        raise ValueError(f"{where}: {what} is {number}; it must be a number {'above' if above else 'of at least'} 0")


def _whole(where: str, what: str, number: int, *, least: int) -> None:
    if number != int(number) or number < least:
        raise ValueError(f"{where}: {what} is {number}; it must be a whole number of at least {least}")


def _demand(demand: Demand) -> None:
    where = f"demand {demand.name}"
    _finite(where, "rate_per_s", demand.rate_per_s)
    _whole(where, "least", demand.least, least=0)
    _whole(where, "places", demand.places, least=0)
    if demand.most is not None:
        _whole(where, "most", demand.most, least=0)
        if demand.most < demand.least:
            raise ValueError(f"{where}: most is {demand.most} and least is {demand.least}; least must not be larger")


def _column(column: Column, demands: set[str], pools: dict[str, Pool]) -> None:
    where = f"column {column.name}"
    if not column.capacity_per_s:
        raise ValueError(f"{where} serves no demand; name at least one")
    for demand, capacity in column.capacity_per_s.items():
        if demand not in demands:
            raise ValueError(f"{where} serves {demand}, which is no demand")
        _finite(where, "capacity", capacity, above=True)
    _finite(where, "cost_per_h", column.cost_per_h)
    _finite(where, "dislike", column.dislike)
    _finite(where, "move_per_h", column.move_per_h)
    _whole(where, "now", column.now, least=0)
    if column.most is not None:
        _whole(where, "most", column.most, least=0)
    for take in column.takes:
        if take.pool not in pools:
            raise ValueError(f"{where} takes of {take.pool}, which is no pool")
        _whole(where, "nodes taken", take.nodes, least=1)
        _whole(where, "units taken", take.units, least=1)
        room = pools[take.pool].room
        if take.units > room:
            raise ValueError(f"{where} takes {take.units} units of each node of {take.pool}, which has {room}")
    timed = [take for take in column.takes if pools[take.pool].shared_time]
    if len(timed) > 1 or any(take.nodes > 1 for take in timed):
        raise ValueError(f"{where} takes several nodes whose time is shared; a replica may use one such node")


def _choices(choices: Iterable[Choice], demands: set[str]) -> None:
    chosen: dict[str, str] = {}
    for choice in choices:
        where = f"choice {choice.name}"
        if not choice.ways:
            raise ValueError(f"{where} has no way; it needs at least one")
        _unique(f"{where}: way", [way.name for way in choice.ways])
        for way in choice.ways:
            _finite(where, f"loss of {way.name}", way.loss)
            for demand, rate in way.rates_per_s.items():
                if demand not in demands:
                    raise ValueError(f"{where}: {way.name} has a rate of {demand}, which is no demand")
                _finite(where, f"rate of {demand} in {way.name}", rate)
                if chosen.setdefault(demand, choice.name) != choice.name:
                    raise ValueError(f"demand {demand} is in the choices {chosen[demand]} and {choice.name}")
