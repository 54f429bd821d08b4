"""Small worlds with everything in them, from a seed. Called by the tests beside it."""

from __future__ import annotations

import random

from orchestrator.core.solver.problem import Choice, Column, Demand, Pool, Problem, Take, Way

ROOMS = (1, 2, 4, 7, 8, 8, 10)


def small(seed: int) -> Problem:
    """At most four nodes, three demands and two pools; sizes, choices, bounds, moves and shared time at random."""
    rng = random.Random(seed)
    nodes = rng.randint(1, 4)
    first = rng.randint(0, nodes) if rng.random() < 0.6 else nodes
    pools = [Pool("a", first, rng.choice(ROOMS), shared_time=rng.random() < 0.25)]
    if first < nodes:
        pools.append(Pool("b", nodes - first, rng.choice(ROOMS), shared_time=rng.random() < 0.25))
    names = [f"d{i}" for i in range(rng.randint(1, 3))]
    demands = tuple(_demand(rng, name) for name in names)
    columns: list[Column] = []
    plans = 1
    for i in range(rng.randint(1, 5)):
        column = _column(rng, f"c{i}", names, pools)
        fit = min(p.nodes * (p.room // t.units) // t.nodes for t in column.takes for p in pools if p.name == t.pool)
        plans *= min(fit, 9 if column.most is None else column.most) + 1
        if plans > 400:
            break
        columns.append(column)
    choices = (_choice(rng, names),) if rng.random() < 0.35 else ()
    return Problem(demands, tuple(pools), tuple(columns), choices)


def _demand(rng: random.Random, name: str) -> Demand:
    least = rng.choice((0, 0, 0, 1, 2))
    return Demand(
        name,
        rate_per_s=rng.choice((0.0, 0.5, 1.0, 2.0, 3.5, 7.0)),
        priority=rng.choice((0, 0, 1, 5)),
        least=least,
        most=rng.choice((None, None, None, least + 1, least + 2)),
        places=rng.choice((1, 1, 1, 2)),
    )


def _column(rng: random.Random, name: str, demands: list[str], pools: list[Pool]) -> Column:
    served = rng.sample(demands, rng.choice((1, 1, 1, min(2, len(demands)))))
    taken = rng.sample(pools, 1 if rng.random() < 0.8 else min(2, len(pools)))
    timed = sum(pool.shared_time for pool in taken)
    if timed > 1:
        taken = taken[:1]
    takes = tuple(
        Take(p.name, 1 if p.shared_time else rng.choice((1, 1, 1, 2)), rng.randint(max(1, p.room // 4), p.room))
        for p in taken
    )
    return Column(
        name,
        {d: rng.choice((0.5, 1.0, 1.5, 3.0)) for d in served},
        takes,
        cost_per_h=rng.choice((0.0, 1.0, 1.0, 2.0, 2.5, 4.0)),
        dislike=rng.choice((0.0, 0.0, 1.0, 2.5)),
        place=rng.choice(("north", "south", "west")),
        now=rng.choice((0, 0, 0, 1, 2)),
        move_per_h=rng.choice((0.0, 0.25, 3.0)),
        most=rng.choice((None, None, None, 1, 2)),
    )


def _choice(rng: random.Random, demands: list[str]) -> Choice:
    together = rng.sample(demands, min(2, len(demands)))
    ways = tuple(
        Way(f"w{i}", {d: rng.choice((0.0, 0.5, 1.0, 4.0)) for d in together}, loss=rng.choice((0.0, 0.0, 1.0, 2.0)))
        for i in range(rng.randint(1, 3))
    )
    return Choice("cascade", ways)


def middling(seed: int) -> Problem:
    """Twenty services on eight pools of chips, with more columns than are searched one by one."""
    rng = random.Random(seed)
    pools = tuple(Pool(f"p{i}", rng.randint(3, 30), 8) for i in range(8))
    speeds = [rng.uniform(0.5, 3.0) for _ in pools]
    prices = [speed * rng.uniform(0.7, 1.4) for speed in speeds]
    room = sum(speed * pool.nodes * 8 for speed, pool in zip(speeds, pools, strict=True))
    weights = [rng.lognormvariate(0.0, 1.0) for _ in range(20)]
    demands, columns = [], []
    for s, weight in enumerate(weights):
        name, first = f"s{s:02}", rng.choice((1, 1, 2, 4))
        demands.append(Demand(name, 0.5 * room * weight / sum(weights)))
        for at, pool in enumerate(pools):
            for units in (first, 2 * first):
                speed = speeds[at] * units**0.95 * rng.uniform(0.8, 1.2)
                columns.append(
                    Column(
                        f"{name}/{pool.name}/{units}", {name: speed}, (Take(pool.name, 1, units),), prices[at] * units
                    )
                )
    return Problem(tuple(demands), pools, tuple(columns))
