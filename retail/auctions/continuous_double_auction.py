"""Continuous double auction: a limit-order book, one arrival after the other.

A sequential rule, so the loop over arrivals is plain Python; what makes it quick is that one batched sort turns every
order into one integer, its rank by price and arrival, so that the book is two heaps of integers and an order crosses
another if its rank is the larger one.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from retail.auctions.book import sort_key
from retail.auctions.chunks import in_chunks
from retail.auctions.limits import AuctionError, extent
from retail.orders import NANO_PER_TICK_WH, Orders, Pairs, Trades

ORDERS_PER_CHUNK = 1 << 14
"""Small, so that Python's integers stay in the processor's cache too."""


@dataclass(frozen=True)
class ContinuousDoubleAuction:
    """Limit-order book with price-time priority: an arriving order trades at the prices of the orders that rest.

    Orders arrive one by one. Each trades at once with the best resting orders of the other side (best price first, then
    first come) as long as bid >= ask, at the resting order's price, in part if need be; what is left of it rests. All
    orders die at the end of the period, what is left goes to the grid at the tariff, outside.

    Parameters
    ----------
    rounds : int >= 1
        Each order comes in so many parts, equal to the Wh, one a round; every round has the same order of arrival.

    Source: PS-MADDPG names the continuous double auction only; rules as in Gode and Sunder (1993), doi:10.1086/261868
    """

    rounds: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds is {self.rounds}; it must be >= 1")

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
            Permutation of 0..N-1: who comes when. By position when absent.
        pairs : bool
            Also return the trades [..., N * rounds], first trade first.

        Returns
        -------
        Trades
            Energy in Wh and cash in nano-currency, each summing to exactly 0.

        Raises
        ------
        AuctionError
            If the orders are too many or too large for int64.
        """
        return in_chunks(self._clear, orders, buy, sell, arrival, pairs, at_most=ORDERS_PER_CHUNK)

    def _clear(self, orders: Orders, _buy: Tensor, _sell: Tensor, arrival: Tensor | None, pairs: bool) -> Trades:
        wh, tick = orders
        rows, traders = wh.shape
        low, span = _range(wh, tick, self.rounds)
        place = torch.arange(traders, device=wh.device).expand_as(wh)
        position = place
        if arrival is not None:
            position = torch.empty_like(wh).scatter_(-1, arrival, place)
            wh, tick = wh.gather(-1, position), tick.gather(-1, position)
        if self.rounds > 1:
            wh, tick = _parts(wh, self.rounds), tick.repeat(1, self.rounds)
            position = position.repeat(1, self.rounds)
        rank, order = _ranks(wh, tick - low, span)
        log = _match(rank.flatten().tolist(), wh.flatten().tolist(), wh.shape[-1])
        position = position + (torch.arange(rows, device=wh.device) * traders)[:, None]
        return _settle(log, Orders(wh, tick), order, position, orders.wh.shape, pairs)


class _Log(NamedTuple):
    """Trades of all books in order: ranks (over the whole batch) of the arriving and the resting order, Wh."""

    arriving: list[int]
    resting: list[int]
    wh: list[int]


def _range(wh: Tensor, tick: Tensor, rounds: int) -> tuple[int, int]:
    size = extent(wh, tick)
    bits = max(1, (wh.shape[-1] * rounds - 1).bit_length())
    span = size.high_tick - size.low_tick
    if span.bit_length() + bits + 1 > 63:
        raise AuctionError(
            f"{wh.shape[-1]} traders in {rounds} rounds with limit prices {span} ticks apart; "
            f"at most {1 << (62 - bits)} ticks: use fewer rounds or a smaller community."
        )
    return size.low_tick, span


def _parts(wh: Tensor, rounds: int) -> Tensor:
    """Equal parts by rounding the running sum towards 0, [R, N] -> [R, rounds * N]."""
    done = [torch.div(wh * r, rounds, rounding_mode="trunc") for r in range(rounds + 1)]
    return torch.cat([after - before for before, after in pairwise(done)], -1)


