"""Normal equations A Theta A' y = r of stores behind meters, factorised for a batch of days.

With diagonal curvature the Newton step of the interior point method reduces to these. Behind a single meter with a few
stores the balances are eliminated first, which leaves one banded system per day, all days in one call of LAPACK; else
each store is a dense T x T matrix, and so is each meter.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.linalg.lapack import dpbtrf, dpbtrs

from aggregator.blocks import Block, Rows
from aggregator.prosumers import Array

FEW = 3
ROUNDED = 1e-14
TINY = 1e-300


class Dense:
    """Stores are eliminated first, then meters, then the exchange.

    Parameters
    ----------
    block : Block
    theta : array [n, T, B]
    """

    def __init__(self, block: Block, theta: Array) -> None:
        self._block = block
        imports, exports, ports, store, other = block.split(theta)
        steps, batch = theta.shape[1:]
        meters, groups = block.behind.shape
        diagonal = np.arange(steps)
        middle = np.zeros((batch, groups, steps, steps))
        own = ports.sum(axis=1) + store
        own[:, 1:] += block.keep[..., None] ** 2 * store[:, :-1]
        middle[:, :, diagonal, diagonal] = _first(own * (1.0 + ROUNDED) + TINY)
        beside = _first(-block.keep[..., None] * store[:, :-1])
        middle[:, :, diagonal[1:], diagonal[:-1]] = middle[:, :, diagonal[:-1], diagonal[1:]] = beside
        self._stored = np.linalg.inv(middle)
        self._link = _first((ports * block.meter * block.sign[:, :, None, None]).sum(axis=1))
        pull = self._link[..., :, None] * self._stored * self._link[..., None, :]
        flow = imports + exports + block.at_meters((ports * block.meter**2).sum(axis=1))
        if block.exchange:
            self._inside = _first(other[0] + other[1])
            flow = flow + other[0] + other[1]
        if block.peak:
            flow = flow + other[-1]
        outer = np.zeros((batch, meters, steps, steps))
        outer[:, :, diagonal, diagonal] = _first(flow)
        outer -= np.einsum("mg,bgst->bmst", block.behind, pull)
        self._energy = np.linalg.inv(outer)
        if block.exchange:
            last = -np.einsum("bms,bmst,bmt->bst", self._inside, self._energy, self._inside)
            last[:, diagonal, diagonal] += self._inside.sum(axis=1)
            self._internal = np.linalg.inv(last)

    def solve(self, balance: Array, storage: Array, internal: Array) -> Rows:
        """Solve for one right-hand side.

        Parameters
        ----------
        balance : array [M, T, B]
        storage : array [G, T, B]
        internal : array [T, B]

        Returns
        -------
        tuple of array, same shapes
        """
        block = self._block
        balance, storage, internal = (_first(part) for part in (balance, storage, internal))
        inner = (self._stored @ storage[..., None])[..., 0]
        outer = balance - block.behind @ (self._link * inner)
        inside = np.zeros_like(internal)
        if block.exchange:
            free = (self._energy @ outer[..., None])[..., 0]
            inside = (self._internal @ (internal - (self._inside * free).sum(axis=1))[..., None])[..., 0]
            outer = outer - self._inside * inside[:, None]
        energy = (self._energy @ outer[..., None])[..., 0]
        stored = (self._stored @ (storage - self._link * (block.behind.T @ energy))[..., None])[..., 0]
        return _last(energy), _last(stored), _last(inside)


class Banded:
    """A few stores behind one meter without exchange: meters are eliminated first.

    What the ports leave on the diagonal is a sum of positive terms, so that nothing cancels near the bounds.

    Parameters
    ----------
    block : Block
    theta : array [n, T, B]

    Attributes
    ----------
    definite : bool
        Whether rounding left the system positive definite; if not, it cannot be used.
    """

    def __init__(self, block: Block, theta: Array) -> None:
        imports, exports, ports, store, other = block.split(theta)
        groups, (steps, batch) = len(store), theta.shape[1:]
        grid = imports[0] + exports[0] + (other[-1][0] if block.peak else 0.0)
        squares = (ports * block.meter**2).sum(axis=1)
        self._flow = grid + squares.sum(axis=0) + TINY
        self._link = (ports * block.meter * block.sign[:, :, None, None]).sum(axis=1)
        banded = np.zeros((batch, steps, groups, groups + 1))
        for g in range(groups):
            others = grid + sum(squares[h] for h in range(groups) if h != g)
            own = ports[g].sum(axis=0) * others
            for p, q in combinations(range(ports.shape[1]), 2):
                turn = block.meter[g, p] * block.sign[g, q] - block.meter[g, q] * block.sign[g, p]
                own += ports[g, p] * ports[g, q] * turn**2
            diagonal = own / self._flow + store[g]
            diagonal[1:] += block.keep[g] ** 2 * store[g, :-1]
            banded[:, :, g, groups] = (diagonal * (1.0 + ROUNDED) + TINY).T
            banded[:, 1:, g, 0] = -block.keep[g] * store[g, :-1].T
            for h in range(g):
                banded[:, :, g, groups - (g - h)] = -(self._link[g] * self._link[h] / self._flow).T
        self._factor, left = dpbtrf(banded.reshape(-1, groups + 1).T, overwrite_ab=1)
        self.definite = left == 0

    def solve(self, balance: Array, storage: Array, internal: Array) -> Rows:
        """See ``Dense.solve``."""
        outer = balance[0] / self._flow
        right = np.ascontiguousarray((storage - self._link * outer).transpose(2, 1, 0))
        found, _ = dpbtrs(self._factor, right.reshape(-1), overwrite_b=1)
        stored = found.reshape(right.shape).transpose(2, 1, 0)
        energy = outer - (self._link * stored).sum(axis=0) / self._flow
        return energy[None], np.ascontiguousarray(stored), np.zeros_like(internal)


def factorised(block: Block, theta: Array) -> Dense | Banded:
    """The quicker of the two factorisations that fits.

    Parameters
    ----------
    block : Block
    theta : array [n, T, B]
        Inverse weights of the columns, 0 where a column is fixed.

    Returns
    -------
    Dense or Banded
    """
    meters, groups = block.behind.shape
    if meters == 1 and 1 <= groups <= FEW and not block.exchange:
        quick = Banded(block, theta)
        if quick.definite:
            return quick
    return Dense(block, theta)


def _first(part: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(part, -1, 0))


def _last(part: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(part, 0, -1))
