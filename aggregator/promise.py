"""What a tariff earns the leader in its own picture: the promise every leader must make."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from aggregator.leader import View
from aggregator.portfolio import Response, optimum
from aggregator.prosumers import Array
from retail.tariff import TICKS_PER_UNIT, Tariff


def profit_by_day(response: Response, energy: ArrayLike, sell: ArrayLike, wholesale: ArrayLike) -> Array:
    """Profit of the leader on each day: it earns the energy price on imports and pays the feed-in price on exports.

    Parameters
    ----------
    response : Response
        What the followers do.
    energy : array_like [T] or [D, T] $/kWh
        Buy price less network charge and levies.
    sell : array_like [T] or [D, T] $/kWh
        Feed-in price.
    wholesale : array_like [D, T] $/kWh
        Price at which the leader buys and sells the net load.

    Returns
    -------
    array [D] $/day
        sum over steps of (energy - wholesale) * imports - (sell - wholesale) * exports, one community.
    """
    retail = np.asarray(energy) * response.total_importing - np.asarray(sell) * response.total_exporting
    return np.asarray((retail - np.asarray(wholesale) * response.net).sum(axis=1))


def promise(view: View, tariff: Tariff) -> float | None:
    """Profit that a tariff promises: mean over the scenario days at the followers' own best response.

    Followers are compiled anew, so that linear followers, whose answers may be ties, answer the same tariff in the same
    way whatever was asked before.

    Parameters
    ----------
    view : View
    tariff : Tariff ([T], [D, T] or one row for each day that ``view.days`` counts in)
        Exactly as offered, on ticks.

    Returns
    -------
    float or None
        $/day for one community; None if the tariff differs by day and its days are not the scenario days.
    """
    tariff = view.on_scenario_days(tariff)
    buy = tariff.buy_price
    if buy.ndim == 2 and buy.shape[0] != view.portfolio.days:
        same = all(bool((part == part[:1]).all()) for part in (tariff.buy, tariff.sell, tariff.energy))
        if not same:
            return None
        tariff = tariff[0]
    response = optimum(view.portfolio, tariff.buy_price, tariff.sell_price)
    energy = tariff.energy.numpy() / TICKS_PER_UNIT
    return float(profit_by_day(response, energy, tariff.sell_price, view.wholesale_price).mean())
