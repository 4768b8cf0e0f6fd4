"""Valid limits of a follower's multipliers, proven by enumerating the bases of its dual where these are few.

Stationarity of the follower is W w = -c with w = (lambda, nu, alpha, beta), W = [Gy', Ey', -I, I] and c its marginal
cost at the optimum: dy for a linear follower, dy + Qxy' x + Qyy y inside a box otherwise. The optimal y also solves the
linear program with cost c, whose dual has an optimal basic solution. So for every bilevel-feasible pair (x, y) some
basic w of the box of c belongs to it, and the largest basic value of each multiplier limits it without losing a pair.
That question is as hard as the bilevel program itself (Kleinert, Labbe, Plein, Schmidt, Oper. Res. 68(6), 2020): beyond
``MOST_BASES`` bases nothing is proven here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from aggregator.prosumers import Array

if TYPE_CHECKING:
    from aggregator.bilevel_lp import BilevelLP

MOST_BASES = 50_000
ASSUMED = 1e3
SINGULAR = 1e-9
ROOM = 1e-6


@dataclass(frozen=True, eq=False)
class Limits:
    """Limits of the multipliers of a follower.

    Attributes
    ----------
    rows : array [k]
        Of lambda >= 0 of the inequalities.
    equations : array [p]
        Of the absolute nu of the equations.
    low, high : array [m]
        Of alpha, beta >= 0 of the bounds of y; 0 where there is no bound.
    origin : str
        ``"proven"``, ``"given"`` or ``"assumed"``.
    """

    rows: Array
    equations: Array
    low: Array
    high: Array
    origin: str

    def capped(self, most: float) -> Limits:
        """One limit for all multipliers, given by the caller."""
        rows, equations, low, high = (np.full_like(x, most) for x in (self.rows, self.equations, self.low, self.high))
        return Limits(rows, equations, low, high, "given")

    def doubts(self, proven: Limits) -> tuple[str, ...]:
        """What speaks against these limits, given proven ones.

        Parameters
        ----------
        proven : Limits
            From ``multiplier_limits``.

        Returns
        -------
        tuple of str
        """
        if self.origin != "given" or proven.origin != "proven":
            return ()
        parts = [(name, getattr(self, name), getattr(proven, name)) for name in ("rows", "equations", "low", "high")]
        short = [(name, float(need.max())) for name, have, need in parts if (need > have * (1.0 + 2 * ROOM)).any()]
        if not short:
            return ()
        needs = ", ".join(f"{name} up to {need:g}" for name, need in short)
        return (f"The multiplier limits are below what optimal answers may need ({needs}); leave dual_bound out.",)


def multiplier_limits(problem: BilevelLP) -> Limits:
    """Limits of the follower's multipliers that cut off no bilevel-feasible pair, where they can be proven.

    Parameters
    ----------
    problem : BilevelLP

    Returns
    -------
    Limits
        ``origin`` is ``"assumed"`` (1,000 times the largest cost coefficient) where there are too many bases, or the
        marginal cost is not bounded because x or y is not.
    """
    p: Any = problem
    k, q, m = len(p.g), len(p.e), len(p.dy)
    has_low, has_high = np.isfinite(p.ly), np.isfinite(p.uy)
    w = np.hstack([p.Gy.T, p.Ey.T, -np.eye(m)[:, has_low], np.eye(m)[:, has_high]])
    centre, radius = _marginal_cost(p)
    most = None
    if np.isfinite(radius).all():
        most = _largest(w, centre, radius, free=np.isin(np.arange(w.shape[1]), np.arange(k, k + q)))
    origin = "proven"
    if most is None:
        origin = "assumed"
        most = np.full(w.shape[1], ASSUMED * max(1.0, *np.abs(p.dy), *np.abs(p.Qyy).ravel(), *np.abs(p.Qxy).ravel()))
    low, high = np.zeros(m), np.zeros(m)
    low[has_low], high[has_high] = np.split(most[k + q :], [int(has_low.sum())])
    return Limits(most[:k] * (1 + ROOM), most[k : k + q] * (1 + ROOM), low * (1 + ROOM), high * (1 + ROOM), origin)


def _marginal_cost(p: Any) -> tuple[Array, Array]:
    """Centre and half width of the box of dy + Qxy' x + Qyy y; an infinite width where nothing bounds it."""
    centre, radius = p.dy.copy(), np.zeros(len(p.dy))
    for matrix, low, high in ((p.Qxy.T, p.lx, p.ux), (p.Qyy, p.ly, p.uy)):
        used = (matrix != 0.0).any(axis=0)
        if not used.any():
            continue
        if not np.isfinite(low[used]).all() or not np.isfinite(high[used]).all():
            return centre, np.full(len(centre), np.inf)
        centre = centre + matrix[:, used] @ ((low[used] + high[used]) / 2.0)
        radius = radius + np.abs(matrix[:, used]) @ ((high[used] - low[used]) / 2.0)
    return centre, radius


def _largest(w: Array, centre: Array, radius: Array, free: Any) -> Array | None:
    """Largest value of each multiplier over the basic solutions of W w = -c that can be >= 0; None: too many."""
    _, triangle, order = scipy.linalg.qr(w.T, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(triangle)) > SINGULAR * max(1.0, np.abs(w).max(initial=0.0))).sum())
    keep = np.sort(order[:rank])
    w, centre, radius = w[keep], centre[keep], radius[keep]
    most = np.zeros(w.shape[1])
    if comb(w.shape[1], rank) > MOST_BASES:
        return None
    if rank == 0:
        return most
    bases = np.array(list(combinations(range(w.shape[1]), rank)))
    blocks = w[:, bases].transpose(1, 0, 2)
    good = np.linalg.svd(blocks, compute_uv=False)[:, -1] > SINGULAR
    bases, inverse = bases[good], np.linalg.inv(blocks[good])
    middle = inverse @ -centre
    spread = np.abs(inverse) @ radius
    may_be = (free[bases] | (middle + spread >= -SINGULAR)).all(axis=1)
    value = np.where(free[bases], np.abs(middle) + spread, np.maximum(middle + spread, 0.0))
    np.maximum.at(most, bases[may_be], value[may_be])
    return most
