"""No local market: everybody deals with the grid at the tariff."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retail.orders import Orders, Pairs, Trades


@dataclass(frozen=True)
class NoAuction:
    """No peer-to-peer trade; the baseline of every community study."""

    def clear(
        self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None = None, pairs: bool = False
    ) -> Trades:
        """Trade nothing.

        Parameters
        ----------
        orders : Orders [..., N]
            Ignored but for their shape, Wh and ticks.
        buy, sell : Tensor [...] int64 ticks
            Ignored.
        arrival : Tensor [..., N] int64, optional
            Ignored.
        pairs : bool
            Return an empty list of pairs.

        Returns
        -------
        Trades
            Zeros, Wh and nano-currency.
        """
        zero = torch.zeros_like(orders.wh)
        return Trades(zero, zero.clone(), Pairs(zero, zero, zero, zero) if pairs else None)
