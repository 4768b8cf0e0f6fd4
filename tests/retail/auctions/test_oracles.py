"""Every rule against its slow, obviously right form, pair by pair, on more than 1,000 random books each."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch

from retail import Orders, auction
from retail.auctions import book as order_book

BOOKS = 1000


def half_up(x):
    return floor(x + Fraction(1, 2))


def heads(bids, asks, left, price, crosses):
    """Match the heads of two sorted sides for the smaller quantity: (buyer, seller, Wh, cash)."""
    pairs, left = [], dict(left)
    bids, asks = list(bids), list(asks)
    while bids and asks and crosses(bids[0], asks[0]):
        b, a = bids[0], asks[0]
        q = min(left[b], left[a])
        if q:
            pairs.append((b, a, q, q * price(b, a)))
        left[b] -= q
        left[a] -= q
        if left[b] == 0:
            bids.pop(0)
        if left[a] == 0:
            asks.pop(0)
    return pairs


def double_auction(book, kind="pairwise", k=0.5):
    wh, tick, arrival = book["wh"], book["tick"], book["arrival"]
    bids = sorted((i for i in range(len(wh)) if wh[i] > 0), key=lambda i: (-tick[i], arrival[i]))
    asks = sorted((i for i in range(len(wh)) if wh[i] < 0), key=lambda i: (tick[i], arrival[i]))
    left = {i: abs(q) for i, q in enumerate(wh)}
    pairs = heads(bids, asks, left, lambda b, a: 5 * (tick[b] + tick[a]), lambda b, a: tick[b] >= tick[a])
    if kind == "pairwise" or not pairs:
        return pairs
    b, a = pairs[-1][:2]
    price = 10 * tick[a] + floor(k * (10 * (tick[b] - tick[a])) + 0.5)
    return [(b, a, q, q * price) for b, a, q, _ in pairs]


def at_one_price(book, price):
    """Short side in full, long side by rounding down the running sum in order of arrival; heads by arrival."""
    wh, order = book["wh"], sorted(range(len(book["wh"])), key=lambda i: book["arrival"][i])
    bids, asks = [i for i in order if wh[i] > 0], [i for i in order if wh[i] < 0]
    demand, supply = sum(wh[i] for i in bids), -sum(wh[i] for i in asks)
    if not demand or not supply or book["buy"] < book["sell"]:
        return []
    cleared = {}
    for side, total in ((bids, demand), (asks, supply)):
        running = 0
        for i in side:
            before, running = running, running + abs(wh[i])
            matched = min(demand, supply)
            cleared[i] = matched * running // total - matched * before // total
            assert abs(cleared[i] - Fraction(abs(wh[i]) * matched, total)) < 1
    return heads(bids, asks, cleared, lambda b, a: price, lambda b, a: True)


def ratio(book):
    demand = sum(q for q in book["wh"] if q > 0)
    supply = -sum(q for q in book["wh"] if q < 0)
    return min(Fraction(supply, demand), Fraction(1)) if demand else Fraction(1)


def sdr_price(book):
    x, low = ratio(book), max(book["sell"], 1)
    high = max(book["buy"], low)
    return min(half_up(10 * high * low / ((high - low) * x + low)), 10 * book["buy"])


def mmr(book):
    return at_one_price(book, 5 * (book["buy"] + book["sell"]))


def sdr(book):
    return at_one_price(book, sdr_price(book))


def sdr_linear(book):
    x = ratio(book)
    return at_one_price(book, half_up(10 * (book["sell"] * x + book["buy"] * (1 - x))))


def sdr_da(book):
    if book["buy"] < book["sell"]:
        return []
    isp = Fraction(sdr_price(book))
    ibp = isp + (10 * book["buy"] - isp) * (1 - ratio(book))
    isp, ibp = half_up(isp / 10), half_up(ibp / 10)
    assert isp <= ibp
    return double_auction(book | {"tick": [ibp if q > 0 else isp for q in book["wh"]]})


def cda(book, rounds=1):
    """One arrival after the other looks through all resting orders for the best one."""
    wh, tick = book["wh"], book["tick"]
    order = sorted(range(len(wh)), key=lambda i: book["arrival"][i])
    resting, pairs = [], []  # resting: [trader, Wh left, + buys], in order of arrival
    for part in range(rounds):
        for i in order:
            size = abs(wh[i]) * (part + 1) // rounds - abs(wh[i]) * part // rounds
            side = 1 if wh[i] > 0 else -1
            while size:
                others = [r for r in resting if r[1] * side < 0 and (tick[i] - tick[r[0]]) * side >= 0]
                if not others:
                    resting.append([i, size * side])
                    break
                best = min(others, key=lambda r: tick[r[0]] * side)  # min takes the first of equals
                q = min(size, abs(best[1]))
                b, a = (i, best[0]) if side > 0 else (best[0], i)
                pairs.append((b, a, q, 10 * q * tick[best[0]]))
                size -= q
                best[1] += q * side
                if best[1] == 0:
                    resting.remove(best)
    return pairs


RULES = {
    "mmr": ("mmr", {}, mmr),
    "sdr": ("sdr", {}, sdr),
    "sdr-linear": ("sdr-linear", {}, sdr_linear),
    "sdr-da": ("sdr-da", {}, sdr_da),
    "da": ("da", {}, double_auction),
    "da uniform": ("da", {"price": "uniform"}, lambda b: double_auction(b, "uniform")),
    "da uniform 0.3": ("da", {"price": "uniform", "k": 0.3}, lambda b: double_auction(b, "uniform", 0.3)),
    "cda": ("cda", {}, cda),
    "cda 3 rounds": ("cda", {"rounds": 3}, lambda b: cda(b, 3)),
}


def books(count, signed, large):
    """Ties or none, one-sided or not, idle traders, prices of any sign where legal, some too wide for int32."""
    rng = np.random.default_rng(11)
    for number in range(count):
        traders = int(rng.integers(1, large + 1)) if number % 50 == 0 else int(rng.integers(1, 13))
        span = int(rng.choice([1, 3, 5000, 2**30 // traders])) if number % 3 else 2000
        reach = int(rng.choice([1, 4, 30_000])) if number % 20 else 2**28
        wh = rng.integers(-span, span + 1, traders) * (rng.random(traders) < 0.9)
        if number % 10 == 0:
            wh = np.abs(wh) * rng.choice([-1, 1])
        sell = int(rng.integers(-reach if signed else 0, reach + 1))
        buy = sell + int(rng.integers(0, reach + 1)) - (reach // 2 if number % 25 == 0 else 0)
        yield {
            "wh": wh.tolist(),
            "tick": rng.integers(-reach, reach + 1, traders).tolist(),
            "arrival": rng.permutation(traders).tolist(),
            "buy": buy,
            "sell": sell,
        }


def to(x):
    return torch.tensor(x, dtype=torch.int64)


def clear(rule, book):
    orders = Orders(to(book["wh"]), to(book["tick"]))
    return rule.clear(orders, to(book["buy"]), to(book["sell"]), to(book["arrival"]), True)


@pytest.mark.parametrize("name", RULES)
def test_equals_its_oracle_pair_by_pair(name, monkeypatch):
    # int32 wherever the book fits, as in large batches.
    monkeypatch.setattr(order_book, "FEW_ORDERS", 0)
    entry, parameters, oracle = RULES[name]
    rule = auction(entry, **parameters)
    traded = 0
    for book in books(BOOKS, signed=name not in ("sdr", "sdr-da"), large=1000):
        trades, expected = clear(rule, book), oracle(book)
        listed = [row for row in zip(*(x.tolist() for x in trades.pairs), strict=True) if row[2] > 0]
        assert listed == expected, book
        wh, cash = np.zeros((2, len(book["wh"])), dtype=object)
        for b, a, q, c in expected:
            wh[b], wh[a], cash[b], cash[a] = wh[b] + q, wh[a] - q, cash[b] + c, cash[a] - c
        assert (trades.wh.tolist(), trades.cash.tolist()) == (wh.tolist(), cash.tolist()), book
        traded += bool(expected)
    assert traded > BOOKS / 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cda", "cda 3 rounds"])
def test_order_book_of_a_thousand_traders_equals_its_oracle(name):
    entry, parameters, oracle = RULES[name]
    rng = np.random.default_rng(5)
    book = {
        "wh": rng.integers(-3000, 3001, 1000).tolist(),
        "tick": rng.integers(4000, 4200, 1000).tolist(),
        "arrival": rng.permutation(1000).tolist(),
        "buy": 30_000,
        "sell": 4000,
    }
    trades = clear(auction(entry, **parameters), book)
    listed = [row for row in zip(*(x.tolist() for x in trades.pairs), strict=True) if row[2] > 0]
    assert listed == oracle(book)
