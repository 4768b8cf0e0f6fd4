"""What energy costs at the tariff, and what matching it among peers is worth."""

from __future__ import annotations

import torch
from torch import Tensor

from retail.devices import by_sign
from retail.orders import NANO_PER_TICK_WH
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
    buy, sell = prices.dollars
    return by_sign(kwh, buy[:, None], sell[:, None])


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
    return (prices.buy - prices.sell - prices.fee).clamp_(min=0).double().div_(TICKS_PER_UNIT)


def network_fee(wh: Tensor, prices: Tariff) -> Tensor:
    """Network fee on peer-to-peer energy, paid by the buyer.

    Parameters
    ----------
    wh : Tensor [B, N] int64 Wh
        Peer-to-peer trade, + = bought.
    prices : Tariff [B]
        Of the step, ticks.

    Returns
    -------
    Tensor [B, N] int64 nano-currency
        At least 0.
    """
    if not bool(prices.fee.any()):
        return torch.zeros_like(wh)
    return wh.clamp(min=0) * (prices.fee * NANO_PER_TICK_WH)[:, None]


def marginal_saving(net: Tensor, fixed: Tensor, prices: Tariff) -> Tensor:
    """What the community saves because one home moved its devices, if every overlapping kWh is matched.

    Parameters
    ----------
    net, fixed : Tensor [B, N] kWh
        At the meter with all devices moved, and of the same home with its own ones idle.
    prices : Tariff [B]
        Of the step, ticks.

    Returns
    -------
    Tensor [B, N] $
        For each home on its own, the others as they are.

    Notes
    -----
    The saving at the tariff plus what matching is worth more. With move ``d = net - fixed``, demand D, supply S, prices
    b and s, and matched worth w, the terms in w of both cancel but for
    ``-s d + (b - s - w) (max(fixed, 0) - max(net, 0)) + w (min(D, S) - min(D, S + d))``.
    """
    bought, moved = net.relu(), net - fixed
    demand = bought.sum(-1, keepdim=True)
    supply = demand - net.sum(-1, keepdim=True)
    buy, sell = (p[:, None] for p in prices.dollars)
    worth = matched_worth(prices)[:, None]
    without = torch.minimum(moved + supply, demand)
    saving = (torch.minimum(demand, supply) - without).mul_(worth).addcmul_(moved, -sell)
    # Only a fee lets matching be worth less than the spread of the tariff.
    return saving.addcmul_(fixed.relu().sub_(bought), buy - sell - worth) if bool(prices.fee.any()) else saving
