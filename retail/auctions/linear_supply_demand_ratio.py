"""Linear supply-demand ratio: the internal price is a straight line from the buy to the feed-in price."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retail.auctions.price_taking import PriceTaking
from retail.auctions.pro_rata import check_size, clear_at, volume
from retail.orders import NANO_PER_TICK_WH, Orders, Trades


@dataclass(frozen=True)
class LinearSupplyDemandRatio(PriceTaking):
    """One internal price ``s x + b (1 - x)``, x = min(supply / demand, 1); the long side is served in proportion.

    The price is rounded once, half up, to 1 nano-currency per Wh (1e-6 $/kWh). What is left goes to the grid at the
    tariff, outside. Limit prices are not looked at; prices of any sign are fine. Nothing is traded where
    ``buy < sell``.

    Source: Feng and Liu (2024), arXiv:2401.13947
    """

    def _clear(self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None, pairs: bool) -> Trades:
        check_size(orders, buy, sell)
        sides = volume(orders.wh)
        demand = sides.demand.clamp(min=1)
        matched = torch.minimum(sides.supply, sides.demand)
        # b - (b - s) x, the second term rounded half down so that the price is rounded half up; nothing leaves int64.
        fall = (buy - sell).clamp(min=0) * NANO_PER_TICK_WH
        each = torch.div(fall, demand, rounding_mode="floor")
        rest = (fall - each * demand) * matched
        price = (
            buy * NANO_PER_TICK_WH
            - each * matched
            - torch.div(2 * rest + demand - 1, 2 * demand, rounding_mode="floor")
        )
        return clear_at(orders, sides, price, buy >= sell, arrival, pairs)


__all__ = ["LinearSupplyDemandRatio"]
