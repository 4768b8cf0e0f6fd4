"""Periodic double auction (call market) with pairwise mid prices, exact and batched.

Two sorts and no loop over traders: sorted bids and asks become intervals on the quantity axis, and merging their
ends gives at most N - 1 segments that each belong to one bid and one ask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retail.orders import NANO_PER_TICK_WH, Orders, Pairs, Trades

# Bits of the packed sort key: side | price | arrival | position. 2 * POSITION_BITS + PRICE_BITS + 1 <= 63.
POSITION_BITS = 14
PRICE_BITS = 34
MAX_TRADERS = 1 << POSITION_BITS
MAX_TICK = (1 << (PRICE_BITS - 1)) - 1


class AuctionError(ValueError):
    """Orders that an auction cannot take; the message says which, its value and the allowed range."""


def sort_key(key: Tensor) -> Tensor:
    """Sort int64 keys along the last axis.

    numpy sorts integers several times faster than torch on a CPU, so the CPU tensor is sorted through its numpy view;
    this is the only place where the device matters.

    Parameters
    ----------
    key : Tensor [..., M] int64
        Changed in place on a CPU.

    Returns
    -------
    Tensor [..., M] int64
        Ascending.
    """
    if key.device.type == "cpu":
        key.numpy().sort(axis=-1)
        return key
    return torch.sort(key, dim=-1).values


@dataclass(frozen=True)
class DoubleAuction:
    """Periodic double auction: best bid meets best ask, each pair trades at its mid price.

    Bids are sorted by falling, asks by rising limit price, ties by arrival; heads are matched while bid >= ask for the
    smaller of the two quantities at ``(bid + ask) / 2``. Source: Sanayha and Vateekul, MB-A3C3, section on the market.
    """

    def clear(
        self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None = None, pairs: bool = False
    ) -> Trades:
        """Clear one period.

        Parameters
        ----------
        orders : Orders [..., N]
            Quantities in Wh (+ buy), limit prices in ticks of 1e-5 $/kWh; |tick| < 2^33, N <= 16384.
        buy, sell : Tensor [...] int64 ticks
            Not used: limit prices already say what each trader accepts.
        arrival : Tensor [..., N] int64, optional
            Permutation of 0..N-1, breaks price ties. By position when absent.
        pairs : bool
            Also return the matched pairs.

        Returns
        -------
        Trades
            Energy in Wh and cash in nano-currency, each summing to exactly 0.

        Raises
        ------
        AuctionError
            If there are more traders or larger prices than the packed sort key holds.
        """
        wh, tick = orders
        traders = wh.shape[-1]
        if traders < 2:
            zero = torch.zeros_like(wh)
            empty = zero[..., :0]
            return Trades(zero, zero.clone(), Pairs(empty, empty, empty, empty) if pairs else None)
        position = _sorted_positions(wh, tick, arrival)
        sorted_wh, sorted_tick = wh.gather(-1, position), tick.gather(-1, position)
        # Bids come first, so clamping one running sum from either side gives both quantity axes.
        bid_end = sorted_wh.clamp(min=0).cumsum(-1)
        ask_end = (-sorted_wh).clamp(min=0).cumsum(-1)
        bids = (sorted_wh > 0).sum(-1, keepdim=True)
        is_bid = torch.arange(traders, device=wh.device) < bids
        ends = torch.where(is_bid, bid_end, ask_end)
        segment = _segments(ends, is_bid, bids)
        bid_at = segment.bid.clamp(max=traders - 1)
        ask_at = segment.ask.clamp(max=traders - 1)
        bid, ask = sorted_tick.gather(-1, bid_at), sorted_tick.gather(-1, ask_at)
        inside = (segment.bid < bids) & (segment.ask < traders)
        matched = torch.where(inside & (bid >= ask), segment.wh, 0)
        cash = matched * (bid + ask) * (NANO_PER_TICK_WH // 2)
        buyer, seller = position.gather(-1, bid_at), position.gather(-1, ask_at)
        total_wh = torch.zeros_like(wh).scatter_add_(-1, buyer, matched).scatter_add_(-1, seller, -matched)
        total_cash = torch.zeros_like(wh).scatter_add_(-1, buyer, cash).scatter_add_(-1, seller, -cash)
        return Trades(total_wh, total_cash, Pairs(buyer, seller, matched, cash) if pairs else None)


def _sorted_positions(wh: Tensor, tick: Tensor, arrival: Tensor | None) -> Tensor:
    """Positions of traders: bids by falling price, then asks (and idle traders) by rising price; ties by arrival."""
    traders = wh.shape[-1]
    if traders > MAX_TRADERS:
        raise AuctionError(f"{traders} traders in one double auction; at most {MAX_TRADERS}: split the community.")
    if bool((tick.abs() > MAX_TICK).any()):
        raise AuctionError(f"A limit price of {int(tick.abs().max())} ticks (1e-5 $/kWh); at most {MAX_TICK}.")
    place = torch.arange(traders, device=wh.device)
    first = place if arrival is None else arrival
    price = torch.where(wh > 0, -tick, tick) + (MAX_TICK + 1)
    # Idle traders stand among the asks: an interval of no length on the quantity axis matches nothing.
    side = torch.where(wh > 0, 0, 1)
    key = (((side << PRICE_BITS) + price) << (2 * POSITION_BITS)) + (first << POSITION_BITS) + place
    return sort_key(key.contiguous()) & (MAX_TRADERS - 1)


@dataclass(frozen=True)
class _Segments:
    """Stretches of the quantity axis between neighbouring ends of bids and asks."""

    bid: Tensor
    ask: Tensor
    wh: Tensor


def _segments(ends: Tensor, is_bid: Tensor, bids: Tensor) -> _Segments:
    """Merge the ends of bids and asks; the segment before each end belongs to one bid and one ask."""
    merged = sort_key(((ends << 1) | (~is_bid).long()).contiguous())
    end = merged >> 1
    from_bid = 1 - (merged & 1)
    # Number of bid ends strictly before this one = index of the bid that the segment before it belongs to.
    bid = from_bid.cumsum(-1) - from_bid
    ask = bids + torch.arange(ends.shape[-1], device=ends.device) - bid
    length = torch.diff(end, dim=-1, prepend=torch.zeros_like(end[..., :1]))
    return _Segments(bid, ask, length)
