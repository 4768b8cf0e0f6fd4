"""One zone, one price: offers and bids cleared by the greatest welfare.

The welfare program is written in Pyomo and solved as such. Its optimum is rarely unique in the two places that matter
for money, the price on a vertical overlap and the shares of equal offers, and there a solver returns whichever corner
it meets first. `wholesale.curve` settles both by rule; the program's optimum is then the audit of that result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pyomo.environ as pyo

from wholesale.bids import Book, check_voll, tabulate
from wholesale.compiled import compiled
from wholesale.costs import cost_of
from wholesale.curve import Curve
from wholesale.hours import Changes, solve_hours
from wholesale.market import Bid, Clearing
from wholesale.names import unknown
from wholesale.offers import Offers, offers
from wholesale.solve import NotSolved, Program
from wholesale.system import System

Overlap = Literal["midpoint", "lower", "upper"]
AUDIT = 1e-6  # relative difference of two costs beyond which one of them is wrong

ROUNDING_MW = 1e-9


@dataclass(frozen=True, eq=False)
class Allotment:
    """What the curves of all hours say.

    Attributes
    ----------
    price, lower, upper : ndarray [T]
        Published price and the interval of valid ones, $/MWh.
    dispatch : ndarray [T, unit]
        MW.
    accepted : ndarray [T, bid]
        MW withdrawn by all bids, elastic or not.
    missing : ndarray [T]
        MW shed (+) or thrown away (-).
    demand : ndarray [T]
        MW that must be served: loads, shunts and inelastic bids.
    """

    price: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    dispatch: np.ndarray
    accepted: np.ndarray
    missing: np.ndarray
    demand: np.ndarray


@dataclass(frozen=True)
class MeritOrder:
    """Uniform-price clearing of a whole system as one zone; lines are not looked at.

    Parameters
    ----------
    overlap : {"midpoint", "lower", "upper"}
        Which price to publish where a whole interval of prices clears the hour.
    voll : float
        $/MWh: price at which load is shed; power is thrown away at -voll.

    Raises
    ------
    ValueError
        Unknown overlap; voll not > 0.
    """

    overlap: Overlap = "midpoint"
    voll: float = 10_000.0
    name: ClassVar[str] = "merit-order"

    def __post_init__(self) -> None:
        if self.overlap not in get_args(Overlap):
            raise ValueError(unknown("overlap", self.overlap, get_args(Overlap)))
        check_voll(self.voll)

    def clear(self, system: System, bids: Sequence[Bid] = ()) -> Clearing:
        """Clear all hours; hours are independent of each other.

        Parameters
        ----------
        system : System
            T hours of loads.
        bids : sequence of Bid
            Withdrawals (+) and injections (-) of outsiders.

        Returns
        -------
        Clearing
            `lower` and `upper` hold the exact interval of valid prices; `lines` is empty. What is shed is shed at all
            buses pro rata to what must be served there, and likewise for `surplus`.

        Raises
        ------
        ValueError
            See `wholesale.bids.tabulate`.
        NotSolved
            The audit failed: the allotted dispatch costs more than the program's optimum.
        SolverError
            The program of an hour has no solution.
        """
        book = tabulate(system, bids, self.voll)
        allotment = self._allot(system, book)
        _audit(system, book, allotment, self.voll)
        price, dispatch = allotment.price, allotment.dispatch
        everywhere = np.ones(len(system.buses))
        output = system.by_bus(np.maximum(dispatch, 0.0), system.unit_bus)
        return Clearing(
            buses=system.buses,
            units=tuple(unit.name for unit in system.units),
            lines=(),
            lmp=price[:, None] * everywhere,
            energy=price,
            congestion=np.zeros((system.hours, len(system.buses))),
            dispatch=dispatch,
            accepted=allotment.accepted,
            flow=np.zeros((system.hours, 0)),
            cost=system.generation_cost(dispatch),
            shed=_pro_rata(np.maximum(allotment.missing, 0.0), book.withdrawn),
            surplus=_pro_rata(np.maximum(-allotment.missing, 0.0), book.injected + output),
            lower=allotment.lower[:, None] * everywhere,
            upper=allotment.upper[:, None] * everywhere,
            load=system.load,
        )

    def _allot(self, system: System, book: Book) -> Allotment:
        """Price and share all hours by rule."""
        demand = (book.withdrawn - book.injected).sum(axis=1)
        price, lower, upper = np.empty((3, system.hours))
        offer = offers(system)
        pieces, accepted = np.empty(offer.low.shape), np.array(book.lower)
        for t in range(system.hours):
            curve, elastic = _curve(offer, book, t, float(demand[t]), self.voll)
            lower[t], upper[t] = curve.prices()
            price[t] = self._published(lower[t], upper[t])
            given = curve.allot(price[t])
            pieces[t] = given[: len(offer.unit)]
            accepted[t, elastic] = -given[len(offer.unit) :]
        dispatch = offer.total(pieces)
        taken = (accepted * (book.lower < book.upper)).sum(axis=1)
        missing = demand + taken - dispatch.sum(axis=1)
        # away from +-voll the curve meets demand exactly, so what is left there is rounding
        missing[np.abs(price) < self.voll] = 0.0
        missing[np.abs(missing) <= ROUNDING_MW] = 0.0
        return Allotment(price, lower, upper, dispatch, accepted, missing, demand)

    def _published(self, lower: float, upper: float) -> float:
        return {"lower": lower, "upper": upper, "midpoint": lower + (upper - lower) / 2}[self.overlap]


def build(system: System, bids: int, voll: float) -> pyo.ConcreteModel:
    """Write the greatest welfare of one zone and hour in Pyomo, as least cost minus the value of elastic bids.

    Parameters
    ----------
    system : System
        Its units.
    bids : int
        Number of bids; bounds and prices are filled in by index after compilation.
    voll : float
        $/MWh.

    Returns
    -------
    ConcreteModel
        Variables `p` [piece of a unit], `take` [bid], `shed`, `surplus` in MW; row `balance` with the demand of all
        that must be served as right-hand side, MW; objective in $ per hour.
    """
    m: Any = pyo.ConcreteModel(f"merit order of {system.name}")
    offer = offers(system)
    m.piece, m.bid = pyo.RangeSet(0, len(offer.unit) - 1), pyo.RangeSet(0, bids - 1)
    m.p = pyo.Var(m.piece, bounds=lambda m, j: (float(offer.low[0, j]), float(offer.high[0, j])))
    m.take = pyo.Var(m.bid)
    m.shed, m.surplus = pyo.Var(bounds=(0, None)), pyo.Var(bounds=(0, None))
    terms = zip(offer.a, offer.k, strict=True)
    cost = offer.constant + sum(cost_of(m.p[j], (k / 2.0, a, 0.0)) for j, (a, k) in enumerate(terms))
    m.cost = pyo.Objective(expr=cost + voll * (m.shed + m.surplus))
    net = sum(m.p[j] for j in m.piece) - sum(m.take[k] for k in m.bid) + m.shed - m.surplus
    m.balance = pyo.Constraint(expr=net == float(system.load[0].sum()))
    return m


def _curve(offer: Offers, book: Book, t: int, demand: float, ceiling: float) -> tuple[Curve, np.ndarray]:
    """Curve of hour t: pieces of units first, then the elastic bids, whose positions come along."""
    elastic = np.flatnonzero(book.lower[t] < book.upper[t])
    curve = Curve(
        low=np.concatenate([offer.low[t], -book.upper[t, elastic]]),
        high=np.concatenate([offer.high[t], -book.lower[t, elastic]]),
        a=np.concatenate([offer.a, book.value[t, elastic]]),
        k=np.concatenate([offer.k, np.zeros(len(elastic))]),
        demand=demand,
        ceiling=ceiling,
    )
    return curve, elastic


def _pro_rata(amount: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = weight.sum(axis=1, keepdims=True)
    return amount[:, None] * np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)


def _audit(system: System, book: Book, allotment: Allotment, voll: float) -> None:
    """Hold the allotted dispatch against the optimum of the welfare program."""

    def make() -> tuple[Program, pyo.ConcreteModel]:
        model = build(system, len(book.bus), voll)
        return Program.compile(model), model

    program, model = compiled(system, ("merit-order", len(book.bus), voll), make)
    program.forget()
    take, offer = program.columns(model.take), offers(system)
    elastic = book.lower < book.upper
    changes = Changes(
        rows=program.rows(model.balance),
        right=allotment.demand[:, None],
        cols=np.concatenate([program.columns(model.p), take]),
        lower=np.hstack([offer.low, np.where(elastic, book.lower, 0.0)]),  # inelastic bids are part of the demand
        upper=np.hstack([offer.high, np.where(elastic, book.upper, 0.0)]),
        priced=take,
        cost=-book.value,
    )
    _, _, best = solve_hours(program, changes, system.name)
    worth = book.value * allotment.accepted
    penalty = voll * np.abs(allotment.missing)
    cost = system.generation_cost(allotment.dispatch) - worth.sum(axis=1) + penalty
    scale = 1.0 + np.abs(cost) + np.abs(worth).sum(axis=1)
    for t in np.flatnonzero(np.abs(cost - best) > AUDIT * scale):
        raise NotSolved(
            f"Hour {t} of system {system.name!r}: the allotted dispatch costs {cost[t]:.6f} $/h, the welfare "
            f"program {best[t]:.6f} $/h; one of them is wrong, please report this hour."
        )
