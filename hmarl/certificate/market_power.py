"""Does anybody move the wholesale price to their own good? The aggregator's own size, its withholding, and prices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmarl.settlement import IMPACT_SHARE, Settled, moved_prices, settle_position
from hmarl.world import World

Array = NDArray[np.float64]
POSITIONS = (0.8, 0.9, 0.95, 1.05, 1.1, 1.2)
"""Day-ahead positions that are tried, as multiples of the one that was taken."""


def market_power(world: World, judged: Settled, competitive: Settled | None) -> dict[str, Any]:
    """Probe the wholesale side of a run for market power.

    Parameters
    ----------
    world : World
    judged : Settled
        The judged days of the run.
    competitive : Settled or None
        The same days where everybody faces the wholesale price and plans with perfect foresight
        (``welfare.competitive``).

    Returns
    -------
    dict
        ``price_impact`` tells how far the aggregator's own net load moves the price at its bus: the slope, and the
        elasticity (relative change of price over relative change of load); an aggregator that takes prices has 0.
        ``withholding`` holds what other day-ahead positions would have earned on the same days, real time as it was:
        a gain at a smaller position is what withholding demand pays. ``prices`` compares with the competitive dual.
        $/MWh for prices, $/day of one community for gains.
    """
    if world.exchange is None:
        return {"says": "not computed: the study has no wholesale market"}
    return {
        "price_impact": price_impact(world, judged),
        "withholding": withholding(world, judged),
        "prices": price_gap(judged, competitive),
    }


def price_impact(world: World, judged: Settled, share: float = IMPACT_SHARE) -> dict[str, float]:
    """How the real-time price at the aggregator's bus follows its own net load.

    Parameters
    ----------
    world : World
        With a wholesale market.
    judged : Settled
        Its real-time clearing is the middle of the two that are compared.
    share : float
        Of the mean absolute net load, by which it is moved down and up. Where supply comes in steps a small move often
        changes nothing.

    Returns
    -------
    dict
        Mean slope in $/MWh per MW, elasticity at the means, and the aggregator's share of all load.
    """
    assert judged.real_time is not None
    low, high, aside = moved_prices(world, judged, share)
    moved = float(world.meter.to_mw(np.array([2.0 * aside]))[0])
    slope = float((high - low).mean()) / moved
    own = world.meter.to_mw(judged.played.net.numpy().reshape(-1))
    price = float(judged.real_time_lmp.mean())
    every = float(judged.real_time.load.sum(1).mean() + judged.real_time.accepted.sum(1).mean())
    return {
        "slope_per_mwh_per_mw": slope,
        "elasticity_ratio": slope * float(np.abs(own).mean()) / price if abs(price) > 1e-9 else 0.0,
        "share_of_load_ratio": float(own.mean()) / every if abs(every) > 1e-9 else 0.0,
    }


def withholding(world: World, judged: Settled) -> dict[str, Any]:
    """What the leader would have earned with more or less of its day-ahead position.

    Parameters
    ----------
    world : World
    judged : Settled
        Same days, same real time.

    Returns
    -------
    dict
        Mean gain of each multiple of the position, and the best one with its standard error over days.
    """
    gains = {}
    for share in POSITIONS:
        other = settle_position(world, judged.played, judged.forecast, judged.bid * share, judged.real_time)
        gains[share] = other.profit - judged.profit
    best = max(gains, key=lambda share: float(gains[share].mean()))
    days = len(judged.profit)
    error = float(gains[best].std(ddof=1)) / np.sqrt(days) if days > 1 else None
    gain = float(gains[best].mean())
    gain = gain if gain > 1e-9 else 0.0
    profit = float(judged.profit.mean())
    return {
        "gain_per_day_by_position": {f"{share:g}": float(one.mean()) for share, one in gains.items()},
        "best_position_ratio": best if gain > 0.0 else 1.0,
        "best_gain_per_day": gain,
        "best_gain_standard_error_per_day": error,
        "best_gain_ratio": gain / max(abs(profit), 1e-9),
        "says": "real time as it was: the followers do not see the day-ahead position",
    }


def price_gap(judged: Settled, competitive: Settled | None) -> dict[str, Any]:
    """Prices of the run against the dual of the competitive benchmark.

    Parameters
    ----------
    judged : Settled
    competitive : Settled or None

    Returns
    -------
    dict
        Time means at the aggregator's bus, $/MWh; + = above the competitive price.
    """
    day_ahead, real_time = float(judged.lmp.mean()), float(judged.real_time_lmp.mean())
    told: dict[str, Any] = {"day_ahead_per_mwh": day_ahead, "real_time_per_mwh": real_time}
    if competitive is None:
        return told | {"competitive": "not computed: see the welfare account"}
    ideal = competitive.real_time_lmp
    return told | {
        "competitive_per_mwh": float(ideal.mean()),
        "above_competitive_per_mwh": float((judged.real_time_lmp - ideal).mean()),
        "largest_above_competitive_per_mwh": float((judged.real_time_lmp - ideal).max()),
    }
