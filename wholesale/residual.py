"""What a price-making buyer or seller faces at one bus: cost and price of the rest of the market as its MW vary.

The cost Phi(q) of clearing an hour with q MW withdrawn at a bus is convex, and its slope is the price there. With
linear offers Phi is piecewise linear and a recursion on tangents finds every piece: solve at both ends, meet the two
tangents, solve there; either the value lies on them, then that is a corner, or a new tangent splits the interval (the
sandwich algorithm). K pieces cost about 2 K + 1 clearings. All points of one level of all hours are cleared in one
call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wholesale.dc_opf import DCOPF
from wholesale.market import Bid, Clearing
from wholesale.merit_order import MeritOrder
from wholesale.names import position
from wholesale.system import System

LEVELS = 40
ROUNDING = 1e-9  # of the cost: what two sums of the same money may differ
POINT = 1e-7  # relative MW below which a piece is a corner that was hit exactly


@dataclass(frozen=True, eq=False)
class ResidualCurve:
    """Cost and price at one bus and hour against MW withdrawn there (- = injected).

    Attributes
    ----------
    bus : str
        Where.
    hour : int
        When.
    edges : ndarray [piece + 1]
        MW, increasing: piece k reaches from edges[k] to edges[k + 1].
    price : ndarray [piece]
        $/MWh on each piece, not falling.
    start : float
        Phi at edges[0], $ per hour, penalties for shed load included.
    gap : float
        $ per hour by which the true cost may exceed this curve somewhere; 0 where the curve is exact.
    clearings : int
        Clearings that were needed.
    """

    bus: str
    hour: int
    edges: np.ndarray
    price: np.ndarray
    start: float
    gap: float
    clearings: int

    @property
    def exact(self) -> bool:
        """Whether every piece was confirmed by a clearing at its ends."""
        return self.gap == 0.0

    def cost(self, mw: np.ndarray) -> np.ndarray:
        """Cost Phi of the rest of the market, $ per hour, at withdrawals `mw` [...] within the curve.

        Raises
        ------
        ValueError
            A withdrawal lies outside the curve.
        """
        self._inside(mw)
        corners = self.start + np.concatenate([[0.0], np.cumsum(self.price * np.diff(self.edges))])
        return np.asarray(np.interp(mw, self.edges, corners))

    def price_at(self, mw: np.ndarray) -> np.ndarray:
        """Price, $/MWh, at withdrawals `mw` [...]; at a corner the price of the piece to its left.

        Raises
        ------
        ValueError
            A withdrawal lies outside the curve.
        """
        self._inside(mw)
        piece = np.searchsorted(self.edges, mw, side="left") - 1
        return np.asarray(self.price[np.clip(piece, 0, len(self.price) - 1)])

    def _inside(self, mw: np.ndarray) -> None:
        low, high = self.edges[[0, -1]]
        room = 1e-9 * (1.0 + abs(low) + abs(high))
        if (np.asarray(mw) < low - room).any() or (np.asarray(mw) > high + room).any():
            raise ValueError(
                f"The residual curve at bus {self.bus!r} in hour {self.hour} covers {low:g} to {high:g} MW, not "
                f"{np.min(mw):g} to {np.max(mw):g} MW; compute it for a wider range."
            )


@dataclass(frozen=True, order=True)
class _Tangent:
    """A point where an hour was cleared: MW, cost and price there."""

    mw: float
    cost: float
    price: float

    def at(self, mw: float) -> float:
        return self.cost + self.price * (mw - self.mw)


def residual_curves(
    market: DCOPF | MeritOrder,
    system: System,
    bus: str,
    low: float | np.ndarray,
    high: float | np.ndarray,
    *,
    tolerance: float = 1e-6,
) -> tuple[ResidualCurve, ...]:
    """Compute the residual supply curve at a bus for every hour.

    Parameters
    ----------
    market : DCOPF or MeritOrder
        A market whose hours are independent of each other.
    system : System
        T hours, without the buyer.
    bus : str
        Its bus.
    low, high : float or array_like [T]
        Range of MW withdrawn, low < high; negative values inject.
    tolerance : float > 0
        With quadratic costs Phi is curved and no finite curve is exact; tangents are added until the true cost is known
        to within this part of Phi. Without quadratic costs curves are exact whatever this is.

    Returns
    -------
    tuple of ResidualCurve
        One for each hour.

    Raises
    ------
    ValueError
        The bus is unknown, the market couples hours, or low is not below high.
    SolverError
        See `DCOPF.clear`.
    """
    if not isinstance(market, DCOPF | MeritOrder):
        raise ValueError(
            f"Market {getattr(market, 'name', market)!r} has no residual curve hour by hour; use 'dc-opf' or "
            "'merit-order', whose hours are independent."
        )
    position(bus, system.buses)
    ends = [np.broadcast_to(np.asarray(end, float), (system.hours,)) for end in (low, high)]
    for t in np.flatnonzero(~(ends[0] < ends[1]))[:1]:
        raise ValueError(f"Hour {t}: the range {ends[0][t]:g} to {ends[1][t]:g} MW is empty; low must be below high.")
    every = list(range(system.hours))
    # both ends in one call, which starts the solver afresh; the calls below go on from there
    first = _clear(market.clear, market.voll, system.at(np.array(every * 2)), bus, np.concatenate(ends))
    found = [[a, b] for a, b in zip(first[: len(every)], first[len(every) :], strict=True)]
    clear_on = market.clear_on if isinstance(market, DCOPF) else market.clear
    open_ = [(t, found[t][0], found[t][1]) for t in every]
    gaps = np.zeros(system.hours)
    for _ in range(LEVELS):
        asked = [(t, a, b, _meet(a, b)) for t, a, b in open_ if not _same(a, b)]
        if not asked:
            open_ = []
            break
        some = system.at(np.array([t for t, *_ in asked]))
        answers = _clear(clear_on, market.voll, some, bus, np.array([mw for *_, mw in asked]))
        open_, gaps = [], np.zeros(system.hours)
        for (t, a, b, _), new in zip(asked, answers, strict=True):
            found[t].append(new)
            above = new.cost - a.at(new.mw)
            if above > ROUNDING * (1.0 + abs(new.cost)):
                if above <= tolerance * (1.0 + abs(new.cost)) and bool(system.cost[:, 0].any()):
                    gaps[t] = max(gaps[t], above)
                else:
                    open_ += [(t, a, new), (t, new, b)]
    for t, a, b in open_:
        gaps[t] = max(gaps[t], a.cost + b.cost - a.at(_meet(a, b)) - b.at(_meet(a, b)))
    return tuple(_curve(bus, t, tangents, float(gaps[t])) for t, tangents in enumerate(found))


def _clear(
    clear: Callable[[System, list[Bid]], Clearing], voll: float, system: System, bus: str, mw: np.ndarray
) -> list[_Tangent]:
    clearing = clear(system, [Bid(bus, mw, name="residual")])
    cost = clearing.cost + voll * (clearing.shed + clearing.surplus).sum(axis=1)
    points = zip(mw.tolist(), cost.tolist(), clearing.price(bus).tolist(), strict=True)
    return [_Tangent(*point) for point in points]


def _same(a: _Tangent, b: _Tangent) -> bool:
    """Whether two tangents are one line, or meet at one of their own points (then nothing lies between)."""
    room = ROUNDING * (1.0 + abs(a.cost) + abs(b.cost))
    return b.cost - a.at(b.mw) <= room or a.cost - b.at(a.mw) <= room


def _meet(a: _Tangent, b: _Tangent) -> float:
    """MW at which two different tangents cross, kept between their points."""
    mw = (a.cost - b.cost + b.price * b.mw - a.price * a.mw) / (b.price - a.price)
    return float(np.clip(mw, a.mw, b.mw))


def _curve(bus: str, hour: int, tangents: list[_Tangent], gap: float) -> ResidualCurve:
    """Upper envelope of the tangents, pieces without width left out."""
    line = sorted(tangents)
    edges, prices = [line[0].mw], [line[0].price]
    last = line[0]
    for new in line[1:]:
        if _same(last, new) and new.cost - last.at(new.mw) <= ROUNDING * (1.0 + abs(new.cost)):
            continue  # on the same piece, or a corner whose price belongs to the piece before
        edges.append(_meet(last, new))
        prices.append(new.price)
        last = new
    edges.append(line[-1].mw)
    corner, price = np.array(edges), np.array(prices)
    wide = np.diff(corner) > POINT * (1.0 + np.abs(corner[[0, -1]]).max())
    if not wide.any():
        wide[0] = True
    corner = np.concatenate([corner[:-1][wide], corner[-1:]])
    corner[0] = line[0].mw
    return ResidualCurve(bus, hour, corner, price[wide], line[0].cost, gap, len(tangents))
