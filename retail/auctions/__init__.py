"""Auction rules, one file each; the table of their names is ``retail.AUCTIONS``."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from retail.orders import Orders, Trades


class Auction(Protocol):
    """A clearing rule: a frozen dataclass of parameters with one pure method.

    A rule that does not look at limit prices, but sets a price between ``sell`` and ``buy`` itself, says so by a class
    attribute ``price_taking: ClassVar[bool] = True``. ``hmarl.contracts.check_auction`` checks the whole contract.
    """

    def clear(
        self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None = None, pairs: bool = False
    ) -> Trades:
        """Clear one period.

        Parameters
        ----------
        orders : Orders [..., N]
            Quantities in Wh (+ buy) and limit prices in ticks.
        buy, sell : Tensor [...] int64 ticks
            Outside options: the tariff's prices of imported and exported energy.
        arrival : Tensor [..., N] int64, optional
            Order of arrival, a permutation of 0..N-1; breaks ties. By position when absent.
        pairs : bool
            Also return who traded with whom.

        Returns
        -------
        Trades
            ``wh`` and ``cash`` sum to exactly 0 over N.
        """
        ...


__all__ = ["Auction"]
