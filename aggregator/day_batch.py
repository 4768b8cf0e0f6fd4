"""Quadratic followers: all days of one pool shape handed to the interior point method in one batch."""

from __future__ import annotations

import numpy as np

from aggregator.day_program import Day
from aggregator.interior import Block, Task, minimise
from aggregator.pools import Group
from aggregator.prosumers import Array


class DayBatch:
    """Best responses of one pool shape over many days, the same problem as ``day_program.day_model``.

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
        self._fee, self._steps, self._exchange = fee, steps, meters > 1
        self._groups = groups
        behind = np.zeros((meters, len(groups)))
        behind[[one.meter for one in groups], np.arange(len(groups))] = 1.0
        charge, discharge = 1.0 / self._column("eta_charge"), self._column("eta_discharge")
        self._block = Block(behind, charge[None], discharge[None], self._exchange, steps)
        self._most_in = behind @ (self._column("charge") * charge)
        self._most_out = behind @ (self._column("discharge") * discharge)
        whole = np.ones((1, steps))
        self._store_low, self._store_high = self._column("store_min") * whole, self._column("store_max") * whole
        self._end_cost = np.zeros((len(groups), steps))
        if storage_end == "restore":
            self._store_low[:, -1:] = self._store_high[:, -1:] = self._column("start")
        else:
            self._end_cost[:, -1:] = -self._column("end_value")

    def _column(self, name: str) -> Array:
        return np.array([[getattr(one, name)] for one in self._groups], dtype=np.float64)

    def solve(self, fixed: Array, buy: Array, sell: Array) -> list[Day]:
        """Solve all days.

        Parameters
        ----------
        fixed : array [D, M, T] kWh per step
            Fixed energy at each meter, + = import.
        buy, sell : array [D, T] $/kWh
            Prices of imported and exported energy, ``buy >= sell``.

        Returns
        -------
        list of Day
            One per day.
        """
        block, days = self._block, len(fixed)
        x, (energy, stored, _) = minimise(self._task(fixed, buy, sell))
        imports, exports, gain, loss, store, *inside = block.split(x)
        # the box keeps every column a hair inside; the grid side is set to balance exactly, in one direction only
        net = fixed + block.behind @ (gain * block.charge - loss * block.discharge)
        bought = np.zeros_like(net)
        if self._exchange:
            bought = inside[0]
            net = net - inside[0] + inside[1]
        imports, exports = np.maximum(net, 0.0), np.maximum(-net, 0.0)
        return [
            Day(imports[d], exports[d], bought[d], gain[d], loss[d], store[d], energy[d], -stored[d])
            for d in range(days)
        ]

    def _task(self, fixed: Array, buy: Array, sell: Array) -> Task:
        shape, groups = fixed.shape, len(self._groups)
        stores = (shape[0], groups, self._steps)
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
        storage[:, :, 0] = self._column("start")[:, 0]
        join = self._block.join
        return Task(self._block, join(*cost), join(*curve), join(*lower), join(*upper), fixed, storage)
