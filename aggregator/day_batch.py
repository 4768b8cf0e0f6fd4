"""Quadratic followers: all days of all pools of one shape handed to the interior point method in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from aggregator.day_program import Day
from aggregator.interior import Block, NotConverged, Task, minimise
from aggregator.pools import Pool
from aggregator.prosumers import Array


class DayBatch:
    """Best responses of several pools over D days, the same problem as ``day_program.day_model``.

    Parameters
    ----------
    pools : sequence of Pool
        Of one shape: the same numbers of meters M and stores G, the stores behind the same meters. Their numbers may
        differ, so that many prosumers with one battery each are one batch.
    """

    def __init__(self, pools: Sequence[Pool]) -> None:
        self._pools, one = pools, pools[0]
        self._days, meters, steps = one.fixed_kwh.shape
        self._fee, self._steps, self._exchange = one.fee, steps, meters > 1
        groups = one.groups
        behind = np.zeros((meters, len(groups)))
        behind[[group.meter for group in groups], np.arange(len(groups))] = 1.0
        self._fixed = np.concatenate([pool.fixed_kwh for pool in pools])
        charge, discharge = 1.0 / self._column("eta_charge"), self._column("eta_discharge")
        self._block = Block(behind, charge, discharge, self._exchange, steps)
        self._most_in = behind @ (self._column("charge") * charge)
        self._most_out = behind @ (self._column("discharge") * discharge)
        whole = np.ones((1, 1, steps))
        self._store_low, self._store_high = self._column("store_min") * whole, self._column("store_max") * whole
        self._begin = self._column("start")[..., 0]
        if one.begin is not None:
            self._begin = np.concatenate([pool.begin for pool in pools if pool.begin is not None])
        self._end_cost = np.zeros((len(self._fixed), len(groups), steps))
        if one.storage_end == "restore":
            self._store_low[..., -1:] = self._store_high[..., -1:] = self._column("start")
        else:
            self._end_cost[..., -1:] = -self._column("end_value")

    def _column(self, name: str) -> Array:
        """A number of each store, array [pools * D, G, 1], days running fastest."""
        each = np.array([[[getattr(one, name)] for one in pool.groups] for pool in self._pools], dtype=np.float64)
        return np.repeat(each, self._days, axis=0)

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
        imports, exports, gain, loss, store, *inside = block.split(x)
        # the box keeps every column a hair inside; the grid side is set to balance exactly, in one direction only
        net = fixed + block.behind @ (gain * block.charge - loss * block.discharge)
        bought = np.zeros_like(net)
        if self._exchange:
            bought = inside[0]
            net = net - inside[0] + inside[1]
        imports, exports = np.maximum(net, 0.0), np.maximum(-net, 0.0)
        parts = (imports, exports, bought, gain, loss, store, energy, -stored)
        found = [Day(*(part[row] for part in parts)) for row in range(len(fixed))]
        if rescue is not None:
            for row in lost:
                found[row] = rescue(*divmod(row, self._days))
        return [found[k : k + self._days] for k in range(0, len(found), self._days)]

    def _task(self, fixed: Array, buy: Array, sell: Array) -> Task:
        shape = fixed.shape
        stores = (shape[0], self._block.behind.shape[1], self._steps)
        per_meter = np.ones(shape)
        most_in = np.maximum(fixed + self._most_in, 0.0) + 1.0  # + 1: never binding, keeps an interior when buy = sell
        most_out = np.maximum(self._most_out - fixed, 0.0) + 1.0
        linear = self._column("wear_linear") * np.ones(stores)
        bend = self._column("wear_quadratic") * np.ones(stores)
        cost = [buy[:, None] * per_meter, -sell[:, None] * per_meter, linear, linear, self._end_cost * np.ones(stores)]
        upper = [
            most_in,
            most_out,
            self._column("charge") * np.ones(stores),
            self._column("discharge") * np.ones(stores),
        ]
        upper.append(self._store_high * np.ones(stores))
        lower = [0 * per_meter, 0 * per_meter, np.zeros(stores), np.zeros(stores), self._store_low * np.ones(stores)]
        curve = [0 * per_meter, 0 * per_meter, bend, bend, np.zeros(stores)]
        if self._exchange:
            cost += [self._fee * per_meter, 0 * per_meter]
            upper += [most_in, most_out]
            lower += [0 * per_meter] * 2
            curve += [0 * per_meter] * 2
        storage = np.zeros(stores)
        storage[:, :, 0] = self._begin
        join = self._block.join
        return Task(self._block, join(*cost), join(*curve), join(*lower), join(*upper), fixed, storage)
