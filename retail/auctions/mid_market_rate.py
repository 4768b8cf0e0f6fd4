"""Mid-market rate: peers trade halfway between the tariff's two prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from retail.auctions.chunks import in_chunks
from retail.auctions.pro_rata import check_size, clear_at, volume
from retail.orders import NANO_PER_TICK_WH, Orders, Trades


@dataclass(frozen=True)
class MidMarketRate:
    """Everybody trades at the middle of the buy and the feed-in price; the long side is served in proportion.

    Limit prices are not looked at. What the long side has left goes to the grid at the tariff, outside: together that
    is the blended import or export price of the literature. Nothing is traded where ``buy < sell``.

    Source: Long, Wu, Zhang, Thomas, Cheng and Jenkins, Peer-to-peer energy trading in a community microgrid (2017),
    doi:10.1109/PESGM.2017.8274546
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
            Outside options, any sign; a network fee is taken off ``buy`` by the caller.
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
    price = (buy + sell) * (NANO_PER_TICK_WH // 2)
    return clear_at(orders, volume(orders.wh), price, buy >= sell, arrival, pairs)


__all__ = ["MidMarketRate"]
