"""Quadratic followers and those with more than batteries: all days of all pools of one shape in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

import numpy as np

from aggregator.blocks import Block, Rows
from aggregator.day_program import Day
from aggregator.interior import CACHED, NotConverged, Task, minimise
from aggregator.pools import Pool
from aggregator.prosumers import Array
from aggregator.sensitivity import Sensitivity
from aggregator.store_table import store_table
from aggregator.wear import ports_each_way


class DayBatch:
    """Best responses of several pools over D days; for batteries the same problem as ``day_program.day_model``.

    Parameters
    ----------
    pools : sequence of Pool
        Of one shape: the same numbers of meters M and stores G, the stores behind the same meters. Their numbers may
        differ, so that many prosumers with one battery each are one batch.
    """

    def __init__(self, pools: Sequence[Pool]) -> None:
        self._pools, one = pools, pools[0]
        self._days, meters, _ = one.fixed_kwh.shape
        self._table = table = store_table(pools)
        behind = np.zeros((meters, len(table.meter_of)))
        behind[table.meter_of, np.arange(len(table.meter_of))] = 1.0
        self._fixed = np.concatenate([pool.fixed_kwh for pool in pools])
        meter = np.ascontiguousarray(np.moveaxis(table.meter, 0, -1))
        self._instead = one.peak is not None and one.peak.instead
        self._block = Block(behind, meter, table.sign, table.keep, meters > 1, one.peak is not None)
        flow = table.limit * table.meter
        self._most_in = behind @ np.maximum(flow, 0.0).sum(axis=2)
        self._most_out = behind @ np.maximum(-flow, 0.0).sum(axis=2)
        self._without_prices = self._limits()

    def solve(self, buy: Array, sell: Array, rescue: Callable[[int, int], Day] | None = None) -> Day:
        """Solve all days.

        Parameters
        ----------
        buy, sell : array [D, T] $/kWh
            Prices of imported and exported energy, ``buy >= sell``.
        rescue : callable, optional
            Solves a day of a pool (positions) in another way. Linear problems can be so degenerate that the method does
            not end: a store that holds exactly what the rest of the day needs, say.

        Returns
        -------
        Day
            Of all pools and days.

        Raises
        ------
        NotConverged
            If a day stays above tolerance and there is no ``rescue``.
        """
        others: dict[tuple[int, int], Day] = {}
        try:
            x, multipliers = minimise(self._task(buy, sell))
        except NotConverged as stopped:
            if rescue is None:
                raise
            x, multipliers = stopped.x, stopped.multipliers
            others = {at: rescue(*at) for at in (divmod(row, self._days) for row in stopped.lost.tolist())}
        found = self._found(x, multipliers)
        for at, other in others.items():
            for part in fields(Day):
                getattr(found, part.name)[at] = getattr(other, part.name)
        return found

    def slopes(self, buy: Array, sell: Array) -> tuple[Array, Array]:
        """How imports and exports of all pools move with the buy price, from the optimum alone.

        Parameters
        ----------
        buy, sell : array [D, T] $/kWh

        Returns
        -------
        into, out : array [D, T, T] kWh per $/kWh
            Change of the row's step with the column's price.

        Raises
        ------
        NotConverged
            See ``solve``.
        """
        pools, (_, meters, steps) = len(self._pools), self._fixed.shape
        task = self._task(buy, sell)
        into, out = (np.zeros((self._days, steps, steps)) for _ in range(2))
        each = max(1, CACHED // task.cost[:, :, 0].size)
        for first in range(0, pools * self._days, each):
            part = slice(first, first + each)
            one, table = task.take(part), self._table.meter[part]
            x, rows = minimise(one)
            imported = self._net(x, self._fixed[part], table) > 0.0
            optimum, change = Sensitivity(one, x, rows), np.zeros((*one.cost.shape[:2], 1))
            day = np.arange(first, first + len(imported)) % self._days
            for t in range(steps):
                change[:] = 0.0
                change[:meters, t] = 1.0
                if self._block.peak and not self._instead:
                    change[-meters:, t] = 1.0
                moved = self._net(optimum.along(change), 0.0 * self._fixed[part], table)
                np.add.at(into[..., t], day, (moved * imported).sum(axis=1))
                np.add.at(out[..., t], day, (-moved * ~imported).sum(axis=1))
        return into, out

    def _net(self, x: Array, fixed: Array, meter: Array) -> Array:
        """What is drawn from the grid at each meter [B, M, T] for columns x [n, T, B]."""
        _, _, ports, _, other = self._block.split(x)
        net = fixed + self._block.behind @ (np.moveaxis(ports, -1, 0) * meter).sum(axis=2)
        if self._block.exchange:
            net += np.moveaxis(other[1] - other[0], -1, 0)
        return np.asarray(net)

    def _found(self, x: Array, multipliers: Rows) -> Day:
        """Columns [n, T, B] and multipliers of the rows as schedules."""
        block, table, one = self._block, self._table, self._pools[0]
        split, (energy, stored) = block.split(x), (np.moveaxis(a, -1, 0) for a in multipliers[:2])
        ports, store = (np.moveaxis(part, -1, 0) for part in split[2:4])
        # the box keeps every column a hair inside; the grid side is set to balance exactly, in one direction only
        net = self._net(x, self._fixed, table.meter)
        bought = np.moveaxis(split[4][0], -1, 0) if block.exchange else np.zeros_like(net)
        first, blocks = len(one.groups), ports_each_way(one.wear_blocks)
        gain, loss = (ports[:, :first, k : k + blocks].sum(axis=2) for k in (0, blocks))
        flows = ports[:, first:]
        spent = ((table.cost[:, first:] + table.curve[:, first:] / 2.0 * flows) * flows).sum(axis=(1, 2, 3))
        batteries = (gain, loss, store[:, :first], energy, -stored[:, :first])
        others = (flows, store[:, first:], -stored[:, first:], spent)
        parts = (np.maximum(net, 0.0), np.maximum(-net, 0.0), bought, *batteries, *others)
        return Day(*(part.reshape(len(self._pools), self._days, *part.shape[1:]) for part in parts))

    def _limits(self) -> Task:
        """Everything but the cost, which follows the prices."""
        table, block, fixed, peak = self._table, self._block, self._fixed, self._pools[0].peak
        none, stores = np.zeros(fixed.shape), np.zeros(table.low.shape)
        every = np.zeros((*table.limit.shape[:3], fixed.shape[2]))
        most_in = np.maximum(fixed + self._most_in, 0.0) + 1.0  # + 1: never binding, keeps an interior when buy = sell
        most_out = np.maximum(self._most_out - fixed, 0.0) + 1.0
        cap = most_in if peak is None else np.full(fixed.shape, peak.cap)
        more = [most_in, most_out] * block.exchange + [most_in] * (peak is not None)
        curve = _columns([none, none, table.curve + every, stores, *(none for _ in more)])
        lower = _columns([none, none, every, table.low, *(none for _ in more)])
        upper = _columns([np.minimum(most_in, cap), most_out, table.limit + every, table.high, *more])
        storage = -table.drain
        storage[:, :, 0] += table.keep[:, 0] * table.start
        rows = (np.ascontiguousarray(np.moveaxis(a, 0, -1)) for a in (fixed, storage))
        return Task(block, np.zeros_like(curve), curve, lower, upper, *rows)

    def _task(self, buy: Array, sell: Array) -> Task:
        table, block, one = self._table, self._block, self._pools[0]
        buy, sell = (np.tile(price, (len(self._pools), 1))[:, None] for price in (buy, sell))
        none = np.zeros(self._fixed.shape)
        every = np.zeros((*table.limit.shape[:3], self._fixed.shape[2]))
        cost = [buy + none, -sell + none, table.cost + every, table.end_cost]
        if block.exchange:
            cost += [one.fee + none, none]
        if one.peak is not None:
            cost.append(one.peak.price(buy) + none)
        return replace(self._without_prices, cost=_columns(cost))


def _columns(parts: list[Array]) -> Array:
    """Parts [B, ..., T] as one array of columns [n, T, B]."""
    whole = np.concatenate([part.reshape(len(part), -1, part.shape[-1]) for part in parts], axis=1)
    return np.ascontiguousarray(np.moveaxis(whole, 0, -1))
