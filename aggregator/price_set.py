"""Admissible buy prices of one day: box, cap on the mean, ramp, hours tied to one price, or a menu of whole tariffs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aggregator.prosumers import Array

# repeated from retail.tariff (a test compares): the package is imported for its names often, torch should wait for use
TICKS_PER_UNIT = 100_000
Ticks = NDArray[np.int64]


@dataclass(frozen=True)
class PriceSet:
    """Admissible buy prices, every limit a whole number of ticks and none of them slack.

    Attributes
    ----------
    low, high : array [T] $/kWh
        Box of each step, already tightened by ramp, blocks and menu.
    mean_cap : float or None $/kWh
        Largest mean over the day; None with a menu, whose tariffs keep to it.
    ramp : float or None $/kWh
        Largest change from one step to the next; None with a menu.
    blocks : array of int [T] or None
        Steps with one label share one price.
    menu : array [K, T] $/kWh or None
        The only admissible prices, on ticks and each different.
    """

    low: Array
    high: Array
    mean_cap: float | None
    ramp: float | None
    blocks: NDArray[np.intp] | None = None
    menu: Array | None = None

    @property
    def basis(self) -> Array:
        """Which steps share a price, array [T, B] of 0 and 1: a price is ``basis @`` the prices of the B blocks."""
        label = self._label
        return np.asarray(label[:, None] == np.unique(label), dtype=np.float64)

    @property
    def _label(self) -> NDArray[np.intp]:
        return np.arange(len(self.low)) if self.blocks is None else self.blocks

    def clip(self, buy: ArrayLike) -> Array:
        """The admissible price on ticks next to a wish.

        Cut to the box, tied by the mean of each block, shifted under the cap, flattened to the ramp; of a menu the
        tariff with the smallest squared distance.

        Parameters
        ----------
        buy : array_like [T] $/kWh

        Returns
        -------
        array [T] $/kWh
            A whole number of ticks at each step. An admissible wish comes back rounded to ticks.
        """
        buy = np.asarray(buy, dtype=np.float64)
        if self.menu is not None:
            return np.array(self.menu[np.argmin(((self.menu - buy) ** 2).sum(axis=1))])
        low, high = to_ticks(self.low), to_ticks(self.high)
        most = None if self.mean_cap is None else int(np.floor(self.mean_cap * TICKS_PER_UNIT * len(low) + 1e-4))
        wish = buy * TICKS_PER_UNIT
        if self.blocks is not None:
            wish = (self.basis @ ((wish @ self.basis) / self.basis.sum(axis=0))).round(6)
        wish = np.clip(wish, low, high)
        if most is not None and wish.sum() > most:
            wish = _shifted(wish, low, high, most)
        if self.ramp is None:
            price = np.clip(np.floor(np.round(wish, 4) + 0.5).astype(np.int64), low, high)
        else:
            # the lower envelope of slope <= ramp, and rounding down, never raise a price nor break a ramp
            slope = int(to_ticks(self.ramp))
            wish = (wish[None, :] + farthest_change(self._label, slope)).min(axis=1)
            price = np.maximum(np.floor(np.round(wish, 4)).astype(np.int64), low)
        return (price if most is None else _below(price, wish, low, self._label, most)) / TICKS_PER_UNIT


def to_ticks(price: ArrayLike) -> Ticks:
    """A price as the nearest whole number of ticks.

    Parameters
    ----------
    price : array_like $/kWh

    Returns
    -------
    array of int64
        Same shape.
    """
    return np.round(np.asarray(price, dtype=np.float64) * TICKS_PER_UNIT).astype(np.int64)


def farthest_change(label: NDArray[np.intp], slope: float) -> Array:
    """How far the prices of any two steps can lie apart, in units of the slope.

    Parameters
    ----------
    label : array of int [T]
        Steps with one label share one price.
    slope : float
        Largest change between neighbouring steps; infinity = no limit.

    Returns
    -------
    array [T, T]
        0 within a block; between blocks the slope times the fewest changes of block that lead from one to the other.
    """
    _, block = np.unique(label, return_inverse=True)
    count = int(block.max()) + 1
    far = np.full((count, count), np.inf)
    far[np.arange(count), np.arange(count)] = 0.0
    far[block[1:], block[:-1]] = np.minimum(far[block[1:], block[:-1]], slope)
    far = np.minimum(far, far.T)
    for k in range(count):  # Floyd and Warshall
        far = np.minimum(far, far[:, k : k + 1] + far[k : k + 1, :])
    return np.asarray(far[np.ix_(block, block)])


def _shifted(wish: Array, low: Ticks, high: Ticks, most: int) -> Array:
    """Euclidean projection of a wish onto the box with a largest sum: one common shift, found by bisection."""
    down, up = 0.0, float((wish - low).max())
    for _ in range(80):
        middle = 0.5 * (down + up)
        down, up = (middle, up) if np.clip(wish - middle, low, high).sum() > most else (down, middle)
    return np.clip(wish - up, low, high)


def _below(price: Ticks, wish: Array, low: Ticks, label: NDArray[np.intp], most: int) -> Ticks:
    """Take single ticks off the blocks that were rounded up most until the sum fits."""
    while price.sum() > most:
        rounded_up = np.where(price > low, price - wish, -np.inf)
        price = price - (label == label[np.argmax(rounded_up)])
    return price
