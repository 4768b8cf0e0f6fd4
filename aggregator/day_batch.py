"""Quadratic followers and those with more than batteries: all days of all pools of one shape in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from aggregator.blocks import Block
from aggregator.day_program import Day
from aggregator.interior import NotConverged, Task, minimise
from aggregator.pools import Pool
from aggregator.prosumers import Array
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
        self._block = Block(behind, meter, table.sign, table.keep, meters > 1, one.peak is not None)
        flow = table.limit * table.meter
        self._most_in = behind @ np.maximum(flow, 0.0).sum(axis=2)
        self._most_out = behind @ np.maximum(-flow, 0.0).sum(axis=2)

    def solve(self, buy: Array, sell: Array, rescue: Callable[[int, int], Day] | None = None) -> list[list[Day]]:
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
        list of list of Day
            One list per pool, one entry per day.

        Raises
        ------
        NotConverged
            If a day stays above tolerance and there is no ``rescue``.
        """
        block, fixed = self._block, self._fixed
        repeat = (len(self._pools), 1)
        lost: list[int] = []
        try:
            x, (energy, stored, _) = minimise(self._task(fixed, np.tile(buy, repeat), np.tile(sell, repeat)))
        except NotConverged as stopped:
            if rescue is None:
                raise
            x, (energy, stored, _), lost = stopped.x, stopped.multipliers, stopped.lost.tolist()
        split = block.split(x)
        ports, store = (np.moveaxis(part, -1, 0) for part in split[2:4])
        other, energy, stored = (
            [np.moveaxis(a, -1, 0) for a in split[4]],
            *(np.moveaxis(a, -1, 0) for a in (energy, stored)),
        )
        # the box keeps every column a hair inside; the grid side is set to balance exactly, in one direction only
        net = fixed + block.behind @ (ports * self._table.meter).sum(axis=2)
        bought = np.zeros_like(net)
        if block.exchange:
            bought = other[0]
            net = net - other[0] + other[1]
        imports, exports = np.maximum(net, 0.0), np.maximum(-net, 0.0)
        first = len(self._pools[0].groups)
        blocks = ports_each_way(self._pools[0].wear_blocks)
        gain, loss = (ports[:, :first, k : k + blocks].sum(axis=2) for k in (0, blocks))
        batteries = (gain, loss, store[:, :first], energy, -stored[:, :first])
        parts = (imports, exports, bought, *batteries, ports[:, first:], store[:, first:], -stored[:, first:])
        found = [Day(*(part[row] for part in parts)) for row in range(len(fixed))]
        if rescue is not None:
            for row in lost:
                found[row] = rescue(*divmod(row, self._days))
        return [found[k : k + self._days] for k in range(0, len(found), self._days)]

    def _task(self, fixed: Array, buy: Array, sell: Array) -> Task:
        table, block, one = self._table, self._block, self._pools[0]
        none, stores = np.zeros(fixed.shape), np.zeros(table.low.shape)
        every = np.zeros((*table.limit.shape[:3], fixed.shape[2]))
        most_in = np.maximum(fixed + self._most_in, 0.0) + 1.0  # + 1: never binding, keeps an interior when buy = sell
        most_out = np.maximum(self._most_out - fixed, 0.0) + 1.0
        cap = most_in if one.peak is None else np.full(fixed.shape, one.peak.cap)
        cost = [buy[:, None] + none, -sell[:, None] + none, table.cost + every, table.end_cost]
        curve = [none, none, table.curve + every, stores]
        lower = [none, none, every, table.low]
        upper = [np.minimum(most_in, cap), most_out, table.limit + every, table.high]
        if block.exchange:
            cost += [one.fee + none, none]
            upper += [most_in, most_out]
            lower += [none, none]
            curve += [none, none]
        if one.peak is not None:
            cost.append(one.peak.price(buy)[:, None] + none)
            upper.append(most_in)
            lower.append(none)
            curve.append(none)
        storage = -table.drain
        storage[:, :, 0] += table.keep[:, 0] * table.start
        columns = (_columns(parts) for parts in (cost, curve, lower, upper))
        return Task(block, *columns, *(np.ascontiguousarray(np.moveaxis(a, 0, -1)) for a in (fixed, storage)))


def _columns(parts: list[Array]) -> Array:
    """Parts [B, ..., T] as one array of columns [n, T, B]."""
    whole = np.concatenate([part.reshape(len(part), -1, part.shape[-1]) for part in parts], axis=1)
    return np.ascontiguousarray(np.moveaxis(whole, 0, -1))
