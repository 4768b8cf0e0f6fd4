"""Bill sharing: an ex-post settlement of a window in which energy inside the community is free; no auction.

A baseline only: prices are known when the window is over, and a prosumer may be worse off than alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from retail.auctions.limits import MAX_CASH, MAX_WH
from retail.auctions.pro_rata import share_out
from retail.orders import NANO_PER_TICK_WH

_DOLLAR_PER_KWH = 1e-6
"""1 nano-currency per Wh."""


class BillSharingError(ValueError):
    """Energy or prices that bill sharing cannot settle; the message says which, its value and the allowed range."""


class SharedBill(NamedTuple):
    """The bill of a window.

    Attributes
    ----------
    cash : Tensor [..., N] int64 nano-currency (1e-9 $)
        + paid, - received; sums to exactly the community's bill at the grid.
    buy, sell : Tensor [...] float64 $/kWh
        What a kWh taken from, or given to, the community costs in this window; 0 where there is none.
    """

    cash: Tensor
    buy: Tensor
    sell: Tensor


def bill_sharing(wh: Tensor, buy: Tensor, sell: Tensor, arrival: Tensor | None = None) -> SharedBill:
    """Share the community's bill of a window in proportion to what each prosumer took and gave.

    The community imports or exports the sum of all net loads in each step at the tariff. Its import cost is borne by
    those who took energy, in proportion to the Wh that they took over the window; its export income goes to those who
    gave energy. With a constant tariff these are the prices ``buy * imports / demand`` and ``sell * exports / supply``.

    Parameters
    ----------
    wh : Tensor [..., T, N] int64 Wh
        Net load of each step and prosumer, + takes, - gives.
    buy, sell : Tensor [..., T] int64 ticks (1e-5 $/kWh)
        Tariff of each step.
    arrival : Tensor [..., N] int64, optional
        Permutation of 0..N-1: where the last nano-currency of a share goes. By position when absent.

    Returns
    -------
    SharedBill
        Exact to 1 nano-currency for each prosumer.

    Raises
    ------
    BillSharingError
        If the window moves 2^31 Wh or more, or costs 2^63 nano-currency or more.

    Notes
    -----
    Source: Long, Wu, Zhang, Thomas, Cheng and Jenkins (2017), doi:10.1109/PESGM.2017.8274546
    """
    net = wh.sum(-1)
    taken, given = wh.clamp(min=0).sum(-2), (-wh).clamp(min=0).sum(-2)
    _check(wh, buy, sell)
    cost = (net.clamp(min=0) * buy * NANO_PER_TICK_WH).sum(-1, keepdim=True)
    income = ((-net).clamp(min=0) * sell * NANO_PER_TICK_WH).sum(-1, keepdim=True)
    order = None if arrival is None else arrival.expand_as(taken)
    cash = share_out(taken, cost, order) - share_out(given, income, order)
    prices = (_price(total, side) for total, side in ((cost, taken), (income, given)))
    return SharedBill(cash, *prices)


def _price(cash: Tensor, wh: Tensor) -> Tensor:
    return cash[..., 0].double() / wh.sum(-1).clamp(min=1).double() * _DOLLAR_PER_KWH


def _check(wh: Tensor, buy: Tensor, sell: Tensor) -> None:
    if wh.numel() == 0:
        return
    moved = float(wh.double().abs().sum((-2, -1)).max())
    dearest = float(torch.stack((buy, sell)).double().abs().max())
    if moved > MAX_WH:
        raise BillSharingError(f"The window moves {moved:.0f} Wh; at most {MAX_WH} Wh: use a shorter window.")
    if moved * dearest * NANO_PER_TICK_WH > MAX_CASH:
        raise BillSharingError(
            f"{moved:.0f} Wh at up to {dearest:.0f} ticks (1e-5 $/kWh) are worth more than {MAX_CASH} nano-currency; "
            "use a shorter window."
        )


__all__ = ["BillSharingError", "SharedBill", "bill_sharing"]
