"""Second attempt at a convex quadratic program on which the active-set method cycles or gives up.

Proximal point method (Rockafellar 1976): minimise f(x) + e/2 |x - a|^2, put a = x, repeat. The added curvature breaks
the ties on which HiGHS cycles, and it vanishes from the result: where x = a, the gradient and so every dual is that of
f itself. So the answer is exact, only later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp

CURVATURES = (1e-4, 1e-2, 1.0)  # tried in turn: small ones need few rounds, large ones are easier for the solver
ROUNDS = 100
TOLERANCE = 1e-7  # what the added term may still contribute to a gradient: the solver's own dual tolerance


@dataclass(frozen=True, eq=False)
class Point:
    """An optimum of the minimisation: x [n], row duals [m], reduced costs [n] and the objective."""

    x: np.ndarray
    dual: np.ndarray
    reduced_cost: np.ndarray
    objective: float


def proximal(highs: Any, hessian: sp.csc_array) -> Point | None:
    """Solve the quadratic program held by HiGHS with curvature added and taken away again.

    Parameters
    ----------
    highs : highspy.Highs
        Holds the program as a minimisation; costs and Hessian are restored before this returns.
    hessian : csc_array [n, n]
        Its lower triangle.

    Returns
    -------
    Point or None
        None where no curvature leads to an optimum.
    """
    lp = highs.getLp()
    cost, offset = np.array(lp.col_cost_), float(lp.offset_)
    try:
        for curvature in CURVATURES:
            _pass(highs, sp.csc_array(hessian + curvature * sp.eye_array(len(cost), format="csc")))
            point = _iterate(highs, hessian, cost, offset, curvature)
            if point is not None:
                return point
        return None
    finally:
        _costs(highs, cost)
        _pass(highs, hessian)


def _iterate(highs: Any, hessian: sp.csc_array, cost: np.ndarray, offset: float, curvature: float) -> Point | None:
    anchor = np.zeros_like(cost)
    for _ in range(ROUNDS):
        _costs(highs, cost - curvature * anchor)
        highs.clearSolver()
        highs.run()
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        solution = highs.getSolution()
        x = np.array(solution.col_value)
        if curvature * np.abs(x - anchor).max() <= TOLERANCE:
            half = hessian @ x + hessian.T @ x - hessian.diagonal() * x
            objective = offset + float(cost @ x + x @ half / 2)
            return Point(x, np.array(solution.row_dual), np.array(solution.col_dual), objective)
        anchor = x
    return None


def _costs(highs: Any, cost: np.ndarray) -> None:
    highs.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)


def _pass(highs: Any, hessian: sp.csc_array) -> None:
    n, form = hessian.shape[0], int(highspy.HessianFormat.kTriangular)
    highs.passHessian(n, hessian.nnz, form, hessian.indptr, hessian.indices, hessian.data)
