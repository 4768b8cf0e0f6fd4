"""Rules that publish one price and share the short side out over the long side in proportion, exact to the Wh."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from retail.auctions.book import matched_pairs, merge, sort_book
from retail.auctions.limits import extent
from retail.orders import Orders, Pairs, Trades


class Volume(NamedTuple):
    """What both sides bring.

    Attributes
    ----------
    demand, supply : Tensor [..., 1] int64 Wh
        Sums over the buyers and the sellers of a book, at least 0.
    """

    demand: Tensor
    supply: Tensor


def volume(wh: Tensor) -> Volume:
    """Sum both sides.

    Parameters
    ----------
    wh : Tensor [..., N] int64 Wh
        Quantities, + buys.

    Returns
    -------
    Volume
        [..., 1].
    """
    demand = wh.clamp(min=0).sum(-1, keepdim=True)
    return Volume(demand, demand - wh.sum(-1, keepdim=True))


def share_out(weight: Tensor, total: Tensor, arrival: Tensor | None) -> Tensor:
    """Split whole numbers in proportion to weights by rounding their running sum down, in the order of arrival.

    Parameters
    ----------
    weight : Tensor [..., N] int64
        At least 0, with a sum W below 2^31.
    total : Tensor [..., 1] int64
        What is split, of either sign; ignored where W is 0.
    arrival : Tensor [..., N] int64, optional
        Permutation of 0..N-1: who comes when. By position when absent.

    Returns
    -------
    Tensor [..., N] int64
        Sums to exactly ``total`` (0 where W is 0); everybody is less than 1 off ``weight * total / W``.
    """
    if arrival is not None:
        weight = torch.empty_like(weight).scatter_(-1, arrival, weight)
    running = weight.cumsum(-1)
    whole = running[..., -1:].clamp(min=1)
    # running * total may leave int64; with total = each * whole + rest, running * rest stays below whole^2 < 2^62.
    each = torch.div(total, whole, rounding_mode="floor")
    down = _floor_of_share(running, total - each * whole, whole)
    share = down.clone()
    share[..., 1:] -= down[..., :-1]
    if bool(each.any()):
        share += weight * each
    return share if arrival is None else share.gather(-1, arrival)


def _floor_of_share(running: Tensor, rest: Tensor, whole: Tensor) -> Tensor:
    """``running * rest // whole`` in integers, for 0 <= running <= whole and 0 <= rest < whole."""
    # Below 2^26 the product is below 2^52, where the floor of a double quotient is exact, and vectorised.
    if whole.numel() and int(whole.max()) < 1 << 26:
        return (running.double() * rest.double()).div_(whole.double()).floor_().to(torch.int64)
    return torch.div(running * rest, whole, rounding_mode="floor")


def clear_at(
    orders: Orders, sides: Volume, price: Tensor, open_: Tensor, arrival: Tensor | None, pairs: bool
) -> Trades:
    """Trade at one price per book: the short side in full, the long side in proportion to what it brought.

    Parameters
    ----------
    orders : Orders [..., N]
        Wh (+ buy); limit prices are not looked at.
    sides : Volume
        ``volume(orders.wh)``.
    price : Tensor [..., 1] int64 nano-currency per Wh
        Of every trade.
    open_ : Tensor [..., 1] bool
        False where nothing is traded.
    arrival : Tensor [..., N] int64, optional
        Decides to whom the last Wh goes.
    pairs : bool
        Also return who traded with whom: both sides served in order of arrival.

    Returns
    -------
    Trades
        Wh and nano-currency, each summing to exactly 0.
    """
    # Seen from the long side: its orders are positive and shrink, those of the short side stay as they are.
    long = ((sides.demand >= sides.supply) * 2 - 1) * open_
    turned = orders.wh * long
    matched = torch.minimum(sides.demand, sides.supply)
    wh = share_out(turned.clamp(min=0), matched, arrival).add_(turned.clamp_(max=0)).mul_(long)
    return Trades(wh, wh * price, _pairs(wh, price, arrival) if pairs else None)


def check_size(orders: Orders, buy: Tensor, sell: Tensor) -> None:
    """Refuse orders whose shares or cash would leave int64.

    Parameters
    ----------
    orders : Orders [..., N]
        Wh; limit prices are not looked at.
    buy, sell : Tensor [..., 1] int64 ticks
        Bounds of the price.

    Raises
    ------
    AuctionError
        Naming the value and the range.
    """
    extent(orders.wh, torch.stack((buy, sell)))


def _pairs(wh: Tensor, price: Tensor, arrival: Tensor | None) -> Pairs:
    book = sort_book(wh, torch.zeros_like(wh), arrival)
    segments = merge(book)
    return matched_pairs(book, segments, segments.wh, segments.wh.long() * price)


__all__ = ["Volume", "check_size", "clear_at", "share_out", "volume"]
