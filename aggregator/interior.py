"""Quadratic best responses of many days at once: a primal-dual interior point method made for stores behind meters.

HiGHS' quadratic solver was measured here first: 4 ms a day for two stores, 43 ms for eight, and no end at all for
rho = 0.001 (it has no limit that would stop it). The structure is worth more than a general solver: with diagonal
curvature the Newton step reduces to one tridiagonal T x T system per store and one dense T x T system per meter, and
all days are solved in the same numpy calls.

References
----------
S. Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J. Optim. 2(4), 1992.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from aggregator.prosumers import Array

TOLERANCE = 1e-10
ACCEPTED = 1e-8  # near-ties (a fee of 1e-9, say) stop the last digits
PROXIMAL = 1e-8
REFINE = 1
ITERATIONS = 150
STEP_BACK = 0.9995
CAREFUL = 20  # iterations after which steps are careful; nearly all problems end before
CENTRED = 0.2
STEP_BACK_CAREFUL = 0.9
Rows = tuple[Array, Array, Array]


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
class Block:
    """Structure of the rows: which store sits behind which meter, and what its ports do.

    A port is a way into a store (sign + 1) or out of it (- 1) with its own draw at the meter: a battery has two, a heat
    store one for each machine that fills it. Rows are ``balance`` [M, T] (imports + above - exports + bought - sold -
    draw of all ports = fixed), ``storage`` [G, T] (store - keep * store before - signed ports = 0 or start) and, with
    exchange, ``internal`` [T] (sum of bought - sold = 0). Columns lie in one vector: imports, exports [M, T], ports
    [G * P, T], store [G, T], with exchange bought, sold [M, T], and with a peak above [M, T].

    Attributes
    ----------
    behind : array [M, G]
        1 where store g sits behind meter m.
    meter : array [B, G, P, T] or broadcastable
        Energy drawn at the meter per kWh through the port, + = drawn.
    sign : array [G, P]
        Of the ports; ports that a store does not have are shut by their bounds.
    keep : array [G, 1]
        Share of the content that is still there after a step.
    exchange, peak : bool
        Whether the meters trade; whether imports above a cap have their own price.
    steps : int
        T.
    """

    behind: Array
    meter: Array
    sign: Array
    keep: Array
    exchange: bool
    peak: bool
    steps: int

    @property
    def lonely(self) -> bool:
        """Whether every meter has one store of its own and none trades."""
        return not self.exchange and not self.peak and np.array_equal(self.behind, np.eye(len(self.behind)))

    def split(self, x: Array) -> tuple[Array, Array, Array, Array, list[Array]]:
        """Cut columns [B, n] into imports, exports [B, M, T], ports [B, G, P, T], store [B, G, T] and the others."""
        meters, groups = self.behind.shape
        count = self.sign.shape[1]
        sizes = [meters, meters, groups * count, groups] + [meters, meters] * self.exchange + [meters] * self.peak
        parts = np.split(x, np.cumsum(sizes)[:-1] * self.steps, axis=1)
        imports, exports, ports, store, *other = (
            part.reshape(len(x), size, self.steps) for part, size in zip(parts, sizes, strict=True)
        )
        return imports, exports, ports.reshape(len(x), groups, count, self.steps), store, other

    def join(self, *parts: Array) -> Array:
        """Inverse of ``split``, the others one by one."""
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def rows(self, x: Array) -> tuple[Array, Array, Array]:
        """A x as balance [B, M, T], storage [B, G, T], internal [B, T]."""
        imports, exports, ports, store, other = self.split(x)
        balance = imports - exports - self.behind @ (ports * self.meter).sum(axis=2)
        before = np.concatenate([np.zeros_like(store[:, :, :1]), store[:, :, :-1]], axis=2)
        storage = store - self.keep * before - (ports * self.sign[:, :, None]).sum(axis=2)
        internal = np.zeros((len(x), self.steps))
        if self.exchange:
            balance = balance + other[0] - other[1]
            internal = (other[0] - other[1]).sum(axis=1)
        if self.peak:
            balance = balance + other[-1]
        return balance, storage, internal

    def columns(self, energy: Array, stored: Array, inside: Array) -> Array:
        """A' y for row multipliers energy [B, M, T], stored [B, G, T], inside [B, T]."""
        behind = (self.behind.T @ energy)[:, :, None]
        ahead = np.concatenate([stored[:, :, 1:], np.zeros_like(stored[:, :, :1])], axis=2)
        ports = -behind * self.meter - self.sign[:, :, None] * stored[:, :, None]
        parts = [energy, -energy, ports, stored - self.keep * ahead]
        if self.exchange:
            parts += [energy + inside[:, None], -energy - inside[:, None]]
        return self.join(*parts, *[energy] * self.peak)

    def take(self, which: NDArray[np.intp]) -> Block:
        """The structure of some members of the batch."""
        return replace(self, meter=self.meter[which] if len(self.meter) > 1 else self.meter)


