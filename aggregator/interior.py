"""Quadratic best responses of many days at once: a primal-dual interior point method made for stores behind meters.

HiGHS' quadratic solver was measured here first: 4 ms a day for two stores, 43 ms for eight, and no end at all for
rho = 0.001 (it has no limit that would stop it). The structure is worth more than a general solver: with diagonal
curvature the Newton step reduces to small banded or dense systems (``aggregator.normal``), and many days are solved in
the same numpy calls, as many as stay in the cache.

References
----------
S. Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J. Optim. 2(4), 1992.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.blocks import Block, Rows
from aggregator.normal import factorised
from aggregator.prosumers import Array

TOLERANCE = 1e-10
ACCEPTED = 1e-8  # near-ties (a fee of 1e-9, say) stop the last digits
PROXIMAL = 1e-8
ITERATIONS = 150
STEP_BACK = 0.9995
CAREFUL = 20  # iterations after which steps are careful; nearly all problems end before
CENTRED = 0.2
STEP_BACK_CAREFUL = 0.9
TINY = 1e-300
LATE = 1e-5  # mean gap below which directions are refined
CACHED = 32_000  # numbers in an array that stays in the cache with its fellows


class NotConverged(RuntimeError):
    """The interior point method did not reach its tolerance; the message says how far it came.

    Attributes
    ----------
    lost : array of int
        Members of the batch that stayed above tolerance.
    x, multipliers
        As ``minimise`` returns them; no use for the lost members.
    """

    def __init__(self, message: str, lost: NDArray[np.intp], x: Array, multipliers: Rows) -> None:
        super().__init__(message)
        self.lost, self.x, self.multipliers = lost, x, multipliers


@dataclass(frozen=True)
class Task:
    """A batch of B problems: min cost'x + curvature/2 x^2 subject to the rows of ``block`` and lower <= x <= upper.

    Attributes
    ----------
    block : Block
    cost, curvature, lower, upper : array [n, T, B]
        All bounds finite; equal bounds fix a column.
    balance : array [M, T, B] kWh
    storage : array [G, T, B] kWh
        Right-hand sides.
    """

    block: Block
    cost: Array
    curvature: Array
    lower: Array
    upper: Array
    balance: Array
    storage: Array

    def take(self, which: NDArray[np.intp] | slice) -> Task:
        """Some members of the batch."""
        fields = (self.cost, self.curvature, self.lower, self.upper, self.balance, self.storage)
        return Task(self.block.take(which), *(np.ascontiguousarray(a[..., which]) for a in fields))


@dataclass
class _Point:
    """Where the method stands: x, its distances to the bounds and their multipliers, and the multipliers of the rows.

    Distances are kept on their own: the difference x - bound would lose its last digits. Fixed columns have distances
    and multipliers of 1, which never move.
    """

    x: Array
    below: Array
    above: Array
    low: Array
    high: Array
    rows: list[Array]

    @classmethod
    def of(cls, task: Task, free: Array) -> _Point:
        x = 0.5 * (task.lower + task.upper)
        first = 0.1 * (1.0 + np.abs(task.cost).max(axis=(0, 1))) * free + (1.0 - free)
        rows = [np.zeros_like(task.balance), np.zeros_like(task.storage), np.zeros(task.balance.shape[1:])]
        half = 0.5 * (task.upper - task.lower) + (1.0 - free)
        return cls(x, half, half.copy(), first, first.copy(), rows)

    def take(self, which: NDArray[np.intp]) -> _Point:
        x, below, above, low, high = (a[..., which] for a in (self.x, self.below, self.above, self.low, self.high))
        return _Point(x, below, above, low, high, [a[..., which] for a in self.rows])


def minimise(task: Task) -> tuple[Array, Rows]:
    """Solve a batch to residuals of 1e-10, at worst 1e-8.

    Parameters
    ----------
    task : Task
        Feasible and bounded by its boxes.

    Returns
    -------
    x : array [n, T, B]
    multipliers : tuple of array
        Of balance [M, T, B], storage [G, T, B] and internal [T, B].

    Raises
    ------
    NotConverged
        If a member of the batch stays above tolerance.
    """
    columns, steps, batch = task.cost.shape
    x, rows = np.empty_like(task.cost), (
        np.empty_like(task.balance), np.empty_like(task.storage), np.empty((steps, batch)),
    )  # fmt: skip
    worst = np.zeros(batch)
    chunk = max(1, CACHED // (columns * steps))
    for begin in range(0, batch, chunk):
        part = slice(begin, min(begin + chunk, batch))
        x[..., part], found, worst[part] = _chunk(task.take(part))
        for old, new in zip(rows, found, strict=True):
            old[..., part] = new
    lost = np.flatnonzero(worst > ACCEPTED)
    if not len(lost):
        return x, rows
    x[..., lost] = 0.5 * (task.lower + task.upper)[..., lost]
    raise NotConverged(
        f"{len(lost)} of {batch} follower problems stopped at a residual of {worst.max():.1e} after {ITERATIONS} "
        f"iterations (allowed {ACCEPTED:.0e}); check the scales of prices ($/kWh) and energies (kWh).",
        lost,
        x,
        rows,
    )


def _chunk(task: Task) -> tuple[Array, list[Array], Array]:
    """Solve some members: x, multipliers of the rows and the residual of each."""
    free = (task.upper > task.lower).astype(np.float64)
    point = _Point.of(task, free)
    x, rows, residual = point.x.copy(), [a.copy() for a in point.rows], np.zeros(task.cost.shape[2])
    todo, going = np.arange(len(residual)), np.ones(len(residual), bool)
    for k in range(ITERATIONS + 1):
        seen, worst = _residuals(task, free, point)
        ended = going & ((worst <= TOLERANCE) | (k == ITERATIONS))
        if ended.any():
            at, here = todo[ended], ended.nonzero()[0]
            x[..., at], residual[at] = point.x[..., here], worst[here]
            for old, new in zip(rows, point.rows, strict=True):
                old[..., at] = new[..., here]
            going &= ~ended
            if not going.any():
                break
            if 2 * going.sum() < len(going):  # those that ended stand still until then
                left = going.nonzero()[0]
                todo, task, free, point = todo[left], task.take(left), free[..., left], point.take(left)
                seen, _ = _residuals(task, free, point)
                going = going[left]
        _move(task, free, point, seen, going, careful=k >= CAREFUL)
    return x, rows, residual


def _residuals(task: Task, free: Array, point: _Point) -> tuple[_Residuals, Array]:
    """What is missing, and the largest part of it for each member."""
    block, x = task.block, point.x
    balance, storage, internal = block.rows(x)
    primal = (task.balance - balance, task.storage - storage, -internal)
    slope = task.curvature * x
    slope += task.cost
    slope -= block.columns(*point.rows)
    slope *= free
    dual = slope - point.low
    dual += point.high
    count = 2.0 * free.sum(axis=(0, 1))
    gap = _dot(point.below, point.low) + _dot(point.above, point.high) - 2.0 * (free[:, :, 0].size - 0.5 * count)
    infeasible = np.maximum.reduce([_largest(r) for r in primal]) / (1.0 + _largest(x))
    worst = np.maximum.reduce([_largest(dual), infeasible, 0.1 * gap])  # 1e-9 $ a day in all
    return _Residuals(slope, dual, primal, gap / np.maximum(count, 1.0)), worst


def _move(
    task: Task,
    free: Array,
    point: _Point,
    seen: _Residuals,
    going: NDArray[np.bool_],
    *,
    careful: bool,
) -> None:
    """One predictor-corrector step of those that are going, in place.

    A careful step has no second-order term and stays near the central path: slower, but without cycles.
    """
    slope, gap = seen.slope, seen.gap
    below, above, low, high = point.below, point.above, point.low, point.high
    pull_low, pull_high = low / below, high / above
    theta = pull_low + pull_high
    theta += task.curvature
    theta += PROXIMAL
    np.divide(free, theta, out=theta)
    newton = _Newton(task.block, theta, seen.primal)

    dx, _ = newton.towards(slope)
    down, up = dx / below, dx / above
    # the predictor changes low by -low - pull_low * dx, so its ratio to low is -1 - dx / below; high likewise
    rate = np.maximum.reduce([-_least(down), _most(up), 1.0 + _most(down), 1.0 - _least(up)])
    size = 1.0 / np.maximum(rate, STEP_BACK)
    dlow = -low - pull_low * dx
    dhigh = pull_high * dx - high
    count = np.maximum(2.0 * free.sum(axis=(0, 1)), 1.0)
    after = (1.0 - size) * gap + size**2 * (_dot(dx, dlow) - _dot(dx, dhigh)) / count
    centre = np.clip(after / np.maximum(gap, TINY), 0.0, 1.0) ** 3 * gap
    if careful:
        centre = np.maximum(centre, CENTRED * gap)
    dlow *= down  # from here on: the second-order terms, then the parts of the changes that do not depend on dx
    dhigh *= up
    to_low = centre / below - low
    to_high = centre / above - high
    if not careful:  # they belong to a full step; after short ones they can end in a cycle
        to_low -= dlow
        to_high += dhigh
    to_low *= free
    to_high *= free
    push = seen.dual - to_low
    push += to_high
    # what rounding loses here is in the next residual, so only the last directions are refined; each member by itself
    dx, dy = newton.towards(push, refine=going & (gap < LATE))
    np.multiply(pull_low, dx, out=pull_low)
    np.multiply(pull_high, dx, out=pull_high)
    to_low -= pull_low
    to_high += pull_high
    # one length for both sides: with curvature the dual residual mixes them
    back = STEP_BACK_CAREFUL if careful else STEP_BACK  # a step to the very bound leaves the central path
    rates = [-_least(dx / below), _most(dx / above), -_least(to_low / low), -_least(to_high / high)]
    size = np.minimum(1.0, back / np.maximum(np.maximum.reduce(rates), STEP_BACK)) * going
    dx *= size
    point.x += dx
    point.below += dx
    point.above -= dx
    to_low *= size
    to_high *= size
    point.low += to_low
    point.high += to_high
    point.rows = [old + size * change for old, change in zip(point.rows, dy, strict=True)]


@dataclass(frozen=True)
class _Residuals:
    """What is missing at a point.

    Attributes
    ----------
    slope : array [n, T, B]
        Gradient less A' y; 0 for fixed columns.
    dual : array [n, T, B]
        The same less the multipliers of the lower bounds plus those of the upper ones.
    primal : tuple of array
        What the rows lack.
    gap : array [B]
        Mean product of distances and multipliers.
    """

    slope: Array
    dual: Array
    primal: Rows
    gap: Array


class _Newton:
    """Directions of one factorised system, with what the rows lack."""

    def __init__(self, block: Block, theta: Array, primal: Rows) -> None:
        self._block, self._theta, self._primal = block, theta, primal
        self._normal = factorised(block, theta)

    def towards(self, push: Array, *, refine: NDArray[np.bool_] | None = None) -> tuple[Array, list[Array]]:
        """Change of x and of the rows' multipliers, given how each column is pushed down; some members refined."""
        block, theta = self._block, self._theta
        lost = block.rows(theta * push)
        rest = [r + n for r, n in zip(self._primal, lost, strict=True)]
        dy = list(self._normal.solve(rest[0], rest[1], rest[2]))
        if refine is not None and refine.any():
            made = block.rows(theta * block.columns(dy[0], dy[1], dy[2]))
            rest = [r - a for r, a in zip(rest, made, strict=True)]
            more = self._normal.solve(rest[0], rest[1], rest[2])
            dy = [a + np.where(refine, b, 0.0) for a, b in zip(dy, more, strict=True)]
        dx = block.columns(dy[0], dy[1], dy[2])
        dx -= push
        dx *= theta
        return dx, dy


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("ntb,ntb->b", a, b))


def _largest(a: Array) -> Array:
    return np.asarray(np.abs(a).max(axis=tuple(range(a.ndim - 1)), initial=0.0))


def _most(a: Array) -> Array:
    return np.asarray(a.max(axis=(0, 1)))


def _least(a: Array) -> Array:
    return np.asarray(a.min(axis=(0, 1)))
