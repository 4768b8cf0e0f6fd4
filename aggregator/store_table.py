"""Stores of several pools of one shape as arrays for the interior point method: batteries first, then reservoirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.pools import Pool
from aggregator.prosumers import Array
from aggregator.wear import ports, ports_each_way

GIVEN = 1e-9  # kWh, a room below which a content is given


@dataclass(frozen=True)
class StoreTable:
    """Numbers of all stores, B = pools x days rows (days running fastest), G stores, P ports, T steps.

    A battery has one port for each block of its wear, those that fill it first; without blocks it has two.

    Attributes
    ----------
    meter_of : array of int [G]
        Balance of each store.
    sign : array [G, P]
        + 1 fills, - 1 empties.
    keep : array [G, 1]
        Share of the content that is still there after a step.
    meter, limit, cost, curve : array [B, G, P, 1 or T]
        Draw at the meter per kWh, largest flow (kWh per step), linear ($/kWh) and quadratic ($/kWh²) cost of a port.
    low, high : array [B, G, T] kWh
        Limits of the content after each step; equal at the end of a day that must end where it began.
    drain : array [B, G, T] kWh
        What leaves the store for its purpose.
    start : array [B, G] kWh
    end_cost : array [B, G, T] $/kWh
        Of the content, nonzero in the last step only.
    """

    meter_of: Array
    sign: Array
    keep: Array
    meter: Array
    limit: Array
    cost: Array
    curve: Array
    low: Array
    high: Array
    drain: Array
    start: Array
    end_cost: Array


def store_table(pools: Sequence[Pool]) -> StoreTable:
    """Lay out the stores of pools of one shape.

    Parameters
    ----------
    pools : sequence of Pool
        The same stores behind the same meters, with numbers of their own.

    Returns
    -------
    StoreTable
    """
    one = pools[0]
    days, _, steps = one.fixed_kwh.shape
    batteries, reservoirs = len(one.groups), len(one.reservoirs)
    blocks = ports_each_way(one.wear_blocks)
    count = max([2 * blocks, *(len(r.ports) for r in one.reservoirs)])
    rows, groups = len(pools) * days, batteries + reservoirs
    # Without reservoirs nothing at a port depends on the step, and small arrays are fast arrays.
    shape = (rows, groups, count, steps if reservoirs else 1)
    found = {name: np.zeros(shape) for name in ("meter", "limit", "cost", "curve")}
    sign, keep = np.ones((groups, count)), np.ones((groups, 1))
    sign[:batteries, blocks : 2 * blocks] = -1.0
    low, high, drain = (np.zeros((rows, groups, steps)) for _ in range(3))
    start, end_cost = np.zeros((rows, groups)), np.zeros((rows, groups, steps))

    def column(name: str) -> Array:
        each = np.array([[getattr(group, name) for group in pool.groups] for pool in pools], dtype=np.float64)
        return np.repeat(each.reshape(len(pools), batteries), days, axis=0)

    battery = slice(0, batteries)
    worn = column("wear_linear"), column("wear_quadratic")
    draws = {"charge": 1.0 / column("eta_charge"), "discharge": -column("eta_discharge")}
    for begin, (side, draw) in zip((0, blocks), draws.items(), strict=True):
        here = slice(begin, begin + blocks)
        limit, cost = ports(column(side), *worn, one.wear_blocks)
        found["limit"][:, battery, here], found["cost"][:, battery, here] = limit[..., None], cost[..., None]
        found["curve"][:, battery, here] = worn[1][..., None, None]
        found["meter"][:, battery, here] = draw[..., None, None]
    low[:, battery], high[:, battery] = column("store_min")[..., None], column("store_max")[..., None]
    start[:, battery] = column("start")
    if one.begin is not None:
        start[:, battery] = np.concatenate([pool.begin for pool in pools if pool.begin is not None])
    if one.storage_end == "restore":
        low[:, battery, -1] = high[:, battery, -1] = column("start")
    else:
        end_cost[:, battery, -1] = -column("end_value")
    for k, pool in enumerate(pools):
        here = slice(k * days, (k + 1) * days)
        for g, tank in enumerate(pool.reservoirs, start=batteries):
            keep[g], start[here, g] = tank.keep, tank.start
            (low[here, g], high[here, g]), drain[here, g] = tank.reachable(), tank.drain
            for p, way in enumerate(tank.ports):
                sign[g, p] = way.sign
                for name in ("meter", "limit", "cost", "curve"):
                    found[name][here, g, p] = getattr(way, name)
    meters = [group.meter for group in one.groups] + [one.meter_of(tank) for tank in one.reservoirs]
    return StoreTable(
        meter_of=np.array(meters, dtype=np.intp),
        sign=sign,
        keep=keep,
        low=low,
        high=high,
        drain=drain,
        start=start,
        end_cost=end_cost,
        **found,
    )


@dataclass(frozen=True)
class DayStore:
    """One store on one day, P ports and T steps; the fields mean what they mean in ``StoreTable``.

    Attributes
    ----------
    meter : int
        Balance it sits behind.
    port : array of int [P]
        Position of each among all ports of the store.
    sign : array [P]
    keep, start : float
    draw, limit, cost, curve : array [P, T]
        Of the ports that can ever be open.
    low, high, drain, end_cost : array [T]
    """

    meter: int
    port: NDArray[np.intp]
    sign: Array
    keep: float
    start: float
    draw: Array
    limit: Array
    cost: Array
    curve: Array
    low: Array
    high: Array
    drain: Array
    end_cost: Array

    @property
    def open(self) -> NDArray[np.bool_]:
        """Where a port can let something through, array [P, T]."""
        return self.limit > 0.0

    @property
    def free(self) -> NDArray[np.bool_]:
        """Where the content is not given, array [T]."""
        return self.high - self.low > GIVEN


def day_stores(pool: Pool) -> list[tuple[DayStore, ...]]:
    """The stores of a pool, day by day, batteries first.

    Parameters
    ----------
    pool : Pool

    Returns
    -------
    list of tuple of DayStore
        One tuple per day.
    """
    days, _, steps = pool.fixed_kwh.shape
    if not pool.groups and not pool.reservoirs:
        return [()] * days
    table = store_table([pool])
    shape = (len(table.sign), table.sign.shape[1], steps)

    def one(d: int, g: int) -> DayStore:
        ports = {name: np.broadcast_to(getattr(table, name)[d], shape)[g] for name in ("limit", "cost", "curve")}
        ports["draw"] = np.broadcast_to(table.meter[d], shape)[g]
        used = (ports["limit"] > 0.0).any(axis=1)
        return DayStore(
            meter=int(table.meter_of[g]),
            port=np.flatnonzero(used),
            sign=table.sign[g][used],
            keep=float(table.keep[g, 0]),
            start=float(table.start[d, g]),
            low=table.low[d, g],
            high=table.high[d, g],
            drain=table.drain[d, g],
            end_cost=table.end_cost[d, g],
            **{name: port[used] for name, port in ports.items()},
        )

    return [tuple(one(d, g) for g in range(shape[0])) for d in range(days)]
