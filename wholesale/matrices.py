"""From a Pyomo model to the matrices of one linear, quadratic or mixed-integer program.

Pyomo is the language people read; it is too slow to be handed to a solver again and again. The translation here is
done once per model. Three habits of Pyomo's compiler are undone on the way: it drops fixed variables (here they become
columns with equal bounds, so that they can be moved later), it drops variables that no row names (here every variable
of the model keeps a column) and it writes a two-sided constraint as two rows (here one row with a range).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.common.errors import InfeasibleConstraintException, InvalidConstraintError
from pyomo.repn import generate_standard_repn
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

DENSE_CHECK = 1_000  # quadratic columns up to which convexity is proven by eigenvalues (n^3: 0.1 s at 1,000)


class InfeasibleRow(ValueError):
    """A constraint without any variable is violated, whatever the solver does."""


@dataclass(frozen=True, eq=False)
class Matrices:
    """min 1/2 x'Qx + c'x + offset subject to row_lower <= Ax <= row_upper and lower <= x <= upper.

    Attributes
    ----------
    model : ConcreteModel
        The source; held because columns and rows are known by the identity of its objects.
    sign : float
        +1 if the Pyomo model minimises, -1 if it maximises; `cost`, `hessian` and `offset` already carry it.
    cost, lower, upper : ndarray [n]
        Linear cost and bounds of the columns.
    integer : ndarray [n] of bool
        True where the column must be a whole number.
    offset : float
        Constant of the objective.
    hessian : csc_array [n, n] or None
        Lower triangle of Q; None for a linear objective.
    a : csc_array [m, n]
        Coefficients of the rows.
    row_lower, row_upper : ndarray [m]
        Bounds of the rows; constants of a constraint's body have been moved here.
    column_of, row_of : dict
        Column of a variable and row of a constraint, by the identity of the Pyomo object.
    """

    model: pyo.ConcreteModel
    sign: float
    cost: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray
    offset: float
    hessian: sp.csc_array | None
    a: sp.csc_array
    row_lower: np.ndarray
    row_upper: np.ndarray
    column_of: dict[int, int]
    row_of: dict[int, int]

    @property
    def name(self) -> str:
        """Name of the Pyomo model, for messages."""
        return str(self.model.name)

    def with_row(self, cols: np.ndarray, values: np.ndarray, lower: float, upper: float) -> Matrices:
        """The same program with one more row, the last.

        Parameters
        ----------
        cols : ndarray of int [k]
        values : ndarray [k]
        lower, upper : float

        Returns
        -------
        Matrices
        """
        row = sp.csc_array((values, (np.zeros_like(cols), cols)), shape=(1, self.a.shape[1]))
        bounds = np.append(self.row_lower, lower), np.append(self.row_upper, upper)
        a = sp.csc_array(sp.vstack([self.a, row]))
        return replace(self, a=a, row_lower=bounds[0], row_upper=bounds[1])


def translate(model: pyo.ConcreteModel) -> Matrices:
    """Translate a Pyomo model with one linear or convex quadratic objective and linear constraints.

    Parameters
    ----------
    model : ConcreteModel
        Left as it was found: fixed variables are fixed again and the objective is active again.

    Returns
    -------
    Matrices
        Columns in the order in which the model declares its variables.

    Raises
    ------
    ValueError
        No or several active objectives, a nonlinear term, a non-convex or a mixed-integer quadratic objective,
        a fixed variable without a value.
    InfeasibleRow
        A constraint without variables does not hold.
    """
    objectives = list(model.component_data_objects(pyo.Objective, active=True))
    if len(objectives) != 1:
        raise ValueError(f"Model {model.name!r} has {len(objectives)} active objectives; keep exactly one active.")
    objective = objectives[0]
    with _unfixed(model) as fixed, _without(objective):
        form = _rows_of(model)
        goal = generate_standard_repn(objective.expr, compute_values=True, quadratic=True)
    if goal.nonlinear_expr is not None:
        raise ValueError(f"The objective of model {model.name!r} has terms beyond the quadratic; use tangents.")
    variables = _variables(model, form, goal)
    column_of = {key: j for j, key in enumerate(variables)}
    sign = 1.0 if objective.sense == pyo.minimize else -1.0

    cost = np.zeros(len(variables))
    np.add.at(cost, [column_of[id(v)] for v in goal.linear_vars], sign * np.array(goal.linear_coefs, float))
    lower, upper = _bounds(variables, fixed)
    integer = np.array([not v.is_continuous() for v in variables.values()], bool)
    hessian = _hessian(goal, column_of, sign, model.name)
    if hessian is not None and integer.any():
        raise ValueError(f"Model {model.name!r}: HiGHS solves no integers with a quadratic objective; use tangents.")
    a, row_lower, row_upper, row_of = _ranges(form, column_of)
    return Matrices(
        model=model,
        sign=sign,
        cost=cost,
        lower=lower,
        upper=upper,
        integer=integer,
        offset=sign * float(pyo.value(goal.constant)),
        hessian=hessian,
        a=a,
        row_lower=row_lower,
        row_upper=row_upper,
        column_of=column_of,
        row_of=row_of,
    )


def _variables(model: pyo.ConcreteModel, form: Any, goal: Any) -> dict[int, Any]:
    """All variables by identity: those the model declares, then any others that rows or objective name."""
    variables = {id(v): v for v in model.component_data_objects(pyo.Var, active=True)}
    quadratic = [v for pair in goal.quadratic_vars for v in pair]
    return variables | {id(v): v for v in [*form.columns, *goal.linear_vars, *quadratic] if id(v) not in variables}


@contextmanager
def _unfixed(model: pyo.ConcreteModel) -> Iterator[dict[int, float]]:
    fixed = [v for v in model.component_data_objects(pyo.Var, active=None) if v.fixed]
    for v in fixed:
        if v.value is None:
            raise ValueError(f"Variable {v.name!r} is fixed but has no value; give it one or unfix it.")
    for v in fixed:
        v.unfix()
    try:
        yield {id(v): float(v.value) for v in fixed}
    finally:
        for v in fixed:
            v.fix()


@contextmanager
def _without(objective: Any) -> Iterator[None]:
    # the compiler refuses quadratic objectives; only the rows are asked of it
    objective.deactivate()
    try:
        yield
    finally:
        objective.activate()


def _rows_of(model: pyo.ConcreteModel) -> Any:
    try:
        return LinearStandardFormCompiler().write(model, mixed_form=True)
    except InfeasibleConstraintException as error:
        raise InfeasibleRow(f"Model {model.name!r}: {error}.") from error
    except InvalidConstraintError as error:
        raise ValueError(f"Model {model.name!r}: {error} Constraints must be linear.") from error


def _bounds(variables: dict[int, Any], fixed: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = np.full(len(variables), -np.inf), np.full(len(variables), np.inf)
    for j, (key, v) in enumerate(variables.items()):
        if key in fixed:
            lower[j] = upper[j] = fixed[key]
            continue
        low, high = v.bounds
        lower[j] = -np.inf if low is None else low
        upper[j] = np.inf if high is None else high
    return lower, upper


def _hessian(goal: Any, column_of: dict[int, int], sign: float, name: str) -> sp.csc_array | None:
    if not goal.quadratic_vars:
        return None
    i = np.array([column_of[id(v)] for v, _ in goal.quadratic_vars])
    j = np.array([column_of[id(w)] for _, w in goal.quadratic_vars])
    # Q is the matrix of second derivatives: c x^2 gives 2c on the diagonal, c x y gives c below it
    value = sign * np.array(goal.quadratic_coefs, float) * np.where(i == j, 2.0, 1.0)
    if not value.any():
        return None
    n = len(column_of)
    hessian = sp.csc_array((value, (np.maximum(i, j), np.minimum(i, j))), shape=(n, n))
    used = np.unique(np.concatenate([i, j]))
    diagonal = hessian.diagonal()
    smallest = diagonal[used].min()
    if hessian.nnz > np.count_nonzero(diagonal) and len(used) <= DENSE_CHECK:
        block = hessian[used][:, used].toarray()
        smallest = float(np.linalg.eigvalsh(block, UPLO="L").min())
    if smallest < -1e-9 * float(np.abs(value).max()):
        raise ValueError(f"The objective of model {name!r} is not convex (curvature {smallest:g}); HiGHS needs >= 0.")
    return hessian


def _ranges(form: Any, column_of: dict[int, int]) -> tuple[sp.csc_array, np.ndarray, np.ndarray, dict[int, int]]:
    entries, rhs = form.rows, np.asarray(form.rhs, float)
    row_of: dict[int, int] = {}
    keep: list[int] = []
    lower, upper = np.full(len(entries), -np.inf), np.full(len(entries), np.inf)
    for k, (constraint, kind) in enumerate(entries):
        if id(constraint) not in row_of:
            row_of[id(constraint)] = len(keep)
            keep.append(k)
        row = row_of[id(constraint)]
        if kind <= 0:
            lower[row] = rhs[k]
        if kind >= 0:
            upper[row] = rhs[k]
    kept = sp.coo_array(form.A.tocsr()[keep]) if keep else sp.coo_array((0, len(form.columns)))
    columns = np.array([column_of[id(v)] for v in form.columns], int)
    shape = (len(keep), len(column_of))
    a = sp.csc_array((kept.data, (kept.coords[0], columns[kept.coords[1]])), shape=shape)
    return a, lower[: len(keep)], upper[: len(keep)], row_of
