"""Supply-demand ratio: the internal price falls from the buy to the feed-in price as supply grows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retail.auctions.limits import AuctionError
from retail.auctions.price_taking import PriceTaking
from retail.auctions.pro_rata import Volume, check_size, clear_at, volume
from retail.orders import NANO_PER_TICK_WH, Orders, Trades


@dataclass(frozen=True)
class SupplyDemandRatio(PriceTaking):
    """One internal price from the ratio x of supply to demand, hyperbolic; the long side is served in proportion.

    With buy price b and feed-in price s, peers trade at ``b s / ((b - s) x + s)`` for x <= 1 and at s for x > 1,
    rounded once, half up, to 1 nano-currency per Wh (1e-6 $/kWh), so everybody trades at the same price and money
    balances exactly. What is left goes to the grid at the tariff, outside; together that is the internal buying price
    of the source. Limit prices are not looked at. Nothing is traded where ``buy < sell``.

    Parameters
    ----------
    floor : int ticks (1e-5 $/kWh) >= 1
        A lower feed-in price counts as this much: at 0 the formula is 0 / 0 for x = 0, and 0 for any other x. The
        price never exceeds the buy price. Negative feed-in prices are refused: the formula has a pole there.

    Source: Liu, Yu, Wang, Li, Ma and Lei, Energy-sharing model with price-based demand response for microgrids of
    peer-to-peer prosumers (2017), doi:10.1109/TPWRS.2017.2649558
    """

    floor: int = 1

    def __post_init__(self) -> None:
        if self.floor < 1:
            raise ValueError(f"floor is {self.floor} ticks; it must be >= 1")

    def _clear(self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None, pairs: bool) -> Trades:
        check_size(orders, buy, sell)
        sides = volume(orders.wh)
        price = self.selling_price(sides, buy, sell)
        return clear_at(orders, sides, price, buy >= sell, arrival, pairs)

    def selling_price(self, sides: Volume, buy: Tensor, sell: Tensor) -> Tensor:
        """Internal selling price (ISP), at which peers trade.

        Parameters
        ----------
        sides : Volume [..., 1]
            Demand and supply in Wh, each below 2^31.
        buy, sell : Tensor [..., 1] int64 ticks
            Outside options.

        Returns
        -------
        Tensor [..., 1] int64 nano-currency per Wh
            Between ``sell`` and ``buy``, but for the floor; ``buy`` where there is neither demand nor supply.

        Raises
        ------
        AuctionError
            If a feed-in price is negative.
        """
        if bool((sell < 0).any()):
            raise AuctionError(
                f"The feed-in price is {int(sell.min())} ticks (1e-5 $/kWh), but the supply-demand ratio has a pole "
                "below 0; use mmr, sdr-linear or an auction, or a feed-in price >= 0."
            )
        low = sell.clamp(min=self.floor)
        high = torch.maximum(buy, low)
        demand = sides.demand + ((sides.demand == 0) & (sides.supply == 0))
        supply = torch.minimum(sides.supply, sides.demand)
        price = _rounded(high, low, demand, supply)
        return torch.minimum(price, buy * NANO_PER_TICK_WH)


def _rounded(high: Tensor, low: Tensor, demand: Tensor, supply: Tensor) -> Tensor:
    """``10 b s / ((b - s) x + s)`` with x = supply / demand, half up; by Python's integers where int64 is too small."""
    demand = demand.clamp(min=1)
    largest = 2.0 * NANO_PER_TICK_WH * float(high.max()) * float(low.max()) * float(demand.max()) if high.numel() else 0
    if largest < 2.0**61:
        above = NANO_PER_TICK_WH * high * low * demand
        below = (high - low) * supply + low * demand
        return torch.div(2 * above + below, 2 * below, rounding_mode="floor")
    rows = zip(*(x.flatten().tolist() for x in (high, low, demand, supply)), strict=True)
    prices = [(2 * NANO_PER_TICK_WH * b * s * d + (below := (b - s) * g + s * d)) // (2 * below) for b, s, d, g in rows]
    return torch.tensor(prices, dtype=torch.int64, device=high.device).reshape(high.shape)


__all__ = ["SupplyDemandRatio"]
