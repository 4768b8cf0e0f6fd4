"""What goes into an auction and what comes out: exact integers only."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

NANO_PER_TICK_WH = 10
"""1 Wh at a price of 1 tick (1e-5 $/kWh) costs 1e-8 $, that is 10 nano-currency."""


class Orders(NamedTuple):
    """One limit order per trader.

    Attributes
    ----------
    wh : Tensor [..., N] int64 Wh
        Quantity; > 0 buys, < 0 sells, 0 stays out.
    tick : Tensor [..., N] int64 ticks (1e-5 $/kWh)
        Limit price, any sign: the most a buyer pays, the least a seller takes.
    """

    wh: Tensor
    tick: Tensor


class Pairs(NamedTuple):
    """Who traded with whom; rows with ``wh == 0`` are padding.

    Attributes
    ----------
    buyer, seller : Tensor [..., K] int64
        Positions of the two traders.
    wh : Tensor [..., K] int64 Wh
        Energy that changed hands, at least 0.
    cash : Tensor [..., K] int64 nano-currency
        Paid by the buyer to the seller.
    """

    buyer: Tensor
    seller: Tensor
    wh: Tensor
    cash: Tensor


class Trades(NamedTuple):
    """The outcome of an auction.

    Attributes
    ----------
    wh : Tensor [..., N] int64 Wh
        + bought, - sold; sums to exactly 0 over N.
    cash : Tensor [..., N] int64 nano-currency (1e-9 $)
        + paid, - received; sums to exactly 0 over N.
    pairs : Pairs or None
        Only on request.
    """

    wh: Tensor
    cash: Tensor
    pairs: Pairs | None = None
