"""Heuristic traders against their formulas, and in markets with known outcomes."""

import math

import numpy as np
import pytest
import torch

from hmarl.evaluation import arrivals, play
from hmarl.policies.base import Misfit, Spec
from hmarl.policies.gd import BEYOND, GD, seller_quote
from hmarl.policies.quotes import Posted
from hmarl.policies.zip import ZIP, Margins, Traits, adapted, scale
from hmarl.training import Ground, train
from retail import Battery, Community, Game, Tariff, auction
from retail.orders import Orders
from retail.state import State
from retail.streams import stream, torch_stream

TICKS = 100_000
VALUES, COSTS = torch.linspace(150, 55, 11), torch.linspace(50, 145, 11)
BUYS = torch.arange(22) < 11
NONE = torch.zeros(200, dtype=torch.int64)


def book_of(orders, limit, trades):
    """What traders see after a period in which prices are in units of 1 tick = 1e-5."""
    books = len(orders.wh)
    state = State(1, NONE[:books], None, None, torch.zeros(books, 1), NONE, trades.wh, trades.cash, None)
    return Posted(orders.wh, orders.tick.double() / TICKS, limit / TICKS).book(state)


@pytest.mark.parametrize(("constrained", "expected", "off"), [(True, 96.5, 2.0), (False, 17.5, 1.0)])
def test_zero_intelligence_is_efficient_if_and_only_if_constrained(constrained, expected, off):
    """Gode and Sunder's finding in our continuous double auction; quotes between 0 and 200, units traded one by one."""
    books, generator = 200, torch_stream(0, "zi-c")
    limit = torch.cat([VALUES, COSTS]).expand(books, 22)
    waiting, surplus, paid, sold = torch.ones(books, 22, dtype=torch.bool), 0.0, 0.0, 0.0
    for _ in range(200):
        u = torch.rand(books, 22, generator=generator)
        price = torch.where(BUYS, u * limit, limit + u * (200 - limit)) if constrained else 200 * u
        orders = Orders(torch.where(BUYS, 1, -1) * waiting, (price * 100).round().long())
        arrival = torch.rand(books, 22, generator=generator).argsort(-1)
        trades = auction("cda").clear(orders, buy=NONE, sell=NONE, arrival=arrival, pairs=False)
        waiting &= trades.wh == 0
        surplus += float((trades.wh * limit).sum())
        paid, sold = paid + float(trades.cash.clamp(min=0).sum()) / 1000, sold + float(trades.wh.clamp(min=0).sum())
    assert 100 * surplus / 315 / books == pytest.approx(expected, abs=off)
    if constrained:
        assert 97.5 <= paid / sold <= 102.5  # the competitive range


def textbook(side, price, limit, margin, change, filled, mean, others, u, traits, width):
    """One ZIP trader after one period, in plain Python."""
    rate, momentum, relative, absolute = traits
    up = lambda x: x * (1 + relative * u[0]) + absolute * width * u[1]  # noqa: E731
    down = lambda x: x * (1 - relative * u[0]) - absolute * width * u[1]  # noqa: E731
    asks = [p for s, p in others if s < 0]
    bids = [p for s, p in others if s > 0]
    target = None
    if side < 0:
        if mean is not None:
            target = up(mean) if price <= mean else down(mean) if filled < 1 else None
        elif price >= min(asks):
            target = down(max(bids) if bids else max(asks))
    elif side > 0:
        if mean is not None:
            target = down(mean) if price >= mean else up(mean) if filled < 1 else None
        elif price <= max(bids):
            target = up(min(asks) if asks else min(bids))
    if target is None:
        return margin, change
    change = momentum * change + (1 - momentum) * rate * (target - price)
    asked = (price + change) / limit - 1
    return (asked if side * asked <= 0 else margin), change


