"""The followers' optimality conditions inside one MILP in Pyomo: the pricing leader's problem on a single level.

Stationarity, complementarity with binaries
and proven limits (``aggregator.boxes``) replace the followers; strong duality makes the revenue linear:

sum p g - q e = sum lambda F - kappa (c + d) - rho (c^2 + d^2) + end term + sum (r^s s_min - gamma^s S)
- mu_1 s_0 - gamma^c C - gamma^d D,   end term = mu_T s_0 (restore) or end_value s_T (value).

Each square is replaced by the largest of its tangents, which flatters the leader by at most rho (C/24)^2 per step:
the value is optimistic, the bound stays a bound.

References
----------
Fortuny-Amat and McCarl, J. Oper. Res. Soc. 32(9), 1981; Zugno, Morales, Pinson, Madsen, Energy Economics 36, 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

from aggregator.bound import limit_prices
from aggregator.boxes import StoreBox, store_box
from aggregator.pools import Group
from aggregator.portfolio import BestResponse
from aggregator.price_set import PriceSet
from aggregator.prosumers import Array

TANGENTS = 12


@dataclass(frozen=True)
class Store:
    """One store on one day: the cell (pool and day) it belongs to, its numbers and its limits."""

    cell: int
    one: Group
    box: StoreBox


class Conditions:
    """Writes the single-level model; the order is that of the docstring of ``aggregator.boxes``.

    Parameters
    ----------
    followers : BestResponse
        Pools with one meter each.
    prices : PriceSet
    sell, charges : array [T] $/kWh
        Feed-in price; network charge and levies on imports.
    wholesale : array [D, T] $/kWh

    Attributes
    ----------
    cells : list of (Pool, day)
        Pools that have a store, day by day; index K of the model.
    stores : list of Store
        Index J of the model.
    """

    def __init__(
        self, followers: BestResponse, prices: PriceSet, *, sell: Array, charges: Array, wholesale: Array
    ) -> None:
        self._followers, self._prices = followers, prices
        self._sell, self._charges, self._wholesale = sell, charges, wholesale
        self._restore = followers.portfolio.storage_end == "restore"
        self.cells = [(pool, d) for pool in followers.pools if pool.groups for d in range(len(pool.fixed_kwh))]
        self.stores = [
            Store(k, one, store_box(one, sell, prices.high, restore=self._restore))
            for k, (pool, _) in enumerate(self.cells)
            for one in pool.groups
        ]

    def write(self) -> Any:
        """Write the model.

        Returns
        -------
        pyomo ConcreteModel
            ``price`` [T]; per cell ``imports``, ``exports``, ``value``, ``is_import``, ``is_export`` [K, T]; per store
            ``gain``, ``loss``, ``store``, ``mu`` [J, T], each of the first three with ``_r``, ``_gamma``, ``_on``,
            ``_full``; ``gain_square``, ``loss_square``. Maximises the mean profit per day.
        """
        steps = len(self._sell)
        m = pyo.ConcreteModel("single level")
        m.T, m.K = pyo.RangeSet(0, steps - 1), pyo.RangeSet(0, len(self.cells) - 1)
        m.J = pyo.RangeSet(0, len(self.stores) - 1)
        low, high = self._prices.low, self._prices.high
        m.price = pyo.Var(m.T, bounds=lambda _, t: (float(low[t]), float(high[t])))
        limit_prices(m, self._prices)
        self._write_meters(m)
        self._write_stores(m)
        self._write_squares(m)
        m.profit = pyo.Objective(expr=self._profit(m), sense=pyo.maximize)
        return m

    def _write_meters(self, m: Any) -> None:
        sell, high = self._sell, self._prices.high
        behind: list[list[int]] = [[j for j, s in enumerate(self.stores) if s.cell == k] for k in m.K]
        fixed = [pool.fixed_kwh[d, 0] for pool, d in self.cells]
        most_in, most_out = {}, {}
        for k in m.K:
            gain = sum(self.stores[j].one.charge / self.stores[j].one.eta_charge for j in behind[k])
            loss = sum(self.stores[j].one.discharge * self.stores[j].one.eta_discharge for j in behind[k])
            for t in m.T:
                most_in[k, t] = float(max(fixed[k][t] + gain, 0.0))
                most_out[k, t] = float(max(loss - fixed[k][t], 0.0))
        m.imports = pyo.Var(m.K, m.T, bounds=lambda _, k, t: (0.0, most_in[k, t]))
        m.exports = pyo.Var(m.K, m.T, bounds=lambda _, k, t: (0.0, most_out[k, t]))
        m.value = pyo.Var(m.K, m.T, bounds=lambda _, k, t: (float(sell[t]), float(high[t])))
        m.is_import, m.is_export = pyo.Var(m.K, m.T, domain=pyo.Binary), pyo.Var(m.K, m.T, domain=pyo.Binary)
        _fix_zero(m.is_import, most_in)
        _fix_zero(m.is_export, most_out)
        m.gain = pyo.Var(m.J, m.T, bounds=lambda _, j, t: (0.0, self.stores[j].one.charge))
        m.loss = pyo.Var(m.J, m.T, bounds=lambda _, j, t: (0.0, self.stores[j].one.discharge))

        def balance(_: Any, k: int, t: int) -> Any:
            ones = [(j, self.stores[j].one) for j in behind[k]]
            flexible = sum(m.gain[j, t] / one.eta_charge - m.loss[j, t] * one.eta_discharge for j, one in ones)
            return m.imports[k, t] - m.exports[k, t] - flexible == float(fixed[k][t])

        width = high - sell
        rules = {
            "balance": balance,
            "below_price": lambda _, k, t: m.value[k, t] <= m.price[t],
            "import_value": lambda _, k, t: m.price[t] - m.value[k, t] <= width[t] * (1 - m.is_import[k, t]),
            "export_value": lambda _, k, t: m.value[k, t] - sell[t] <= width[t] * (1 - m.is_export[k, t]),
            "import_on": lambda _, k, t: m.imports[k, t] <= most_in[k, t] * m.is_import[k, t],
            "export_on": lambda _, k, t: m.exports[k, t] <= most_out[k, t] * m.is_export[k, t],
            "one_way": lambda _, k, t: m.is_import[k, t] + m.is_export[k, t] <= 1,
        }
        for name, rule in rules.items():
            m.add_component(name, pyo.Constraint(m.K, m.T, rule=rule))

    def _write_stores(self, m: Any) -> None:
        stores, last = self.stores, len(self._sell) - 1

        def limits(_: Any, j: int, t: int) -> tuple[float, float]:
            one = stores[j].one
            return (one.start, one.start) if self._restore and t == last else (one.store_min, one.store_max)

        m.store = pyo.Var(m.J, m.T, bounds=limits)
        m.mu = pyo.Var(m.J, m.T, bounds=lambda _, j, t: (stores[j].box.mu_low, stores[j].box.mu_high))

        def storage(_: Any, j: int, t: int) -> Any:
            flow = m.store[j, t] - m.gain[j, t] + m.loss[j, t]
            return flow == stores[j].one.start if t == 0 else flow - m.store[j, t - 1] == 0.0

        m.storage = pyo.Constraint(m.J, m.T, rule=storage)
        width = {
            "gain": lambda j: (stores[j].one.charge, stores[j].box.r_gain, stores[j].box.gamma_gain),
            "loss": lambda j: (stores[j].one.discharge, stores[j].box.r_loss, stores[j].box.gamma_loss),
            "store": lambda j: (
                stores[j].one.store_max - stores[j].one.store_min,
                np.full(last + 1, stores[j].box.r_store),
                np.full(last + 1, stores[j].box.r_store),
            ),
        }
        for name, numbers in width.items():
            self._write_box(m, name, {j: numbers(j) for j in m.J})

        def gain_stationary(_: Any, j: int, t: int) -> Any:
            one, k = stores[j].one, stores[j].cell
            margin = one.wear_linear + one.wear_quadratic * m.gain[j, t] + m.value[k, t] / one.eta_charge - m.mu[j, t]
            return m.gain_r[j, t] - m.gain_gamma[j, t] == margin

        def loss_stationary(_: Any, j: int, t: int) -> Any:
            one, k = stores[j].one, stores[j].cell
            worth = m.value[k, t] * one.eta_discharge
            margin = one.wear_linear + one.wear_quadratic * m.loss[j, t] - worth + m.mu[j, t]
            return m.loss_r[j, t] - m.loss_gamma[j, t] == margin

        def store_stationary(_: Any, j: int, t: int) -> Any:
            if t == last and self._restore:
                return pyo.Constraint.Skip
            after = stores[j].one.end_value if t == last else m.mu[j, t + 1]
            return m.store_r[j, t] - m.store_gamma[j, t] == m.mu[j, t] - after

        m.gain_stationary = pyo.Constraint(m.J, m.T, rule=gain_stationary)
        m.loss_stationary = pyo.Constraint(m.J, m.T, rule=loss_stationary)
        m.store_stationary = pyo.Constraint(m.J, m.T, rule=store_stationary)
        wasting = self._followers.portfolio.may_burn(self._sell)
        if not wasting:
            m.one_direction = pyo.Constraint(m.J, m.T, rule=lambda _, j, t: m.gain_on[j, t] + m.loss_on[j, t] <= 1)

    def _write_box(self, m: Any, name: str, numbers: dict[int, tuple[float, Array, Array]]) -> None:
        """Complementarity of one boxed variable: off its lower bound r = 0, off its upper bound gamma = 0."""
        variable, last = getattr(m, name), len(self._sell) - 1
        r = pyo.Var(m.J, m.T, bounds=lambda _, j, t: (0.0, float(numbers[j][1][t])))
        gamma = pyo.Var(m.J, m.T, bounds=lambda _, j, t: (0.0, float(numbers[j][2][t])))
        on, full = pyo.Var(m.J, m.T, domain=pyo.Binary), pyo.Var(m.J, m.T, domain=pyo.Binary)
        for part, what in (("r", r), ("gamma", gamma), ("on", on), ("full", full)):
            m.add_component(f"{name}_{part}", what)
        low = {j: self.stores[j].one.store_min if name == "store" else 0.0 for j in m.J}
        rules = {
            "r_off": lambda _, j, t: r[j, t] <= float(numbers[j][1][t]) * (1 - on[j, t]),
            "on_off": lambda _, j, t: variable[j, t] - low[j] <= numbers[j][0] * on[j, t],
            "gamma_off": lambda _, j, t: gamma[j, t] <= float(numbers[j][2][t]) * full[j, t],
            "full_off": lambda _, j, t: low[j] + numbers[j][0] - variable[j, t] <= numbers[j][0] * (1 - full[j, t]),
        }
        if min((n[0] for n in numbers.values()), default=0.0) > 0.0:
            rules["full_is_on"] = lambda _, j, t: full[j, t] <= on[j, t]
        for part, rule in rules.items():
            m.add_component(f"{name}_{part}", pyo.Constraint(m.J, m.T, rule=rule))
        if name == "store" and self._restore:  # the last store is given: no multiplier of a bound, no binary
            for j in m.J:
                for part in (r, gamma, full):
                    part[j, last].fix(0)
                on[j, last].fix(1)

    def _write_squares(self, m: Any) -> None:
        m.gain_square = pyo.Var(m.J, m.T, domain=pyo.NonNegativeReals)
        m.loss_square = pyo.Var(m.J, m.T, domain=pyo.NonNegativeReals)
        curved = [j for j in m.J if self.stores[j].one.wear_quadratic > 0.0]
        m.tangents = pyo.ConstraintList()
        for j in curved:
            one = self.stores[j].one
            for variable, square, most in ((m.gain, m.gain_square, one.charge), (m.loss, m.loss_square, one.discharge)):
                for at in (np.arange(TANGENTS) + 0.5) / TANGENTS * most:
                    for t in m.T:
                        m.tangents.add(square[j, t] - 2.0 * float(at) * variable[j, t] >= -(float(at) ** 2))

    def _profit(self, m: Any) -> Any:
        steps, last = range(len(self._sell)), len(self._sell) - 1
        total = 0.0
        for k, (pool, d) in enumerate(self.cells):
            paid = self._charges + self._wholesale[d]
            total += sum(m.value[k, t] * float(pool.fixed_kwh[d, 0, t]) for t in steps)
            total += sum(
                float(self._wholesale[d, t]) * m.exports[k, t] - float(paid[t]) * m.imports[k, t] for t in steps
            )
        for j, store in enumerate(self.stores):
            one = store.one
            for t in steps:
                total -= one.wear_linear * (m.gain[j, t] + m.loss[j, t])
                total -= one.wear_quadratic * (m.gain_square[j, t] + m.loss_square[j, t])
                total -= one.charge * m.gain_gamma[j, t] + one.discharge * m.loss_gamma[j, t]
                total += one.store_min * m.store_r[j, t] - one.store_max * m.store_gamma[j, t]
            end = one.start * m.mu[j, last] if self._restore else one.end_value * m.store[j, last]
            total += end - one.start * m.mu[j, 0]
        for pool in self._followers.pools:
            if not pool.groups:  # nothing to decide: imports and exports are data
                for d, fixed in enumerate(pool.fixed_kwh[:, 0]):
                    gain = np.maximum(fixed, 0.0), np.maximum(-fixed, 0.0)
                    total += sum(m.price[t] * float(gain[0][t]) for t in steps)
                    cost = (self._charges + self._wholesale[d]) @ gain[0] + (self._sell - self._wholesale[d]) @ gain[1]
                    total -= float(cost)
        return total / self._followers.portfolio.days


def _fix_zero(binary: Any, most: dict[tuple[int, int], float]) -> None:
    for index, value in most.items():
        if value <= 0.0:
            binary[index].fix(0)
