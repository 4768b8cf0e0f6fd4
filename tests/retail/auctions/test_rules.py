"""What each rule says in its source: prices, shares, bills, refusals."""

import numpy as np
import pytest
import torch

from hmarl.study_file import plugins
from retail import AUCTIONS, Orders, auction
from retail.auctions import book, chunks
from retail.auctions.limits import AuctionError, extent
from retail.auctions.pro_rata import share_out

DOLLAR_PER_TICK = 1e-5


def to(x):
    return torch.tensor(np.asarray(x), dtype=torch.int64)


def clear(rule, wh, buy, sell, tick=None, arrival=None, pairs=False):
    orders = Orders(to(wh), to(np.zeros_like(wh) if tick is None else tick))
    return rule.clear(orders, to(buy), to(sell), None if arrival is None else to(arrival), pairs)


def bills(wh, trades, buy, sell):
    """Cash inside and the rest at the tariff, $."""
    rest = (np.asarray(wh) - trades.wh.numpy()) / 1000
    grid = np.maximum(rest, 0) * buy * DOLLAR_PER_TICK + np.minimum(rest, 0) * sell * DOLLAR_PER_TICK
    return trades.cash.numpy() / 1e9 + grid


def blended(name, demand, supply, buy, sell):
    """Import and export price with the leftovers inside, $/kWh: algorithms.md, section 2."""
    b, s = buy * DOLLAR_PER_TICK, sell * DOLLAR_PER_TICK
    mid = (b + s) / 2
    if name == "mmr":
        if supply > demand:
            return mid, (demand * mid + (supply - demand) * s) / supply
        return (supply * mid + (demand - supply) * b) / demand, mid
    x = supply / demand
    if x > 1:
        # p_sell = p_buy = s
        return s, s
    inside = b * s / ((b - s) * x + s) if name == "sdr" else s * x + b * (1 - x)
    return inside * x + b * (1 - x), inside


@pytest.mark.parametrize("name", ["mmr", "sdr", "sdr-linear"])
def test_bills_equal_the_blended_prices_of_the_source(name):
    """To 1e-6 $ where the shares are whole Wh; the community as a whole always."""
    rng = np.random.default_rng(1)
    for number in range(300):
        n, whole = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        # Each side has n orders of one size, so shares of the long side are whole Wh where `whole` divides.
        long, short = 60 * whole * int(rng.integers(1, 7)), 60 * int(rng.integers(1, 7))
        sign = 1 if number % 2 else -1
        wh = np.array([sign * long] * n + [-sign * short] * n)
        buy, sell = int(rng.integers(15_000, 40_000)), int(rng.integers(1, 15_000))
        trades = clear(auction(name), wh, buy, sell)
        assert len(set(trades.wh[:n].tolist())) == len(set(trades.wh[n:].tolist())) == 1
        demand, supply = wh[wh > 0].sum(), -wh[wh < 0].sum()
        p_buy, p_sell = blended(name, demand, supply, buy, sell)
        expected = np.where(wh > 0, p_buy, p_sell) * wh / 1000
        assert np.abs(bills(wh, trades, buy, sell) - expected).max() < 1e-6


@pytest.mark.parametrize("name", ["mmr", "sdr", "sdr-linear"])
def test_bills_of_uneven_books_are_off_by_one_wh_at_most(name):
    rng = np.random.default_rng(2)
    for _ in range(200):
        wh = rng.integers(-3000, 3000, int(rng.integers(2, 40)))
        if not (wh > 0).any() or not (wh < 0).any():
            continue
        buy, sell = int(rng.integers(15_000, 40_000)), int(rng.integers(1, 15_000))
        trades = clear(auction(name), wh, buy, sell, arrival=rng.permutation(len(wh)))
        p_buy, p_sell = blended(name, wh[wh > 0].sum(), -wh[wh < 0].sum(), buy, sell)
        expected = np.where(wh > 0, p_buy, p_sell) * wh / 1000
        off = bills(wh, trades, buy, sell) - expected
        # 1 Wh of the spread, and half a nano-currency per Wh of price rounding.
        assert np.abs(off).max() < (buy - sell) * 1e-8 + 0.5e-9 * np.abs(wh).max() + 1e-9
        net = wh.sum() / 1000
        assert abs(bills(wh, trades, buy, sell).sum() - (net * (buy if net > 0 else sell) * DOLLAR_PER_TICK)) < 1e-9


