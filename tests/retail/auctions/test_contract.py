"""The public contract suite: every rule of the table keeps it, and every kind of broken rule is caught."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from hmarl.contracts import ContractError, check_auction
from retail import AUCTIONS, auction
from retail.auctions import book
from retail.auctions.double_auction import DoubleAuction
from retail.auctions.mid_market_rate import MidMarketRate
from retail.auctions.trials import SIZES, random_cases
from retail.orders import Orders, Trades


@pytest.mark.parametrize("few", [0, 4096])
@pytest.mark.parametrize("name", AUCTIONS)
def test_every_rule_keeps_the_contract(name, few, monkeypatch):
    monkeypatch.setattr(book, "FEW_ORDERS", few)
    check_auction(auction(name), books=1000, seed=3)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("da", {"price": "uniform"}),
        ("da", {"price": "uniform", "k": 0.0}),
        ("da", {"price": "uniform", "k": 0.37}),
        ("da", {"price": "uniform", "k": 1.0}),
        ("sdr", {"floor": 500}),
        ("sdr-da", {"floor": 500}),
    ],
)
def test_and_so_do_their_options(name, parameters):
    check_auction(auction(name, **parameters), books=1000)


def test_the_books_are_of_every_kind():
    cases = list(random_cases(1000, 0))
    assert sum(len(case.buy) for case in cases) >= 1000
    assert {case.orders.wh.shape[-1] for case in cases} == set(SIZES)
    assert min(int(case.orders.tick.min()) for case in cases) < 0
    one_sided = sum(int(((case.orders.wh >= 0).all(-1) | (case.orders.wh <= 0).all(-1)).sum()) for case in cases)
    assert one_sided > 50


def spoiled(change, base=DoubleAuction, takes=False, looks=False):
    """A double auction whose outcome is changed afterwards."""

    @dataclass(frozen=True)
    class Broken:
        price_taking: ClassVar[bool] = takes

        def clear(self, orders, buy, sell, arrival=None, pairs=False):
            if looks:
                return change(base(), orders, buy, sell, arrival, pairs)
            return change(base().clear(orders, buy, sell, arrival, pairs), orders)

    return Broken()


def only_first_pays(trades, orders):
    cash = trades.cash.clone()
    cash[..., :1] += 1
    return trades._replace(cash=cash)


def as_float(trades, orders):
    return trades._replace(cash=trades.cash.double())


def turned(trades, orders):
    return Trades(-trades.wh, -trades.cash, trades.pairs)


def dear(trades, orders):
    return trades._replace(cash=trades.cash * 2)


def without_pairs(trades, orders):
    return trades._replace(pairs=None)


def wrong_pairs(trades, orders):
    if trades.pairs is None:
        return trades
    return trades._replace(pairs=trades.pairs._replace(buyer=trades.pairs.seller, seller=trades.pairs.buyer))


def impure(trades, orders):
    orders.tick.add_(1)
    return trades


def by_position(rule, orders, buy, sell, arrival, pairs):
    return rule.clear(orders, buy, sell, None, pairs)


def by_batch(rule, orders, buy, sell, arrival, pairs):
    if orders.wh.dim() > 1 and len(orders.wh) > 1:
        return rule.clear(orders, buy, sell, arrival, pairs)
    return rule.clear(Orders(orders.wh // 2, orders.tick), buy, sell, arrival, pairs)


def nothing_small(rule, orders, buy, sell, arrival, pairs):
    wh = torch.sign(orders.wh) * (orders.wh.abs() - orders.wh.abs() % 10)
    return rule.clear(Orders(wh, orders.tick), buy, sell, arrival, pairs)


def refuses(rule, orders, buy, sell, arrival, pairs):
    raise ValueError("no")


def dear_in_a_corner(rule, orders, buy, sell, arrival, pairs):
    return rule.clear(orders, buy + 4 * (buy - sell), sell, arrival, pairs)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (spoiled(only_first_pays), "cash does not sum to exactly 0"),
        (spoiled(as_float), "cash is torch.float64, not int64"),
        (spoiled(turned), "against its own side"),
        (spoiled(dear), "worse than the limit price"),
        (spoiled(without_pairs), "returns no pairs"),
        (spoiled(wrong_pairs), "the buyer does not buy"),
        (spoiled(impure), "changes its inputs"),
        (spoiled(by_position, looks=True), "the order of traders matters"),
        (spoiled(by_batch, looks=True), "otherwise than in a batch"),
        (spoiled(nothing_small, looks=True), "twice the quantities"),
        (spoiled(refuses, looks=True), "refuses the case of no sellers"),
        (spoiled(dear_in_a_corner, MidMarketRate, takes=True, looks=True), "worse off than at the tariff"),
        (spoiled(by_position, MidMarketRate, looks=True), "worse than the limit price"),
    ],
)
def test_broken_rules_are_caught_with_a_sentence(broken, message):
    with pytest.raises(ContractError, match=message):
        check_auction(broken)


def test_a_rule_must_be_a_frozen_dataclass():
    class Loose:
        clear = DoubleAuction.clear

    with pytest.raises(ContractError, match="no frozen dataclass"):
        check_auction(Loose())


def test_a_breach_shows_its_book():
    with pytest.raises(
        ContractError, match=r"in the book wh \[0, 5, 0, -5, 0\], tick .* cash \[0, 2000, 0, -2000, 0\]"
    ):
        check_auction(spoiled(dear))


def test_trades_without_both_sides_are_caught():
    def alone(trades, orders):
        return trades._replace(wh=orders.wh)

    with pytest.raises(ContractError, match="wh does not sum to exactly 0 in the book"):
        check_auction(spoiled(alone))
