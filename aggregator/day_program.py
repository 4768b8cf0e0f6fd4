"""One day of one pool as a Pyomo model, compiled once; per day only prices and row limits change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyomo.environ as pyo

from aggregator.pools import Group
from aggregator.prosumers import Array
from aggregator.wear import ports, ports_each_way
from wholesale.solve import Program, Solution

REDUCED = 1e-9


def day_model(groups: tuple[Group, ...], meters: int, steps: int, *, exchange: bool, restore: bool) -> Any:
    """Write the day problem of a pool; prices and fixed energy are zero and set later by index.

    Parameters
    ----------
    groups : tuple of Group
        Stores of the pool, with the same number of blocks of wear K (1 where there are none).
    meters : int
        Number of balances M.
    steps : int
        Steps of the day T.
    exchange : bool
        Whether meters trade with each other (``bought`` and ``sold`` at each meter).
    restore : bool
        True: the store ends where it began; False: its end is free.

    Returns
    -------
    pyomo ConcreteModel
        Variables in kWh per step: ``imports``, ``exports`` [M, T], ``gain``, ``loss`` [G, K, T], ``store`` [G, T]
        (store-side) and with exchange ``bought``, ``sold`` [M, T]. Rows: ``balance`` [M, T] (dual = value of energy,
        $/kWh), ``storage`` [G, T] (dual = minus the value of stored energy) and with exchange ``internal`` [T].
    """
    m = pyo.ConcreteModel("best response")
    m.M, m.T, m.G = pyo.RangeSet(0, meters - 1), pyo.RangeSet(0, steps - 1), pyo.RangeSet(0, len(groups) - 1)
    m.imports = pyo.Var(m.M, m.T, domain=pyo.NonNegativeReals)
    m.exports = pyo.Var(m.M, m.T, domain=pyo.NonNegativeReals)
    blocks = ports_each_way(groups[0].wear_blocks) if groups else 1
    m.K = pyo.RangeSet(0, blocks - 1)
    cost = {}
    for name, side in (("gain", "charge"), ("loss", "discharge")):
        ways = [ports(getattr(one, side), one.wear_linear, one.wear_quadratic, one.wear_blocks) for one in groups]
        limit, cost[name] = ([way[part].tolist() for way in ways] for part in (0, 1))
        rule = lambda _, j, k, t, most=limit: (0.0, most[j][k])  # noqa: E731
        m.add_component(name, pyo.Var(m.G, m.K, m.T, bounds=rule))

    def store_limits(_: Any, j: int, t: int) -> tuple[float, float]:
        one = groups[j]
        return (one.start, one.start) if restore and t == steps - 1 else (one.store_min, one.store_max)

    m.store = pyo.Var(m.G, m.T, bounds=store_limits)
    if exchange:
        m.bought = pyo.Var(m.M, m.T, domain=pyo.NonNegativeReals)
        m.sold = pyo.Var(m.M, m.T, domain=pyo.NonNegativeReals)
        m.internal = pyo.Constraint(m.T, rule=lambda _, t: sum(m.bought[i, t] - m.sold[i, t] for i in m.M) == 0.0)
    behind: list[list[int]] = [[j for j, one in enumerate(groups) if one.meter == i] for i in range(meters)]

    def balance(_: Any, i: int, t: int) -> Any:
        flexible = sum(
            m.gain[j, k, t] / groups[j].eta_charge - m.loss[j, k, t] * groups[j].eta_discharge
            for j in behind[i]
            for k in m.K
        )
        inside = m.bought[i, t] - m.sold[i, t] if exchange else 0.0
        return m.imports[i, t] - m.exports[i, t] + inside - flexible == 0.0

    def storage(_: Any, j: int, t: int) -> Any:
        flow = m.store[j, t] - sum(m.gain[j, k, t] - m.loss[j, k, t] for k in m.K)
        return flow == groups[j].start if t == 0 else flow - m.store[j, t - 1] == 0.0

    m.balance = pyo.Constraint(m.M, m.T, rule=balance)
    m.storage = pyo.Constraint(m.G, m.T, rule=storage)
    m.cost = pyo.Objective(expr=_own_cost(m, groups, steps, cost, restore=restore))
    return m


def _own_cost(
    m: Any, groups: tuple[Group, ...], steps: int, cost: dict[str, list[list[float]]], *, restore: bool
) -> Any:
    wear = 0.0
    for j, one in enumerate(groups):
        for t in range(steps):
            for k in m.K:
                flows = m.gain[j, k, t], m.loss[j, k, t]
                wear += cost["gain"][j][k] * flows[0] + cost["loss"][j][k] * flows[1]
                if one.wear_quadratic > 0.0:
                    wear += one.wear_quadratic / 2.0 * (flows[0] ** 2 + flows[1] ** 2)
        if not restore:
            wear -= one.end_value * (m.store[j, steps - 1] - one.start)
    return wear + 0.0 * m.imports[0, 0]


@dataclass(frozen=True)
class Day:
    """Optimal schedule of one pool on one day; energies in kWh per step.

    Attributes
    ----------
    imports, exports, bought : array [M, T]
        Energy from and to the grid, and energy bought inside the pool, >= 0.
    gain, loss, store : array [G, T]
        Store-side gain and loss >= 0 and the store at the end of the step.
    energy_value : array [M, T] $/kWh
        Marginal value of energy at each meter (lambda), between the feed-in and the buy price.
    store_value : array [G, T] $/kWh
        Marginal value of stored energy (mu).
    flows : array [R, P, T]
        Flows through the ports of the reservoirs, store-side; empty without reservoirs.
    content, content_value : array [R, T]
        What ``store`` and ``store_value`` are for batteries.
    spent : array [] $
        Cost of the flows through the ports of reservoirs.

    Notes
    -----
    The schedules of several pools of one shape are one ``Day`` whose arrays begin with the axes pool and day.
    """

    imports: Array
    exports: Array
    bought: Array
    gain: Array
    loss: Array
    store: Array
    energy_value: Array
    store_value: Array
    flows: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))
    content: Array = field(default_factory=lambda: np.zeros((0, 0)))
    content_value: Array = field(default_factory=lambda: np.zeros((0, 0)))
    spent: Array = field(default_factory=lambda: np.zeros(()))

    def at(self, pool: int, day: int) -> Day:
        """One day of one of several pools.

        Parameters
        ----------
        pool, day : int
            Positions in the first two axes.

        Returns
        -------
        Day
        """
        return Day(*(getattr(self, part.name)[pool, day] for part in fields(self)))

    @classmethod
    def of(cls, days: Sequence[Day]) -> Day:
        """The days of one pool as those of several.

        Parameters
        ----------
        days : sequence of Day

        Returns
        -------
        Day
            With the axes pool (1) and day.
        """
        return cls(*(np.stack([getattr(day, part.name) for day in days])[None] for part in fields(cls)))


class DayProgram:
    """The compiled day problem of one pool shape; ``solve`` changes prices and fixed energy by index.

    Parameters
    ----------
    groups : tuple of Group
        Stores of the pool.
    meters, steps : int
        Balances M and steps T.
    fee : float $/kWh
        Fee on exchanged energy; with more than one meter the meters trade.
    storage_end : str
        ``"restore"`` or ``"value"``.
    """

    def __init__(self, groups: tuple[Group, ...], meters: int, steps: int, fee: float, storage_end: str) -> None:
        self._exchange = meters > 1
        model = day_model(groups, meters, steps, exchange=self._exchange, restore=storage_end == "restore")
        self._program = Program.compile(model)
        self._col = {name: self._program.columns(getattr(model, name)) for name in ("imports", "exports")}
        self._col |= {name: self._columns(model, name, steps) for name in ("gain", "loss", "store")}
        self._balance = self._program.rows(model.balance)
        self._storage = self._program.rows(model.storage) if groups else np.zeros((0, steps), np.int32)
        self._start = np.array([one.start for one in groups])
        self._face: Program | None = None
        self._most = sum(one.charge / one.eta_charge + one.discharge * one.eta_discharge for one in groups)
        if self._exchange:
            self._col["bought"] = self._program.columns(model.bought)
            self._program.change_cost(self._col["bought"], np.full(self._col["bought"].shape, fee))

    def _columns(self, model: Any, name: str, steps: int) -> Any:
        variable = getattr(model, name)
        none = (0, steps) if name == "store" else (0, 1, steps)
        return self._program.columns(variable) if len(variable) else np.zeros(none, np.int32)

    def solve(self, fixed: Array, buy: Array, sell: Array, begin: Array | None = None) -> Day:
        """Solve one day.

        Parameters
        ----------
        fixed : array [M, T] kWh per step
            Fixed energy at each meter, + = import.
        buy, sell : array [T] $/kWh
            Prices of imported and exported energy, ``buy >= sell``.
        begin : array [G] kWh, optional
            Stored energy before the first step; ``groups[j].start`` when absent.

        Returns
        -------
        Day
        """
        if len(self._storage):
            first = self._start if begin is None else begin
            self._program.change_rows(self._storage[:, 0], first, first)
        col, solution = self._col, self._solve(fixed, buy, sell)
        x, dual = solution.x, solution.dual
        return Day(
            imports=x[col["imports"]],
            exports=x[col["exports"]],
            bought=x[col["bought"]] if self._exchange else np.zeros_like(fixed),
            gain=x[col["gain"]].sum(axis=1),
            loss=x[col["loss"]].sum(axis=1),
            store=x[col["store"]],
            energy_value=dual[self._balance],
            store_value=-dual[self._storage],
        )

    def _solve(self, fixed: Array, buy: Array, sell: Array) -> Solution:
        program, col = self._program, self._col
        program.change_cost(col["imports"], np.broadcast_to(buy, fixed.shape))
        program.change_cost(col["exports"], np.broadcast_to(-sell, fixed.shape))
        program.change_rows(self._balance, fixed, fixed)
        return program.solve()

    def ties(
        self, fixed: Array, buy: Array, sell: Array, import_worth: Array, export_worth: Array
    ) -> tuple[float, float]:
        """Smallest and largest worth to somebody else of all optimal schedules of one day.

        The optimal schedules are the face on which every column with a reduced cost sits at its bound, whatever optimal
        multipliers are used.

        Parameters
        ----------
        fixed, buy, sell
            As for ``solve``; no quadratic wear.
        import_worth, export_worth : array [T] $/kWh
            What a kWh imported and exported is worth.

        Returns
        -------
        low, high : float $
        """
        solution = self._solve(fixed, buy, sell)
        if self._face is None:
            self._face = self._program.relaxed()
            self._face.change_cost(np.arange(self._face.shape[1]), np.zeros(self._face.shape[1]))
        face, col = self._face, self._col
        low, high = self._program.bounds
        flow = solution.x[col["imports"]] + solution.x[col["exports"]]
        high[col["imports"]] = high[col["exports"]] = np.abs(fixed) + flow + self._most  # meters net: no circles
        held = np.abs(solution.reduced_cost) > REDUCED
        low[held] = high[held] = solution.x[held]
        face.change_bounds(np.arange(len(low)), low, high)
        face.change_rows(self._balance, fixed, fixed)
        found = []
        for sign in (1.0, -1.0):
            face.change_cost(col["imports"], np.broadcast_to(sign * import_worth, fixed.shape))
            face.change_cost(col["exports"], np.broadcast_to(sign * export_worth, fixed.shape))
            x = face.solve().x
            found.append(float((import_worth * x[col["imports"]] + export_worth * x[col["exports"]]).sum()))
        return found[0], found[1]
