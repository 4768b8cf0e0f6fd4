"""Units as offers: every unit becomes one or more pieces with marginal cost a + k s between two MW limits.

A unit without break points is one piece whose s is its output. Break points cut it: the first piece runs up to the
second point and each further piece counts MW from its own point. Convexity makes pieces fill in order, so programs and
curves can treat them as separate offers and add them up afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from wholesale.system import System, Unit


@dataclass(frozen=True, eq=False)
class Offers:
    """All pieces of all units.

    Attributes
    ----------
    unit : ndarray [piece] of int
        Position of the unit a piece belongs to.
    low, high : ndarray [T, piece]
        MW limits of a piece, low <= high.
    a : ndarray [piece]
        Marginal cost at s = 0, $/MWh.
    k : ndarray [piece]
        Slope of the marginal cost, $/MW^2h, >= 0.
    constant : float
        $ per hour that is paid whatever runs.
    units : int
        Number of units.
    """

    unit: np.ndarray
    low: np.ndarray
    high: np.ndarray
    a: np.ndarray
    k: np.ndarray
    constant: float
    units: int

    @cached_property
    def hourly(self) -> bool:
        """Whether limits differ from hour to hour."""
        return bool((self.low != self.low[:1]).any() or (self.high != self.high[:1]).any())

    def total(self, pieces: np.ndarray) -> np.ndarray:
        """Output of units, MW [T, unit], from output of pieces, MW [T, piece]."""
        if len(self.unit) == self.units:
            return pieces
        where = np.zeros((len(self.unit), self.units))
        where[np.arange(len(self.unit)), self.unit] = 1.0
        return np.asarray(pieces @ where)


def offers(system: System) -> Offers:
    """Cut the units of a system into pieces.

    Parameters
    ----------
    system : System
        T hours; its floors and ceilings bound the pieces.

    Returns
    -------
    Offers
        Units in their order; pieces of one unit follow each other.
    """
    floor, ceiling = system.p_floor_mw, system.p_ceiling_mw
    unit, low, high, a, k = [], [], [], [], []
    constant = 0.0
    for g, one in enumerate(system.units):
        starts, ends, slopes, level = _pieces(one)
        constant += level
        c2, c1, _ = one.cost
        for j, (start, end, slope) in enumerate(zip(starts, ends, slopes, strict=True)):
            base = start if j else 0.0
            least, most = (0.0, end - start) if j else (-np.inf, end)
            unit.append(g)
            low.append(np.clip(floor[:, g] - base, least, most))
            high.append(np.clip(ceiling[:, g] - base, least, most))
            a.append(c1 + slope + 2.0 * c2 * base)
            k.append(2.0 * c2)
    hours = system.hours
    return Offers(
        unit=np.array(unit, int),
        low=np.array(low, float).reshape(-1, hours).T.copy(),
        high=np.array(high, float).reshape(-1, hours).T.copy(),
        a=np.array(a, float),
        k=np.array(k, float),
        constant=constant,
        units=len(system.units),
    )


def piecewise(unit: Unit, mw: np.ndarray) -> np.ndarray:
    """Cost of a unit's break points alone.

    Parameters
    ----------
    unit : Unit
        With or without points.
    mw : ndarray [...]
        Output, MW.

    Returns
    -------
    ndarray [...]
        $ per hour; 0 without points. The first and the last slope go on beyond their points.
    """
    if not unit.points:
        return np.zeros_like(mw)
    x, y = np.array(unit.points, float).T
    slopes = np.diff(y) / np.diff(x)
    piece = np.clip(np.searchsorted(x, mw, side="right") - 1, 0, len(slopes) - 1)
    return np.asarray(y[piece] + slopes[piece] * (mw - x[piece]))


def _pieces(unit: Unit) -> tuple[list[float], list[float], list[float], float]:
    """Starts, ends (MW), slopes ($/MWh) and the constant ($/h) of a unit's pieces."""
    c0 = unit.cost[2]
    if not unit.points:
        return [0.0], [np.inf], [0.0], c0
    x, y = np.array(unit.points, float).T
    slopes = np.diff(y) / np.diff(x)
    keep = np.concatenate([[True], slopes[1:] != slopes[:-1]])
    starts, slopes = x[:-1][keep], slopes[keep]
    ends = [*starts[1:].tolist(), np.inf]
    return starts.tolist(), ends, slopes.tolist(), float(c0 + y[0] - slopes[0] * x[0])
