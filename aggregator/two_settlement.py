"""Two-settlement of one wholesale market: day-ahead quantities at day-ahead prices, deviations at real-time prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.prosumers import Array
from wholesale.market import Clearing

PARTIES = ("aggregator", "generators", "other_loads")


@dataclass(frozen=True)
class Payments:
    """Payments per hour; + = paid.

    Attributes
    ----------
    by_party : dict of str to array [2, S] $ per hour
        Day-ahead and real-time payments of each of ``PARTIES``.
    rent : array [S] $ per hour
        Congestion rent by the line flows: day-ahead flows at day-ahead price differences plus deviations of the flows
        at real-time price differences. Computed from other numbers than the payments, so that it can refute them.
    """

    by_party: dict[str, Array]
    rent: Array


def two_settlement(
    day_ahead: Clearing, real_time: Clearing, own: Array, bus: int, unit_bus: NDArray[np.intp]
) -> Payments:
    """Settle aggregator, generators and other loads.

    Load that was not served is not paid for; energy that was thrown away is not paid to generators.

    Parameters
    ----------
    day_ahead, real_time : Clearing
        Over the same S hours and buses.
    own : array [2, S] MW
        The aggregator's cleared day-ahead position and its metered net load, + = withdrawal.
    bus : int
        Position of its bus.
    unit_bus : array of int [unit]
        Positions of the units' buses.

    Returns
    -------
    Payments
    """
    quantity: dict[str, tuple[Array, Array]] = {}
    position, metered = np.zeros_like(day_ahead.lmp), np.zeros_like(real_time.lmp)
    position[:, bus], metered[:, bus] = own[0], own[1]
    quantity["aggregator"] = position, metered
    quantity["generators"] = _generation(day_ahead, unit_bus), _generation(real_time, unit_bus)
    quantity["other_loads"] = day_ahead.load - day_ahead.shed, real_time.load - real_time.shed
    by_party = {
        party: np.stack([(first * day_ahead.lmp).sum(axis=1), ((second - first) * real_time.lmp).sum(axis=1)])
        for party, (first, second) in quantity.items()
    }
    across = real_time.lmp[:, real_time.ends[:, 1]] - real_time.lmp[:, real_time.ends[:, 0]]
    rent = day_ahead.rent() + ((real_time.flow - day_ahead.flow) * across).sum(axis=1)
    return Payments(by_party, np.asarray(rent))


def _generation(clearing: Clearing, unit_bus: NDArray[np.intp]) -> Array:
    """Withdrawal [S, bus] MW by all units (negative), less what was thrown away."""
    feeds = unit_bus[:, None] == np.arange(len(clearing.buses))
    return np.asarray(clearing.surplus - clearing.dispatch @ feeds)
