"""Decoupled upper bound on what any admissible tariff can earn, and the price that attains it.

For every admissible price p and every optimal response, the leader's profit is the followers' cost v(p) less what the
response costs them and the wholesale market; the latter is at least W, the followers' optimum if they faced wholesale
prices (plus network charge and levies on imports) themselves. Hence profit(p) <= max v - W. v is concave in p and its
gradient is the energy imported, so the maximum needs best responses only: no binaries, any number of followers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

from aggregator.concave import maximise
from aggregator.local_response import LEAST, step_limits
from aggregator.portfolio import BestResponse, PortfolioError
from aggregator.price_set import PriceSet
from aggregator.promise import profit_by_day
from aggregator.prosumers import Array
from wholesale.solve import Program

LEVEL = 0.5


@dataclass(frozen=True)
class DecoupledBound:
    """Upper bound of the leader's profit; all values in $/day for one community, means over the scenario days.

    Attributes
    ----------
    price : array [T] $/kWh
        Admissible buy price with the largest follower cost found (not on ticks).
    value : float
        The bound, from the cutting-plane model: valid even when the iteration stopped early.
    first_best : float
        W, own and wholesale cost of the followers if they faced wholesale prices.
    best_price : array [T] $/kWh
        Of all prices tried on the way, the one that earned the leader most.
    best_profit : float
        What it earned.
    cuts : int
        Best responses used.
    gap : float
        (bound - largest v(p) found + W) / |bound|: how far the iteration was from its end.
    certified : bool
        False where negative prices would pay the programs for wasting energy, which real stores cannot do.
    """

    price: Array
    value: float
    first_best: float
    best_price: Array
    best_profit: float
    cuts: int
    gap: float
    certified: bool


def decoupled_bound(
    followers: BestResponse,
    prices: PriceSet,
    *,
    sell: Array,
    charges: Array,
    wholesale: Array,
    cuts: int = 60,
    tolerance: float = 1e-4,
) -> DecoupledBound:
    """Maximise the followers' cost over admissible prices by a level bundle method, over a menu by trying all.

    Parameters
    ----------
    followers : BestResponse
        D scenario days, T steps.
    prices : PriceSet
        Admissible buy prices.
    sell : array [T] $/kWh
        Feed-in price, at or below the lowest admissible buy price. It may exceed the wholesale price.
    charges : array [T] $/kWh
        Network charge and levies on imports, >= 0; they are not the leader's income.
    wholesale : array [D, T] $/kWh
        Price of the leader's own purchases.
    cuts : int
        Most best responses to use, at least 1; a menu takes as many as it has tariffs.
    tolerance : float
        Relative gap of the bound at which to stop.

    Returns
    -------
    DecoupledBound

    Raises
    ------
    PortfolioError
        If a charge is negative or ``cuts`` is below 1.
    """
    charges = np.asarray(charges, dtype=np.float64)
    if (charges < 0.0).any():
        raise PortfolioError(f"network + levy is {charges.min():g} $/kWh at a step; a bound needs charges >= 0.")
    if cuts < 1:
        raise PortfolioError(f"cuts is {cuts}; give at least 1 best response.")
    first_best = followers.solve(wholesale + charges, wholesale).mean
    if prices.menu is not None:
        return _of_menu(followers, prices.menu, sell=sell, charges=charges, wholesale=wholesale, first_best=first_best)
    price = prices.clip(prices.high)
    model = _Master(prices)
    best_cost, best_profit, value = -np.inf, -np.inf, np.inf
    centre = best_price = price
    used = 0
    while used < cuts:
        response = followers.solve(price, sell)
        used += 1
        profit = float(profit_by_day(response, price - charges, sell, wholesale).mean())
        if profit > best_profit:
            best_price, best_profit = price, profit
        if response.mean > best_cost:
            centre, best_cost = price, response.mean
        slope = response.total_importing.mean(axis=0)
        model.add(response.mean - float(slope @ price), slope)
        value = min(value, model.maximise())
        if value - best_cost <= tolerance * max(abs(value - first_best), 1e-6):
            break
        price = model.nearest(centre, best_cost + LEVEL * (value - best_cost))
    bound = value - first_best
    return DecoupledBound(
        price=centre,
        value=bound,
        first_best=first_best,
        best_price=best_price,
        best_profit=best_profit,
        cuts=used,
        gap=(value - best_cost) / max(abs(bound), 1e-12),
        certified=not followers.portfolio.may_burn(sell),
    )


def _of_menu(
    followers: BestResponse, menu: Array, *, sell: Array, charges: Array, wholesale: Array, first_best: float
) -> DecoupledBound:
    """The bound where the admissible prices can be counted."""
    answers = [followers.solve(price, sell) for price in menu]
    costs = [answer.mean for answer in answers]
    profits = [
        float(profit_by_day(answer, price - charges, sell, wholesale).mean())
        for answer, price in zip(answers, menu, strict=True)
    ]
    dearest, best = int(np.argmax(costs)), int(np.argmax(profits))
    return DecoupledBound(
        price=menu[dearest],
        value=costs[dearest] - first_best,
        first_best=first_best,
        best_price=menu[best],
        best_profit=profits[best],
        cuts=len(menu),
        gap=0.0,
        certified=not followers.portfolio.may_burn(sell),
    )


class _Master:
    """The cutting-plane model of v over admissible prices: its maximum, and the nearest price above a level."""

    def __init__(self, prices: PriceSet) -> None:
        self._prices = prices
        self._cuts: list[tuple[float, Array]] = []
        m = pyo.ConcreteModel("cutting planes")
        m.T = pyo.RangeSet(0, len(prices.low) - 1)
        m.price = pyo.Var(m.T, bounds=lambda _, t: (float(prices.low[t]), float(prices.high[t])))
        m.cost = pyo.Var()
        limit_prices(m, prices)
        m.goal = pyo.Objective(expr=-m.cost)
        self._program = Program.compile(m)
        self._columns = np.concatenate([self._program.columns(m.price), self._program.columns(m.cost)])

    def add(self, constant: float, slope: Array) -> None:
        """Add v(p) <= constant + slope @ p."""
        self._cuts.append((constant, slope))
        self._program.add_row(self._columns, np.append(-slope, 1.0), -np.inf, constant)

    def maximise(self) -> float:
        """Largest value of the model: an upper bound of v on the admissible prices."""
        return -self._program.solve().objective

    def nearest(self, centre: Array, level: float) -> Array:
        """The price with the smallest squared distance to a centre at which the model reaches a level."""
        prices = self._prices
        low, high = np.minimum(prices.low - centre, 0.0), np.maximum(prices.high - centre, 0.0)
        constants = np.array([constant for constant, _ in self._cuts])
        slopes = np.stack([slope for _, slope in self._cuts])
        rows, limit = step_limits(prices, centre, low, high, 1.0)
        size = np.maximum(np.abs(slopes).max(axis=1, initial=0.0), 1e-9)
        rows = np.concatenate([rows, -slopes / size[:, None]])
        limit = np.concatenate([limit, (constants + slopes @ centre - level) / size])
        tied = prices.basis
        still = high - low <= LEAST
        free = tied[:, ~((still @ tied) > 0.0)]
        if not free.shape[1]:
            return centre
        step = free @ maximise(np.zeros(free.shape[1]), -free.T @ free, rows @ free, limit)
        return np.clip(centre + step, prices.low, prices.high)


def limit_prices(model: Any, prices: PriceSet) -> None:
    """Add cap, ramp, blocks and menu to a Pyomo model with ``model.price`` over ``model.T``.

    Parameters
    ----------
    model : pyomo ConcreteModel
        Its ``price[t]`` already carries the box.
    prices : PriceSet
    """
    steps = len(prices.low)
    if prices.mean_cap is not None:
        model.mean_cap = pyo.Constraint(expr=sum(model.price[t] for t in model.T) <= prices.mean_cap * steps)
    if prices.ramp is not None:
        pairs = pyo.RangeSet(1, steps - 1)
        model.ramp = pyo.Constraint(
            pairs, rule=lambda _, t: (-prices.ramp, model.price[t] - model.price[t - 1], prices.ramp)
        )
    if prices.blocks is not None:
        first = {int(label): t for t, label in reversed(list(enumerate(prices.blocks)))}
        others = [t for t, label in enumerate(prices.blocks) if first[int(label)] != t]
        model.tied = pyo.Constraint(
            others, rule=lambda _, t: model.price[t] - model.price[first[int(prices.blocks[t])]] == 0.0
        )
    if prices.menu is not None:
        menu = prices.menu
        model.L = pyo.RangeSet(0, len(menu) - 1)
        model.chosen = pyo.Var(model.L, domain=pyo.Binary)
        model.one_tariff = pyo.Constraint(expr=sum(model.chosen[k] for k in model.L) == 1)
        model.on_menu = pyo.Constraint(
            model.T,
            rule=lambda _, t: model.price[t] - sum(float(menu[k, t]) * model.chosen[k] for k in model.L) == 0.0,
        )