@pytest.mark.parametrize("name", AUCTIONS)
def test_the_sum_of_bills_does_not_depend_on_the_internal_price(name):
    """Energy traded inside is what the community saves at the grid; its price moves money between members only."""
    rng = np.random.default_rng(3)
    wh = rng.integers(-3000, 3000, (50, 30))
    tick = rng.integers(4000, 30_001, (50, 30))
    trades = clear(auction(name), wh, np.full(50, 30_000), np.full(50, 4000), tick)
    saved = trades.wh.numpy().clip(min=0).sum(-1) / 1000 * (30_000 - 4000) * DOLLAR_PER_TICK
    alone = (np.maximum(wh, 0) * 30_000 + np.minimum(wh, 0) * 4000).sum(-1) / 1000 * DOLLAR_PER_TICK
    assert np.abs(bills(wh, trades, 30_000, 4000).sum(-1) - (alone - saved)).max() < 1e-9


@pytest.mark.parametrize("name", ["mmr", "sdr", "sdr-linear", "sdr-da"])
def test_price_takers_do_not_look_at_limits(name):
    wh, extreme = [500, 700, -300, -100], [-9, 10**6, 5, -(10**6)]
    a, b = clear(auction(name), wh, 30_000, 4000), clear(auction(name), wh, 30_000, 4000, extreme)
    assert torch.equal(a.wh, b.wh)
    assert torch.equal(a.cash, b.cash)
    assert auction(name).price_taking
    assert a.wh.clamp(min=0).sum() == 400


@pytest.mark.parametrize("name", ["mmr", "sdr", "sdr-linear"])
def test_twice_the_quantities_are_off_their_share_by_less_than_one(name):
    rng = np.random.default_rng(4)
    for _ in range(100):
        wh = 2 * rng.integers(-30, 31, 9)
        demand, supply = np.clip(wh, 0, None).sum(), -np.clip(wh, None, 0).sum()
        cut = min(demand, supply) / np.where(wh > 0, max(demand, 1), max(supply, 1))
        trades = clear(auction(name), wh, 30_000, 4000, arrival=rng.permutation(9))
        assert np.abs(trades.wh.numpy() - wh * cut).max() < 1


def test_the_last_wh_goes_by_arrival_not_by_position():
    who = set()
    for shift in range(5):
        arrival = [(i + shift) % 5 for i in range(5)]
        trades = clear(auction("mmr"), [1, 1, 1, 1, -1], 30, 10, arrival=arrival)
        who.add(trades.wh.tolist().index(1))
    assert who == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["sdr", "sdr-da"])
def test_negative_feed_in_prices_are_refused(name):
    with pytest.raises(AuctionError, match=r"feed-in price is -3 ticks .* below 0; use mmr, sdr-linear"):
        clear(auction(name), [[5, -5], [5, -5]], [30, 30], [0, -3])


@pytest.mark.parametrize("name", ["mmr", "sdr-linear", "da", "cda"])
def test_negative_prices_are_fine_elsewhere(name):
    trades = clear(auction(name), [5, -5], -10, -30, [-12, -20])
    assert trades.wh.tolist() == [5, -5]
    assert trades.cash[0] < 0


def test_a_feed_in_price_of_zero_counts_as_the_floor():
    # x = 1/2: b s / ((b - s) x + s) with b = 30000 and s = 1, then 5000.
    for floor, price in ((1, 19.99933), (5000, 85_714)):
        cash = clear(auction("sdr", floor=floor), [1000, -500], 30_000, 0).cash[0]
        assert int(cash) == 500 * round(price)
    assert clear(auction("sdr", floor=5000), [5, -5], 3, 0).cash.tolist() == [150, -150]  # never above the buy price
    assert clear(auction("sdr"), [5, -5], 0, 0).cash.tolist() == [0, 0]
    nobody_sells = clear(auction("sdr"), [5, 5], 30, 0)
    assert nobody_sells.wh.tolist() == [0, 0]


