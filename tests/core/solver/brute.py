"""A search through every plan of a small problem, written for being plainly right. Called by the tests beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import highspy

from orchestrator.core.solver.problem import Column, Problem, Solution

Vector = tuple[float, ...]
Node = tuple[int, ...]  # parts of each column


def best(problem: Problem) -> Vector:
    """What the best plan is worth: short and missing by priority, loss by priority, money, dislike."""
    found: Vector | None = None
    columns = problem.columns
    for ways in _ways(problem):
        rates = _rates(problem, ways)
        for counts in itertools.product(*(range(_fit(problem, c) + 1) for c in columns)):
            if not _within(problem, counts):
                continue
            replicas = {c.name: n for c, n in zip(columns, counts, strict=True)}
            known = _known(problem, replicas, ways, rates)
            for packing in _timed_packings(problem, counts):
                vector = _vector(problem, known, _short(problem, counts, rates, packing))
                if found is None or _less(vector, found):
                    found = vector
    assert found is not None
    return found


def levels_of(problem: Problem, solution: Solution) -> Vector:
    """What a solution is worth, in the order of `best`, after checking that it keeps every rule."""
    counts = tuple(solution.replicas.get(c.name, 0) for c in problem.columns)
    assert _within(problem, counts), "most"
    rates = _rates(problem, solution.ways)
    carried = solution.carried_per_s
    short = {d: (1 - carried[d] / rate if rate else 0.0) for d, rate in rates.items()}
    assert all(carried[d] <= rate * (1 + 1e-9) for d, rate in rates.items()), "carried more than there is"
    packings = list(_timed_packings(problem, counts))
    assert packings, "the counts do not pack"
    assert any(_possible(problem, counts, packing, carried) for packing in packings), "more is carried than can be"
    return _vector(problem, _known(problem, solution.replicas, solution.ways, rates), short)


def _less(a: Vector, b: Vector) -> bool:
    for x, y in zip(a, b, strict=True):
        if abs(x - y) > 1e-7:
            return x < y
    return False


def _ways(problem: Problem) -> Iterator[dict[str, str]]:
    for picked in itertools.product(*(c.ways for c in problem.choices)):
        yield {c.name: w.name for c, w in zip(problem.choices, picked, strict=True)}


def _rates(problem: Problem, ways: Mapping[str, str]) -> dict[str, float]:
    rates = {d.name: d.rate_per_s for d in problem.demands}
    for choice in problem.choices:
        rates.update({d: 0.0 for way in choice.ways for d in way.rates_per_s})
    for choice in problem.choices:
        rates.update(next(w for w in choice.ways if w.name == ways[choice.name]).rates_per_s)
    return rates


def _fit(problem: Problem, column: Column) -> int:
    pools = {p.name: p for p in problem.pools}
    fits = [pools[t.pool].nodes * (pools[t.pool].room // t.units) // t.nodes for t in column.takes]
    return min([*fits, 9 if column.most is None else column.most])


def _within(problem: Problem, counts: tuple[int, ...]) -> bool:
    if next(_timed_packings(problem, counts), None) is None:
        return False
    for demand in problem.demands:
        total = sum(n for c, n in zip(problem.columns, counts, strict=True) if demand.name in c.capacity_per_s)
        if demand.most is not None and total > demand.most:
            return False
    return True


def _timed_packings(problem: Problem, counts: tuple[int, ...]) -> Iterator[dict[str, tuple[Node, ...]]]:
    """Every packing of the pools whose time is shared; one of the others."""
    found: list[list[tuple[str, tuple[Node, ...]]]] = []
    for pool in problem.pools:
        packings = sorted(_packings(problem, pool.name, counts))
        found.append([(pool.name, p) for p in (packings if pool.shared_time else packings[:1])])
    for picked in itertools.product(*found):
        yield dict(picked)


_memory: dict[tuple[object, ...], frozenset[tuple[Node, ...]]] = {}


def _packings(problem: Problem, pool_name: str, counts: tuple[int, ...]) -> frozenset[tuple[Node, ...]]:
    pool = next(p for p in problem.pools if p.name == pool_name)
    parts: list[tuple[int, int, int]] = []  # column, units, different nodes
    for at, (column, n) in enumerate(zip(problem.columns, counts, strict=True)):
        for take in column.takes:
            if take.pool == pool_name:
                parts.extend([(at, take.units, take.nodes)] * n)
    key = (pool.nodes, pool.room, len(counts), tuple(parts))
    if key in _memory:
        return _memory[key]
    states = {((0, (0,) * len(counts)),) * pool.nodes}
    for at, units, nodes in parts:
        after = set()
        for state in states:
            for chosen in itertools.combinations(range(pool.nodes), nodes):
                if all(state[k][0] + units <= pool.room for k in chosen):
                    new = list(state)
                    for k in chosen:
                        used, held = state[k]
                        new[k] = (used + units, (*held[:at], held[at] + 1, *held[at + 1 :]))
                    after.add(tuple(sorted(new)))
        states = after
    _memory[key] = frozenset(tuple(held for _, held in state) for state in states)
    return _memory[key]


def _known(
    problem: Problem, replicas: Mapping[str, int], ways: Mapping[str, str], rates: Mapping[str, float]
) -> tuple[dict[str, float], dict[int, float], float, float]:
    """What does not depend on who carries what: missing by demand, loss by priority, money, dislike."""
    chosen = {d for c in problem.choices for w in c.ways for d in w.rates_per_s}
    missing: dict[str, float] = {}
    for demand in problem.demands:
        own = [c for c in problem.columns if demand.name in c.capacity_per_s]
        total = sum(replicas.get(c.name, 0) for c in own)
        places = len({c.place for c in own if replicas.get(c.name, 0)})
        asked = demand.name not in chosen or rates[demand.name] > 0
        wanted = demand.places if demand.places > 1 else 0
        missing[demand.name] = (max(0, demand.least - total) + max(0, wanted - places)) if asked else 0
    loss: dict[int, float] = {}
    priority = {d.name: d.priority for d in problem.demands}
    for choice in problem.choices:
        first = max(priority[d] for w in choice.ways for d in w.rates_per_s)
        way = next(w for w in choice.ways if w.name == ways[choice.name])
        loss[first] = loss.get(first, 0.0) + way.loss
    money = sum(
        c.cost_per_h * replicas.get(c.name, 0) + c.move_per_h * abs(replicas.get(c.name, 0) - c.now)
        for c in problem.columns
    )
    dislike = sum(c.dislike * replicas.get(c.name, 0) for c in problem.columns)
    return missing, loss, money, dislike


def _vector(
    problem: Problem, known: tuple[dict[str, float], dict[int, float], float, float], short: Mapping[str, float]
) -> Vector:
    missing, loss, money, dislike = known
    out: list[float] = []
    for priority in sorted({d.priority for d in problem.demands}, reverse=True):
        own = [d.name for d in problem.demands if d.priority == priority]
        out.extend((sum(short[d] for d in own), sum(missing[d] for d in own)))
    out.extend(loss[p] for p in sorted(loss, reverse=True))
    return (*out, money, dislike)


def _short(
    problem: Problem, counts: tuple[int, ...], rates: Mapping[str, float], packing: Mapping[str, tuple[Node, ...]]
) -> dict[str, float]:
    """The least that is short, by priority."""
    if not any(p.shared_time for p in problem.pools) and all(len(c.capacity_per_s) == 1 for c in problem.columns):
        carried = dict.fromkeys(rates, 0.0)
        for column, n in zip(problem.columns, counts, strict=True):
            for demand, capacity in column.capacity_per_s.items():
                carried[demand] += n * capacity
        return {d: max(0.0, 1 - carried[d] / rate) if rate else 0.0 for d, rate in rates.items()}
    highs, carried_by = _carrying(problem, counts, packing)
    short = {d: highs.addVariable(lb=0.0) for d in rates}
    for d, rate in rates.items():
        highs.addConstr(sum(carried_by[d]) + rate * short[d] >= rate)
    values: dict[str, float] = {}
    for priority in sorted({d.priority for d in problem.demands}, reverse=True):
        own = [d.name for d in problem.demands if d.priority == priority]
        total = sum(short[d] for d in own)
        highs.minimize(total)
        values.update({d: highs.variableValue(short[d]) for d in own})
        highs.addConstr(total <= sum(values[d] for d in own) + 1e-10)
    return values


def _possible(
    problem: Problem, counts: tuple[int, ...], packing: Mapping[str, tuple[Node, ...]], carried: Mapping[str, float]
) -> bool:
    highs, carried_by = _carrying(problem, counts, packing)
    for demand, rate in carried.items():
        highs.addConstr(sum(carried_by[demand]) >= rate * (1 - 1e-7))
    highs.run()
    return highs.getModelStatus() == highspy.HighsModelStatus.kOptimal


def _carrying(
    problem: Problem, counts: tuple[int, ...], packing: Mapping[str, tuple[Node, ...]]
) -> tuple[highspy.Highs, dict[str, list[object]]]:
    """What each demand is carried by, as expressions over the time of replicas and nodes."""
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    carried: dict[str, list[object]] = {d.name: [highs.addVariable(lb=0.0, ub=0.0)] for d in problem.demands}
    shared = {p.name for p in problem.pools if p.shared_time}
    times: dict[tuple[str, int], list[object]] = {}
    for at, (column, n) in enumerate(zip(problem.columns, counts, strict=True)):
        own = {d: highs.addVariable(lb=0.0) for d in column.capacity_per_s}
        for demand, capacity in column.capacity_per_s.items():
            carried[demand].append(capacity * own[demand])
        highs.addConstr(sum(own.values()) <= n)
        for take in column.takes:
            if take.pool in shared:
                there = []
                for k, node in enumerate(packing[take.pool]):
                    time = highs.addVariable(lb=0.0, ub=float(node[at]))
                    there.append(time)
                    times.setdefault((take.pool, k), []).append(time)
                highs.addConstr(sum(own.values()) <= sum(there))
    for of_node in times.values():
        highs.addConstr(sum(of_node) <= 1)
    return highs, carried
