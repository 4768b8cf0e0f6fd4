"""The followers' optimality conditions inside one MILP in Pyomo: the pricing leader's problem on a single level.

Stationarity, complementarity with binaries and proven limits replace the followers; symbols are those of
``aggregator.boxes``. Strong duality makes the revenue linear: multiplied by the schedule, the conditions give

sum p g - q e = sum lambda F + sum_t mu_t D_t - k mu_1 s_0 + sum_t s_t (mu_t - k mu_{t+1}) + mu_T s_T
- sum_p (gamma X + kappa x + rho x^2),

where s_t (mu_t - k mu_{t+1}) is r^s s_min - gamma^s S if the content is free and s_t is a number if it is given. Each
square is replaced by the largest of its tangents, which flatters the leader by at most rho (X/24)^2 per step: the value
is optimistic, the bound stays a bound.

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
from aggregator.portfolio import BestResponse
from aggregator.price_set import PriceSet
from aggregator.prosumers import Array
from aggregator.store_table import DayStore, day_stores

TANGENTS = 12


@dataclass(frozen=True)
class Store:
    """One store on one day: the cell (pool and day) it belongs to, its numbers, its limits and its flows."""

    cell: int
    one: DayStore
    box: StoreBox
    flows: tuple[int, ...]


class Conditions:
    """Writes the single-level model.

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
    ways : list of (store, port)
        Ports of all stores, index F of the model.
    """

    def __init__(
        self, followers: BestResponse, prices: PriceSet, *, sell: Array, charges: Array, wholesale: Array
    ) -> None:
        self._followers, self._prices = followers, prices
        self._sell, self._charges, self._wholesale = sell, charges, wholesale
        self.cells = [(pool, d) for pool in followers.pools if has_stores(pool) for d in range(len(pool.fixed_kwh))]
        self.stores: list[Store] = []
        self.ways: list[tuple[int, int]] = []
        for k, one in enumerate(store for pool, d in self.cells for store in [day_stores(pool)[d]]):
            for store in one:
                first, j = len(self.ways), len(self.stores)
                flows = tuple(range(first, first + len(store.sign)))
                self.stores.append(Store(k, store, store_box(store, sell, prices.high), flows))
                self.ways += [(j, p) for p in range(len(store.sign))]
        self.behind: list[list[int]] = [[] for _ in self.cells]
        for j, filled in enumerate(self.stores):
            self.behind[filled.cell].append(j)

    def write(self) -> Any:
        """Write the model.

        Returns
        -------
        pyomo ConcreteModel
            ``price`` [T]; per cell ``imports``, ``exports``, ``value``, ``is_import``, ``is_export`` [K, T]; per port
            ``flow``, ``square`` [F, T], per store ``store``, ``mu`` [J, T]; ``flow`` and ``store`` each with ``_r``,
            ``_gamma``, ``_on``, ``_full``. Maximises the mean profit per day.
        """
        steps = len(self._sell)
        m = pyo.ConcreteModel("single level")
        m.T, m.K = pyo.RangeSet(0, steps - 1), pyo.RangeSet(0, len(self.cells) - 1)
        m.J, m.F = pyo.RangeSet(0, len(self.stores) - 1), pyo.RangeSet(0, len(self.ways) - 1)
        low, high = self._prices.low, self._prices.high
        m.price = pyo.Var(m.T, bounds=lambda _, t: (float(low[t]), float(high[t])))
        limit_prices(m, self._prices)
        self._write_meters(m)
        self._write_stores(m)
        self._write_ports(m)
        m.profit = pyo.Objective(expr=self._profit(m), sense=pyo.maximize)
        return m

    def _write_meters(self, m: Any) -> None:
        sell, high = self._sell, self._prices.high
        fixed = [pool.fixed_kwh[d, 0] for pool, d in self.cells]
        most_in, most_out = {}, {}
        for k, inside in enumerate(self.behind):
            draws = [self.stores[j].one.draw * self.stores[j].one.limit for j in inside]
            for t in m.T:
                most_in[k, t] = float(max(fixed[k][t] + sum(np.maximum(x[:, t], 0.0).sum() for x in draws), 0.0))
                most_out[k, t] = float(max(sum(np.maximum(-x[:, t], 0.0).sum() for x in draws) - fixed[k][t], 0.0))
        m.imports = pyo.Var(m.K, m.T, bounds=lambda _, k, t: (0.0, most_in[k, t]))
        m.exports = pyo.Var(m.K, m.T, bounds=lambda _, k, t: (0.0, most_out[k, t]))
        m.value = pyo.Var(m.K, m.T, bounds=lambda _, k, t: (float(sell[t]), float(high[t])))
        m.is_import, m.is_export = pyo.Var(m.K, m.T, domain=pyo.Binary), pyo.Var(m.K, m.T, domain=pyo.Binary)
        _fix_zero(m.is_import, most_in)
        _fix_zero(m.is_export, most_out)
        m.flow = pyo.Var(m.F, m.T, bounds=lambda _, f, t: (0.0, float(self._port(f, "limit")[t])))

        def balance(_: Any, k: int, t: int) -> Any:
            ports = [(f, p, j) for j in self.behind[k] for p, f in enumerate(self.stores[j].flows)]
            drawn = sum(float(self.stores[j].one.draw[p, t]) * m.flow[f, t] for f, p, j in ports)
            return m.imports[k, t] - m.exports[k, t] - drawn == float(fixed[k][t])

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

    def _port(self, f: int, name: str) -> Array:
        j, p = self.ways[f]
        return np.asarray(getattr(self.stores[j].one, name)[p])

    def _write_stores(self, m: Any) -> None:
        stores, last = self.stores, len(self._sell) - 1
        m.store = pyo.Var(m.J, m.T, bounds=lambda _, j, t: (float(stores[j].one.low[t]), float(stores[j].one.high[t])))
        m.mu = pyo.Var(m.J, m.T, bounds=lambda _, j, t: (stores[j].box.mu_low, stores[j].box.mu_high))

        def storage(_: Any, j: int, t: int) -> Any:
            one = stores[j].one
            before = one.start if t == 0 else m.store[j, t - 1]
            filled = sum(float(one.sign[p]) * m.flow[f, t] for p, f in enumerate(stores[j].flows))
            return m.store[j, t] - one.keep * before - filled == -float(one.drain[t])

        def stationary(_: Any, j: int, t: int) -> Any:
            one = stores[j].one
            if not one.free[t]:
                return pyo.Constraint.Skip
            after = -float(one.end_cost[t]) if t == last else one.keep * m.mu[j, t + 1]
            return m.store_r[j, t] - m.store_gamma[j, t] == m.mu[j, t] - after

        m.storage = pyo.Constraint(m.J, m.T, rule=storage)
        low, width = [s.one.low for s in stores], [np.where(s.one.free, s.one.high - s.one.low, 0.0) for s in stores]
        _write_box(m, "store", low, width, [s.box.r_store for s in stores], [s.box.gamma_store for s in stores])
        m.store_stationary = pyo.Constraint(m.J, m.T, rule=stationary)

    def _write_ports(self, m: Any) -> None:
        count = range(len(self.ways))

        def stationary(_: Any, f: int, t: int) -> Any:
            (j, p), k = self.ways[f], self.stores[self.ways[f][0]].cell
            one = self.stores[j].one
            if not one.open[p, t]:
                return pyo.Constraint.Skip
            margin = float(one.cost[p, t]) + float(one.curve[p, t]) * m.flow[f, t]
            margin += float(one.draw[p, t]) * m.value[k, t] - float(one.sign[p]) * m.mu[j, t]
            return m.flow_r[f, t] - m.flow_gamma[f, t] == margin

        boxes = [self.stores[j].box for j, _ in self.ways]
        limits = [self._port(f, "limit") for f in count]
        r = [box.r[p] for box, (_, p) in zip(boxes, self.ways, strict=True)]
        gamma = [box.gamma[p] for box, (_, p) in zip(boxes, self.ways, strict=True)]
        _write_box(m, "flow", [0.0 * x for x in limits], limits, r, gamma)
        m.flow_stationary = pyo.Constraint(m.F, m.T, rule=stationary)
        m.square = pyo.Var(m.F, m.T, domain=pyo.NonNegativeReals)
        m.one_direction, m.tangents = pyo.ConstraintList(), pyo.ConstraintList()
        for f in count:
            curve, most = self._port(f, "curve"), limits[f]
            for t in np.flatnonzero((curve > 0.0) & (most > 0.0)).tolist():
                for at in (np.arange(TANGENTS) + 0.5) / TANGENTS * most[t]:
                    m.tangents.add(m.square[f, t] - 2.0 * float(at) * m.flow[f, t] >= -(float(at) ** 2))
        for store in self.stores:
            self._write_directions(m, store)

    def _write_directions(self, m: Any, store: Store) -> None:
        """A port in and one out are never both needed at steps where circling energy through them earns nothing."""
        one = store.one
        for p, into in enumerate(store.flows):
            for q, out in enumerate(store.flows):
                if not one.sign[p] > 0.0 > one.sign[q]:
                    continue
                lost = np.minimum(
                    (one.draw[p] + one.draw[q]) * self._sell, (one.draw[p] + one.draw[q]) * self._prices.high
                )
                for t in np.flatnonzero((one.cost[p] + one.cost[q] + lost >= 0.0) & one.open[p] & one.open[q]).tolist():
                    m.one_direction.add(m.flow_on[into, t] + m.flow_on[out, t] <= 1)

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
            total -= one.keep * one.start * m.mu[j, 0]
            for t in steps:
                total += float(one.drain[t]) * m.mu[j, t]
                if one.free[t]:
                    total += float(one.low[t]) * m.store_r[j, t] - float(one.high[t]) * m.store_gamma[j, t]
                else:
                    total += float(one.low[t]) * (m.mu[j, t] - (one.keep * m.mu[j, t + 1] if t < last else 0.0))
                for p, f in enumerate(store.flows):
                    total -= float(one.cost[p, t]) * m.flow[f, t] + float(one.curve[p, t]) * m.square[f, t]
                    total -= float(one.limit[p, t]) * m.flow_gamma[f, t]
            if one.free[last]:
                total -= float(one.end_cost[last]) * m.store[j, last]
        for pool in self._followers.pools:
            if not has_stores(pool):  # nothing to decide: imports and exports are data
                for d, fixed in enumerate(pool.fixed_kwh[:, 0]):
                    gain = np.maximum(fixed, 0.0), np.maximum(-fixed, 0.0)
                    total += sum(m.price[t] * float(gain[0][t]) for t in steps)
                    cost = (self._charges + self._wholesale[d]) @ gain[0] + (self._sell - self._wholesale[d]) @ gain[1]
                    total -= float(cost)
        return total / self._followers.portfolio.days


def has_stores(pool: Any) -> bool:
    """Whether a pool has anything to decide.

    Parameters
    ----------
    pool : Pool

    Returns
    -------
    bool
    """
    return bool(pool.groups or pool.reservoirs)


def _write_box(m: Any, name: str, low: list[Array], width: list[Array], r: list[Array], gamma: list[Array]) -> None:
    """Complementarity of a boxed variable: off its lower bound r = 0, off its upper bound gamma = 0.

    A variable without width is given: neither multiplier nor binary.
    """
    variable, both = getattr(m, name), (m.J if name == "store" else m.F, m.T)
    parts = {
        "r": pyo.Var(*both, bounds=lambda _, i, t: (0.0, float(r[i][t]))),
        "gamma": pyo.Var(*both, bounds=lambda _, i, t: (0.0, float(gamma[i][t]))),
        "on": pyo.Var(*both, domain=pyo.Binary),
        "full": pyo.Var(*both, domain=pyo.Binary),
    }
    for part, what in parts.items():
        m.add_component(f"{name}_{part}", what)
    r_of, gamma_of, on, full = parts.values()
    given = [(i, t) for i, t in on if width[i][t] <= 0.0]
    for at in given:
        for what in parts.values():
            what[at].fix(0)
    rules = {
        "r_off": lambda _, i, t: r_of[i, t] <= float(r[i][t]) * (1 - on[i, t]),
        "on_off": lambda _, i, t: variable[i, t] - float(low[i][t]) <= float(width[i][t]) * on[i, t],
        "gamma_off": lambda _, i, t: gamma_of[i, t] <= float(gamma[i][t]) * full[i, t],
        "full_off": lambda _, i, t: (
            float(low[i][t] + width[i][t]) - variable[i, t] <= float(width[i][t]) * (1 - full[i, t])
        ),
        "full_is_on": lambda _, i, t: full[i, t] <= on[i, t],
    }
    skip = set(given)
    for part, rule in rules.items():
        wanted = [at for at in on if at not in skip]
        m.add_component(f"{name}_{part}", pyo.Constraint(wanted, rule=rule))


def _fix_zero(binary: Any, most: dict[tuple[int, int], float]) -> None:
    for index, value in most.items():
        if value <= 0.0:
            binary[index].fix(0)
