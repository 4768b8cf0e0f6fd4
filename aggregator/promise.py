"""What a tariff earns the leader in its own picture: the promise every leader must make, and how far ties reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aggregator.day_program import Day
from aggregator.leader import Offer, View
from aggregator.pools import Pool
from aggregator.portfolio import BestResponse, Response, optimum
from aggregator.prosumers import Array
from retail.tariff import TICKS_PER_UNIT, Tariff

NUDGE = 1e-4


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
    """Profit of a tariff in the leader's picture: mean over the scenario days at the followers' own best response.

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
    known = _on_scenario_days(view, tariff)
    if known is None:
        return None
    response = optimum(view.portfolio, known.buy_price, known.sell_price)
    energy = known.energy.numpy() / TICKS_PER_UNIT
    return float(profit_by_day(response, energy, known.sell_price, view.wholesale_price).mean())


def _on_scenario_days(view: View, tariff: Tariff) -> Tariff | None:
    tariff = view.on_scenario_days(tariff)
    if tariff.buy.dim() == 2 and len(tariff.buy) != view.portfolio.days:
        same = all(bool((part == part[:1]).all()) for part in (tariff.buy, tariff.sell, tariff.energy))
        return tariff[0] if same else None
    return tariff


@dataclass(frozen=True)
class Ties:
    """Profit at a tariff if equally good answers of the followers fall against and for the leader, $/day."""

    worst: float
    best: float


def against(view: View, tariff: Tariff, followers: BestResponse) -> float | None:
    """Profit if ties fall against the leader, quickly: followers add a little of its loss to their own cost.

    Parameters
    ----------
    view : View
    tariff : Tariff
        See ``promise``.
    followers : BestResponse
        Those of the view.

    Returns
    -------
    float or None
        Within ``NUDGE`` of the reach of ties of the lower end of ``ties``; None where ``promise`` is None.
    """
    known = _on_scenario_days(view, tariff)
    if known is None:
        return None
    worth = _worth(view, known)
    response = followers.solve(*_nudged(known, worth, -NUDGE))
    gain = worth[0] * response.total_importing + worth[1] * response.total_exporting
    return float(gain.sum(axis=1).mean())


def _worth(view: View, known: Tariff) -> tuple[Array, Array]:
    """What a kWh imported and exported is worth to the leader, each [D, T] $/kWh."""
    energy = known.energy.numpy() / TICKS_PER_UNIT
    return energy - view.wholesale_price, view.wholesale_price - known.sell_price


def _nudged(known: Tariff, worth: tuple[Array, Array], nudge: float) -> tuple[Array, Array]:
    """Prices [D, T] at which followers pay the leader a share ``nudge`` of its profit, or less if negative."""
    sell = known.sell_price + nudge * worth[1]
    return np.maximum(known.buy_price - nudge * worth[0], sell), sell


def ties(view: View, tariff: Tariff) -> Ties | None:
    """Range of the leader's profit over all optimal responses to a tariff, mean over the scenario days.

    Batteries are solved lexicographically: first their own cost, then the leader's profit over all optimal schedules.
    Quadratic wear makes schedules unique; those batteries are held at them. Pools with other stores or a peak price are
    solved twice with prices nudged by ``NUDGE`` of the leader's profit, which is wide by that share at most.

    Parameters
    ----------
    view : View
    tariff : Tariff
        See ``promise``.

    Returns
    -------
    Ties or None
        None where ``promise`` is None.
    """
    known = _on_scenario_days(view, tariff)
    if known is None:
        return None
    shape = (view.portfolio.days, view.portfolio.steps)
    buy, sell = (np.broadcast_to(price, shape) for price in (known.buy_price, known.sell_price))
    worth = _worth(view, known)
    import_worth, export_worth = (np.broadcast_to(one, shape) for one in worth)
    followers = BestResponse(view.portfolio)
    at_these = followers.days(buy, sell)
    both = [at_these, at_these]
    if not view.portfolio.unique and not all(pool.plain for pool in followers.pools):
        both = [BestResponse(view.portfolio).days(*_nudged(known, worth, nudge)) for nudge in (-NUDGE, NUDGE)]
    total = np.zeros(2)
    for k, pool in enumerate(followers.pools):
        linear = _linear_part(pool, at_these[k])
        for d in range(shape[0]):
            if pool.plain and (linear.groups or linear.fixed_kwh.shape[1] > 1):
                program = followers.program(linear)
                total += program.ties(linear.fixed_kwh[d], buy[d], sell[d], import_worth[d], export_worth[d])
            else:
                sides = [found[k][d] for found in both]
                total += [(import_worth[d] * day.imports + export_worth[d] * day.exports).sum() for day in sides]
    worst, best = total / view.portfolio.days
    return Ties(float(worst), float(best))


def _linear_part(pool: Pool, days: Any) -> Pool:
    """The pool with its stores of unique schedule turned into fixed energy."""
    unique = [one.wear_quadratic > 0.0 for one in pool.groups]
    if not any(unique):
        return pool
    fixed = pool.fixed_kwh.copy()
    for j, one in enumerate(pool.groups):
        if unique[j]:
            for d in range(len(fixed)):
                day: Day = days[d]
                fixed[d, one.meter] += day.gain[j] / one.eta_charge - day.loss[j] * one.eta_discharge
    keep = [j for j, one in enumerate(unique) if not one]
    groups, members = tuple(pool.groups[j] for j in keep), tuple(pool.members[j] for j in keep)
    return replace(pool, fixed_kwh=fixed, groups=groups, members=members)


def seal(view: View, offer: Offer) -> Offer:
    """Fill in what every offer carries: promised profit and its range over ties, and the gap to the bound.

    What is promised holds however ties fall: the worst tie, or what the followers' programs happen to answer if that is
    less by rounding.

    Parameters
    ----------
    view : View
    offer : Offer
        With leader, information, tariff, method and, where known, ``bound``.

    Returns
    -------
    Offer
    """
    earned, alone = promise(view, offer.tariff), not view.portfolio.pooled or view.portfolio.fee == 0.0
    if earned is not None and alone and view.portfolio.unique:
        reach: Ties | None = Ties(earned, earned)  # one answer only, so there is nothing to solve twice
    else:
        reach = ties(view, offer.tariff)
    if earned is None or reach is None:
        return offer
    promised = min(earned, reach.worst)
    gap = None if offer.bound is None else (offer.bound - promised) / max(abs(offer.bound), 1e-12)
    return replace(
        offer,
        promised=promised,
        gap=gap,
        worst_tie=reach.worst,
        best_tie=reach.best,
    )
