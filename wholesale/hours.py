"""Solve one compiled program hour after hour, changing numbers by index."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wholesale.solve import Program, SolverError


@dataclass(frozen=True, eq=False)
class Changes:
    """The numbers of a program that differ from hour to hour.

    Attributes
    ----------
    rows : ndarray [k] of int
        Equality rows.
    right : ndarray [T, k]
        Their right-hand sides.
    cols : ndarray [j] of int
        Columns with hourly bounds.
    lower, upper : ndarray [T, j]
        These bounds.
    priced : ndarray [i] of int
        Columns with hourly linear costs.
    cost : ndarray [T, i]
        These costs.
    """

    rows: np.ndarray
    right: np.ndarray
    cols: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    priced: np.ndarray
    cost: np.ndarray

    def at(self, hours: np.ndarray) -> Changes:
        """Return the changes of some hours only (int [k])."""
        hourly = ("right", "lower", "upper", "cost")
        return replace(self, **{field: getattr(self, field)[hours] for field in hourly})


def solve_hours(
    program: Program, changes: Changes, name: str, *, failed: dict[int, SolverError] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve all hours in turn; each starts from the basis of the one before.

    Parameters
    ----------
    program : Program
        Compiled for any one hour; left at the last hour's numbers.
    changes : Changes
        T hours.
    name : str
        Name of the system, for messages.
    failed : dict, optional
        Takes the errors by hour, whose numbers become NaN, so that one hour does not cost the others. Without it the
        first error is raised.

    Returns
    -------
    x : ndarray [T, n]
        Values of the columns.
    dual : ndarray [T, m]
        Duals of the rows, see `Solution`.
    objective : ndarray [T]
        Values of the objective.

    Raises
    ------
    SolverError
        The subclass that `Program.solve` raised, with the hour.
    """
    hours, (m, n) = len(changes.right), program.shape
    x, dual, objective = np.empty((hours, n)), np.empty((hours, m)), np.empty(hours)
    for t in range(hours):
        program.change_rows(changes.rows, changes.right[t], changes.right[t])
        if len(changes.cols):
            program.change_bounds(changes.cols, changes.lower[t], changes.upper[t])
        if len(changes.priced):
            program.change_cost(changes.priced, changes.cost[t])
        try:
            solution = program.solve()
        except SolverError as error:
            said = type(error)(f"Hour {t} of system {name!r}: {error}")
            if failed is None:
                raise said from error
            failed[t] = said
            x[t], dual[t], objective[t] = np.nan, np.nan, np.nan
            continue
        x[t], dual[t], objective[t] = solution.x, solution.dual, solution.objective
    return x, dual, objective
