"""The only door to HiGHS: compile a Pyomo model once, change numbers by index, solve, get a proof or an exception.

A solver that fails and still returns numbers is the most expensive bug of a market simulator, so `Program.solve`
has two outcomes only: a `Solution` that belongs to exactly the present numbers, or an exception. One thread is used
everywhere, since results must not depend on the machine's load.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import highspy
import numpy as np
import pyomo.environ as pyo

from wholesale.matrices import InfeasibleRow, Matrices, translate
from wholesale.proximal import Point, proximal

STATUS = highspy.HighsModelStatus
LIMITS = (STATUS.kTimeLimit, STATUS.kSolutionLimit, STATUS.kIterationLimit)
ANSWERS = (STATUS.kOptimal, STATUS.kInfeasible, STATUS.kUnbounded, STATUS.kUnboundedOrInfeasible, *LIMITS)
DEVEX = 1  # HiGHS' number for it
PRIMAL = 4
DROPPED = 1e-9  # HiGHS' small_matrix_value
NEGLIGIBLE = 1e-6  # of the largest coefficient of a row: rounding that may be dropped
QP_ITERATIONS = 5  # per row and column: the active-set method can cycle, and would without a limit never return


class SolverError(RuntimeError):
    """HiGHS gave no usable answer; the subclass says why.

    Attributes
    ----------
    partial : object or None
        What could be solved beside it, e.g. the `Clearing` of the other hours.
    """

    partial: Any = None


class Infeasible(SolverError):
    """No point satisfies all rows and bounds."""


class Unbounded(SolverError):
    """The objective improves without end."""


class NotSolved(SolverError):
    """Anything else: a limit without a feasible point, a numerical failure, a status that should not occur."""


@dataclass(frozen=True, eq=False)
class Solution:
    """An optimum (or, for integers under a limit, the best point found), in the sense of the Pyomo model.

    Attributes
    ----------
    x : ndarray [n]
        Values of the columns.
    dual : ndarray [m]
        dual[i] = d objective / d (right-hand side of row i), of the problem as stated: for a minimisation >= 0 on a
        binding `>=` row, for a maximisation >= 0 on a binding `<=` row. NaN where the program has integers.
    reduced_cost : ndarray [n]
        d objective / d (binding bound of column j), same sign rule; NaN where the program has integers.
    objective : float
        Value of the objective, its constant included.
    bound : float
        No point is better than this; equal to `objective` without integers.
    gap : float
        |objective - bound| / |objective|; 0 without integers.
    nodes : int
        Branch-and-bound nodes; 0 without integers.
    status : str
        "optimal" (within the gap asked) or "limit".
    reproducible : bool
        False when the emergency clock ended the search: another run may end elsewhere.
    """

    x: np.ndarray
    dual: np.ndarray
    reduced_cost: np.ndarray
    objective: float
    bound: float
    gap: float
    nodes: int
    status: str
    reproducible: bool


class Program:
    """A compiled program inside a persistent HiGHS object. Make one with `Program.compile`.

    After compilation the Pyomo model is read no more: costs, bounds and right-hand sides change by index. Continuous
    linear programs start from their last basis; programs with integers start afresh each time, so that the answer
    depends on the numbers (and `start`) only, not on what was solved before.
    """

    def __init__(self, matrices: Matrices, mip_gap: float, node_limit: int | None, seconds: float | None) -> None:
        _check_scales(matrices)
        self._m = matrices
        self._mip = bool(matrices.integer.any())
        self._highs = _load(matrices)
        self._option("mip_rel_gap", mip_gap)
        # by default HiGHS adds a curvature of 1e-7 to every column, which moves prices by 1e-4 $/MWh in large systems
        self._option("qp_regularization_value", 0.0)
        self._option("qp_iteration_limit", 1_000 + QP_ITERATIONS * sum(matrices.a.shape))
        if node_limit is not None:
            self._option("mip_max_nodes", node_limit)
        if seconds is not None:
            self._option("time_limit", seconds)

    @classmethod
    def compile(
        cls,
        model: pyo.ConcreteModel,
        *,
        mip_gap: float = 1e-4,
        node_limit: int | None = None,
        seconds: float | None = None,
        devex: bool = False,
        primal: bool = False,
    ) -> Program:
        """Compile a Pyomo model with linear rows and a linear or convex quadratic objective.

        Parameters
        ----------
        model : ConcreteModel
            Minimise or maximise; fixed variables become columns with equal bounds. Not changed.
        mip_gap : float
            Relative gap at which a search over integers may stop.
        node_limit : int or None
            Branch-and-bound nodes; the reproducible way to limit work.
        seconds : float or None
            Emergency clock per solve; a solution it cut short says `reproducible = False`.
        devex : bool
            Cheaper choice of rows in the dual simplex method: a third faster where a large program is solved again and
            again with other right-hand sides.
        primal : bool
            Primal simplex method: up to 40 % faster where only costs change, which leave the last solution feasible.

        Returns
        -------
        Program

        Raises
        ------
        ValueError
            See `wholesale.matrices.translate`.
        Infeasible
            A constraint without variables does not hold.
        """
        try:
            matrices = translate(model)
        except InfeasibleRow as error:
            raise Infeasible(str(error)) from error
        program = cls(matrices, mip_gap, node_limit, seconds)
        if devex:
            program._option("simplex_dual_edge_weight_strategy", DEVEX)
        if primal:
            program._option("simplex_strategy", PRIMAL)
            program._option("primal_simplex_bound_perturbation_multiplier", 0.0)
        return program

    @property
    def shape(self) -> tuple[int, int]:
        """Rows m and columns n."""
        m, n = self._m.a.shape
        return int(m), int(n)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the columns as compiled, arrays [n]; copies."""
        return self._m.lower.copy(), self._m.upper.copy()

    def columns(self, variable: Any) -> np.ndarray:
        """Column indices of a Pyomo variable, in its index order.

        Parameters
        ----------
        variable : Var
            A variable of the compiled model.

        Returns
        -------
        ndarray of int
            [len(T), len(G)] for Var(T, G); [1] for a scalar; flat where the index set is not a full product.

        Raises
        ------
        KeyError
            The variable is not part of the compiled model.
        """
        return _indices(variable, self._m.column_of, "has no column in", self._m.name)

    def rows(self, constraint: Any) -> np.ndarray:
        """Row indices of a Pyomo constraint, in its index order; shape as for `columns`.

        Raises
        ------
        KeyError
            The constraint is inactive, has no variable in it or no bound, or is not part of the compiled model.
        """
        return _indices(constraint, self._m.row_of, "has no row (inactive, or without variables) in", self._m.name)

    def change_cost(self, cols: np.ndarray, values: np.ndarray) -> None:
        """Set linear cost coefficients, in the sense of the Pyomo model; `cols` and `values` of one shape."""
        index, value = _flat(cols, values)
        self._check(self._highs.changeColsCost(len(index), index, self._m.sign * value), "costs")

    def change_bounds(self, cols: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
        """Set bounds of columns; equal bounds fix a column."""
        index, low, high = _flat(cols, lower, upper)
        self._check(self._highs.changeColsBounds(len(index), index, low, high), "column bounds")

    def change_rows(self, rows: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
        """Set bounds of rows, as bounds on the variable terms: `x + 2 <= 5` is the row `x` with upper bound 3."""
        index, low, high = _flat(rows, lower, upper)
        self._check(self._highs.changeRowsBounds(len(index), index, low, high), "row bounds")

    def add_row(self, cols: np.ndarray, values: np.ndarray, lower: float, upper: float) -> None:
        """Append the row ``lower <= values @ x[cols] <= upper``; the next solve starts from the last basis.

        Parameters
        ----------
        cols : ndarray of int [k]
            Column indices, each at most once.
        values : ndarray [k]
            Coefficients.
        lower, upper : float
            Bounds; infinite where there is none.

        Raises
        ------
        NotSolved
            A coefficient is so small beside the others that HiGHS would drop it.
        """
        index, value = _flat(cols, values)
        grown = self._m.with_row(index, value, lower, upper)
        _check_scales(grown)
        self._check(self._highs.addRow(lower, upper, len(index), index, value), "row")
        self._m = grown

    def relaxed(self) -> Program:
        """Return a new program of the same columns and rows without the integers, with the compiled numbers."""
        whole = np.zeros_like(self._m.integer)
        return Program(replace(self._m, integer=whole), 0.0, None, None)

    def forget(self) -> None:
        """Drop the basis of earlier solutions, so that the next answer does not depend on what was solved before."""
        self._highs.clearSolver()

    def solve(self, start: np.ndarray | None = None) -> Solution:
        """Solve the present numbers.

        Parameters
        ----------
        start : ndarray [n], optional
            A feasible point for the search over integers. Continuous programs have their basis and do not read it.

        Returns
        -------
        Solution

        Raises
        ------
        Infeasible, Unbounded, NotSolved
            There is no optimum, or HiGHS did not find it. Never returns an older solution.
        """
        if self._mip:
            self._highs.clearSolver()
            if start is not None:
                self._start(np.asarray(start, float))
        status = self._run()
        if status == STATUS.kUnboundedOrInfeasible:
            with self._option_for_now("presolve", "off"):  # presolve cannot tell the two apart, the simplex can
                status = self._run(fresh=True)
        if self._m.hessian is not None and (status not in ANSWERS or status == STATUS.kIterationLimit):
            point = proximal(self._highs, self._m.hessian)
            if point is not None:
                return self._exact(point)
        return self._answer(status)

    def _exact(self, point: Point) -> Solution:
        sign, value = self._m.sign, self._m.sign * point.objective
        dual, reduced_cost = sign * point.dual, sign * point.reduced_cost
        return Solution(point.x, dual, reduced_cost, value, value, 0.0, 0, "optimal", reproducible=True)

    def _run(self, fresh: bool = False) -> Any:
        if fresh:
            self._highs.clearSolver()
        outcome = self._highs.run()
        return STATUS.kSolveError if outcome == highspy.HighsStatus.kError else self._highs.getModelStatus()

    def _answer(self, status: Any) -> Solution:
        name, info = self._m.name, self._highs.getInfo()
        if status == STATUS.kInfeasible:
            raise Infeasible(f"Program {name!r} has no feasible point; relax a bound or add a priced slack.")
        if status == STATUS.kUnbounded:
            raise Unbounded(f"Program {name!r} improves without end; bound its variables.")
        limited = self._mip and status in LIMITS and info.primal_solution_status == 2  # 2: a feasible point is known
        if status != STATUS.kOptimal and not limited:
            word = self._highs.modelStatusToString(status)
            raise NotSolved(f"Program {name!r} was not solved: HiGHS says {word!r}; check scales or raise the limit.")
        solution, (m, n), sign = self._highs.getSolution(), self.shape, self._m.sign
        objective = sign * info.objective_function_value
        if not (np.isfinite(objective) and np.isfinite(solution.col_value).all() and len(solution.col_value) == n):
            raise NotSolved(f"Program {name!r} came back without a finite solution; check the scales of its numbers.")
        return Solution(
            x=np.array(solution.col_value),
            dual=np.full(m, np.nan) if self._mip else sign * np.array(solution.row_dual),
            reduced_cost=np.full(n, np.nan) if self._mip else sign * np.array(solution.col_dual),
            objective=objective,
            bound=sign * info.mip_dual_bound if self._mip else objective,
            gap=float(info.mip_gap) if self._mip else 0.0,
            nodes=int(info.mip_node_count) if self._mip else 0,
            status="limit" if limited else "optimal",
            reproducible=status != STATUS.kTimeLimit,
        )

    def _start(self, start: np.ndarray) -> None:
        n = self.shape[1]
        if start.shape != (n,) or not np.isfinite(start).all():
            raise ValueError(f"A start for program {self._m.name!r} needs {n} finite values, not shape {start.shape}.")
        point = highspy.HighsSolution()
        point.col_value = start.tolist()
        self._check(self._highs.setSolution(point), "start")

    def _option(self, name: str, value: Any) -> None:
        self._check(self._highs.setOptionValue(name, value), f"option {name}")

    @contextlib.contextmanager
    def _option_for_now(self, name: str, value: Any) -> Iterator[None]:
        _, before = self._highs.getOptionValue(name)
        self._option(name, value)
        try:
            yield
        finally:
            self._option(name, before)

    def _check(self, outcome: Any, what: str) -> None:
        if outcome == highspy.HighsStatus.kError:
            raise ValueError(f"HiGHS refused new {what} of program {self._m.name!r}: an index or a value is not valid.")


@functools.cache
def _one_thread() -> None:
    # The threads belong to the process, not to one Highs object. If someone (Pyomo's own interface, say) has started
    # them with another number, every later run of ours would return NotSet with objective 0.
    highspy.Highs.resetGlobalScheduler(True)


def _check_scales(matrices: Matrices) -> None:
    """Refuse rows of which HiGHS would silently drop a part: it takes coefficients up to 1e-9 for zero."""
    size = abs(matrices.a.tocoo())
    if not size.nnz or size.data.min() > DROPPED:
        return
    largest = np.zeros(size.shape[0])
    np.maximum.at(largest, size.row, size.data)
    lost = (size.data > 0) & (size.data <= DROPPED) & (size.data > NEGLIGIBLE * largest[size.row])
    if lost.any():
        value = float(size.data[lost][0])
        raise NotSolved(
            f"Program {matrices.name!r} has a coefficient of {value:g} in row {int(size.row[lost][0])}, which the "
            f"solver would take for zero (up to {DROPPED:g}); choose units in which the row's numbers are about 1."
        )


def _load(matrices: Matrices) -> Any:
    _one_thread()
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = matrices.a.shape
    lp.offset_ = matrices.offset
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = matrices.cost, matrices.lower, matrices.upper
    lp.row_lower_, lp.row_upper_ = matrices.row_lower, matrices.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.num_row_, lp.a_matrix_.num_col_ = matrices.a.shape
    lp.a_matrix_.start_, lp.a_matrix_.index_ = matrices.a.indptr, matrices.a.indices
    lp.a_matrix_.value_ = matrices.a.data
    if matrices.integer.any():
        kinds = highspy.HighsVarType
        lp.integrality_ = [kinds.kInteger if whole else kinds.kContinuous for whole in matrices.integer]
    outcomes = [highs.passModel(lp)]
    if matrices.hessian is not None:
        q = matrices.hessian
        form = highspy.HessianFormat.kTriangular
        outcomes.append(highs.passHessian(lp.num_col_, q.nnz, int(form), q.indptr, q.indices, q.data))
    if highspy.HighsStatus.kError in outcomes:
        raise ValueError(f"HiGHS refused program {matrices.name!r}: look for NaN or infinite coefficients.")
    return highs


def _flat(index: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    where = np.asarray(index, np.int32)
    # one copy per array: HiGHS reads plain contiguous memory
    return where.ravel(), *(np.broadcast_to(np.asarray(v, float), where.shape).ravel() for v in values)


def _indices(component: Any, known: dict[int, int], missing: str, name: str) -> np.ndarray:
    try:
        flat = np.array([known[id(data)] for data in component.values()], np.int32)
    except KeyError:
        lost = next(data.name for data in component.values() if id(data) not in known)
        raise KeyError(f"{lost!r} {missing} program {name!r}.") from None
    if not component.is_indexed():
        return flat
    sizes = [len(part) for part in component.index_set().subsets()]
    return flat.reshape(sizes) if np.prod(sizes) == len(flat) else flat