class _Normal:
    """A Theta A' factorised: stores are eliminated first, then meters, then the exchange."""

    def __init__(self, block: Block, theta: Array) -> None:
        self._block = block
        imports, exports, ports, store, other = block.split(theta)
        meters, groups = block.behind.shape
        diagonal = np.arange(block.steps)
        middle = np.zeros((len(theta), groups, block.steps, block.steps))
        own = ports.sum(axis=2) + store
        own[:, :, 1:] += block.keep**2 * store[:, :, :-1]
        middle[:, :, diagonal, diagonal] = own * (1.0 + 1e-14) + 1e-300
        beside = -block.keep * store[:, :, :-1]
        middle[:, :, diagonal[1:], diagonal[:-1]] = middle[:, :, diagonal[:-1], diagonal[1:]] = beside
        self._stored = np.linalg.inv(middle)
        self._link = (ports * block.meter * block.sign[:, :, None]).sum(axis=2)
        pull = self._link[..., :, None] * self._stored * self._link[..., None, :]
        outer = np.zeros((len(theta), meters, block.steps, block.steps))
        flow = imports + exports + block.behind @ (ports * block.meter**2).sum(axis=2)
        if block.exchange:
            self._inside = other[0] + other[1]
            flow = flow + self._inside
        if block.peak:
            flow = flow + other[-1]
        outer[:, :, diagonal, diagonal] = flow
        outer -= np.einsum("mg,bgst->bmst", block.behind, pull)
        self._energy = np.linalg.inv(outer)
        if block.exchange:
            last = -np.einsum("bms,bmst,bmt->bst", self._inside, self._energy, self._inside)
            last[:, diagonal, diagonal] += self._inside.sum(axis=1)
            self._internal = np.linalg.inv(last)

    def solve(self, balance: Array, storage: Array, internal: Array) -> tuple[Array, Array, Array]:
        """Multipliers y with A Theta A' y = (balance, storage, internal)."""
        block = self._block
        inner = (self._stored @ storage[..., None])[..., 0]
        outer = balance - block.behind @ (self._link * inner)
        inside = np.zeros_like(internal)
        if block.exchange:
            free = (self._energy @ outer[..., None])[..., 0]
            inside = (self._internal @ (internal - (self._inside * free).sum(axis=1))[..., None])[..., 0]
            outer = outer - self._inside * inside[:, None]
        energy = (self._energy @ outer[..., None])[..., 0]
        stored = (self._stored @ (storage - self._link * (block.behind.T @ energy))[..., None])[..., 0]
        return energy, stored, inside