def test_sdr_with_prices_too_large_for_one_product_stays_exact():
    buy, sell, wh = 2**32 - 7, 2**31 + 3, [10**8, -(10**8) // 3]
    cash = clear(auction("sdr"), wh, buy, sell).cash.tolist()
    x = 33_333_334, 10**8
    above = 10 * buy * sell * x[1]
    below = (buy - sell) * x[0] + sell * x[1]
    assert cash == [33_333_334 * ((2 * above + below) // (2 * below)), -cash[0]]


def test_the_price_adviser_differs_from_pure_sdr():
    wh, arrival = [600, 600, -600], [1, 0, 2]
    pure, advised = (clear(auction(name), wh, 30_000, 10_000, arrival=arrival) for name in ("sdr", "sdr-da"))
    assert pure.wh.tolist() == [300, 300, -600]  # in proportion
    assert advised.wh.tolist() == [0, 600, -600]  # first come, first served
    # ISP = 15000, IBP = 15000 / 2 + 30000 / 2.
    assert int(pure.cash[2]) == -600 * 150_000
    assert int(advised.cash[2]) == -600 * 10 * (15_000 + 22_500) // 2


def test_uniform_price_is_that_of_the_marginal_pair():
    wh, tick = [5, 5, 5, -5, -5, -5], [30, 26, 11, 10, 21, 29]
    for k, price in ((0, 21), (0.5, 23.5), (1, 26)):
        trades = clear(auction("da", price="uniform", k=k), wh, 0, 0, tick, pairs=True)
        assert trades.wh.tolist() == [5, 5, 0, -5, -5, 0]
        assert trades.cash.tolist() == [50 * price, 50 * price, 0, -50 * price, -50 * price, 0]


def test_the_resting_order_makes_the_price():
    wh, tick = [5, -5], [30, 10]
    assert clear(auction("cda"), wh, 0, 0, tick, [0, 1]).cash[0] == 5 * 10 * 30
    assert clear(auction("cda"), wh, 0, 0, tick, [1, 0]).cash[0] == 5 * 10 * 10


def test_price_then_time_and_partial_fills():
    wh, tick = [-4, -4, -4, 6, 6], [20, 15, 15, 25, 25]
    trades = clear(auction("cda"), wh, 0, 0, tick, [0, 2, 1, 3, 4], pairs=True)
    listed = [row for row in zip(*(x.tolist() for x in trades.pairs), strict=True) if row[2]]
    assert listed == [(3, 2, 4, 600), (3, 1, 2, 300), (4, 1, 2, 300), (4, 0, 4, 800)]


def test_rounds_bring_orders_in_parts():
    wh, tick, arrival = [4, -4, -4], [20, 10, 10], [2, 0, 1]
    assert clear(auction("cda"), wh, 0, 0, tick, arrival).wh.tolist() == [4, -4, 0]
    # Round 1: 2 of the first ask; round 2: what rests of the second ask came before the rest of the first.
    assert clear(auction("cda", rounds=2), wh, 0, 0, tick, arrival).wh.tolist() == [4, -2, -2]


@pytest.mark.parametrize("name", AUCTIONS)
def test_chunks_and_widths_change_no_bit(name, monkeypatch):
    rng = np.random.default_rng(6)
    wh, tick = rng.integers(-3000, 3000, (40, 50)), rng.integers(-500, 500, (40, 50))
    arrival = np.argsort(rng.random((40, 50)), -1)
    buy, sell = np.full(40, 400), rng.integers(0, 400, 40)
    rule = auction(name)
    first = clear(rule, wh, buy, sell, tick, arrival, True)
    # Few orders are int64; now int32 where prices are near. One row with far prices makes every key an int64.
    monkeypatch.setattr(book, "FEW_ORDERS", 0)
    narrow = clear(rule, wh, buy, sell, tick, arrival, True)
    far = tick.copy()
    far[0, 0] = 2**32
    wide = clear(rule, wh, buy, sell, far, arrival, True)
    carriers = clear(rule, wh.reshape(2, 20, 50), buy.reshape(2, 20), sell.reshape(2, 20), tick.reshape(2, 20, 50),
                     arrival.reshape(2, 20, 50), True)  # fmt: skip
    monkeypatch.setattr(chunks.in_chunks, "__defaults__", (False, 120))
    small = clear(rule, wh, buy, sell, tick, arrival, True)
    for a, b, c, d, e in zip(*((x.wh, x.cash, *x.pairs) for x in (first, wide, carriers, small, narrow)), strict=True):
        assert torch.equal(a[1:], b[1:])
        assert torch.equal(a, e)
        assert torch.equal(a, c.reshape(a.shape))
        assert torch.equal(a, d)


@pytest.mark.parametrize("name", AUCTIONS)
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4), (1,), (2, 1), (2, 3, 4)])
def test_any_shape(name, shape):
    zero = np.zeros(shape, dtype=int)
    trades = clear(auction(name), zero, zero.sum(-1) + 30, zero.sum(-1) + 10, pairs=True)
    assert trades.wh.shape == trades.cash.shape == shape
    assert not trades.wh.any()
    assert clear(auction(name), zero, 30, 10).wh.shape == shape  # one tariff for all


