"""Linear supply-demand ratio: the internal price is a straight line from the buy to the feed-in price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from retail.auctions.chunks import in_chunks
from retail.auctions.pro_rata import check_size, clear_at, volume
from retail.orders import NANO_PER_TICK_WH, Orders, Trades


@dataclass(frozen=True)
class LinearSupplyDemandRatio:
    """One internal price ``s x + b (1 - x)``, x = min(supply / demand, 1); the long side is served in proportion.

    The price is rounded once, half up, to 1 nano-currency per Wh (1e-6 $/kWh). What is left goes to the grid at the
    tariff, outside. Limit prices are not looked at; prices of any sign are fine. Nothing is traded where
    ``buy < sell``.

    Source: Feng and Liu (2024), arXiv:2401.13947
    """

    price_taking: ClassVar[bool] = True

    def clear(
        self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None = None, pairs: bool = False
    ) -> Trades:
        """Clear one period.

        Parameters
        ----------
        orders : Orders [..., N]
            Quantities in Wh (+ buy), less than 2^31 Wh in a book; ticks are not looked at.
        buy, sell : Tensor [...] int64 ticks
            Outside options, any sign. A network fee is taken off ``buy`` by the caller.
        arrival : Tensor [..., N] int64, optional
            Permutation of 0..N-1: where the last Wh of a share goes. By position when absent.
        pairs : bool
            Also return who traded with whom.

        Returns
        -------
        Trades
            Energy in Wh and cash in nano-currency, each summing to exactly 0.

        Raises
        ------
        AuctionError
            If the orders are too many or too large for int64.
        """
        return in_chunks(_clear, orders, buy, sell, arrival, pairs)


def _clear(orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None, pairs: bool) -> Trades:
    check_size(orders, buy, sell)
    sides = volume(orders.wh)
    demand = sides.demand.clamp(min=1)
    matched = torch.minimum(sides.supply, sides.demand)
    # b - (b - s) x, the second term rounded half down so that the price is rounded half up; nothing leaves int64.
    fall = (buy - sell).clamp(min=0) * NANO_PER_TICK_WH
    each = torch.div(fall, demand, rounding_mode="floor")
    rest = (fall - each * demand) * matched
    price = (
        buy * NANO_PER_TICK_WH - each * matched - torch.div(2 * rest + demand - 1, 2 * demand, rounding_mode="floor")
    )
    return clear_at(orders, sides, price, buy >= sell, arrival, pairs)


__all__ = ["LinearSupplyDemandRatio"]