class _Lonely:
    """The same for one store behind each meter and no exchange: meters are eliminated first, tridiagonal systems stay.

    Pivots are kept as sums of positive terms (r = pivot - store), so that nothing cancels near the bounds.
    """

    def __init__(self, block: Block, theta: Array) -> None:
        imports, exports, ports, store, _ = block.split(theta)
        imports, exports, store = (np.moveaxis(part, 2, 0).copy() for part in (imports, exports, store))
        ports, meter = (np.moveaxis(part, 3, 0).copy() for part in (ports, block.meter))
        sign, grid = block.sign, imports + exports
        self._flow = grid + (ports * meter**2).sum(axis=-1) + 1e-300
        self._link = (ports * meter * sign).sum(axis=-1)
        # sum of theta times flow less link squared, as a sum of squares over pairs of ports
        own = ports.sum(axis=-1) * grid
        for p, q in combinations(range(sign.shape[1]), 2):
            turn = meter[..., p] * sign[:, q] - meter[..., q] * sign[:, p]
            own += ports[..., p] * ports[..., q] * turn**2
        own /= self._flow
        self._keep = block.keep[:, 0]
        self._share = np.empty_like(store)
        self._pivot = np.empty_like(store)
        rest = own[0]
        for t in range(block.steps):
            if t:
                rest = own[t] + self._keep**2 * store[t - 1] * rest / self._pivot[t - 1]
            self._pivot[t] = rest + store[t] + 1e-300
            self._share[t] = self._keep * store[t] / self._pivot[t]

    def solve(self, balance: Array, storage: Array, internal: Array) -> tuple[Array, Array, Array]:
        """Multipliers y with A Theta A' y = (balance, storage, internal)."""
        outer = np.moveaxis(balance, 2, 0) / self._flow
        stored = np.moveaxis(storage, 2, 0) - self._link * outer
        steps = len(stored)
        for t in range(1, steps):
            stored[t] += self._share[t - 1] * stored[t - 1]
        stored /= self._pivot
        for t in range(steps - 2, -1, -1):
            stored[t] += self._share[t] * stored[t + 1]
        energy = outer - self._link * stored / self._flow
        return np.moveaxis(energy, 0, 2), np.moveaxis(stored, 0, 2), np.zeros_like(internal)


@dataclass(frozen=True)
class Task:
    """A batch of B problems: min cost'x + curvature/2 x^2 subject to the rows of ``block`` and lower <= x <= upper.

    Attributes
    ----------
    block : Block
    cost, curvature, lower, upper : array [B, n]
        All bounds finite; equal bounds fix a column.
    balance : array [B, M, T] kWh
    storage : array [B, G, T] kWh
        Right-hand sides.
    """

    block: Block
    cost: Array
    curvature: Array
    lower: Array
    upper: Array
    balance: Array
    storage: Array


def minimise(task: Task) -> tuple[Array, tuple[Array, Array, Array]]:
    """Solve a batch to residuals of 1e-10, at worst 1e-8.

    Parameters
    ----------
    task : Task
        Feasible and bounded by its boxes.

    Returns
    -------
    x : array [B, n]
    multipliers : tuple of array
        Of balance [B, M, T], storage [B, G, T] and internal [B, T].

    Raises
    ------
    NotConverged
        If a member of the batch stays above tolerance.
    """
    free = task.upper > task.lower
    x = np.where(free, 0.5 * (task.lower + task.upper), task.lower)
    y = (np.zeros_like(task.balance), np.zeros_like(task.storage), np.zeros(task.balance.shape[::2]))
    scale = 1.0 + np.abs(task.cost).max(axis=1, keepdims=True)
    # distances to the bounds are kept on their own: the difference x - bound would lose its last digits
    points = [x, np.where(free, x - task.lower, 1.0), np.where(free, task.upper - x, 1.0)]
    points += [np.where(free, 0.1 * scale, 0.0), np.where(free, 0.1 * scale, 0.0)]
    todo = np.arange(len(x))
    for k in range(ITERATIONS):
        part = _take(task, todo)
        energy, stored, inside = (a[todo] for a in y)
        now = [a[todo] for a in points]
        new, moved, worst = _step(part, free[todo], now, (energy, stored, inside), careful=k >= CAREFUL)
        going = worst > TOLERANCE
        if not going.any():
            return x, y
        todo = todo[going]
        for old, fresh in zip((*points, *y), (*new, *moved), strict=True):
            old[todo] = fresh[going]
    if worst.max() <= ACCEPTED:
        return x, y
    lost = todo[worst > ACCEPTED]
    x[lost] = 0.5 * (task.lower + task.upper)[lost]
    raise NotConverged(
        f"{len(lost)} of {len(x)} follower problems stopped at a residual of {worst.max():.1e} after {ITERATIONS} "
        f"iterations (allowed {ACCEPTED:.0e}); check the scales of prices ($/kWh) and energies (kWh).",
        lost,
        x,
        y,
    )