def test_shares_of_the_largest_books_are_those_of_exact_integers():
    rng = np.random.default_rng(11)
    for bits in (20, 25, 26, 30):  # from 2^26 Wh on a product no longer fits a double
        for _ in range(40):
            whole = (1 << bits) - int(rng.integers(1, 1000))
            weight = rng.multinomial(whole, rng.dirichlet(np.full(40, 0.3)))
            total = whole - int(rng.integers(1, 1000))
            running = np.cumsum(weight).tolist()
            down = [r * total // whole for r in running]
            expected = np.diff([0, *down]).tolist()
            assert share_out(to(weight), to([total]), None).tolist() == expected


def test_shares_are_whole_and_sum_to_the_total():
    rng = np.random.default_rng(7)
    for _ in range(300):
        weight, total = rng.integers(0, 50, 7), int(rng.integers(-(10**15), 10**15))
        share = share_out(to(weight), to([total]), to(rng.permutation(7))).tolist()
        if weight.sum() == 0:
            assert share == [0] * 7
            continue
        assert sum(share) == total
        for w, s in zip(weight.tolist(), share, strict=True):
            assert abs(s * int(weight.sum()) - w * total) < int(weight.sum())


@pytest.mark.parametrize(
    ("wh", "tick", "message"),
    [
        ([2**30, 2**30, -1], [1, 1, 1], "Orders of 2147483649 Wh in one book; at most 2147483647 Wh"),
        ([2**30, -(2**29)], [2**33 - 1, 0], "worth more than"),
        ([1, -1], [2**33, 0], "A limit price of 8589934592 ticks"),
    ],
)
def test_numbers_that_int64_cannot_hold_are_refused(wh, tick, message):
    for name in ("da", "cda"):
        with pytest.raises(AuctionError, match=message):
            clear(auction(name), wh, 0, 0, tick)


def test_too_many_traders_are_refused():
    with pytest.raises(AuctionError, match="1048577 traders in one auction; at most 1048576"):
        extent(torch.zeros((1 << 20) + 1, dtype=torch.int64), to([0]))
    with pytest.raises(AuctionError, match="use fewer rounds"):
        clear(auction("cda", rounds=2**29), [1, -1], 0, 0, [2**33 - 1, -(2**33) + 1])


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("da", {"price": "mid"}, "price"),
        ("da", {"k": 1.5}, "k"),
        ("cda", {"rounds": 0}, "rounds"),
        ("sdr", {"floor": 0}, "floor"),
        ("sdr-da", {"floor": -2}, "floor"),
    ],
)
def test_wrong_parameters_are_named(name, parameters, message):
    with pytest.raises(ValueError, match=f"{message} is .*it must be"):
        auction(name, **parameters)


@pytest.mark.parametrize("name", AUCTIONS)
def test_every_rule_names_its_source(name):
    assert name == "none" or plugins.source("auctions", name)