def test_margins_adapt_as_the_paper_says():
    generator = torch_stream(0, "zip")

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    books, traders = 60, 5
    side = torch.randint(-1, 2, (books, traders), generator=generator)
    price, limit = 50 + 100 * draw(books, traders), 50 + 100 * draw(books, traders)
    now = Margins(draw(books, traders, 2) * torch.tensor([-0.3, 0.3]), 5 * draw(books, traders, 2) - 2)
    filled = (draw(books, traders) * 3 - 1).clamp(0, 1)
    mean = 50 + 100 * draw(books, 1)
    mean[::3] = torch.nan
    filled[::3] = 0
    u, width = draw(books, traders, 2), torch.full((books, 1), 100.0, dtype=torch.float64)
    traits = Traits(draw(traders), draw(traders), 0.05, 0.0005)
    book = Posted(side, price, limit).book(State(1, None, None, None, None, None, 0 * side, 0 * side, None))
    after = adapted(now, book._replace(filled=filled, mean=mean), width, u, traits)
    for b, n in np.ndindex(books, traders):
        s = int(side[b, n])
        column = int(s < 0)
        others = list(zip(side[b].tolist(), price[b].tolist(), strict=True))
        paid = None if math.isnan(float(mean[b])) else float(mean[b])
        was = float(now.margin[b, n, column]), float(now.change[b, n, column])
        one = (float(traits.rate[n]), float(traits.momentum[n]), 0.05, 0.0005)
        seen = (float(filled[b, n]), paid, others, u[b, n].tolist(), one, 100.0)
        want = textbook(s, float(price[b, n]), float(limit[b, n]), *was, *seen)
        assert float(after.margin[b, n, column]) == pytest.approx(want[0], abs=1e-12)
        assert float(after.change[b, n, column]) == pytest.approx(want[1], abs=1e-12)
        assert after.margin[b, n, 1 - column] == now.margin[b, n, 1 - column]


def test_with_flat_supply_the_price_falls_to_cost_and_zero_intelligence_stays_above():
    """Cliff and Bruten's market: 11 sellers with cost 50, 6 buyers with values above; one unit each a period."""
    cost, values = 50.0, torch.linspace(150, 100, 6)
    limit = (torch.cat([values, torch.full((11,), cost)]).double() * 100).expand(20, 17)
    buys = torch.arange(17) < 6
    generator, rng = torch_stream(0, "arrival"), stream(0, "zip")
    even = torch.from_numpy(rng.uniform(0.05, 0.35, (20, 17, 2))) * torch.tensor([-1.0, 1.0])
    now = Margins(even, torch.zeros_like(even))
    traits = Traits(*(torch.from_numpy(rng.uniform(*x, 17)) for x in ((0.1, 0.5), (0.0, 0.1))), 0.05, 0.0005)
    width = torch.full((20, 1), 200 * 100 / TICKS, dtype=torch.float64)
    means = []
    for _ in range(200):
        own = torch.where(buys, now.margin[..., 0], now.margin[..., 1])
        random = torch.rand(20, 17, generator=generator)
        zero = torch.where(buys, random * limit, limit + random * (20000 - limit))
        row = []
        for price, clever in ((limit * (1 + own), True), (zero, False)):
            orders = Orders(torch.where(buys, 1, -1).expand(20, 17), price.round().long())
            arrival = torch.rand(20, 17, generator=generator).argsort(-1)
            trades = auction("cda").clear(orders, buy=NONE[:20], sell=NONE[:20], arrival=arrival, pairs=False)
            book = book_of(orders, limit, trades)
            row.append(float(book.mean.nanmean()) * TICKS / 100)
            if clever:
                shake = torch.rand(20, 17, 2, generator=generator, dtype=torch.float64)
                now = adapted(now, book, width, shake, traits)
        means.append(row)
    late = np.mean(means[-20:], axis=0)
    assert cost <= late[0] <= cost * 1.05
    assert late[1] > cost * 1.2


def brute_quote(asks, bids, place, filled):
    """Belief by its definition at every price seen, linear between, maximised on a fine grid."""

    def belief(p):
        good = sum(f for a, x, f in zip(asks, place, filled, strict=True) if a and x >= p)
        good += sum(1.0 for b, x in zip(bids, place, strict=True) if b and x >= p)
        refused = sum(1 - f for a, x, f in zip(asks, place, filled, strict=True) if a and x <= p)
        return good / (good + refused) if good > 0 else 0.0

    knots = sorted({x for a, b, x in zip(asks, bids, place, strict=True) if (a or b) and x > 0})
    at = [0.0, *knots, 1 + BEYOND]
    grid = np.linspace(0, 1, 20001)
    worth = np.interp(grid, at, [1.0, *(belief(x) for x in knots), 0.0]) * grid
    return grid[worth.argmax()], worth.max(), lambda p: np.interp(p, at, [1.0, *(belief(x) for x in knots), 0.0]) * p


