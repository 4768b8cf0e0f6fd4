"""Stores of any kind behind a meter: vehicles, deferrable loads, heat and cold, as columns of a day problem."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Port:
    """One way into or out of a reservoir.

    Attributes
    ----------
    sign : float
        + 1 fills, - 1 empties.
    limit : array [D or 1, T] kWh per step
        Largest flow, store side.
    meter : array [D or 1, T]
        Energy at the meter per kWh of flow, + = drawn.
    cost : array [D or 1, T] $/kWh
        Of the flow, besides the energy at the meter: fuel.
    curve : array [D or 1, T or 1] $/kWh^2
        A flow x costs curve / 2 * x^2 besides; 0 in every game, more in pictures that shall have one answer only.
    """

    sign: float
    limit: Array
    meter: Array
    cost: Array
    curve: Array = field(default_factory=lambda: np.zeros((1, 1)))

    def bent(self, least: float) -> Port:
        """The same port with at least so much quadratic cost per kWh^2 *at the meter*."""
        return replace(self, curve=np.maximum(self.curve, least * self.meter**2))


@dataclass(frozen=True)
class Reservoir:
    """A store whose content obeys ``content = keep * content before + ports - drain`` and ends the day where it began.

    Attributes
    ----------
    owner : int
        Prosumer; with a traded carrier the stores of all prosumers are one reservoir and this is the first of them.
    low, high : array [D or 1, T] kWh
        Limits of the content after each step.
    drain : array [D or 1, T] kWh per step
        What leaves for its purpose: trips, services, demand for heat.
    start : float kWh
        Content at the start and at the end of a day.
    keep : float
        Share of the content that is still there after a step.
    ports : tuple of Port
        At least one.
    """

    owner: int
    low: Array
    high: Array
    drain: Array
    start: float
    keep: float
    ports: tuple[Port, ...]

    def over(self, days: NDArray[np.intp]) -> Reservoir:
        """The same reservoir on some of the days, positions [D'] in the day axis."""

        def some(table: Array) -> Array:
            return table[days] if len(table) > 1 else table

        ports = tuple(
            replace(p, limit=some(p.limit), meter=some(p.meter), cost=some(p.cost), curve=some(p.curve))
            for p in self.ports
        )
        tables = [some(table) for table in (self.low, self.high, self.drain)]
        return replace(self, low=tables[0], high=tables[1], drain=tables[2], ports=ports)

    def strung(self, first: int, last: int) -> Reservoir:
        """Days [first, last) of the day axis as one long day; each of them still ends where it began."""

        def whole(table: Array) -> Array:
            rows = table[first:last] if len(table) > 1 else np.repeat(table, last - first, axis=0)
            return np.broadcast_to(rows, (len(rows), self.low.shape[1])).reshape(1, -1)

        low, high = np.array(whole(self.low)), np.array(whole(self.high))
        steps = self.low.shape[1]
        low[:, steps - 1 :: steps] = high[:, steps - 1 :: steps] = self.start
        ports = tuple(
            replace(p, limit=whole(p.limit), meter=whole(p.meter), cost=whole(p.cost), curve=whole(p.curve))
            for p in self.ports
        )
        return replace(self, low=low, high=high, drain=whole(self.drain), ports=ports)

    def reachable(self) -> tuple[Array, Array]:
        """Least and largest content after each step on any schedule that ends where it began, each [D or 1, T] kWh.

        Where the two meet there is nothing to decide; an interior point method must be told so.
        """
        fill, empty = (sum(port.limit for port in self.ports if port.sign == sign) for sign in (1.0, -1.0))
        shape = np.broadcast_shapes(*(np.shape(x) for x in (self.low, self.high, self.drain, fill, empty)))
        fill, empty, drain = (np.broadcast_to(x, shape) for x in (fill, empty, self.drain))
        low, high = np.array(np.broadcast_to(self.low, shape)), np.array(np.broadcast_to(self.high, shape))
        low[:, -1] = high[:, -1] = self.start
        for t in range(shape[1] - 2, -1, -1):
            low[:, t] = np.maximum(low[:, t], (low[:, t + 1] + drain[:, t + 1] - fill[:, t + 1]) / self.keep)
            high[:, t] = np.minimum(high[:, t], (high[:, t + 1] + drain[:, t + 1] + empty[:, t + 1]) / self.keep)
        least = most = np.full(shape[0], self.start)
        for t in range(shape[1]):
            low[:, t] = least = np.maximum(low[:, t], self.keep * least - drain[:, t] - empty[:, t])
            high[:, t] = most = np.minimum(high[:, t], self.keep * most - drain[:, t] + fill[:, t])
        met = high - low < 1e-9
        return np.where(met, high, low), high


def merged_ports(ports: list[Port]) -> tuple[Port, ...]:
    """Ports that draw and cost the same as one, with their limits added up; those that are always shut left out.

    Parameters
    ----------
    ports : list of Port
        Of one reservoir, without quadratic cost.

    Returns
    -------
    tuple of Port
        The same possible flows at the same cost.
    """
    alike: dict[tuple[float, bytes, bytes], Port] = {}
    for port in ports:
        if not (port.limit > 0.0).any():
            continue
        key = (port.sign, port.meter.tobytes(), port.cost.tobytes())
        before = alike.get(key)
        alike[key] = port if before is None else replace(port, limit=before.limit + port.limit)
    return tuple(alike.values())


@dataclass(frozen=True)
class PeakPrice:
    """Imports of a whole community above a cap cost more.

    Attributes
    ----------
    cap : float kWh per step
        Net import without a charge.
    rate : float $/kWh
        Charge, or value of energy that is not served.
    instead : bool
        Whether the rate replaces the buy price (energy is not served) or comes on top of it (penalty).
    """

    cap: float
    rate: float
    instead: bool

    def price(self, buy: Array) -> Array:
        """Price of a kWh above the cap, array [D, T] $/kWh."""
        # Not serving energy below its price never pays, and the optimum buys instead.
        return np.full(buy.shape, self.rate) if self.instead else buy + self.rate
