"""Order books as sorted rows of integers: one packed sort ranks the orders, a second one merges the two sides.

Sorted bids and asks are intervals on the quantity axis. Merging the ends of both gives at most N - 1 segments that each
belong to one bid and one ask: every pair of a call auction, without a loop over traders. Keys and sizes are int32
where the batch fits (numpy sorts these four times faster) and int64 otherwise; the outcome has the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retail.auctions.limits import extent
from retail.orders import Pairs

FEW_ORDERS = 4096


def sort_key(key: Tensor) -> Tensor:
    """Sort integer keys along the last axis.

    numpy sorts integers many times faster than torch on a CPU, so the CPU tensor is sorted through its numpy view;
    this is the only place where the device matters.

    Parameters
    ----------
    key : Tensor [..., M] int32 or int64
        Changed in place on a CPU.

    Returns
    -------
    Tensor [..., M] of the same type
        Ascending.
    """
    if key.device.type == "cpu":
        key.numpy().sort(axis=-1)
        return key
    return torch.sort(key, dim=-1).values


@dataclass(frozen=True)
class Book:
    """Orders by rank: bids by falling price, then asks (and idle traders) by rising price; ties by arrival.

    Attributes
    ----------
    position : Tensor [..., N] int64
        Trader of each rank.
    size : Tensor [..., N] int32 or int64 Wh
        Quantity, at least 0.
    price : Tensor [..., N] int32 or int64 ticks
        Limit price less ``low``, at least 0.
    low : int ticks
        Least limit price of the batch.
    ask : Tensor [..., N] int32 or int64
        0 for bids, -1 (all bits set) for asks: a mask.
    bids : Tensor [..., 1] int32 or int64
        Number of bids.
    """

    position: Tensor
    size: Tensor
    price: Tensor
    low: int
    ask: Tensor
    bids: Tensor

    def to_traders(self, wh: Tensor) -> Tensor:
        """Signed amounts by trader from amounts by rank.

        Parameters
        ----------
        wh : Tensor [..., N] integer
            At least 0 where the rank gains, by rank; asks get the other sign.

        Returns
        -------
        Tensor [..., N] int64
            By trader, + for bids, - for asks.
        """
        # Two's complement: x ^ -1 is -x - 1.
        signed = (wh ^ self.ask.to(wh.dtype)).sub_(self.ask).long()
        return torch.empty_like(signed).scatter_(-1, self.position, signed)


def sort_book(wh: Tensor, tick: Tensor, arrival: Tensor | None) -> Book:
    """Rank orders by side, price and arrival.

    Parameters
    ----------
    wh, tick : Tensor [..., N] int64
        Wh (+ buys) and limit prices in ticks.
    arrival : Tensor [..., N] int64, optional
        Permutation of 0..N-1, breaks price ties. By position when absent.

    Returns
    -------
    Book
        N at least 1.

    Raises
    ------
    AuctionError
        If the orders are too many or too large for int64.
    """
    traders = wh.shape[-1]
    size = extent(wh, tick)
    bits = max(1, (traders - 1).bit_length())
    # Few orders are cleared as fast as torch is called: int64 throughout saves conversions.
    few = wh.numel() <= FEW_ORDERS
    narrow = not few and size.high_tick - size.low_tick < 1 << (31 - bits) and size.total_wh < 1 << 30
    kind, sign = (torch.int32, 31) if narrow else (torch.int64, 63)
    place = torch.arange(traders, device=wh.device).expand_as(wh)
    signed = wh.to(kind)
    # A bid's price with all bits flipped is negative and falls as the price rises, so bids come first, dearest first.
    key = (tick - size.low_tick).to(kind).bitwise_xor_((-signed).bitwise_right_shift_(sign)).bitwise_left_shift_(bits)
    key += place if arrival is None else arrival.expand_as(wh).to(kind)
    key = sort_key(key)
    position = (key & ((1 << bits) - 1)).long()
    if arrival is not None:
        position = torch.empty_like(wh).scatter_(-1, arrival.expand_as(wh), place).gather(-1, position)
    bid = key >> sign
    price = key.bitwise_right_shift_(bits).bitwise_xor_(bid)
    bids = -bid.sum(-1, keepdim=True).to(kind)
    return Book(position, signed.gather(-1, position).abs_(), price, size.low_tick, ~bid, bids)


@dataclass(frozen=True)
class Segments:
    """Stretches of the quantity axis between neighbouring ends of bids and asks, in order.

    Attributes
    ----------
    bid, ask : Tensor [..., N] int64
        Ranks of the two orders of the segment (clamped where one side has run out).
    wh : Tensor [..., N] integer Wh
        Length; 0 where one side has run out.
    rank : Tensor [..., N] int64
        Order that ends where the segment ends; a permutation.
    end : Tensor [..., N] integer Wh
        By rank: where the order's interval ends on its side's axis.
    """

    bid: Tensor
    ask: Tensor
    wh: Tensor
    rank: Tensor
    end: Tensor


def merge(book: Book) -> Segments:
    """Merge the ends of bids and asks; the segment before each end belongs to one bid and one ask.

    Parameters
    ----------
    book : Book
        Sorted orders.

    Returns
    -------
    Segments
        N of them, of length 0 or more.
    """
    kind, traders = book.size.dtype, book.size.shape[-1]
    sign = torch.iinfo(kind).bits - 1
    end = book.size.cumsum(-1, dtype=kind)
    demand = end.gather(-1, (book.bids - 1).clamp_(min=0).long()) * (book.bids > 0)
    end -= book.ask & demand
    merged = sort_key((end << 1).sub_(book.ask))
    is_ask = merged & 1
    at = merged.bitwise_right_shift_(1)
    length = at.clone()
    length[..., 1:] -= at[..., :-1]
    # Ends of asks strictly before this one = index of the ask that the segment before it belongs to.
    ask = is_ask.cumsum(-1, dtype=kind).sub_(is_ask)
    bid = torch.arange(traders, device=end.device, dtype=kind) - ask
    ask += book.bids
    length &= (bid - book.bids).bitwise_right_shift_(sign)
    length &= (ask - traders).bitwise_right_shift_(sign)
    rank = (ask - bid).mul_(is_ask).add_(bid)
    return Segments(bid.long(), ask.clamp_(max=traders - 1).long(), length, rank.long(), end)


def matched_pairs(book: Book, segments: Segments, wh: Tensor, cash: Tensor) -> Pairs:
    """Who traded with whom.

    Parameters
    ----------
    book : Book
        Sorted orders.
    segments : Segments
        Of this book.
    wh, cash : Tensor [..., N] integer
        Wh and nano-currency of each segment.

    Returns
    -------
    Pairs
        [..., N], in the order of the quantity axis.
    """
    buyer, seller = book.position.gather(-1, segments.bid), book.position.gather(-1, segments.ask)
    return Pairs(buyer, seller, wh.long(), cash)


__all__ = ["Book", "Segments", "matched_pairs", "merge", "sort_book", "sort_key"]