def test_quotes_maximise_belief_times_surplus():
    generator = torch_stream(0, "gd")
    side = torch.randint(-1, 2, (50, 9), generator=generator)
    place = (torch.rand(50, 9, generator=generator, dtype=torch.float64) * 10).round() / 10
    filled = (torch.rand(50, 9, generator=generator, dtype=torch.float64) * 3 - 1).clamp(0, 1)
    side[0] = 0
    quotes = seller_quote(side < 0, side > 0, place, filled)
    for row in range(50):
        rows = ((side[row] < 0).tolist(), (side[row] > 0).tolist(), place[row].tolist(), filled[row].tolist())
        _, best, worth = brute_quote(*rows)
        assert worth(float(quotes[row])) == pytest.approx(best, abs=1e-6)
    assert float(quotes[0]) == pytest.approx((1 + BEYOND) / 2)


def sunny(sellers, buyers, days=10):
    """Homes without batteries: some only sell, 1 kWh an hour, the others only buy."""
    homes = sellers + buyers
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * days) * np.timedelta64(60, "m")
    sells = (torch.arange(homes) < sellers).double()
    load, pv = (x.expand(24 * days, homes).contiguous() for x in (1 - sells, sells))
    battery = Battery.make(homes, has=False)
    labels = tuple(f"h{i}" for i in range(homes))
    return Game(Community(labels, clock, "UTC", 60, load, pv, battery, sells, 2), auction("da"), reward="own")


FLAT = Tariff.make(energy=np.full(24, 0.40), sell=0.05)


def mean_price(game, policy, days):
    g = Ground(game, torch.arange(2, 9), arrivals(game, 0))
    learner = policy.start(Spec.of(game, torch.zeros(game.community.prosumers, dtype=torch.int64), 0))
    train(learner, g, FLAT, days, stream(0, "days"), batch_days=4, budget=days)
    played = play(game, learner, torch.arange(9, 10), FLAT, g.arrival).outcome
    bought = played.trade_wh.clamp(min=0).sum()
    return float(played.trade_cash.clamp(min=0).sum() / bought) / (10 * TICKS), float(bought) / 1000


def test_adapting_margins_give_the_short_side_of_the_market_nearly_everything():
    policy = ZIP(amounts="self-consumption")
    many_sellers, many_buyers = (mean_price(sunny(*sides), policy, 40) for sides in ((6, 2), (2, 6)))
    assert 0.05 <= many_sellers[0] < 0.10
    assert 0.38 < many_buyers[0] <= 0.40
    # Both sides probe, so a part of the 48 kWh is missed.
    assert min(many_sellers[1], many_buyers[1]) > 24


def test_beliefs_tilt_the_price_to_the_short_side():
    """All sellers believe alike and quote alike, so beliefs alone undercut nobody: the price stays near the middle."""
    policy = GD(amounts="self-consumption")
    many_sellers, even, many_buyers = (mean_price(sunny(*sides), policy, 4) for sides in ((6, 2), (4, 4), (2, 6)))
    assert many_sellers[0] < even[0] < many_buyers[0]
    assert even[0] == pytest.approx(0.225, abs=0.001)
    assert min(many_sellers[1], many_buyers[1]) > 40


def test_margins_at_a_feed_in_price_of_zero_are_shares_of_the_range():
    limit = torch.tensor([[0.0, 0.4]])
    torch.testing.assert_close(scale(limit, torch.tensor([[0.5]])), torch.tensor([[0.005, 0.4]]))


def test_traders_play_the_retail_game_only():
    from hmarl.arena import arena_spec
    from hmarl.arenas.aim import Aim

    for policy in (ZIP(), GD()):
        with pytest.raises(Misfit, match="retail game only"):
            policy.start(arena_spec(Aim(), 0))
    with pytest.raises(ValueError, match="rate is"):
        ZIP(rate=(0.5, 0.1))
    with pytest.raises(ValueError, match="memory is 0"):
        GD(memory=0)
