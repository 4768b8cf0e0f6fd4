"""How large orders may be: what int64 holds exactly, checked once for a whole batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from retail.orders import NANO_PER_TICK_WH

MAX_TRADERS = 1 << 20
MAX_TICK = (1 << 33) - 1
MAX_WH = (1 << 31) - 1
MAX_CASH = (1 << 63) - 1


class AuctionError(ValueError):
    """Orders that an auction cannot take; the message says which, its value and the allowed range."""


class Extent(NamedTuple):
    """Bounds of a batch of orders.

    Attributes
    ----------
    total_wh : int Wh
        At least the energy of all orders of any one book, either side.
    low_tick, high_tick : int ticks
        Least and largest limit price.
    """

    total_wh: int
    low_tick: int
    high_tick: int


def check_arrival(arrival: Tensor) -> None:
    """Refuse an order of arrival that is none: ties or gaps would silently lose energy.

    Parameters
    ----------
    arrival : Tensor [..., N] int64
        Who comes when.

    Raises
    ------
    AuctionError
        If a book's arrivals are no permutation of 0..N-1.
    """
    try:
        seen = torch.zeros_like(arrival, dtype=torch.bool).scatter_(-1, arrival, True)
    except (RuntimeError, IndexError):  # a place outside 0..N-1
        seen = torch.zeros(1, dtype=torch.bool)
    if not bool(seen.all()):
        raise AuctionError(
            f"Orders of arrival must name each of the places 0 to {arrival.shape[-1] - 1} once in every book (int64); "
            "rank times of arrival with argsort().argsort()."
        )


def extent(wh: Tensor, tick: Tensor) -> Extent:
    """Bounds of a batch, refused where products of its numbers would leave int64.

    Parameters
    ----------
    wh : Tensor [..., N] int64 Wh
        Quantities, any sign.
    tick : Tensor [..., M] int64 ticks (1e-5 $/kWh)
        Limit prices, or any other prices that will multiply them.

    Returns
    -------
    Extent
        Of all books together.

    Raises
    ------
    AuctionError
        If there are more than 2^20 traders, a price of 2^33 ticks or more, a book of 2^31 Wh or more, or a book whose
        energy at its largest price is worth 2^63 nano-currency or more.
    """
    traders = wh.shape[-1]
    if traders > MAX_TRADERS:
        raise AuctionError(f"{traders} traders in one auction; at most {MAX_TRADERS}: split the community.")
    if wh.numel() == 0:
        return Extent(0, 0, 0)
    least, most = (int(x) for x in torch.aminmax(wh))
    low, high = (int(x) for x in torch.aminmax(tick))
    largest = max(-low, high)
    if largest > MAX_TICK:
        raise AuctionError(f"A limit price of {largest} ticks (1e-5 $/kWh); at most {MAX_TICK}.")
    total = max(-least, most) * traders
    if total > MAX_WH or total * largest * NANO_PER_TICK_WH > MAX_CASH:
        # The quick bound is too coarse; this one is exact to 1e-13, and doubles cannot overflow.
        total = int(wh.double().abs().sum(-1).max().ceil())
    if total > MAX_WH:
        raise AuctionError(f"Orders of {total} Wh in one book; at most {MAX_WH} Wh: split the community or the step.")
    if total * largest * NANO_PER_TICK_WH > MAX_CASH:
        raise AuctionError(
            f"Orders of {total} Wh in one book at up to {largest} ticks (1e-5 $/kWh) are worth more than "
            f"{MAX_CASH} nano-currency; use smaller orders or prices."
        )
    return Extent(total, low, high)


__all__ = ["MAX_TICK", "MAX_TRADERS", "MAX_WH", "AuctionError", "Extent", "extent"]
