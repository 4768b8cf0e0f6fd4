"""Supply-demand ratio as a price adviser: it publishes two prices, and orders made from them clear in the auction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retail.auctions.double_auction import DoubleAuction
from retail.auctions.price_taking import PriceTaking
from retail.auctions.pro_rata import check_size, volume
from retail.auctions.supply_demand_ratio import SupplyDemandRatio
from retail.orders import NANO_PER_TICK_WH, Orders, Trades


@dataclass(frozen=True)
class AdvisedDoubleAuction(PriceTaking):
    """A price adviser publishes ISP and IBP; buyers bid the IBP, sellers ask the ISP, and the double auction clears.

    ISP, the internal selling price, is that of `sdr`; IBP, the internal buying price, is the blend of ISP and buy price
    that a buyer pays on average under `sdr`. Both are rounded, half up, to ticks. As IBP >= ISP every pair crosses and
    trades at the mid price of the two. That differs from pure `sdr`: its peers trade at the ISP and share the short
    side in proportion; here they trade at ``(ISP + IBP) / 2`` and the long side is served in order of arrival. Limit
    prices of the orders are not looked at. Nothing is traded where ``buy < sell``.

    Parameters
    ----------
    floor : int ticks (1e-5 $/kWh) >= 1
        A lower feed-in price counts as this much in the ratio, see `sdr`; negative ones are refused.

    Source: MAPDES (dairy farms), price adviser and double auction; how orders follow from ISP and IBP is our choice
    """

    floor: int = 1

    def __post_init__(self) -> None:
        SupplyDemandRatio(self.floor)

    def _clear(self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None, pairs: bool) -> Trades:
        check_size(orders, buy, sell)
        low, high = self.advice(orders.wh, buy, sell)
        wh = orders.wh * (buy >= sell)
        # Arithmetic instead of torch.where, which is slow on int64.
        tick = (high - low) * (wh > 0) + low
        return DoubleAuction().clear(Orders(wh, tick), buy[..., 0], sell[..., 0], arrival, pairs)

    def advice(self, wh: Tensor, buy: Tensor, sell: Tensor) -> tuple[Tensor, Tensor]:
        """Prices that the adviser publishes.

        Parameters
        ----------
        wh : Tensor [..., N] int64 Wh
            Positions, + buys.
        buy, sell : Tensor [..., 1] int64 ticks
            Outside options.

        Returns
        -------
        isp, ibp : Tensor [..., 1] int64 ticks
            Internal selling and buying price, isp <= ibp.
        """
        sides = volume(wh)
        isp = SupplyDemandRatio(self.floor).selling_price(sides, buy, sell)
        demand, supply = sides.demand.clamp(min=1), torch.minimum(sides.supply, sides.demand)
        # ISP + (buy - ISP) (1 - x), in nano-currency per Wh, then to ticks; each * supply keeps products in int64.
        above = torch.div(
            (buy * NANO_PER_TICK_WH - isp).clamp(min=0) * (sides.demand - supply), demand, rounding_mode="floor"
        )
        half = NANO_PER_TICK_WH // 2
        low, high = (torch.div(p + half, NANO_PER_TICK_WH, rounding_mode="floor") for p in (isp, isp + above))
        return low, high


__all__ = ["AdvisedDoubleAuction"]
