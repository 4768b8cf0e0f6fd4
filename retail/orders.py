"""What goes into an auction and what comes out: exact integers only."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NANO_PER_TICK_WH = 10
"""1 Wh at a price of 1 tick (1e-5 $/kWh) costs 1e-8 $, that is 10 nano-currency."""


class Orders(NamedTuple):
    """One limit order per trader.

    Attributes
    ----------
    wh : Tensor [..., N] int64 Wh
        Quantity; > 0 buys, < 0 sells, 0 stays out.
    tick : Tensor [..., N] int64 ticks (1e-5 $/kWh)
        Limit price, any sign: the most a buyer pays, the least a seller takes.
    """

    wh: Tensor
    tick: Tensor


class Pairs(NamedTuple):
    """Who traded with whom; rows with ``wh == 0`` are padding.

    Attributes
    ----------
    buyer, seller : Tensor [..., K] int64
        Positions of the two traders.
    wh : Tensor [..., K] int64 Wh
        Energy that changed hands, at least 0.
    cash : Tensor [..., K] int64 nano-currency
        Paid by the buyer to the seller.
    """

    buyer: Tensor
    seller: Tensor
    wh: Tensor
    cash: Tensor


class Trades(NamedTuple):
    """The outcome of an auction.

    Attributes
    ----------
    wh : Tensor [..., N] int64 Wh
        + bought, - sold; sums to exactly 0 over N.
    cash : Tensor [..., N] int64 nano-currency (1e-9 $)
        + paid, - received; sums to exactly 0 over N.
    pairs : Pairs or None
        Only on request.
    """

    wh: Tensor
    cash: Tensor
    pairs: Pairs | None = None


def to_wh(kwh: Tensor) -> Tensor:
    """Round energy to whole Wh, half away from zero.

    Parameters
    ----------
    kwh : Tensor [...] kWh
        Any sign.

    Returns
    -------
    Tensor [...] int64 Wh
        What rounding leaves goes to the grid (or to the own back-up).
    """
    # Conversion cuts towards zero.
    wh = kwh * 1000
    half = torch.full((), 0.5, dtype=wh.dtype, device=wh.device)
    return wh.add_(torch.copysign(half, wh)).to(torch.int64)


def position_orders(net: Tensor, head: Tensor | None, buy: Tensor, sell: Tensor) -> Orders:
    """Turn net positions into orders; this is where energy is rounded to Wh, once.

    Parameters
    ----------
    net : Tensor [B, N] kWh
        At the meter, + = import. What rounding leaves goes to the grid.
    head : Tensor [B, N], optional
        Limit price from the feed-in price (-1) to the buy price (+1). Without it prices are truthful: buyers bid the
        buy price, sellers ask the feed-in price.
    buy, sell : Tensor [B] int64 ticks
        Tariff of the step.

    Returns
    -------
    Orders [B, N]
        Wh and ticks.
    """
    wh = to_wh(net)
    most, least = buy[:, None], sell[:, None]
    if head is None:
        return Orders(wh, wh.clamp(0, 1).mul_(most - least).add_(least))
    share = (head.to(torch.float64).clamp(-1, 1) + 1) / 2
    return Orders(wh, least + torch.floor(share * (most - least) + 0.5).to(torch.int64))
