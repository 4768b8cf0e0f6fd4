"""Headline figures of a run: one number for each measure, from the judged days of one community."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmarl.equilibrium.iterate import Iterate
from hmarl.settlement import Settled
from hmarl.world import World
from retail.devices import at_meter, feasible_range
from retail.state import Outcome, combine
from retail.tariff import Tariff

NANO = 1e-9
EVENING = (17, 18)
"""Hours of the day, by their start, in which farms and homes meet the evening peak: 17 to 19 h."""


def headline(world: World, last: Iterate, settled: Settled, rows: NDArray[np.int64]) -> dict[str, float]:
    """Everything about the judged days that needs no yardstick and no certificate.

    Parameters
    ----------
    world : World
        Clock, stores, and whether there is a wholesale market.
    last : Iterate
        The end of the run.
    settled : Settled
        D days.
    rows : array of int
        Positions of the judged ones.

    Returns
    -------
    dict
        Names of `hmarl.measures.MEASURES`; NaN for a price where there is no market.
    """
    played, index, hours = settled.played, torch.from_numpy(rows), world.game.community.step_hours
    outcome = combine([played.outcome], lambda parts: parts[0][index])
    traded = float(outcome.trade_wh.clamp(min=0).sum()) / 1000
    imported = float(outcome.grid.clamp(min=0).sum())
    missed = float(torch.minimum(outcome.grid.clamp(min=0).sum(-1), (-outcome.grid).clamp(min=0).sum(-1)).sum())
    volatility = float("nan") if world.exchange is None else float(settled.real_time_lmp[rows].std())
    return {
        "aggregator_profit": float(settled.profit[rows].mean()),
        "promised_profit": float("nan") if last.offer.promised is None else float(last.offer.promised),
        "delivered_in_training": last.delivered,
        "community_cost": float(played.cost[index].mean()),
        "community_bill": float(played.bill[index].mean()),
        "peak_kw": float(played.net[index].max()) / hours,
        "p2p_share": 100 * traded / (traded + imported) if traded + imported > 0 else 0.0,
        "p2p_kwh": traded / len(rows),
        "unmatched_share": 100 * missed / (traded + missed) if traded + missed > 0 else 0.0,
        **cash(outcome, played.tariff[index]),
        "evening_import_kwh": evening_import(world, outcome.grid, played.days[index]),
        **shape(played.net[index] / hours, hours),
        **flexibility(world, outcome.store_change, played.stored[index]),
        "lmp_volatility": volatility,
    }


def cash(outcome: Outcome, tariff: Tariff) -> dict[str, float]:
    """What homes pay for the energy they take and get for the energy they give, at the grid and among peers.

    Parameters
    ----------
    outcome : Outcome of Tensor [D, T, N]
    tariff : Tariff [D, T]

    Returns
    -------
    dict
        ``purchase_cost`` and ``sales_revenue``, $/day; their difference is the bill less fuel, heat trade, peak
        penalty and shortfall.
    """
    bought, sold = outcome.grid.clamp(min=0), (-outcome.grid).clamp(min=0)
    buy, sell = torch.from_numpy(tariff.buy_price), torch.from_numpy(tariff.sell_price)
    peers = outcome.trade_cash.double() * NANO
    buys = outcome.trade_wh > 0
    paid = (bought * buy.unsqueeze(-1)).sum() + (peers * buys).sum() + outcome.fee_cash.sum().double() * NANO
    earned = (sold * sell.unsqueeze(-1)).sum() - (peers * ~buys).sum()
    days = len(outcome.grid)
    return {"purchase_cost": float(paid) / days, "sales_revenue": float(earned) / days}


def evening_import(world: World, grid: Tensor, days: Tensor) -> float:
    """Energy that homes draw from the grid from 17 to 19 h, kWh/day.

    Parameters
    ----------
    world : World
        Its community has the clock.
    grid : Tensor [D, T, N] kWh
        What settles at the tariff, + = import.
    days : Tensor [D] int64
        Days of the community.

    Returns
    -------
    float
    """
    c = world.game.community
    clock = c.clock.reshape(c.days, c.steps)[days.numpy()]
    hour = (clock - clock.astype("datetime64[D]")) // np.timedelta64(1, "h")
    return float(grid.clamp(min=0).sum(-1)[torch.from_numpy(np.isin(hour, EVENING))].sum()) / len(days)


def shape(power: Tensor, hours: float) -> dict[str, float]:
    """How uneven the net power of the community is.

    Parameters
    ----------
    power : Tensor [D, T] kW
        + = import.
    hours : float h
        Length of a step.

    Returns
    -------
    dict
        ``ramp``: mean size of the change from one step to the next inside a day, kW/h. ``peak_to_average``: largest
        size over mean size, of import and export alike, so that a community that exports has one too.
    """
    mean = float(power.abs().mean())
    return {
        "ramp": float(power.diff(dim=1).abs().mean()) / hours,
        "peak_to_average": float(power.abs().max()) / mean if mean > 0 else float("nan"),
    }


def flexibility(world: World, change: Tensor, stored: Tensor) -> dict[str, float]:
    """What batteries could have done instead of what they did, at the meter, mean over steps and sum over homes.

    Parameters
    ----------
    world : World
        Batteries and length of a step.
    change, stored : Tensor [D, T, N] kWh
        Executed store change, and content after it.

    Returns
    -------
    dict
        ``flexibility_up_kw``: less import or more export, ``flexibility_down_kw``: the other way; both for one step,
        by rating and range of the store, and at least 0.
    """
    community = world.game.community
    hours, battery = community.step_hours, community.battery
    low, high = feasible_range(stored - change, battery, hours, 0, restore=False)
    at, least, most = (at_meter(x, battery) for x in (change, low, high))
    per_step = {"flexibility_up_kw": at - least, "flexibility_down_kw": most - at}
    return {name: float(x.clamp(min=0).sum(-1).mean()) / hours for name, x in per_step.items()}


def achieved(yardsticks: Mapping[str, float]) -> dict[str, float]:
    """How far followers get from the tuned rule to the community's optimum.

    Parameters
    ----------
    yardsticks : mapping
        ``tuned_rule``, ``community_optimum`` and ``followers``, $/day.

    Returns
    -------
    dict
        ``share_T_LP`` in percent; NaN where the rule is within half a percent of the optimum: it would be noise.
    """
    gap = yardsticks["tuned_rule"] - yardsticks["community_optimum"]
    small = gap <= 0.005 * abs(yardsticks["tuned_rule"])
    done = yardsticks["tuned_rule"] - yardsticks["followers"]
    return {"share_T_LP": float("nan") if small else 100 * done / gap}


def certified(certificate: Mapping[str, Any]) -> dict[str, float]:
    """What of the certificate is one number.

    Parameters
    ----------
    certificate : mapping
        As in ``certificate.json``.

    Returns
    -------
    dict
        ``converged`` in percent, ``leader_gap`` and ``exploitability`` in $/day; NaN where the certificate is silent.
    """
    # Under ``certificate: none`` there are no gaps.
    local = certificate.get("leader_gap", {}).get("local")
    follower = certificate.get("follower_exploitability")
    gap = local.get("upper_95_gain_per_day") if isinstance(local, Mapping) else None
    found = follower["found_lower"]["mean_per_day"] if isinstance(follower, Mapping) else None
    return {
        "converged": 100.0 * bool(certificate["converged"]),
        "leader_gap": float("nan") if gap is None else float(gap),
        "exploitability": float("nan") if found is None else float(found),
    }