def _take(task: Task, which: NDArray[np.intp]) -> Task:
    fields = (task.cost, task.curvature, task.lower, task.upper, task.balance, task.storage)
    return Task(task.block.take(which), *(a[which] for a in fields))


def _step(
    task: Task, free: NDArray[np.bool_], points: list[Array], y: Rows, *, careful: bool
) -> tuple[list[Array], tuple[Array, ...], Array]:
    """One predictor-corrector step from x, its distances to the bounds and their multipliers; the residual there.

    A careful step has no second-order term and stays near the central path: slower, but without cycles.
    """
    block = task.block
    x, below, above, low, high = points
    balance, storage, internal = block.rows(x)
    primal = (task.balance - balance, task.storage - storage, -internal)
    dual = np.where(free, task.cost + task.curvature * x - block.columns(*y) - low + high, 0.0)
    count = np.maximum(2 * free.sum(axis=1), 1)
    gap = (below * low + above * high).sum(axis=1) / count
    infeasible = np.maximum.reduce([_largest(r) for r in primal]) / (1.0 + _largest(x))
    worst = np.maximum.reduce([_largest(dual), infeasible, 0.1 * gap * count])  # 1e-9 $ a day in all

    weight = np.where(free, task.curvature + PROXIMAL + low / below + high / above, 1.0)
    theta = np.where(free, 1.0 / weight, 0.0)
    normal = (_Lonely if block.lonely else _Normal)(block, theta)

    def direction(target_low: Array, target_high: Array) -> tuple[Array, list[Array], Array, Array]:
        pull = target_low / below - target_high / above - dual
        needed = block.rows(theta * pull)
        rest = [r - n for r, n in zip(primal, needed, strict=True)]
        dy = [np.zeros_like(r) for r in rest]
        for _ in range(1 + REFINE):
            more = normal.solve(rest[0], rest[1], rest[2])
            dy = [a + b for a, b in zip(dy, more, strict=True)]
            made = block.rows(theta * block.columns(more[0], more[1], more[2]))
            rest = [r - a for r, a in zip(rest, made, strict=True)]
        dx = theta * (pull + block.columns(dy[0], dy[1], dy[2]))
        return dx, dy, (target_low - low * dx) / below, (target_high + high * dx) / above

    dx, dy, dlow, dhigh = direction(-low * below, -high * above)
    size = _length(free, (below, dx), (above, -dx), (low, dlow), (high, dhigh))
    after = ((below + size * dx) * (low + size * dlow) + (above - size * dx) * (high + size * dhigh)) * free
    centre = (np.clip(after.sum(axis=1) / count / np.maximum(gap, 1e-300), 0.0, 1.0) ** 3 * gap)[:, None] * free
    second = dx * (not careful)  # it belongs to a full step; after short ones it can end in a cycle
    if careful:
        centre = np.maximum(centre, CENTRED * gap[:, None] * free)
    dx, dy, dlow, dhigh = direction(centre - low * below - second * dlow, centre - high * above + second * dhigh)
    # one length for both sides: with curvature the dual residual mixes them
    back = STEP_BACK_CAREFUL if careful else STEP_BACK  # a step to the very bound leaves the central path
    size = np.minimum(1.0, back * _length(free, (below, dx), (above, -dx), (low, dlow), (high, dhigh)))
    moved = tuple(a + size.reshape(-1, *[1] * (a.ndim - 1)) * b for a, b in zip(y, dy, strict=True))
    change = (dx, dx, -dx, dlow, dhigh)
    return [a + size * b * free for a, b in zip(points, change, strict=True)], moved, worst


def _largest(a: Array) -> Array:
    return np.abs(a.reshape(len(a), -1)).max(axis=1, initial=0.0)


def _length(free: NDArray[np.bool_], *pairs: tuple[Array, Array]) -> Array:
    """Longest step in [0, 1 / STEP_BACK] that keeps value + step * change >= 0 for all pairs, [B, 1]."""
    most = np.full(len(free), 1.0 / STEP_BACK)
    for value, change in pairs:
        shrinks = free & (change < 0.0)
        ratio = np.where(shrinks, value / np.where(shrinks, -change, 1.0), np.inf)
        most = np.minimum(most, ratio.min(axis=1))
    return most[:, None]
