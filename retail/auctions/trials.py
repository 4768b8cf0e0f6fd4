"""Order books to try an auction on: those that broke other simulators, extreme and random ones."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from retail.orders import Orders

SIZES = (1, 2, 3, 5, 8, 12, 31, 100, 300, 1000)
"""Traders of the random books."""


class Case(NamedTuple):
    """Some books of one size to clear.

    Attributes
    ----------
    name : str
        What a message calls it.
    orders : Orders [B, N]
        Wh and ticks.
    buy, sell : Tensor [B] int64 ticks
        Tariff.
    arrival : Tensor [B, N] int64 or None
        Order of arrival.
    inside : bool
        Whether all limit prices lie between ``sell`` and ``buy``.
    refusable : bool
        Whether an auction may refuse it with a sentence (negative tariffs, extreme sizes).
    """

    name: str
    orders: Orders
    buy: Tensor
    sell: Tensor
    arrival: Tensor | None
    inside: bool
    refusable: bool

    @property
    def tensors(self) -> list[Tensor]:
        """Every input that must stay as it is."""
        return [*self.orders, self.buy, self.sell, *([] if self.arrival is None else [self.arrival])]


# Name, wh, tick; the tariff is 30 / 10 ticks.
_EDGES: tuple[tuple[str, list[int], list[int]], ...] = (
    ("no sellers", [5, 7, 1], [20, 30, 10]),
    ("no buyers", [-5, -7, -1], [20, 30, 10]),
    ("nobody", [], []),
    ("one trader alone", [5], [20]),
    ("zero quantities", [0, 0, 0], [30, 10, 20]),
    ("zero quantities beside orders", [0, 5, 0, -5, 0], [30, 25, 10, 15, 20]),
    ("an exact match of quantities", [5, -5], [25, 15]),
    ("an exact match of several", [5, 3, -4, -4], [25, 25, 15, 15]),
    ("a match at equal prices", [5, -5], [20, 20]),
    ("equal bids", [5, 5, 5, -7], [20, 20, 20, 15]),
    ("equal asks", [-5, -5, -5, 7], [15, 15, 15, 20]),
    ("nobody crosses", [5, -5], [19, 20]),
    ("unresponsive buyers", [50, 70, -5, -6], [30, 30, 12, 29]),
    ("unresponsive sellers", [5, 6, -50, -70], [12, 29, 10, 10]),
    ("unresponsive sides", [50, 70, -60, -60], [30, 30, 10, 10]),
    ("a partial fill", [10, -3, -3], [25, 15, 16]),
    ("residuals on both sides", [10, 1, -3, -20], [25, 11, 15, 24]),
    ("one Wh to share", [1, -1, -1, -1, -1], [30, 10, 10, 10, 10]),
    ("one Wh among many buyers", [1, 1, 1, 1, -1], [30, 30, 30, 30, 10]),
)


def edge_cases() -> Iterator[Case]:
    """Small books from the error reports of other simulators.

    Yields
    ------
    Case
        One book each, first without, then with an order of arrival; negative tariffs last.
    """
    for name, wh, tick in _EDGES:
        yield _case(name, wh, tick, 30, 10, None)
        yield _case(f"{name}, last come first", wh, tick, 30, 10, list(range(len(wh)))[::-1])
    book = [7, 2, -4, -4]
    yield _case("equal tariffs", book, [10, 10, 10, 10], 10, 10, None)
    yield _case("a feed-in price of 0", book, [30, 20, 0, 5], 30, 0, None)
    yield _case("a tariff of 0", book, [0, 0, 0, 0], 0, 0, None)
    yield _case("negative feed-in price", book, [30, 20, -10, 5], 30, -10, None, refusable=True)
    yield _case("negative prices", book, [-5, -10, -30, -7], -5, -30, None, refusable=True)
    yield _case("no gain from trade", book, [10, 10, 30, 30], 10, 30, None, inside=False)


def extreme_cases() -> Iterator[Case]:
    """Sizes and prices at and beyond what an int64 holds: cleared exactly, or refused with a sentence.

    Yields
    ------
    Case
        One book each.
    """
    most = 2**31 - 1
    for wh in ([most, -1], [1, -most], [most, -most], [2**40, -(2**40)], [2**62, -(2**62)]):
        yield _case(f"extreme sizes {wh}", wh, [30_000, 4_000], 30_000, 4_000, None, refusable=True)
    for tick in (2**33 - 1, 2**33, 2**45, 2**62):
        yield _case(f"extreme price {tick}", [5, -5], [tick, 1], tick, 1, None, refusable=True)
    yield _case("extreme sizes and prices", [most, -most], [2**33 - 1, 1], 2**33 - 1, 1, None, refusable=True)


def random_cases(books: int, seed: int) -> Iterator[Case]:
    """Random books: many ties or none, both sides or one, idle traders, limits inside the tariff or of any sign.

    Parameters
    ----------
    books : int
        At least so many; three quarters of them have 12 traders or fewer.
    seed : int
        Of the generator.

    Yields
    ------
    Case
        Books of one size and kind.
    """
    source = torch.Generator().manual_seed(seed)
    kinds = [(span, price) for span in (3, 3_000) for price in ("inside", "few", "wide")]
    for traders in SIZES:
        share = 0.125 if traders <= 12 else 0.0625
        count = ceil(books * share / len(kinds))
        for span, price in kinds:
            yield _random(count, traders, span, price, source)


def _random(count: int, traders: int, span: int, price: str, source: torch.Generator) -> Case:
    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape or (count, traders), generator=source)

    wh = draw(-span, span + 1) * (draw(0, 8) > 0)
    # A few books have one side only.
    wh = torch.where(draw(0, 8, count, 1) == 0, wh.abs(), torch.where(draw(0, 8, count, 1) == 0, -wh.abs(), wh))
    sell = draw(0, 10_000, count)
    buy = sell + draw(0, 30_000, count) * (draw(0, 8, count) > 0)
    if price == "inside":
        tick = sell[:, None] + (torch.rand(count, traders, generator=source) * (buy - sell + 1)[:, None]).long()
    else:
        tick = draw(-3, 4) if price == "few" else draw(-50_000, 50_000)
    arrival = torch.rand(count, traders, generator=source).argsort(-1)
    name = f"{count} random books of {traders} traders, up to {span} Wh, limit prices {price}"
    return Case(name, Orders(wh, tick), buy, sell, arrival, price == "inside", False)


def _case(
    name: str,
    wh: list[int],
    tick: list[int],
    buy: int,
    sell: int,
    arrival: list[int] | None,
    *,
    inside: bool = True,
    refusable: bool = False,
) -> Case:
    def row(values: list[int]) -> Tensor:
        return torch.tensor([values], dtype=torch.int64)

    tariff = torch.tensor([buy]), torch.tensor([sell])
    order = None if arrival is None else row(arrival)
    return Case(f"the case of {name}", Orders(row(wh), row(tick)), *tariff, order, inside, refusable)


__all__ = ["SIZES", "Case", "edge_cases", "extreme_cases", "random_cases"]
