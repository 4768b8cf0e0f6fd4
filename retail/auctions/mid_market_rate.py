"""Mid-market rate: peers trade halfway between the tariff's two prices."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from retail.auctions.price_taking import PriceTaking
from retail.auctions.pro_rata import check_size, clear_at, volume
from retail.orders import NANO_PER_TICK_WH, Orders, Trades


@dataclass(frozen=True)
class MidMarketRate(PriceTaking):
    """Everybody trades at the middle of the buy and the feed-in price; the long side is served in proportion.

    Limit prices are not looked at. What the long side has left goes to the grid at the tariff, outside: together that
    is the blended import or export price of the literature. Nothing is traded where ``buy < sell``.

    Source: Long, Wu, Zhang, Thomas, Cheng and Jenkins, Peer-to-peer energy trading in a community microgrid (2017),
    doi:10.1109/PESGM.2017.8274546
    """

    def _clear(self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None, pairs: bool) -> Trades:
        check_size(orders, buy, sell)
        price = (buy + sell) * (NANO_PER_TICK_WH // 2)
        return clear_at(orders, volume(orders.wh), price, buy >= sell, arrival, pairs)


__all__ = ["MidMarketRate"]
