"""Every small world against a search through all its plans, level by level."""

from __future__ import annotations

import pytest
from core.solver.brute import best, levels_of
from core.solver.generated import small

from orchestrator.core.solver.solve import solve


@pytest.mark.parametrize("seed", range(250))
def test_a_small_world_has_the_plan_that_a_search_through_all_plans_finds(seed: int) -> None:
    problem = small(seed)

    solution = solve(problem)

    assert levels_of(problem, solution) == pytest.approx(best(problem), abs=1e-5)
    assert solution.bound_per_h == pytest.approx(solution.cost_per_h + solution.moves_per_h, abs=1e-5)
