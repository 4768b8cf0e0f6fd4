"""The supply curve of one zone and hour: which prices clear it, and who runs at a price.

Everything is written as injection s (MW) between `low` and `high` with marginal cost a + k s: a unit with its range and
cost, an elastic withdrawal of q MW as s in [-q, 0] at its limit price, an elastic injection as s in [0, q]. At a price
the curve is a whole interval if flat offers sit exactly there; a price is valid when demand lies in that interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-13  # of all MW involved: what sums of floating-point numbers may miss


@dataclass(frozen=True, eq=False)
class Curve:
    """Offers and elastic bids of one hour against a fixed demand.

    Attributes
    ----------
    low, high : ndarray [n]
        MW of injection, low <= high.
    a : ndarray [n]
        Marginal cost at s = 0, $/MWh.
    k : ndarray [n]
        Slope of the marginal cost, $/MW^2h, >= 0.
    demand : float
        MW that must be balanced.
    ceiling : float
        $/MWh: prices stay within +-ceiling, where demand is shed and injection thrown away without limit.
    """

    low: np.ndarray
    high: np.ndarray
    a: np.ndarray
    k: np.ndarray
    demand: float
    ceiling: float

    @property
    def tolerance(self) -> float:
        """MW below which a difference is rounding."""
        return ROUNDING * float(1.0 + np.abs(self.low).sum() + np.abs(self.high).sum() + abs(self.demand))

    def supply(self, price: np.ndarray, *, most: bool) -> np.ndarray:
        """Smallest or largest total injection, MW, at prices [...] in $/MWh.

        Parameters
        ----------
        price : ndarray [...]
            $/MWh.
        most : bool
            Whether offers exactly at the price run at `high` (True) or at `low` (False).
        """
        return np.asarray(self._each(np.asarray(price, float)[..., None], most).sum(axis=-1))

    def prices(self) -> tuple[float, float]:
        """Exact interval (lower, upper) of valid prices, $/MWh; a single price as lower = upper."""
        steps = np.concatenate([self.a + self.k * self.low, self.a + self.k * self.high])
        steps = np.unique(np.concatenate([np.clip(steps, -self.ceiling, self.ceiling), [-self.ceiling, self.ceiling]]))
        enough = self.supply(steps, most=True) >= self.demand - self.tolerance
        spare = self.supply(steps, most=False) <= self.demand + self.tolerance
        first = int(enough.argmax()) if enough.any() else len(steps) - 1
        last = len(steps) - 1 - int(spare[::-1].argmax()) if spare.any() else 0
        # first and last change places where demand is met on a slope strictly between two steps
        if enough.any() and spare.any() and first > last:
            price = self._on_slope(steps[last], steps[first])
            return price, price
        return float(steps[first]), float(steps[max(first, last)])

    def allot(self, price: float) -> np.ndarray:
        """Injection of each participant at a valid price, MW [n].

        Equal offers share the rest pro rata to their ranges. Where offers and withdrawals are both indifferent, as
        much as possible is traded: withdrawals are served before offers stand still.
        """
        base, top = self._each(np.array(price), False), self._each(np.array(price), True)
        rest = float(np.clip(self.demand - base.sum(), 0.0, (top - base).sum()))
        taking = self.high <= 0.0  # withdrawals: their s runs from -q to 0
        offered = float((top - base)[~taking].sum())
        served_last = max(rest - offered, 0.0)
        given = base.copy()
        for group, amount in ((~taking, rest - served_last), (taking, served_last)):
            room = (top - base) * group
            if amount > 0.0:
                given += room * min(amount / room.sum(), 1.0)
        return given

    def _each(self, price: np.ndarray, most: bool) -> np.ndarray:
        flat = np.where(price > self.a, self.high, self.low)
        flat = np.where(price == self.a, self.high if most else self.low, flat)
        sloped = np.clip((price - self.a) / np.where(self.k > 0, self.k, 1.0), self.low, self.high)
        return np.where(self.k > 0, sloped, flat)

    def _on_slope(self, left: float, right: float) -> float:
        below, above = self.supply(np.array([left]), most=True)[0], self.supply(np.array([right]), most=False)[0]
        return float(left + (right - left) * (self.demand - below) / (above - below))
