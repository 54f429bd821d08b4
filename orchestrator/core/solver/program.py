"""Linear and integer programs, and HiGHS, whose only home this is. Called by everything in the solver that optimizes.

One thread, one seed, and limits that are counts: the same program always has the same answer.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import highspy
import numpy as np
import numpy.typing as npt

from orchestrator.core.solver.ordered import Reals, Wholes

INFINITE = highspy.kHighsInf
TOLERANCE = 1e-9
FEW_WHOLE = 0.01  # share of variables that are integer; with so few, branching at once is faster than other means
PLAINLY = {
    "presolve": "off",
    "mip_allow_restart": False,
    "mip_heuristic_effort": 0.0,
    "mip_heuristic_run_feasibility_jump": False,
    "mip_heuristic_run_rens": False,
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_root_reduced_cost": False,
}


class Matrix(NamedTuple):
    """Rows one after the other: where each begins in `where` and `value`."""

    start: npt.NDArray[np.int32]
    where: npt.NDArray[np.int32]
    value: Reals


@dataclass(slots=True)
class Program:
    """Minimise cost x with lower <= x <= upper and row_lower <= A x <= row_upper; some x integer.

    Variables and rows are added in blocks; the arrays are put together once, by `matrix`.
    """

    lower: list[Reals] = field(default_factory=list)
    upper: list[Reals] = field(default_factory=list)
    integer: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    entries: list[tuple[Wholes, Wholes, Reals]] = field(default_factory=list)  # rows, variables, values
    row_lower: list[Reals] = field(default_factory=list)
    row_upper: list[Reals] = field(default_factory=list)
    variables: int = 0
    rows: int = 0

    def add_variables(self, lower: Any, upper: Any, *, integer: bool) -> Wholes:
        """Add variables; their positions."""
        lows, highs = np.broadcast_arrays(np.atleast_1d(np.asarray(lower, float)), np.atleast_1d(upper))
        self.lower.append(lows.astype(float))
        self.upper.append(highs.astype(float))
        self.integer.append(np.full(len(lows), integer))
        self.variables += len(lows)
        return np.arange(self.variables - len(lows), self.variables)

    def add_rows(self, lower: Any, upper: Any) -> Wholes:
        """Add empty rows; their positions."""
        lows, highs = np.broadcast_arrays(np.atleast_1d(np.asarray(lower, float)), np.atleast_1d(upper))
        self.row_lower.append(lows.astype(float))
        self.row_upper.append(highs.astype(float))
        self.rows += len(lows)
        return np.arange(self.rows - len(lows), self.rows)

    def put(self, rows: Any, variables: Any, values: Any) -> None:
        """Add entries to the matrix; those at the same place are summed."""
        r, v, x = np.broadcast_arrays(np.atleast_1d(rows), np.atleast_1d(variables), np.atleast_1d(values))
        self.entries.append((r.astype(np.int64), v.astype(np.int64), x.astype(float)))

    def add_row(self, variables: Any, values: Any, lower: float, upper: float) -> int:
        """Add one row with its entries; its position."""
        row = int(self.add_rows(lower, upper)[0])
        self.put(row, variables, values)
        return row

    def copy(self) -> Program:
        """One to which more can be added while this stays as it is."""
        return replace(
            self,
            lower=list(self.lower),
            upper=list(self.upper),
            integer=list(self.integer),
            entries=list(self.entries),
            row_lower=list(self.row_lower),
            row_upper=list(self.row_upper),
        )

    def matrix(self) -> Matrix:
        """The matrix by rows."""
        if not self.entries:
            return Matrix(np.zeros(self.rows + 1, np.int32), np.zeros(0, np.int32), np.zeros(0))
        rows, variables, values = (np.concatenate(part) for part in zip(*self.entries, strict=True))
        places, first = np.unique(rows * max(1, self.variables) + variables, return_inverse=True)
        summed: Reals = np.bincount(first, weights=values, minlength=len(places)).astype(np.float64)
        rows, variables = np.divmod(places, max(1, self.variables))
        start = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=self.rows))))
        return Matrix(start.astype(np.int32), variables.astype(np.int32), summed)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a program.

    Attributes:
        x: the best values found; None when there are none.
        bound: no values have less cost.
        optimal: whether the values are proven best.
        impossible: whether it is proven that there are no values.
        duals: by row, of a linear program.
    """

    x: Reals | None
    bound: float
    optimal: bool
    impossible: bool
    duals: Reals | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """Where an integer search stops; counts only, so that equal inputs have equal answers.

    Attributes:
        nodes: of the search tree.
        checks: how often the search may ask whether to go on: once for each round of cuts and each node.
        gap: the search stops when the best is proven to be so close, as a share.
        target: or when it costs so little.
    """

    nodes: int
    checks: int
    gap: float = 0.0
    target: float = -INFINITE


