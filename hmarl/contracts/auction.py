"""Conformance of an auction, checked on thousands of random books."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from hmarl.contracts.error import ContractError
from retail.auctions import Auction
from retail.auctions.trials import Case, edge_cases, extreme_cases, random_cases
from retail.orders import NANO_PER_TICK_WH, Orders, Trades


def check_auction(auction: Auction, *, books: int = 1000, seed: int = 0, remainder_wh: int | None = None) -> None:
    """Check that an auction keeps the contract of every clearing rule.

    On random books (1 to 1,000 traders, ties, one-sided, idle traders, negative prices) and on the cases that broke
    other simulators: energy and cash sum to exactly 0; nobody trades against its side, more than its order, or at a
    price worse than its limit or, with limits inside the tariff, worse than the tariff; no trade without both sides;
    pairs add up to the totals; a batch gives the same bits as a loop; the order of traders does not matter given their
    arrivals; doubled quantities double trades; inputs stay untouched; extreme sizes are cleared exactly or refused.

    Parameters
    ----------
    auction : Auction
        A frozen dataclass with a method ``clear``. A class attribute ``price_taking = True`` says that it does not look
        at limit prices but sets a price between ``sell`` and ``buy`` itself.
    books : int
        At least so many random books are cleared.
    seed : int
        Of the random books.
    remainder_wh : int Wh, optional
        How far a trade may be off its exact share, since a remainder must go somewhere: 0, or 1 for price takers, when
        absent. Doubled trades may be off by twice as much.

    Raises
    ------
    ContractError
        At the first breach, with a sentence.
    """
    if not (dataclasses.is_dataclass(auction) and type(auction).__dataclass_params__.frozen):
        raise ContractError(f"{type(auction).__name__} is no frozen dataclass.")
    takes = bool(getattr(auction, "price_taking", False))
    slack = int(takes) if remainder_wh is None else remainder_wh
    for case in (*edge_cases(), *extreme_cases()):
        trades = _clear(auction, case)
        if trades is not None:
            _check_outcome(auction, case, trades, takes)
    for case in random_cases(books, seed):
        trades = _clear(auction, case)
        if trades is None:
            continue
        _check_outcome(auction, case, trades, takes)
        _check_rows(auction, case, trades)
        _check_shape(auction, case, trades)
        _check_order(auction, case, trades, slack, seed)
        _check_double(auction, case, trades, 2 * slack)


def _clear(auction: Auction, case: Case) -> Trades | None:
    """Clear with pairs; None if the auction refuses a case that it may refuse."""
    before = [x.clone() for x in case.tensors]
    try:
        trades = auction.clear(case.orders, case.buy, case.sell, case.arrival, True)
    except ValueError as error:
        if case.refusable and len(str(error).split()) > 3:
            return None
        raise ContractError(f"{_name(auction)} refuses {case.name}: {error}") from error
    if not all(torch.equal(x, y) for x, y in zip(before, case.tensors, strict=True)):
        raise ContractError(f"{_name(auction)} changes its inputs in {case.name}; clear must be a pure function.")
    return trades


def _check_outcome(auction: Auction, case: Case, trades: Trades, takes: bool) -> None:
    """Everything that a single outcome shows."""

    def require(holds: Tensor | bool, what: str) -> None:
        if not bool(torch.as_tensor(holds).all()):
            raise ContractError(f"{_name(auction)}, {case.name}: {what}{_where(holds, case, trades)}.")

    wh, tick = case.orders
    for field, value in (("wh", trades.wh), ("cash", trades.cash)):
        require(value.dtype == torch.int64, f"{field} is {value.dtype}, not int64")
        require(value.shape == wh.shape, f"{field} has shape {tuple(value.shape)}, the orders {tuple(wh.shape)}")
        require(value.sum(-1) == 0, f"{field} does not sum to exactly 0")
    require(trades.wh * torch.sign(wh) >= 0, "a trader trades against its own side")
    require(trades.wh.abs() <= wh.abs(), "a trader trades more than its order")
    require((trades.wh != 0) | (trades.cash == 0), "a trader pays without energy")
    one_sided = (wh >= 0).all(-1) | (wh <= 0).all(-1)
    require((trades.wh == 0).all(-1) | ~one_sided, "there is trade without both sides")
    if not takes:
        require(trades.cash <= trades.wh * tick * NANO_PER_TICK_WH, "a price is worse than the limit price")
    tariff = torch.where(wh > 0, case.buy[..., None], case.sell[..., None])
    if takes or case.inside:
        require(trades.cash <= trades.wh * tariff * NANO_PER_TICK_WH, "a trader is worse off than at the tariff")
    _check_pairs(auction, case, trades, takes)


def _check_pairs(auction: Auction, case: Case, trades: Trades, takes: bool) -> None:
    pairs, wh = trades.pairs, case.orders.wh
    if pairs is None:
        raise ContractError(f"{_name(auction)}, {case.name}: pairs=True returns no pairs.")
    if bool((pairs.wh < 0).any()):
        raise ContractError(f"{_name(auction)}, {case.name}: a pair has a negative quantity.")
    real = pairs.wh > 0
    if wh.shape[-1] == 0 or pairs.wh.shape[-1] == 0:
        totals = torch.zeros_like(wh), torch.zeros_like(wh)
    else:
        buyer, seller = (torch.where(real, p, 0) for p in (pairs.buyer, pairs.seller))
        if bool((((wh.gather(-1, buyer) <= 0) | (wh.gather(-1, seller) >= 0)) & real).any()):
            raise ContractError(
                f"{_name(auction)}, {case.name}: in a pair the buyer does not buy or the seller not sell."
            )
        if not takes:
            bid, ask = (case.orders.tick.gather(-1, side) for side in (buyer, seller))
            low, high = (pairs.wh * price * NANO_PER_TICK_WH for price in (ask, bid))
            if bool((((pairs.cash < low) | (pairs.cash > high)) & real).any()):
                raise ContractError(f"{_name(auction)}, {case.name}: a pair trades outside [ask, bid].")
        values = [torch.where(real, x, 0) for x in (pairs.wh, pairs.cash)]
        totals = tuple(  # type: ignore[assignment]
            torch.zeros_like(wh).scatter_add_(-1, buyer, x).scatter_add_(-1, seller, -x) for x in values
        )
    if not (torch.equal(totals[0], trades.wh) and torch.equal(totals[1], trades.cash)):
        raise ContractError(f"{_name(auction)}, {case.name}: the pairs do not add up to the totals of the traders.")


def _check_rows(auction: Auction, case: Case, trades: Trades) -> None:
    """Each book alone, without pairs, gives the same bits as in the batch; and so does the batch once more."""
    for row in range(len(case.buy)):
        arrival = None if case.arrival is None else case.arrival[row]
        alone = auction.clear(_row(case.orders, row), case.buy[row], case.sell[row], arrival, False)
        if not _same(alone, Trades(trades.wh[row], trades.cash[row])):
            raise ContractError(f"{_name(auction)}, {case.name}: book {row} alone clears otherwise than in a batch.")
    if not _same(_again(auction, case, case.orders, case.arrival), trades):
        raise ContractError(f"{_name(auction)}, {case.name}: the same orders clear otherwise the second time.")


def _check_shape(auction: Auction, case: Case, trades: Trades) -> None:
    """A further leading dimension (carriers) changes nothing."""
    arrival = None if case.arrival is None else case.arrival[None]
    orders = Orders(case.orders.wh[None], case.orders.tick[None])
    carrier = auction.clear(orders, case.buy[None], case.sell[None], arrival, False)
    if not _same(carrier, Trades(trades.wh[None], trades.cash[None])):
        raise ContractError(f"{_name(auction)}, {case.name}: orders [1, B, N] clear otherwise than [B, N].")


def _check_order(auction: Auction, case: Case, trades: Trades, slack: int, seed: int) -> None:
    """Traders in another order, with the same arrivals, trade the same."""
    count = case.orders.wh.shape[-1]
    mixed = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    arrival = torch.arange(count).expand_as(case.orders.wh) if case.arrival is None else case.arrival
    orders = Orders(case.orders.wh[..., mixed], case.orders.tick[..., mixed])
    other = _again(auction, case, orders, arrival[..., mixed])
    off = (other.wh - trades.wh[..., mixed]).abs()
    cash = (other.cash != trades.cash[..., mixed]) & (off == 0)
    if bool((off > slack).any()) or (slack == 0 and bool(cash.any())):
        raise ContractError(f"{_name(auction)}, {case.name}: the order of traders matters although arrivals are given.")


def _check_double(auction: Auction, case: Case, trades: Trades, slack: int) -> None:
    """Twice the quantities, twice the trades."""
    twice = _again(auction, case, Orders(2 * case.orders.wh, case.orders.tick), case.arrival)
    off = (twice.wh - 2 * trades.wh).abs()
    cash = (twice.cash != 2 * trades.cash) & (twice.wh == 2 * trades.wh)
    if bool((off > slack).any()) or bool(cash.any()):
        raise ContractError(
            f"{_name(auction)}, {case.name}: twice the quantities do not trade twice as much "
            f"(off by {int(off.max())} Wh, at most {slack})."
        )


def _again(auction: Auction, case: Case, orders: Orders, arrival: Tensor | None) -> Trades:
    return auction.clear(orders, case.buy, case.sell, arrival, False)


def _row(orders: Orders, row: int) -> Orders:
    return Orders(orders.wh[row], orders.tick[row])


def _same(a: Trades, b: Trades) -> bool:
    return torch.equal(a.wh, b.wh) and torch.equal(a.cash, b.cash)


def _name(auction: Any) -> str:
    return type(auction).__name__


def _where(holds: Tensor | bool, case: Case, trades: Trades) -> str:
    """First book that breaks a rule, shown if it is small."""
    if not isinstance(holds, Tensor) or case.orders.wh.shape[-1] > 12 or trades.wh.shape != case.orders.wh.shape:
        return ""
    row = int((~holds.reshape(len(case.buy), -1)).any(-1).nonzero()[0])
    parts = [x[row].tolist() for x in (*case.orders, trades.wh, trades.cash)]
    return " in the book wh {}, tick {}: traded wh {}, cash {}".format(*parts)
