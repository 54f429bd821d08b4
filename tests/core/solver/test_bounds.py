"""Bounds that hold before they are cut to the plan, and what large or grouped problems must still promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core.solver.generated import middling

from orchestrator.core.solver.covering import tables
from orchestrator.core.solver.fleet import search
from orchestrator.core.solver.levels import settle
from orchestrator.core.solver.model import build
from orchestrator.core.solver.ordered import ordered
from orchestrator.core.solver.problem import Choice, Column, Demand, Pool, Problem, Solution, Take, Way
from orchestrator.core.solver.rooms import rooms
from orchestrator.core.solver.scarce import settle_large
from orchestrator.core.solver.solve import FULL, _as_sums, solve


def a_column(name: str, demand: str, units: int, *, capacity: float = 1.0, cost: float = 1.0, **more: object) -> Column:
    return Column(name, {demand: capacity}, (Take("p", 1, units),), cost, **more)  # type: ignore[arg-type]


def test_the_parts_of_a_replica_do_not_share_the_one_node_that_is_left() -> None:
    wide = Column("wide", {"b": 1.0}, (Take("p", 2, 3),), 1.0)
    demands = Demand("a", 1.0, priority=1), Demand("b", 1.0)

    solution = solve(Problem(demands, (Pool("p", 2, 8),), (a_column("a", "a", 6), wide)))

    assert solution.replicas == {"a": 1}


def test_where_nodes_are_grouped_the_bound_is_that_of_a_relaxation() -> None:
    demands = Demand("a", 150.0), Demand("b", 150.0)
    columns = a_column("a", "a", 3), a_column("b", "b", 7)

    solution = solve(Problem(demands, (Pool("p", 200, 10, shared_time=True),), columns))

    assert solution.proof == "relaxation"


def test_the_table_of_a_mix_never_costs_more_than_the_mix() -> None:
    found = tables(np.array([[0.095]]), np.array([[1.0]]), 100)

    assert found.least[100, 0] <= 11  # replicas of 0.095 that make up 1


@pytest.mark.parametrize("seed", range(2))
def test_the_bound_of_a_large_problem_is_below_its_plan_before_it_is_cut_to_it(seed: int) -> None:
    problem = ordered(middling(seed))
    space = _as_sums(rooms(problem), every=True)
    model = build(problem, space)

    found = search(model, space, thorough=True)

    assert found is not None
    assert found.x is not None
    assert found.bound <= float(model.cost() @ found.x) * (1 + 1e-9)


def test_values_of_the_program_cost_what_the_plan_costs_with_its_moves() -> None:
    columns = (
        a_column("here", "d", 1, cost=2.0, now=3, move_per_h=0.2),
        a_column("there", "d", 1, cost=1.0, move_per_h=0.2),
    )
    problem = Problem((Demand("d", 2.0),), (Pool("p", 1, 8),), columns)
    arranged = ordered(problem)
    model = build(arranged, rooms(arranged))

    worth = float(model.cost() @ settle(model, FULL).x) + model.offset

    plan = solve(problem)
    assert worth == pytest.approx(plan.cost_per_h + plan.moves_per_h)


def scarce(*, shared_time: bool) -> Problem:
    """Sixty services on fifteen nodes that hold and carry thirty; every other one goes first."""
    demands = tuple(Demand(f"d{i:02}", 1.0, priority=i % 2) for i in range(60))
    columns = tuple(
        Column(f"{d.name}/{units}", {d.name: 2.0}, (Take("p", 1, units),), 1.0) for d in demands for units in (4, 8)
    )
    return Problem(demands, (Pool("p", 15, 8, shared_time=shared_time),), columns)


@pytest.mark.parametrize("effort", ["quick", "full"])
@pytest.mark.parametrize("shared_time", [False, True])
def test_a_large_plan_in_which_not_all_fits_carries_what_goes_first(effort: Any, *, shared_time: bool) -> None:
    problem = scarce(shared_time=shared_time)

    solution = solve(problem, effort=effort)

    assert {d.name: solution.carried_per_s[d.name] for d in problem.demands if d.priority} == {
        d.name: pytest.approx(1.0, rel=1e-4) for d in problem.demands if d.priority
    }


def test_the_bound_where_not_all_fits_is_below_the_plan_before_it_is_cut_to_it() -> None:
    problem = ordered(scarce(shared_time=False))
    space = _as_sums(rooms(problem), every=True)
    model = build(problem, space)

    settled = settle_large(model, space, thorough=True)

    assert settled.bound <= float(model.cost() @ settled.x) * (1 + 1e-6)


def test_machines_are_not_filled_beyond_the_replicas_a_demand_may_have() -> None:
    demands = tuple(Demand(f"d{i:02}", 5.0, most=1) for i in range(30))
    pools = tuple(Pool(f"p{i}", 9, 100, shared_time=True) for i in range(4))
    columns = tuple(
        Column(f"{d.name}/{p.name}", {d.name: 1.0}, (Take(p.name, 1, 21 + 2 * at),), 1.0)
        for at, d in enumerate(demands)
        for p in pools
    )

    solution = solve(Problem(demands, pools, columns))

    counts = [sum(n for c, n in solution.replicas.items() if c.startswith(d.name)) for d in demands]
    assert max(counts) == 1


def test_the_gap_of_a_solution_is_a_share_of_cost_and_moves() -> None:
    assert Solution({}, {}, cost_per_h=8, moves_per_h=2, bound_per_h=9).gap == pytest.approx(0.1)


def test_the_service_that_goes_first_gives_up_last_though_its_loss_is_smaller() -> None:
    demands, columns, choices = [], [], []
    for name, priority, loss in (("first", 5, 1.0), ("second", 0, 3.0)):
        student, teacher = f"{name}/student", f"{name}/teacher"
        demands += [Demand(student, 1.0, priority), Demand(teacher, 1.0, priority)]
        columns += [a_column(tier, tier, 8) for tier in (student, teacher)]
        ways = Way("both", {student: 1.0, teacher: 1.0}), Way("student only", {student: 1.0}, loss=loss)
        choices.append(Choice(name, ways))

    solution = solve(Problem(tuple(demands), (Pool("p", 3, 8),), tuple(columns), tuple(choices)))

    assert solution.ways == {"first": "both", "second": "student only"}
