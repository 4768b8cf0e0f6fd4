"""What energy costs at the tariff, and what matching it among peers is worth."""

from __future__ import annotations

import torch
from torch import Tensor

from retail.tariff import TICKS_PER_UNIT, Tariff


def tariff_bill(kwh: Tensor, prices: Tariff) -> Tensor:
    """Cost of energy at the tariff of one step.

    Parameters
    ----------
    kwh : Tensor [B, N] kWh
        + = import.
    prices : Tariff [B]
        Of the step, ticks.

    Returns
    -------
    Tensor [B, N] $
        + = paid.
    """
    # Dividing integer tensors would give float32.
    buy, sell = (p.double()[:, None] / TICKS_PER_UNIT for p in (prices.buy, prices.sell))
    return kwh * torch.where(kwh > 0, buy, sell)


def matched_worth(prices: Tariff) -> Tensor:
    """What a matched kWh saves a community.

    Parameters
    ----------
    prices : Tariff [B]
        Of the step, ticks.

    Returns
    -------
    Tensor [B] $/kWh
        Buy price less feed-in price less fee; 0 where the fee eats it up and nobody trades.
    """
    return (prices.buy - prices.sell - prices.fee).clamp(min=0).double() / TICKS_PER_UNIT


def matching_gain(net: Tensor, fixed: Tensor, prices: Tariff) -> Tensor:
    """What matching is worth more because one home moved its battery, if every overlapping kWh is matched.

    Parameters
    ----------
    net, fixed : Tensor [B, N] kWh
        At the meter with all batteries moved, and of the same home with its own battery idle.
    prices : Tariff [B]
        Of the step, ticks.

    Returns
    -------
    Tensor [B, N] $
        For each home on its own, the others as they are.
    """
    bought, idle = net.clamp(min=0), fixed.clamp(min=0)
    demand = bought.sum(-1, keepdim=True)
    supply = demand - net.sum(-1, keepdim=True)
    # Idle, this home would add ``more`` to the demand, and ``more + net - fixed`` to the supply.
    more = idle - bought
    without = more + torch.minimum(demand, supply + (net - fixed))
    return matched_worth(prices)[:, None] * (torch.minimum(demand, supply) - without)
