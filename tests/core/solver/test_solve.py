"""What a plan promises: packing, shared time, priorities, choices, moves, places, order, and refusals."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from core.solver.brute import best, levels_of
from core.solver.generated import middling, small

from orchestrator.core.solver.problem import Choice, Column, Demand, Pool, Problem, Take, Way
from orchestrator.core.solver.solve import solve


def a_column(name: str, demand: str, units: int, *, capacity: float = 1.0, cost: float = 1.0, **more: object) -> Column:
    return Column(name, {demand: capacity}, (Take("p", 1, units),), cost, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nodes", "room", "sizes", "fit"),
    [
        pytest.param(1, 8, (3, 3, 2), 3, id="3 and 3 and 2 fill a node of 8"),
        pytest.param(2, 8, (5, 5, 5), 2, id="three fives of 16 units do not go on two nodes of 8"),
        pytest.param(2, 8, (3, 3, 3, 3, 4), 4, id="four threes and a four are 16 units, and one finds no place"),
        pytest.param(3, 8, (6, 6, 6, 2, 2, 2), 6, id="sixes and twos pair up"),
        pytest.param(50, 8, (5,) * 50 + (3,) * 50, 100, id="fifty fives and threes pair up on fifty nodes"),
        pytest.param(1, 10**11, (6 * 10**10, 4 * 10**10 + 1), 1, id="bytes count to the last one"),
    ],
)
def test_counts_pack_into_nodes(nodes: int, room: int, sizes: tuple[int, ...], fit: int) -> None:
    columns = tuple(a_column(f"c{i:03}", f"d{i:03}", size, most=1) for i, size in enumerate(sizes))
    demands = tuple(Demand(f"d{i:03}", 1.0) for i in range(len(sizes)))

    solution = solve(Problem(demands, (Pool("p", nodes, room),), columns))

    assert sum(solution.replicas.values()) == fit


@pytest.mark.parametrize(
    ("nodes", "replicas"),
    [pytest.param(1, 0, id="one node holds no half of it"), pytest.param(2, 1, id="two nodes hold one")],
)
def test_the_parts_of_a_replica_are_on_different_nodes(nodes: int, replicas: int) -> None:
    column = Column("c", {"d": 1.0}, (Take("p", 2, 3),), 1.0)

    solution = solve(Problem((Demand("d", 5.0),), (Pool("p", nodes, 8),), (column,)))

    # On two nodes of 8 two replicas have each a part on both.
    assert solution.replicas.get("c", 0) == 2 * replicas


def test_replicas_that_share_a_machine_share_its_time() -> None:
    demands = (Demand("a", 6.0, priority=1), Demand("b", 6.0))
    columns = (a_column("a", "a", 4, capacity=10.0), a_column("b", "b", 4, capacity=10.0))

    solution = solve(Problem(demands, (Pool("p", 1, 10, shared_time=True),), columns))

    assert solution.carried_per_s == pytest.approx({"a": 6.0, "b": 4.0}, rel=1e-5)


def test_the_time_of_one_node_is_no_use_to_a_replica_on_another() -> None:
    # The large one fills a node alone; the two small ones must share the other.
    demands = (Demand("large", 1.0, priority=2), Demand("b", 8.0), Demand("c", 8.0))
    columns = (
        a_column("large", "large", 9, capacity=10.0),
        a_column("b", "b", 4, capacity=10.0),
        a_column("c", "c", 4, capacity=10.0),
    )

    solution = solve(Problem(demands, (Pool("p", 2, 10, shared_time=True),), columns))

    assert solution.carried_per_s["b"] + solution.carried_per_s["c"] == pytest.approx(10.0, rel=1e-4)


def test_the_higher_priority_is_carried_first_though_it_carries_less() -> None:
    demands = (Demand("first", 1.0, priority=9), Demand("second", 100.0))
    columns = (a_column("first", "first", 8), a_column("second", "second", 8, capacity=100.0, cost=0.1))

    solution = solve(Problem(demands, (Pool("p", 1, 8),), columns))

    assert solution.replicas == {"first": 1}


def _cascade(nodes: int) -> Problem:
    ways = (Way("both", {"student": 1.0, "teacher": 1.0}), Way("student only", {"student": 1.0}, loss=5.0))
    return Problem(
        (Demand("student", 1.0, least=1), Demand("teacher", 1.0, least=1)),
        (Pool("p", nodes, 8),),
        (a_column("s", "student", 8), a_column("t", "teacher", 8, cost=50.0)),
        (Choice("service", ways),),
    )


@pytest.mark.parametrize(("nodes", "way"), [(2, "both"), (1, "student only")])
def test_the_way_that_loses_least_is_taken_where_there_is_room(nodes: int, way: str) -> None:
    assert solve(_cascade(nodes)).ways == {"service": way}


@pytest.mark.parametrize(
    ("move", "stays"), [pytest.param(0.6, True, id="dear moves"), pytest.param(0.2, False, id="cheap moves")]
)
def test_what_runs_stays_where_a_move_costs_more_than_it_gains(move: float, *, stays: bool) -> None:
    columns = (
        a_column("here", "d", 1, cost=2.0, now=1, move_per_h=move),
        a_column("there", "d", 1, cost=1.0, move_per_h=move),
    )

    solution = solve(Problem((Demand("d", 1.0),), (Pool("p", 1, 8),), columns))

    assert solution.replicas == ({"here": 1} if stays else {"there": 1})
    assert solution.moves_per_h == pytest.approx(0.0 if stays else 2 * move)


def test_replicas_are_spread_over_the_places_that_are_asked_for() -> None:
    columns = (
        a_column("cheap", "d", 1, cost=1.0, place="north"),
        a_column("dear", "d", 1, cost=3.0, place="south"),
    )

    solution = solve(Problem((Demand("d", 2.0, places=2),), (Pool("p", 4, 8),), columns))

    assert solution.replicas == {"cheap": 1, "dear": 1}


def test_between_equal_prices_the_least_disliked_is_taken_and_nothing_useless_runs() -> None:
    columns = (a_column("liked", "d", 1, cost=0.0, dislike=1.0), a_column("not", "d", 1, cost=0.0, dislike=2.0))

    assert solve(Problem((Demand("d", 2.0),), (Pool("p", 4, 8),), columns)).replicas == {"liked": 2}


def _shuffled(problem: Problem, seed: int) -> Problem:
    rng = random.Random(seed)
    mixed = {}
    for name in ("demands", "pools", "columns", "choices"):
        items = list(getattr(problem, name))
        rng.shuffle(items)
        mixed[name] = tuple(items)
    return replace(problem, **mixed)


@pytest.mark.parametrize("problem", [pytest.param(small(7), id="small"), pytest.param(middling(1), id="middling")])
def test_fifty_orders_of_the_input_have_one_plan(problem: Problem) -> None:
    plan = repr(solve(problem))

    assert {repr(solve(_shuffled(problem, seed))) for seed in range(50)} == {plan}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("effort", ["quick", "full"])
def test_a_larger_plan_carries_all_within_its_rooms_and_near_its_bound(seed: int, effort: str) -> None:
    problem = middling(seed)

    solution = solve(problem, effort=effort)  # type: ignore[arg-type]

    assert all(solution.carried_per_s[d.name] == d.rate_per_s for d in problem.demands)
    for pool in problem.pools:
        used = sum(
            solution.replicas.get(c.name, 0) * t.units for c in problem.columns for t in c.takes if t.pool == pool.name
        )
        assert used <= pool.nodes * pool.room
    assert 0 < solution.bound_per_h <= solution.cost_per_h + solution.moves_per_h
    assert solution.gap <= (0.01 if effort == "full" else 0.25)


@pytest.mark.parametrize("seed", range(3))
def test_a_larger_plan_keeps_bounds_places_and_what_runs(seed: int) -> None:
    rng = random.Random(seed)
    plain = middling(seed)
    problem = replace(
        plain,
        columns=tuple(
            replace(c, now=rng.choice((0, 0, 1, 2)), move_per_h=rng.choice((0.0, 0.1, 1.0)), place=c.takes[0].pool)
            for c in plain.columns
        ),
        demands=tuple(
            replace(d, least=rng.choice((0, 1, 3)), places=rng.choice((1, 2)), most=rng.choice((None, 40)))
            for d in plain.demands
        ),
    )

    solution = solve(problem)

    for d in problem.demands:
        own = [c for c in problem.columns if d.name in c.capacity_per_s and c.name in solution.replicas]
        total = sum(solution.replicas[c.name] for c in own)
        assert solution.carried_per_s[d.name] == d.rate_per_s
        assert d.least <= total <= (math.inf if d.most is None else d.most)
        assert len({c.place for c in own}) >= d.places
    assert solution.gap <= 0.02


@pytest.mark.parametrize("seed", range(3))
def test_many_services_on_edge_machines_find_nodes_and_time(seed: int) -> None:
    rng = random.Random(seed)
    pools = tuple(Pool(f"site-{i}", rng.randint(4, 9), 100, shared_time=True) for i in range(6))
    demands = tuple(Demand(f"d{i:02}", rng.uniform(0.2, 1.2)) for i in range(24))
    columns = tuple(
        Column(f"{d.name}/{p.name}", {d.name: rng.uniform(1.0, 3.0)}, (Take(p.name, 1, rng.randint(21, 60)),), 1.0)
        for d in demands
        for p in pools
    )

    solution = solve(Problem(demands, pools, columns))

    assert all(solution.carried_per_s[d.name] == d.rate_per_s for d in demands)
    for pool in pools:
        here = [c for c in columns if c.takes[0].pool == pool.name and c.name in solution.replicas]
        free = [pool.room] * pool.nodes
        for size in sorted((c.takes[0].units for c in here for _ in range(solution.replicas[c.name])), reverse=True):
            at = min((k for k in range(pool.nodes) if free[k] >= size), key=lambda k: free[k])
            free[at] -= size


@pytest.mark.parametrize("seed", range(60))
def test_no_plan_is_cheaper_than_the_bound_whatever_the_effort(seed: int) -> None:
    problem = small(1000 + seed)
    quick = solve(problem, effort="quick")

    if levels_of(problem, quick)[:-2] == pytest.approx(best(problem)[:-2], abs=1e-5):
        assert quick.bound_per_h <= best(problem)[-2] + 1e-5


def test_machines_that_share_requests_of_all_sizes_cost_what_the_cheapest_mix_costs() -> None:
    rates = {"small/small": 6.0, "small/large": 3.0, "large/small": 15.0, "large/large": 6.0}
    columns = (
        Column("A10G", dict(zip(rates, (2.0, 1.0, 5.0, 2.0), strict=True)), (), 1.01),
        Column("A100", dict(zip(rates, (20.0, 20.0, 40.0, 20.0), strict=True)), (), 3.67),
    )

    solution = solve(Problem(tuple(Demand(name, rate) for name, rate in rates.items()), (), columns))

    assert solution.cost_per_h == pytest.approx(4.68)
    assert solution.bound_per_h == pytest.approx(4.68)


def test_an_empty_problem_has_an_empty_plan() -> None:
    solution = solve(Problem((), (), ()))

    assert (solution.replicas, solution.cost_per_h, solution.gap) == ({}, 0.0, 0.0)


def test_a_demand_nothing_serves_is_carried_not_at_all() -> None:
    assert solve(Problem((Demand("d", 3.0),), (), ())).carried_per_s == {"d": 0.0}


def test_enormous_numbers_are_carried_as_far_as_there_is_room() -> None:
    column = a_column("c", "d", 10**15, capacity=1e-12, cost=1e12)

    solution = solve(Problem((Demand("d", 1e18),), (Pool("p", 10**6, 10**15),), (column,)))

    assert solution.replicas["c"] == pytest.approx(10**6, rel=1e-5)
    assert solution.carried_per_s["d"] == pytest.approx(1e-6, rel=1e-5)


GOOD = Problem((Demand("d", 1.0),), (Pool("p", 1, 8),), (a_column("c", "d", 1),))
BAD_COLUMN = GOOD.columns[0]


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (replace(GOOD, columns=(a_column("c", "d", 1, capacity=-1.0),)), "column c: capacity is -1.0"),
        (replace(GOOD, columns=(a_column("c", "d", 1, capacity=0.0),)), "above 0"),
        (replace(GOOD, columns=(a_column("c", "d", 1, capacity=math.nan),)), "is nan"),
        (replace(GOOD, columns=(a_column("c", "d", 9),)), "takes 9 units of each node of p, which has 8"),
        (replace(GOOD, columns=(a_column("c", "e", 1),)), "serves e, which is no demand"),
        (replace(GOOD, columns=(replace(BAD_COLUMN, takes=(Take("q", 1, 1),)),)), "takes of q, which is no pool"),
        (replace(GOOD, columns=(BAD_COLUMN, BAD_COLUMN)), "column c is there twice"),
        (replace(GOOD, columns=(replace(BAD_COLUMN, cost_per_h=-1.0),)), "cost_per_h is -1.0"),
        (replace(GOOD, columns=(replace(BAD_COLUMN, capacity_per_s={}),)), "serves no demand"),
        (replace(GOOD, demands=(Demand("d", math.inf),)), "rate_per_s is inf"),
        (replace(GOOD, demands=(Demand("d", 1.0, least=3, most=2),)), "most is 2 and least is 3"),
        (replace(GOOD, pools=(Pool("p", -1, 8),)), "pool p: nodes is -1"),
        (replace(GOOD, choices=(Choice("x", ()),)), "choice x has no way"),
        (replace(GOOD, choices=(Choice("x", (Way("w", {"e": 1.0}),)),)), "rate of e, which is no demand"),
    ],
)
def test_a_problem_without_a_meaning_is_refused_with_what_and_where(problem: Problem, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        solve(problem)
