"""What rules share that do not look at limit prices: traders take the price that the rule makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from retail.auctions.chunks import in_chunks
from retail.orders import Orders, Trades


class PriceTaking(ABC):
    """Base of rules in which everybody takes the rule's price."""

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
            Outside options; a network fee is taken off ``buy`` by the caller. Of any sign, but for the rules with a
            pole at 0, which refuse a negative ``sell``.
        arrival : Tensor [..., N] int64, optional
            Permutation of 0..N-1: who is served first, or where the last Wh of a share goes. By position when absent.
        pairs : bool
            Also return who traded with whom.

        Returns
        -------
        Trades
            Energy in Wh and cash in nano-currency, each summing to exactly 0.

        Raises
        ------
        AuctionError
            If the orders are too many or too large for int64, or the rule refuses a feed-in price.
        """
        return in_chunks(self._clear, orders, buy, sell, arrival, pairs)

    @abstractmethod
    def _clear(self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None, pairs: bool) -> Trades:
        """Clear rows of orders [R, N] with prices [R, 1]."""


__all__ = ["PriceTaking"]
