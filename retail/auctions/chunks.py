"""Large batches in chunks of rows whose temporaries stay in the processor's cache: faster, the same bits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from retail.auctions.limits import check_arrival
from retail.orders import Orders, Pairs, Trades

ORDERS_PER_CHUNK = 1 << 16

Rows = Callable[[Orders, Tensor, Tensor, Tensor | None, bool], Trades]
"""Clears books of shape [R, N] with prices [R, 1]."""


def in_chunks(
    clear: Rows,
    orders: Orders,
    buy: Tensor,
    sell: Tensor,
    arrival: Tensor | None,
    pairs: bool = False,
    at_most: int = ORDERS_PER_CHUNK,
) -> Trades:
    """Clear books of any leading shape by rows of N orders.

    Parameters
    ----------
    clear : callable
        Clears orders [R, N] with prices [R, 1].
    orders : Orders [..., N]
        Wh and ticks.
    buy, sell : Tensor [...] int64 ticks
        Outside options.
    arrival : Tensor [..., N] int64, optional
        Order of arrival, refused if it is no permutation of 0..N-1.
    pairs : bool
        Also return who traded with whom.
    at_most : int
        Orders in a chunk, but always one book at least.

    Returns
    -------
    Trades
        [..., N], Wh and nano-currency.
    """
    shape = orders.wh.shape
    rows, traders = shape[:-1].numel(), shape[-1]
    if rows * traders == 0:
        none = orders.wh.new_zeros(shape)
        return Trades(none, none.clone(), Pairs(none, none, none, none) if pairs else None)
    wh, tick = (_rows(x, shape, rows, traders) for x in orders)
    buy, sell = (_rows(x, shape[:-1], rows, 1) for x in (buy, sell))
    order = None if arrival is None else _rows(arrival, shape, rows, traders)
    if order is not None:
        check_arrival(order)
    # An accelerator wants everything at once.
    step = max(1, at_most // traders) if wh.device.type == "cpu" else rows
    if rows <= step:
        done = [clear(Orders(wh, tick), buy, sell, order, pairs)]
    else:
        done = [
            clear(Orders(wh[r], tick[r]), buy[r], sell[r], None if order is None else order[r], pairs)
            for r in (slice(start, start + step) for start in range(0, rows, step))
        ]
    cleared, cash = (_join(parts, shape) for parts in ([x.wh for x in done], [x.cash for x in done]))
    listed = [trades.pairs for trades in done if trades.pairs is not None]
    found = Pairs(*(_join([p[field] for p in listed], shape) for field in range(4))) if listed else None
    return Trades(cleared, cash, found)


def _rows(x: Tensor, shape: torch.Size, rows: int, width: int) -> Tensor:
    if x.shape != shape:
        x = x.expand(shape)
    return x if x.shape == (rows, width) else x.reshape(rows, width)


def _join(parts: list[Tensor], shape: torch.Size) -> Tensor:
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    return whole if len(shape) == 2 else whole.reshape(*shape[:-1], whole.shape[-1])


__all__ = ["ORDERS_PER_CHUNK", "in_chunks"]
