"""Who settles together, and which batteries are one: the portfolio cut into independent day problems."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.prosumers import BATTERY, Array, Portfolio
from aggregator.reservoirs import PeakPrice, Reservoir
from retail.wear_blocks import WearBlocks


@dataclass(frozen=True)
class Group:
    """One store of a day problem: ``size`` equal batteries that share one balance.

    Merging is exact: the problem is convex and symmetric in equal batteries, so the mean schedule of any optimum is
    feasible for each of them and costs no more. Limits add up, linear wear and blocks (shares of the limits) stay,
    quadratic wear is divided by the size (n equal batteries with c/n each cost n * rho/2 * (c/n)^2 = rho/(2 n) * c^2).

    Attributes
    ----------
    meter : int
        Balance this store belongs to.
    store_min, store_max, start : float kWh
    charge, discharge : float kWh per step, store-side
    eta_charge, eta_discharge : float
    wear_linear, end_value : float $/kWh
    wear_quadratic : float $/kWh^2
    size : int
    wear_blocks : tuple of (share, $/kWh)
        The same in all groups of a pool.
    """

    meter: int
    store_min: float
    store_max: float
    start: float
    charge: float
    discharge: float
    eta_charge: float
    eta_discharge: float
    wear_linear: float
    wear_quadratic: float
    end_value: float
    size: int = 1
    wear_blocks: WearBlocks = ()


@dataclass(frozen=True)
class Pool:
    """One independent day problem of the portfolio.

    Attributes
    ----------
    fixed_kwh : array [D, M, T] kWh per step
        Fixed energy at each balance (meter) of the pool, + = import.
    groups : tuple of Group
        Stores; ``groups[j].meter`` names the balance.
    members : tuple of array of int
        Prosumers behind each group.
    prosumers : array of int
        All prosumers of the pool.
    fee : float $/kWh
        Fee on energy exchanged between the meters of the pool; with one meter there is nothing to exchange.
    storage_end : str
    reservoirs : tuple of Reservoir
        Other stores, each behind the meter of its owner.
    peak : PeakPrice or None
        Price of imports above a cap; one meter only.
    begin : array [D, G] kWh, optional
        Stored energy before the first step of each day; ``groups[j].start`` when absent.
    """

    fixed_kwh: Array
    groups: tuple[Group, ...]
    members: tuple[NDArray[np.intp], ...]
    prosumers: NDArray[np.intp]
    fee: float
    storage_end: str
    reservoirs: tuple[Reservoir, ...] = ()
    peak: PeakPrice | None = None
    begin: Array | None = None

    @property
    def wear_blocks(self) -> WearBlocks:
        """Of all its batteries."""
        return self.groups[0].wear_blocks if self.groups else ()

    @property
    def plain(self) -> bool:
        """Whether there are only batteries, and one price of imports."""
        return not self.reservoirs and self.peak is None

    @property
    def linear(self) -> bool:
        """Whether the day problem is the linear program of ``day_program``."""
        return self.plain and not any(one.wear_quadratic > 0.0 for one in self.groups)

    @property
    def shape(self) -> tuple[object, ...]:
        """What pools must share to be solved in one batch."""
        tanks = tuple((self.meter_of(r), r.keep, *(port.sign for port in r.ports)) for r in self.reservoirs)
        return tuple(one.meter for one in self.groups), tanks

    def meter_of(self, reservoir: Reservoir) -> int:
        """Balance behind which a reservoir sits."""
        if len(self.fixed_kwh[0]) == 1:
            return 0
        return int(np.flatnonzero(self.prosumers == reservoir.owner)[0])


def pools(portfolio: Portfolio, *, merge: bool = True) -> tuple[Pool, ...]:
    """Cut a portfolio into its independent day problems.

    Parameters
    ----------
    portfolio : Portfolio
    merge : bool
        Whether equal batteries behind one balance become one group; never where each day has its own ``begin``.

    Returns
    -------
    tuple of Pool
        One pool if pooled (one meter without a fee, one meter per prosumer with a fee), else one per prosumer.
    """
    everyone = np.arange(portfolio.prosumers)
    if not portfolio.pooled:
        return tuple(_pool(portfolio, everyone[n : n + 1], np.zeros(1, np.intp), False) for n in everyone)
    if portfolio.fee > 0.0:
        return (_pool(portfolio, everyone, everyone, False),)
    return (_pool(portfolio, everyone, np.zeros_like(everyone), merge and portfolio.begin is None),)


def _pool(portfolio: Portfolio, prosumers: NDArray[np.intp], meters: NDArray[np.intp], merge: bool) -> Pool:
    alike: dict[tuple[float, ...], list[int]] = {}
    for n, meter in zip(prosumers, meters, strict=True):
        if portfolio.has_battery[n]:
            key = (float(meter), *(float(getattr(portfolio, name)[n]) for name in BATTERY))
            alike.setdefault(key if merge else (*key, float(n)), []).append(int(n))
    fixed = np.zeros((portfolio.days, int(meters.max()) + 1, portfolio.steps))
    for n, meter in zip(prosumers, meters, strict=True):
        fixed[:, meter] += portfolio.fixed_kwh[:, n]
    owners = [who[0] for who in alike.values()]
    return Pool(
        fixed_kwh=fixed,
        groups=tuple(_group(key, len(who), portfolio.wear_blocks) for key, who in alike.items()),
        members=tuple(np.array(who) for who in alike.values()),
        prosumers=prosumers,
        fee=portfolio.fee if portfolio.pooled else 0.0,
        storage_end=portfolio.storage_end,
        reservoirs=tuple(tank for tank in portfolio.reservoirs if tank.owner in prosumers),
        peak=portfolio.peak if portfolio.pooled else None,
        begin=None if portfolio.begin is None else portfolio.begin[:, owners],
    )


def _group(key: tuple[float, ...], size: int, blocks: WearBlocks) -> Group:
    one = dict(zip(BATTERY, key[1:], strict=False))
    for name in ("store_min", "store_max", "start", "charge", "discharge"):
        one[name] *= size
    one["wear_quadratic"] /= size
    return Group(meter=int(key[0]), size=size, wear_blocks=blocks, **one)
