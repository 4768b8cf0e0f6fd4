"""Bilevel programs in one matrix form, solved through the follower's optimality conditions, verified and audited.

The leader chooses x, the follower answers with an optimal y, and of several optimal answers the leader takes the one
it likes best (optimistic). The follower's problem is replaced by its Karush-Kuhn-Tucker conditions, each complementary
pair by one binary. That needs limits of slacks and of multipliers. Slacks: their largest value where only feasibility
is asked (one linear program each), which cuts nothing off. Multipliers: ``aggregator.multipliers``.

References
----------
Fortuny-Amat and McCarl, J. Oper. Res. Soc. 32(9), 1981; Pineda and Morales, IEEE Trans. Power Syst. 34(3), 2019, on
what too small a limit does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aggregator.bilevel_model import FollowerModel, SingleLevelKKT
from aggregator.multipliers import multiplier_limits
from aggregator.prosumers import Array
from wholesale.solve import Infeasible, SolverError, Unbounded

TOUCH = 1e-3


class BilevelError(ValueError):
    """A bilevel program that is none; the message lists every mistake."""


@dataclass(frozen=True, eq=False)
class BilevelLP:
    """A leader's linear program over a follower's linear or convex quadratic program.

    min over x, y of  cx x + cy y   subject to  Ax x + Ay y <= a,  lx <= x <= ux,  where y minimises
    dy y + x' Qxy y + y' Qyy y / 2  subject to  Gx x + Gy y <= g,  Ex x + Ey y = e,  ly <= y <= uy.

    Parameters
    ----------
    cx, cy : array_like [n], [m]
        The leader's cost.
    dy : array_like [m]
        The follower's linear cost.
    Gx, Gy, g : array_like [k, n], [k, m], [k]
        Rows of the follower.
    lx, ux, ly, uy : array_like
        Bounds; infinite = none.
    Ax, Ay, a : array_like, optional
        Rows of the leader, which may contain y.
    Ex, Ey, e : array_like, optional
        Equations of the follower.
    Qyy : array_like [m, m], optional
        Curvature of the follower's cost, positive semidefinite; its symmetric part counts.
    Qxy : array_like [n, m], optional
        Prices: what x adds to the follower's marginal cost of y.

    Raises
    ------
    BilevelError
        If shapes do not fit, a number is missing, bounds cross or Qyy is not convex; all mistakes at once.
    """

    cx: ArrayLike
    cy: ArrayLike
    dy: ArrayLike
    Gx: ArrayLike
    Gy: ArrayLike
    g: ArrayLike
    lx: ArrayLike
    ux: ArrayLike
    ly: ArrayLike
    uy: ArrayLike
    Ax: ArrayLike = ()
    Ay: ArrayLike = ()
    a: ArrayLike = ()
    Ex: ArrayLike = ()
    Ey: ArrayLike = ()
    e: ArrayLike = ()
    Qyy: ArrayLike = ()
    Qxy: ArrayLike = ()

    def __post_init__(self) -> None:
        mistakes: list[str] = []
        n, m = np.size(self.cx), np.size(self.cy)
        shapes: dict[str, tuple[int, ...]] = {
            "cx": (n,),
            "lx": (n,),
            "ux": (n,),
            "cy": (m,),
            "dy": (m,),
            "ly": (m,),
            "uy": (m,),
        }
        for rows, left, right in (("g", "Gx", "Gy"), ("a", "Ax", "Ay"), ("e", "Ex", "Ey")):
            k = np.size(getattr(self, rows))
            shapes |= {rows: (k,), left: (k, n), right: (k, m)}
        shapes |= {"Qyy": (m, m), "Qxy": (n, m)}
        for name, shape in shapes.items():
            given = np.array(getattr(self, name), dtype=np.float64)
            if given.size == 0:
                given = np.zeros(shape) if given.size == np.prod(shape) or name[0] == "Q" else given
            if given.shape != shape:
                mistakes.append(f"{name} has shape {given.shape}, give {shape}.")
            elif np.isnan(given).any() or (name[0] not in "lu" and np.isinf(given).any()):
                mistakes.append(f"{name} holds a value that is not a finite number.")
            given.setflags(write=False)
            object.__setattr__(self, name, given)
        if not mistakes:
            for low, high in (("lx", "ux"), ("ly", "uy")):
                if (getattr(self, low) > getattr(self, high)).any():
                    mistakes.append(
                        f"{low} is above {high} at {int(np.argmax(getattr(self, low) - getattr(self, high)))}."
                    )
            curve = np.asarray(self.Qyy)
            object.__setattr__(self, "Qyy", (curve + curve.T) / 2.0)
            if m and np.linalg.eigvalsh(np.asarray(self.Qyy)).min() < -1e-9 * max(np.abs(curve).max(), 1.0):
                mistakes.append("Qyy is not positive semidefinite: the follower's problem must be convex.")
        if mistakes:
            raise BilevelError("The bilevel program cannot be used. " + " ".join(mistakes))


@dataclass(frozen=True, eq=False)
class BilevelSolution:
    """What was found; the point is a vertex of the single-level program, re-solved with its binaries fixed.

    Attributes
    ----------
    status : str
        ``"optimal"``, ``"infeasible"`` (no x has an optimal answer that the leader's rows allow), ``"unbounded"`` (the
        single-level program improves without end) or ``"limit"`` (best point within the node limit).
    objective : float
        The leader's cost at (x, y), the optimistic value; NaN without a point.
    x, y : array [n], [m]
        NaN without a point.
    optimistic, pessimistic : float
        The leader's cost at x when the follower, solved again, breaks ties for it and against it; infinite where an
        optimal answer breaks a row of the leader.
    follower_gap : float
        The follower's cost at (x, y) less its optimum at x, solved again without the leader.
    bound : float
        No bilevel point costs the leader less, as far as the limits are valid.
    multipliers : str
        ``"proven"``, ``"given"`` or ``"assumed"``: where the limits of the multipliers come from.
    audit : tuple of str
        One sentence for every reason not to trust the result; empty = none. With proven limits a multiplier at its
        limit is no reason.
    nodes : int
    """

    status: str
    objective: float
    x: Array
    y: Array
    optimistic: float
    pessimistic: float
    follower_gap: float
    bound: float
    multipliers: str
    audit: tuple[str, ...]
    nodes: int


def solve_bilevel(
    problem: BilevelLP, *, dual_bound: float | None = None, mip_gap: float = 0.0, node_limit: int | None = 100_000
) -> BilevelSolution:
    """Solve a bilevel program.

    Parameters
    ----------
    problem : BilevelLP
    dual_bound : float, optional
        Largest multiplier of the follower. Left out, limits are proven by enumerating the bases of the follower's dual
        where these are few, else assumed large; the result says which.
    mip_gap : float
        Relative gap at which the search may stop.
    node_limit : int or None
        Largest number of nodes.

    Returns
    -------
    BilevelSolution

    Raises
    ------
    BilevelError
        If ``dual_bound`` is not a positive number.
    SolverError
        If HiGHS gives no answer.
    """
    if dual_bound is not None and not (np.isfinite(dual_bound) and dual_bound > 0.0):
        raise BilevelError(f"dual_bound is {dual_bound!r}; give a finite number > 0 or leave it out.")
    proven = multiplier_limits(problem)
    limits = proven if dual_bound is None else proven.capped(dual_bound)
    doubts = limits.doubts(proven)
    try:
        model = SingleLevelKKT(problem, limits, mip_gap=mip_gap, node_limit=node_limit)
    except Infeasible:  # not even feasible without asking for an optimal answer: limits play no part
        return _without("infeasible", problem, limits.origin, ())
    try:
        point = model.solve()
    except Infeasible:
        if limits.origin != "proven":
            doubts += (
                "No point was found within multiplier limits that are not proven, which proves nothing; raise them.",
            )
        return _without("infeasible", problem, limits.origin, doubts)
    except Unbounded:
        return _without("unbounded", problem, limits.origin, doubts)
    if limits.origin != "proven":
        doubts += model.touching(point, TOUCH)
    found = BilevelSolution(
        point.status, point.objective, point.x, point.y, np.nan, np.nan, np.nan, point.bound,
        limits.origin, doubts + model.assumed_slacks(point, TOUCH), point.nodes,
    )  # fmt: skip
    return _verified(problem, found)


def _verified(problem: BilevelLP, found: BilevelSolution) -> BilevelSolution:
    """Solve the follower again at x: its optimum, and the leader's best and worst cost over its optimal answers."""
    p: Any = problem
    try:
        follower = FollowerModel(problem, found.x)
    except SolverError as error:
        return replace(found, audit=(*found.audit, f"The follower could not be solved again at x: {error}"))
    gap = follower.cost(found.y) - follower.optimum
    base = float(p.cx @ found.x)
    best, worst = follower.range(p.cy)
    audit = found.audit
    if abs(gap) > 1e-6 * (1.0 + abs(follower.optimum)):
        audit = (*audit, f"The follower's cost at (x, y) is {gap:.2e} above its optimum; do not trust this point.")
    return replace(
        found,
        optimistic=base + best,
        pessimistic=base + worst,
        follower_gap=float(gap),
        audit=audit,
    )


def _without(status: str, problem: BilevelLP, origin: str, audit: tuple[str, ...]) -> BilevelSolution:
    nothing = np.nan
    n, m = np.size(problem.cx), np.size(problem.cy)
    bound = np.inf if status == "infeasible" else -np.inf
    return BilevelSolution(
        status, nothing, np.full(n, nothing), np.full(m, nothing), nothing, nothing, nothing, bound, origin, audit, 0
    )
