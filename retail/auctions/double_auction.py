"""Periodic double auction (call market), exact and batched: pairwise mid prices or one price for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from retail.auctions.book import Book, Segments, matched_pairs, merge, sort_book
from retail.auctions.chunks import in_chunks
from retail.auctions.limits import MAX_TICK, MAX_TRADERS, AuctionError
from retail.orders import NANO_PER_TICK_WH, Orders, Pairs, Trades


@dataclass(frozen=True)
class DoubleAuction:
    """Periodic double auction: best bid meets best ask, each pair at its mid price, or all at one price.

    Bids are sorted by falling, asks by rising limit price, ties by arrival; heads are matched while bid >= ask for the
    smaller of the two quantities.

    Parameters
    ----------
    price : str
        ``pairwise``: each pair trades at ``(bid + ask) / 2``, exact. ``uniform``: everybody trades at
        ``k bid + (1 - k) ask`` of the marginal (last) pair, rounded once, half up, to 1 nano-currency per Wh
        (1e-6 $/kWh).
    k : float in [0, 1]
        Share of the marginal pair's surplus that goes to sellers under ``uniform``; not used under ``pairwise``.

    Source: pairwise: Sanayha and Vateekul, MB-A3C3, section on the market; uniform: k-double auction of Chatterjee and
    Samuelson (1983), doi:10.1287/opre.31.5.835
    """

    price: Literal["pairwise", "uniform"] = "pairwise"
    k: float = 0.5

    def __post_init__(self) -> None:
        if self.price not in ("pairwise", "uniform"):
            raise ValueError(f"price is {self.price!r}; it must be pairwise or uniform")
        if not 0 <= self.k <= 1:
            raise ValueError(f"k is {self.k:g}; it must be in [0, 1]")

    def clear(
        self, orders: Orders, buy: Tensor, sell: Tensor, arrival: Tensor | None = None, pairs: bool = False
    ) -> Trades:
        """Clear one period.

        Parameters
        ----------
        orders : Orders [..., N]
            Quantities in Wh (+ buy), limit prices in ticks of 1e-5 $/kWh; |tick| < 2^33, less than 2^31 Wh in a book.
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
            If the orders are too many or too large for int64.
        """
        return in_chunks(self._clear, orders, buy, sell, arrival, pairs)

    def _clear(self, orders: Orders, _buy: Tensor, _sell: Tensor, arrival: Tensor | None, pairs: bool) -> Trades:
        wh, tick = orders
        if wh.shape[-1] < 2:
            zero = torch.zeros_like(wh)
            return Trades(zero, zero.clone(), Pairs(zero, zero, zero, zero) if pairs else None)
        book = sort_book(wh, tick, arrival)
        segments = merge(book)
        bid, ask = book.price.gather(-1, segments.bid), book.price.gather(-1, segments.ask)
        # bid - ask < 0 has its sign bit set; shifted down, that is a mask.
        above = (bid - ask).bitwise_right_shift_(torch.iinfo(bid.dtype).bits - 1).bitwise_not_()
        matched = above.bitwise_and_(segments.wh)
        volume = matched.sum(-1, keepdim=True).to(bid.dtype)
        start = segments.end - book.size
        traded = torch.minimum(segments.end, volume).sub_(torch.minimum(start, volume))
        total_wh = book.to_traders(traded)
        if self.price == "uniform":
            price = self._uniform(bid, ask, matched, book.low)
            cash, total_cash = matched.long() * price if pairs else total_wh, total_wh * price
        else:
            cash = (
                bid.add_(ask).long().mul_(NANO_PER_TICK_WH // 2).add_(NANO_PER_TICK_WH * book.low).mul_(matched.long())
            )
            total_cash = _by_trader(book, segments, cash)
        return Trades(total_wh, total_cash, matched_pairs(book, segments, matched, cash) if pairs else None)

    def _uniform(self, bid: Tensor, ask: Tensor, matched: Tensor, low: int) -> Tensor:
        """One price of each book, nano-currency per Wh [..., 1]; any number where nothing is matched."""
        place = torch.arange(matched.shape[-1], device=matched.device)
        last = ((matched > 0) * place).amax(-1, keepdim=True)
        bid, ask = bid.gather(-1, last).long(), ask.gather(-1, last).long()
        surplus = torch.floor(self.k * ((bid - ask) * NANO_PER_TICK_WH).double() + 0.5).long()
        return (ask + low) * NANO_PER_TICK_WH + surplus


def _by_trader(book: Book, segments: Segments, cash: Tensor) -> Tensor:
    """Cash of each trader: its segments lie side by side, so it is a difference of running sums."""
    running = cash.cumsum(-1)
    running = torch.empty_like(running).scatter_(-1, segments.rank, running)
    own = running.clone()
    own[..., 1:] -= running[..., :-1]
    # The first ask starts at 0 again; without asks nothing is matched and the entry is 0 anyway.
    first = book.bids.clamp(max=cash.shape[-1] - 1).long()
    return book.to_traders(own.scatter_(-1, first, running.gather(-1, first)))


__all__ = ["MAX_TICK", "MAX_TRADERS", "AuctionError", "DoubleAuction"]
