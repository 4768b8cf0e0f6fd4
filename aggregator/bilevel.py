"""Exact single-level model of the pricing leader: compiled once, started from the followers' optimum, audited.

Small cases only: with hourly prices HiGHS handles a few stores and days. The model: ``aggregator.conditions``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from aggregator.conditions import TANGENTS, Conditions, Store, has_stores
from aggregator.portfolio import BestResponse, PortfolioError
from aggregator.price_set import PriceSet
from aggregator.prosumers import Array
from aggregator.store_table import GIVEN, day_stores
from aggregator.wear import through_ports
from wholesale.solve import Program, SolverError

AUDIT = 1e-3
UNCLEAR = 1e-3  # kWh, a distance up to which rounding may have decided
ACTIVE = 1e-6  # kWh, a distance from a bound below which a schedule sits on it


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
        If there is a peak price, or the members trade at a fee, which splits their value of energy and is not
        modelled here.
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
        if any(pool.peak is not None for pool in followers.pools):
            raise PortfolioError(
                "The exact model knows one price of imports per step; a peak price needs the decoupled bound (method: "
                "bound)."
            )
        if followers.portfolio.pooled and followers.portfolio.fee > 0.0:
            raise PortfolioError(
                f"The exact model has one value of energy per pool, but members trade at a fee of "
                f"{followers.portfolio.fee:g} $/kWh; use the decoupled bound, or a fee of 0."
            )
        self._followers, self._prices, self._sell = followers, prices, sell
        self._kkt = Conditions(followers, prices, sell=sell, charges=charges, wholesale=wholesale)
        model = self._kkt.write()
        self.binaries = sum(1 for v in model.component_data_objects(pyo.Var) if v.is_binary() and not v.fixed)
        self._program = Program.compile(model, mip_gap=mip_gap, node_limit=node_limit)
        named = {v.local_name: v for v in model.component_objects(pyo.Var) if len(v)}
        self._col = {name: self._program.columns(v) for name, v in named.items()}
        self._binary = [name for name, v in named.items() if next(iter(v.values())).is_binary()]

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
        point = None if start is None else self._start(np.asarray(start, dtype=np.float64))
        if fixed is not None:
            point, _ = self._point(np.asarray(fixed, dtype=np.float64))
        solution = self._program.solve(point)
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
        for k, (_, d) in enumerate(self._kkt.cells):
            net[d] += x[self._col["imports"][k]] - x[self._col["exports"][k]]
        for pool in self._followers.pools:
            if not has_stores(pool):
                net += pool.fixed_kwh[:, 0]
        return net

    def _audit(self, x: Array) -> tuple[str, ...]:
        found = []
        for j, store in enumerate(self._kkt.stores):
            low, high = store.box.mu_low, store.box.mu_high
            near = AUDIT * (high - low)
            for t, mu in enumerate(x[self._col["mu"][j]]):
                # where no port is open, mu decides nothing and any will do
                if store.one.open[:, t].any() and (mu <= low + near or mu >= high - near):
                    found.append(
                        f"mu of store {j} at step {t} is {mu:.5f} $/kWh, at its limit [{low:.5f}, {high:.5f}]; "
                        "re-solve the follower at this price before trusting the result."
                    )
        return tuple(found)

    def _start(self, price: Array) -> Array:
        """A feasible point of all columns at a price or next to it.

        The followers' primal-dual optimum at the price says which binaries are on. With these the model is a linear
        program, whose optimum is the best price for which that pattern stays optimal. Where rounding has made the
        pattern impossible, the few binaries it could have touched are searched for.
        """
        point, unclear = self._point(price)
        binaries = np.concatenate([self._col[name].ravel() for name in self._binary])
        whole = np.round(point[binaries])
        exact = self._program.relaxed()
        exact.change_bounds(binaries, whole, whole)
        with suppress(SolverError):
            return exact.solve().x
        low, high = (bound[binaries] for bound in self._program.bounds)
        free = unclear[binaries]
        self._program.change_bounds(binaries, np.where(free, low, whole), np.where(free, high, whole))
        try:
            return self._program.solve().x
        except SolverError:
            return point  # HiGHS judges it
        finally:
            self._program.change_bounds(binaries, low, high)

    def _point(self, price: Array) -> tuple[Array, NDArray[np.bool_]]:
        """The followers' primal-dual optimum at a price, written into the columns, and which columns are unclear."""
        x, col = np.zeros(self._program.shape[1]), self._col
        unclear = np.zeros(len(x), bool)
        x[col["price"]] = price
        if self._prices.menu is not None:
            x[col["chosen"]] = (
                np.arange(len(self._prices.menu)) == np.abs(self._prices.menu - price).max(axis=1).argmin()
            )
        shape = (self._followers.portfolio.days, len(price))
        found = self._followers.days(np.broadcast_to(price, shape), np.broadcast_to(self._sell, shape))
        days = dict(zip((id(pool) for pool in self._followers.pools), found, strict=True))
        for k, (pool, d) in enumerate(self._kkt.cells):
            day = days[id(pool)][d]
            net = day.imports[0] - day.exports[0]
            x[col["imports"][k]], x[col["exports"][k]] = day.imports[0], day.exports[0]
            x[col["value"][k]] = np.clip(day.energy_value[0], self._sell, price)
            x[col["is_import"][k]], x[col["is_export"][k]] = net > ACTIVE, net < -ACTIVE
            unclear[col["is_import"][k]] = unclear[col["is_export"][k]] = np.abs(net) < UNCLEAR
            contents = [
                *zip(day.store, day.store_value, strict=True),
                *zip(day.content, day.content_value, strict=True),
            ]
            ways = [
                np.concatenate([through_ports(flow, rated, one.wear_blocks) for flow, rated in both])
                for one, gain, loss in zip(pool.groups, day.gain, day.loss, strict=True)
                for both in [((gain, one.charge), (loss, one.discharge))]
            ] + list(day.flows)
            for j, content, flows in zip(self._kkt.behind[k], contents, ways, strict=True):
                self._store_point((x, unclear), self._kkt.stores[j], j, x[col["value"][k]], content, flows)
        return x, unclear

    def _store_point(
        self,
        into: tuple[Array, NDArray[np.bool_]],
        store: Store,
        j: int,
        value: Array,
        content: tuple[Array, Array],
        flows: Array,
    ) -> None:
        x, one, (level, worth) = into[0], store.one, content
        mu = np.clip(worth, store.box.mu_low, store.box.mu_high)
        x[self._col["mu"][j]] = mu
        later = np.append(one.keep * mu[1:], -one.end_cost[-1])
        self._box_point(into, "store", j, (level, one.low, one.high), np.where(one.free, mu - later, 0.0))
        for p, f in enumerate(store.flows):
            flow, most = flows[one.port[p]], one.limit[p]
            margin = one.cost[p] + one.curve[p] * flow + one.draw[p] * value - one.sign[p] * mu
            self._box_point(into, "flow", f, (flow, 0.0 * most, most), np.where(one.open[p], margin, 0.0))
            points = (np.arange(TANGENTS) + 0.5)[:, None] / TANGENTS * most
            x[self._col["square"][f]] = np.maximum((2 * points * flow - points**2).max(axis=0), 0.0)

    def _box_point(
        self,
        into: tuple[Array, NDArray[np.bool_]],
        name: str,
        i: int,
        box: tuple[Array, Array, Array],
        margin: Array,
    ) -> None:
        (x, unclear), (at, low, high) = into, box
        wide = high - low > (GIVEN if name == "store" else 0.0)
        on, full = wide & (at > low + ACTIVE), wide & (at > high - ACTIVE)
        x[self._col[name][i]] = at
        x[self._col[f"{name}_on"][i]], x[self._col[f"{name}_full"][i]] = on, full
        unclear[self._col[f"{name}_on"][i]] = wide & (at < low + UNCLEAR)
        unclear[self._col[f"{name}_full"][i]] = wide & (at > high - UNCLEAR)
        x[self._col[f"{name}_r"][i]] = np.where(on, 0.0, np.maximum(margin, 0.0))
        x[self._col[f"{name}_gamma"][i]] = np.where(full, np.maximum(-margin, 0.0), 0.0)


def count_binaries(followers: BestResponse) -> int:
    """Binaries of the single-level model, without building it.

    Parameters
    ----------
    followers : BestResponse

    Returns
    -------
    int
        Two per meter and step, two per open port and step, two per step at which a content is not given: an upper
        estimate, since meters that can only import need one less.
    """
    count = 0
    for pool in followers.pools:
        for stores in day_stores(pool) if has_stores(pool) else []:
            count += 2 * followers.portfolio.steps
            count += 2 * sum(int(one.open.sum()) + int(one.free.sum()) for one in stores)
    return count
