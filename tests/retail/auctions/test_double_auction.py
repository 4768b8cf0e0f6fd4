"""The batched double auction against the shortest obviously right one, pair by pair."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retail import Orders, auction
from retail.auctions.limits import MAX_TICK, AuctionError


def oracle(wh, tick, arrival):
    """Sort both sides by price and arrival, match heads for the smaller quantity at the mid price."""
    bids = sorted((i for i in range(len(wh)) if wh[i] > 0), key=lambda i: (-tick[i], arrival[i]))
    asks = sorted((i for i in range(len(wh)) if wh[i] < 0), key=lambda i: (tick[i], arrival[i]))
    left = [abs(q) for q in wh]
    pairs = []
    while bids and asks and tick[bids[0]] >= tick[asks[0]]:
        b, a = bids[0], asks[0]
        q = min(left[b], left[a])
        pairs.append((b, a, q, q * (tick[b] + tick[a]) * 5))
        left[b] -= q
        left[a] -= q
        if left[b] == 0:
            bids.pop(0)
        if left[a] == 0:
            asks.pop(0)
    return pairs


def totals(pairs, traders):
    wh, cash = [0] * traders, [0] * traders
    for b, a, q, c in pairs:
        wh[b] += q
        wh[a] -= q
        cash[b] += c
        cash[a] -= c
    return wh, cash


def clear(wh, tick, arrival, pairs=True):
    to = lambda x: torch.tensor(x, dtype=torch.int64)  # noqa: E731
    return auction("da").clear(Orders(to(wh), to(tick)), to(0), to(0), None if arrival is None else to(arrival), pairs)


def listed(trades):
    rows = zip(*(x.tolist() for x in trades.pairs), strict=True)
    return [r for r in rows if r[2] > 0]


@st.composite
def books(draw):
    traders = draw(st.integers(1, 12))
    few = st.integers(-3, 3)  # ties in quantity and price on purpose
    many = st.integers(-5000, 5000)
    wh = draw(st.lists(st.one_of(few, many), min_size=traders, max_size=traders))
    tick = draw(st.lists(st.one_of(few, many), min_size=traders, max_size=traders))
    arrival = draw(st.permutations(range(traders)))
    return wh, tick, list(arrival)


@settings(max_examples=400, deadline=None)
@given(books())
def test_equals_the_oracle_pair_by_pair(book):
    wh, tick, arrival = book
    trades = clear(wh, tick, arrival)
    expected = oracle(wh, tick, arrival)
    assert listed(trades) == expected
    assert (trades.wh.tolist(), trades.cash.tolist()) == totals(expected, len(wh))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 5))
def test_batch_equals_loop_bit_by_bit(seed, traders, batch):
    rng = np.random.default_rng(seed)
    wh = rng.integers(-4, 5, (batch, traders)) * rng.integers(0, 900, (batch, traders))
    tick = rng.integers(-50, 50, (batch, traders))
    arrival = rng.random((batch, traders)).argsort(-1)
    together = clear(wh, tick, arrival)
    for row in range(batch):
        alone = clear(wh[row], tick[row], arrival[row])
        assert torch.equal(together.wh[row], alone.wh)
        assert torch.equal(together.cash[row], alone.cash)
    assert together.wh.sum(-1).abs().max() == 0
    assert together.cash.sum(-1).abs().max() == 0


@settings(max_examples=100, deadline=None)
@given(books())
def test_limits_hold_and_doubling_doubles(book):
    wh, tick, arrival = (np.array(x) for x in book)
    trades = clear(wh, tick, arrival)
    traded, cash = trades.wh.numpy(), trades.cash.numpy()
    assert (np.sign(traded) * np.sign(wh) >= 0).all()
    assert (np.abs(traded) <= np.abs(wh)).all()
    assert (cash <= traded * tick * 10).all()  # a buyer pays at most its bid, a seller gets at least its ask
    twice = clear(2 * wh, tick, arrival)
    assert torch.equal(twice.wh, 2 * trades.wh)
    assert torch.equal(twice.cash, 2 * trades.cash)


@settings(max_examples=100, deadline=None)
@given(books(), st.randoms(use_true_random=False))
def test_order_of_rows_is_irrelevant_given_arrivals(book, random):
    wh, tick, arrival = (np.array(x) for x in book)
    shuffle = list(range(len(wh)))
    random.shuffle(shuffle)
    a, b = clear(wh, tick, arrival), clear(wh[shuffle], tick[shuffle], arrival[shuffle])
    assert torch.equal(a.wh[shuffle], b.wh)
    assert torch.equal(a.cash[shuffle], b.cash)


@pytest.mark.parametrize(
    ("wh", "tick", "expected"),
    [
        ([5, 7], [10, 10], [0, 0]),  # no sellers
        ([-5, -7], [10, 10], [0, 0]),  # no buyers
        ([5, -5], [10, 10], [5, -5]),  # exact match, equal prices
        ([5, -5], [9, 10], [0, 0]),  # nobody crosses
        ([0, 0], [10, 0], [0, 0]),  # nobody comes
        ([5], [10], [0]),  # alone
        ([5, -3, 0], [-1, -2, 7], [3, -3, 0]),  # negative prices
    ],
)
def test_cases_that_bit_others(wh, tick, expected):
    assert clear(wh, tick, None).wh.tolist() == expected


def test_price_beyond_the_key_is_refused():
    with pytest.raises(AuctionError, match="limit price"):
        clear([1, -1], [MAX_TICK + 1, 0], None)


def test_no_auction_trades_nothing():
    to = torch.tensor
    trades = auction("none").clear(Orders(to([5, -5]), to([10, 1])), to(10), to(1), pairs=True)
    assert trades.wh.tolist() == trades.cash.tolist() == [0, 0]
    assert int(trades.pairs.wh.sum()) == 0


def test_unknown_rule_names_the_known_ones():
    with pytest.raises(ValueError, match=r"none, .*da"):
        auction("vickrey")
