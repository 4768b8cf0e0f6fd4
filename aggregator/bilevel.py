"""Exact single-level model of the pricing leader: compiled once, started from the followers' optimum, audited.

Small cases only: with hourly prices HiGHS handles a few stores and days. The model: ``aggregator.conditions``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo

from aggregator.conditions import TANGENTS, Conditions, Store
from aggregator.portfolio import BestResponse, PortfolioError
from aggregator.price_set import PriceSet
from aggregator.prosumers import Array
from wholesale.solve import Program

AUDIT = 1e-3


@dataclass(frozen=True)
class SingleLevel:
    """Result of the MILP; values in $/day for one community, means over the scenario days.

    Attributes
    ----------
    price : array [T] $/kWh
        Best buy price found (not on ticks).
    promised : float
        Its profit as the MILP sees it: ties broken for the leader, squares by tangents. Not a promise to keep.
    bound : float
        No admissible price earns more.
    net : array [D, T] kWh per step
        Net load of the community in the MILP.
    nodes, binaries : int
    status : str
        ``"optimal"`` or ``"limit"``.
    audit : tuple of str
        Names every multiplier that sits at its limit; empty = no sign that a limit cut something off.
    """

    price: Array
    promised: float
    bound: float
    net: Array
    nodes: int
    binaries: int
    status: str
    audit: tuple[str, ...]


class SingleLevelModel:
    """The MILP over followers and scenario days, written once in Pyomo and compiled once.

    Parameters
    ----------
    followers : BestResponse
        Pools with one meter each: pooled without a peer-to-peer fee, or every prosumer alone.
    prices : PriceSet
    sell, charges : array [T] $/kWh
        Feed-in price; network charge and levies on imports.
    wholesale : array [D, T] $/kWh
    mip_gap : float
        Relative gap at which the search may stop.
    node_limit : int or None
        Largest number of nodes.

    Raises
    ------
    PortfolioError
        If there are stores other than batteries or a peak price, or the members trade at a fee, which splits their
        value of energy and is not modelled here.
    """

    def __init__(
        self,
        followers: BestResponse,
        prices: PriceSet,
        *,
        sell: Array,
        charges: Array,
        wholesale: Array,
        mip_gap: float = 1e-3,
        node_limit: int | None = 2000,
    ) -> None:
        if not all(pool.plain for pool in followers.pools):
            raise PortfolioError(
                "The exact model knows batteries under one price of imports; vehicles, deferrable loads, heat and a "
                "peak price need the decoupled bound (method: bound)."
            )
        if followers.portfolio.pooled and followers.portfolio.fee > 0.0:
            raise PortfolioError(
                f"The exact model has one value of energy per pool, but members trade at a fee of "
                f"{followers.portfolio.fee:g} $/kWh; use the decoupled bound, or a fee of 0."
            )
        self._followers, self._prices, self._sell = followers, prices, sell
        self._restore = followers.portfolio.storage_end == "restore"
        kkt = Conditions(followers, prices, sell=sell, charges=charges, wholesale=wholesale)
        self._cells, self._stores, model = kkt.cells, kkt.stores, kkt.write()
        self.binaries = sum(1 for v in model.component_data_objects(pyo.Var) if v.is_binary() and not v.fixed)
        self._program = Program.compile(model, mip_gap=mip_gap, node_limit=node_limit)
        self._col = {v.local_name: self._program.columns(v) for v in model.component_objects(pyo.Var) if len(v)}

    def solve(self, *, start: Array | None = None, fixed: Array | None = None) -> SingleLevel:
        """Find the best admissible price, or evaluate one.

        Parameters
        ----------
        start : array [T] $/kWh, optional
            Admissible price whose best response starts the search.
        fixed : array [T] $/kWh, optional
            Fix the price exactly here (equal bounds, never a tiny box, which HiGHS may call infeasible).

        Returns
        -------
        SingleLevel
        """
        low, high = (self._prices.low, self._prices.high) if fixed is None else (fixed, fixed)
        self._program.change_bounds(self._col["price"], low, high)
        begin = start if fixed is None else fixed
        solution = self._program.solve(None if begin is None else self._point(np.asarray(begin, dtype=np.float64)))
        x = solution.x
        return SingleLevel(
            price=np.clip(x[self._col["price"]], low, high),
            promised=float(solution.objective),
            bound=float(solution.bound),
            net=self._net(x),
            nodes=solution.nodes,
            binaries=self.binaries,
            status=solution.status,
            audit=self._audit(x),
        )

    def _net(self, x: Array) -> Array:
        net = np.zeros((self._followers.portfolio.days, len(self._sell)))
        for k, (_, d) in enumerate(self._cells):
            net[d] += x[self._col["imports"][k]] - x[self._col["exports"][k]]
        for pool in self._followers.pools:
            if not pool.groups:
                net += pool.fixed_kwh[:, 0]
        return net

    def _audit(self, x: Array) -> tuple[str, ...]:
        found = []
        for j, store in enumerate(self._stores):
            low, high = store.box.mu_low, store.box.mu_high
            near = AUDIT * (high - low)
            for t, mu in enumerate(x[self._col["mu"][j]]):
                if mu <= low + near or mu >= high - near:
                    found.append(
                        f"mu of store {j} at step {t} is {mu:.5f} $/kWh, at its limit [{low:.5f}, {high:.5f}]; "
                        "re-solve the follower at this price before trusting the result."
                    )
        return tuple(found)

    def _point(self, price: Array) -> Array:
        """A full start: the followers' primal-dual optimum at a price, written into the columns."""
        x = np.zeros(self._program.shape[1])
        x[self._col["price"]] = price
        shape = (self._followers.portfolio.days, len(price))
        found = self._followers.days(np.broadcast_to(price, shape), np.broadcast_to(self._sell, shape))
        days = dict(zip((id(pool) for pool in self._followers.pools), found, strict=True))
        j = 0
        for k, (pool, d) in enumerate(self._cells):
            day = days[id(pool)][d]
            x[self._col["imports"][k]], x[self._col["exports"][k]] = day.imports[0], day.exports[0]
            value = np.clip(day.energy_value[0], self._sell, price)
            x[self._col["value"][k]] = value
            x[self._col["is_import"][k]] = day.imports[0] > day.exports[0]
            x[self._col["is_export"][k]] = day.exports[0] > day.imports[0]
            for i in range(len(pool.groups)):
                self._store_point(
                    x, j, self._stores[j], value, (day.gain[i], day.loss[i], day.store[i]), day.store_value[i]
                )
                j += 1
        return x

    def _store_point(
        self, x: Array, j: int, store: Store, value: Array, schedule: tuple[Array, Array, Array], worth: Array
    ) -> None:
        one = store.one
        gain, loss, level = schedule
        mu = np.clip(worth, store.box.mu_low, store.box.mu_high)
        later = np.append(mu[1:], mu[-1] if self._restore else one.end_value)
        margins = {
            "gain": (gain, 0.0, one.charge, one.wear_linear + one.wear_quadratic * gain + value / one.eta_charge - mu),
            "loss": (
                loss,
                0.0,
                one.discharge,
                one.wear_linear + one.wear_quadratic * loss - value * one.eta_discharge + mu,
            ),
            "store": (level, one.store_min, one.store_max, mu - later),
        }
        x[self._col["mu"][j]] = mu
        for name, (at, low, high, margin) in margins.items():
            x[self._col[name][j]] = at
            on, full = at > low + 1e-6, at > high - 1e-6
            if name == "store" and self._restore:
                on[-1], full[-1] = True, False
            x[self._col[f"{name}_on"][j]], x[self._col[f"{name}_full"][j]] = on, full
            x[self._col[f"{name}_r"][j]] = np.where(on, 0.0, np.maximum(margin, 0.0))
            x[self._col[f"{name}_gamma"][j]] = np.where(full, np.maximum(-margin, 0.0), 0.0)
        for name, at, most in (("gain", gain, one.charge), ("loss", loss, one.discharge)):
            points = (np.arange(TANGENTS) + 0.5)[:, None] / TANGENTS * most
            x[self._col[f"{name}_square"][j]] = np.maximum((2 * points * at - points**2).max(axis=0), 0.0)


def count_binaries(followers: BestResponse) -> int:
    """Binaries of the single-level model, without building it: 2 per meter and 6 per store, step and day.

    Parameters
    ----------
    followers : BestResponse

    Returns
    -------
    int
        An upper estimate: meters that can only import need one less.
    """
    per_step = sum((2 + 6 * len(pool.groups)) * len(pool.fixed_kwh) for pool in followers.pools if pool.groups)
    return per_step * followers.portfolio.steps