def _ranks(wh: Tensor, price: Tensor, span: int) -> tuple[Tensor, Tensor]:
    """Rank of each arrival over the whole batch, and the arrival (as a flat index) of each rank.

    Within a book a larger rank is a higher price; at equal prices bids stand above asks, early bids above late ones and
    late asks above early ones. So a bid crosses an ask if its rank is larger, the best bid has the largest rank and
    the best ask the least.
    """
    rows, count = wh.shape
    bits = max(1, (count - 1).bit_length())
    mask = (1 << bits) - 1
    kind = torch.int32 if span.bit_length() + bits + 1 <= 31 else torch.int64
    arrival = torch.arange(count, device=wh.device)
    bid = (wh > 0).to(kind)
    # Arrivals of bids count down: flip their bits.
    late = (bid * mask).bitwise_xor_(arrival.to(kind))
    key = sort_key(price.to(kind).bitwise_left_shift_(1).add_(bid).bitwise_left_shift_(bits).add_(late))
    arrived = ((key & mask) ^ ((key >> bits) & 1) * mask).long()
    start = (torch.arange(rows, device=wh.device) * count)[:, None]
    rank = torch.empty_like(wh).scatter_(-1, arrived, arrival.expand_as(wh))
    return rank + start, (arrived + start).flatten()


def _match(ranks: list[int], sizes: list[int], count: int) -> _Log:
    """Let orders arrive in order, ``count`` per book; sizes in Wh, + buys."""
    left = [0] * len(ranks)
    log = _Log([], [], [])
    arriving, resting, traded = log
    worst_ask, worst_bid = len(ranks), 1
    for start in range(0, len(ranks), count):
        # Heaps of ask ranks and of negative bid ranks; an entry that nothing crosses saves the test for emptiness.
        asks, bids = [worst_ask], [worst_bid]
        for rank, size in zip(ranks[start : start + count], sizes[start : start + count], strict=True):
            if size > 0:
                wh = size
                while (best := asks[0]) < rank:
                    there = left[best]
                    arriving.append(rank)
                    resting.append(best)
                    if there > wh:
                        left[best] = there - wh
                        traded.append(wh)
                        break
                    traded.append(there)
                    heappop(asks)
                    wh -= there
                    if not wh:
                        break
                else:
                    left[rank] = wh
                    heappush(bids, -rank)
            elif size:
                wh = -size
                while (best := -bids[0]) > rank:
                    there = left[best]
                    arriving.append(rank)
                    resting.append(best)
                    if there > wh:
                        left[best] = there - wh
                        traded.append(wh)
                        break
                    traded.append(there)
                    heappop(bids)
                    wh -= there
                    if not wh:
                        break
                else:
                    left[rank] = wh
                    heappush(asks, rank)
    return log


def _settle(log: _Log, arrived: Orders, order: Tensor, position: Tensor, shape: torch.Size, pairs: bool) -> Trades:
    """Totals by trader; ``order`` maps a rank to an arrival, ``position`` [R, C] an arrival to a place in ``shape``."""
    device = position.device
    late, early, wh = (torch.frombuffer(array("q", x or [0]), dtype=torch.int64)[: len(x)].to(device) for x in log)
    row = late // position.shape[-1]
    late, early = order[late], order[early]
    cash = wh * arrived.tick.flatten()[early] * NANO_PER_TICK_WH
    # +1 where the arriving order buys.
    sign = torch.sign(arrived.wh.flatten()[late])
    late, early = position.flatten()[late], position.flatten()[early]
    total = torch.zeros(2, shape.numel(), dtype=torch.int64, device=device)
    for line, amount in zip(total, (wh * sign, cash * sign), strict=True):
        line.scatter_add_(0, late, amount).scatter_add_(0, early, -amount)
    listed = None
    if pairs:
        buys = sign > 0
        first = torch.bincount(row, minlength=shape[0]).cumsum(0).roll(1)
        first[:1] = 0
        slot = row * position.shape[-1] + torch.arange(len(row), device=device) - first[row]
        swap = (late - early) * buys
        fields = (early + swap - row * shape[-1], late - swap - row * shape[-1], wh, cash)
        empty = torch.zeros_like(position).flatten()
        listed = Pairs(*(empty.scatter(0, slot, x).reshape(position.shape) for x in fields))
    return Trades(total[0].reshape(shape), total[1].reshape(shape), listed)


__all__ = ["ContinuousDoubleAuction"]