class _Quiet(highspy.Highs):  # type: ignore[misc]  # highspy has no types
    """HiGHS that prints nothing, not even what its first instance says of itself while it is made."""

    def enableCallbacks(self) -> None:  # noqa: N802 its name
        self.silent()
        super().enableCallbacks()


def quiet() -> highspy.Highs:
    """A solver of our settings."""
    highs = _Quiet()
    options = {
        "threads": 1,
        "parallel": "off",
        "random_seed": 0,
        "primal_feasibility_tolerance": TOLERANCE,
        "dual_feasibility_tolerance": TOLERANCE,
        "mip_feasibility_tolerance": TOLERANCE,
        "small_matrix_value": 1e-12,
    }
    for name, value in options.items():
        highs.setOptionValue(name, value)
    return highs


def _pass(highs: highspy.Highs, program: Program, cost: Reals, upper: Reals | None, *, integer: bool) -> None:
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = program.variables, program.rows
    lp.col_cost_ = cost
    lp.col_lower_ = _joined(program.lower)
    lp.col_upper_ = _joined(program.upper) if upper is None else upper
    lp.row_lower_ = _joined(program.row_lower)
    lp.row_upper_ = _joined(program.row_upper)
    matrix = program.matrix()
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = program.variables, program.rows
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix
    if integer:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(i)] for i in np.concatenate(program.integer)]
    highs.passModel(lp)


class Growing:
    """A linear program to which columns are added, solved again from where it was."""

    def __init__(self, program: Program, cost: Reals, upper: Reals) -> None:
        self._highs = quiet()
        _pass(self._highs, program, cost, upper, integer=False)

    def add(self, cost: Reals, columns: Matrix) -> None:
        """Add variables of at least 0, each with its column of the matrix."""
        many = len(cost)
        if not many:
            return
        zero, endless = np.zeros(many), np.full(many, INFINITE)
        self._highs.addCols(many, cost, zero, endless, len(columns.where), *columns)

    def solve(self) -> Answer:
        """The optimum as it is now."""
        return _linear(self._highs)


def _joined(parts: list[Reals]) -> Reals:
    return np.concatenate(parts) if parts else np.zeros(0)


def solve_linear(program: Program, cost: Reals, upper: Reals | None = None) -> Answer:
    """The optimum when no variable need be integer, with duals; `upper` goes before the program's own bounds."""
    if not program.variables:
        return _empty(program)
    highs = quiet()
    _pass(highs, program, cost, upper, integer=False)
    return _linear(highs)


def _linear(highs: highspy.Highs) -> Answer:
    highs.run()
    status = highs.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        return Answer(None, -INFINITE, optimal=False, impossible=status == highspy.HighsModelStatus.kInfeasible)
    solution = highs.getSolution()
    duals = np.asarray(solution.row_dual)
    bound = highs.getInfo().objective_function_value
    return Answer(np.asarray(solution.col_value), bound, optimal=True, impossible=False, duals=duals)


def solve_integer(
    program: Program, cost: Reals, effort: Effort, *, upper: Reals | None = None, start: Reals | None = None
) -> Answer:
    """Search for the best values, from a known solution where there is one; `upper` as in `solve_linear`."""
    if not program.variables:
        return _empty(program)
    highs = quiet()
    highs.setOptionValue("mip_max_nodes", effort.nodes)
    highs.setOptionValue("mip_rel_gap", effort.gap)
    highs.setOptionValue("mip_abs_gap", TOLERANCE)
    highs.setOptionValue("objective_target", effort.target)
    if sum(int(part.sum()) for part in program.integer) <= FEW_WHOLE * program.variables:
        for name, value in PLAINLY.items():
            highs.setOptionValue(name, value)
    _pass(highs, program, cost, upper, integer=True)
    if start is not None:
        highs.setSolution(program.variables, np.arange(program.variables, dtype=np.int32), start)

    checks = itertools.count()

    def enough(event: Any) -> None:
        if next(checks) > effort.checks:
            event.data_in.user_interrupt = True

    highs.cbMipInterrupt.subscribe(enough)
    highs.run()
    status, found = highs.getModelStatus(), highs.getInfo()
    if status == highspy.HighsModelStatus.kInfeasible:
        return Answer(None, INFINITE, optimal=False, impossible=True)
    optimal = status == highspy.HighsModelStatus.kOptimal
    feasible = found.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    x = np.asarray(highs.getSolution().col_value) if feasible else None
    if start is not None and x is not None and cost @ x > found.mip_dual_bound + 1e-6 * (1 + abs(cost @ x)) and optimal:
        # A start that presolve improves is handed back as it was, with the improved one's proof.
        return solve_integer(program, cost, effort, upper=upper)
    return Answer(x, float(found.mip_dual_bound), optimal=optimal, impossible=False)


def _empty(program: Program) -> Answer:
    possible = all((part <= 0).all() for part in program.row_lower) and all((p >= 0).all() for p in program.row_upper)
    return Answer(np.zeros(0), 0.0, optimal=possible, impossible=not possible, duals=np.zeros(program.rows))
