"""One call of the auction inside a step: network fee, and blocks of contingent dispatch."""

from __future__ import annotations

import torch
from torch import Tensor

from retail.auctions import Auction
from retail.blocks import Terms, block_orders, moved
from retail.community import Battery
from retail.orders import Orders, Trades
from retail.tariff import Tariff


def clear_at(auction: Auction, orders: Orders, prices: Tariff, arrival: Tensor | None) -> Trades:
    """Clear orders under a network fee, which the buyer pays on top: a pair trades only if bid - ask >= fee.

    Parameters
    ----------
    auction : Auction
        Clearing rule.
    orders : Orders [B, M]
        Wh and ticks, before the fee.
    prices : Tariff [B]
        Of the step, ticks.
    arrival : Tensor [B, M] int64, optional
        Order of arrival.

    Returns
    -------
    Trades [B, M]
        Wh and nano-currency; cash without the fee.
    """
    if not bool(prices.fee.any()):
        return auction.clear(orders, prices.buy, prices.sell, arrival)
    shifted = Orders(orders.wh, torch.where(orders.wh > 0, orders.tick - prices.fee[:, None], orders.tick))
    # A price taker sees the fee only in its outside option.
    return auction.clear(shifted, prices.buy - prices.fee, prices.sell, arrival)


def clear_blocks(
    auction: Auction,
    posted: Orders,
    change: Tensor,
    terms: Terms,
    battery: Battery,
    step_hours: float,
    prices: Tariff,
    arrival: Tensor | None,
) -> tuple[Trades, Tensor]:
    """Clear net positions together with blocks; the store follows as far as its blocks clear.

    Parameters
    ----------
    auction : Auction
        Clearing rule that respects limit prices.
    posted : Orders [B, N]
        Net positions after the committed move.
    change : Tensor [B, N] kWh
        Committed move of the store, + charges.
    terms : Terms
        Size and value of the blocks.
    battery, step_hours : Battery, float h
        Store data and length of a step.
    prices : Tariff [B]
        Of the step, ticks.
    arrival : Tensor [B, N] int64, optional
        Order of arrival; a home's blocks arrive after all positions.

    Returns
    -------
    trades : Trades [B, N]
        Of each home in all.
    change : Tensor [B, N] kWh
        Executed move of the store.
    """
    homes = posted.wh.shape[-1]
    blocks = block_orders(change, terms, battery, step_hours)
    orders = Orders(*(torch.cat(pair, -1) for pair in zip(posted, blocks, strict=True)))
    if arrival is not None:
        arrival = torch.cat([arrival + k * homes for k in range(3)], -1)
    trades = clear_at(auction, orders, prices, arrival)
    by_order = [x.unflatten(-1, (3, homes)) for x in (trades.wh, trades.cash)]
    change = moved(change, by_order[0][:, 1:].sum(1), battery)
    return Trades(*(x.sum(1) for x in by_order)), change
