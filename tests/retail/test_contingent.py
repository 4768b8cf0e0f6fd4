"""Contingent dispatch: batteries follow their blocks only as far as these clear, and never at a loss."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retail import Battery, Community, Game, Orders, Tariff, auction
from retail.blocks import Terms, block_orders, moved
from retail.devices import at_meter, from_meter, wear
from retail.game import GameError


def fleet(rng, homes):
    return Battery.make(
        homes,
        has=rng.random(homes) < 0.8,
        max_kwh=8.0,
        power_kw=4.0,
        efficiency=rng.uniform(0.8, 1.0, homes),
        wear_linear=rng.uniform(0, 0.05, homes),
        wear_quadratic=rng.uniform(0, 0.05, homes),
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.25, 0.5, 1.0]))
def test_no_block_clears_at_a_loss(seed, hours):
    rng = np.random.default_rng(seed)
    homes = 6
    battery = fleet(rng, homes)
    own = battery.has.double()
    change = torch.from_numpy(rng.uniform(-2, 2, (1, homes))) * own
    terms = Terms(*(torch.from_numpy(rng.uniform(0, 3, (1, homes))) * own for _ in range(2)),
                  torch.from_numpy(rng.uniform(0.0, 0.5, (1, homes))))  # fmt: skip
    blocks = block_orders(change, terms, battery, hours)
    others = Orders(
        torch.from_numpy(rng.integers(-3000, 3000, (1, 5))), torch.from_numpy(rng.integers(0, 50000, (1, 5)))
    )
    book = Orders(*(torch.cat(pair, -1) for pair in zip(others, blocks, strict=True)))
    trades = auction("da").clear(book, torch.tensor([50000]), torch.tensor([0]))
    wh, cash = (x[:, 5:].unflatten(-1, (2, homes)) for x in (trades.wh, trades.cash))
    after = moved(change, wh.sum(1), battery)
    # A home whose two blocks both cleared is judged on the sum.
    paid = cash.sum(1).double() / 1e9
    worth = terms.value * (after - change)
    worn = wear(after, battery, hours) - wear(change, battery, hours)
    assert bool((paid + worn <= worth + 1e-9).all())
    assert bool((after >= change - terms.draw - 1e-9).all())
    assert bool((after <= change + terms.fill + 1e-9).all())
    energy = at_meter(after, battery) - at_meter(change, battery)
    torch.testing.assert_close(energy, wh.sum(1).double() / 1000, rtol=0, atol=1e-12)


@given(st.floats(-5, 5), st.floats(0.5, 1.0))
def test_from_meter_is_the_inverse_of_at_meter(x, eta):
    battery = Battery.make(1, efficiency=eta)
    there = at_meter(torch.tensor([x], dtype=torch.float64), battery)
    assert float(from_meter(there, battery)) == pytest.approx(x, abs=1e-12)


def game(seed, dispatch, rule="da", step=60, fee_days=3, **rules):
    rng = np.random.default_rng(seed)
    per_day = 24 * 60 // step
    load, pv = rng.uniform(0, 2, (per_day * fee_days, 5)), np.maximum(rng.normal(0, 1.5, (per_day * fee_days, 5)), 0)
    clock = np.datetime64("2012-07-02", "m") + np.arange(per_day * fee_days) * np.timedelta64(step, "m")
    names = tuple("abcde")
    homes = Community(
        names, clock, "UTC", step, torch.from_numpy(load), torch.from_numpy(pv), fleet(rng, 5), torch.ones(5).double()
    )
    return Game(homes, auction(rule), dispatch=dispatch, **rules)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([1, 2, 5]), st.sampled_from(["restore", "carry"]), st.sampled_from([0, 0.03])
)
def test_accounts_and_physics_hold(seed, heads, end, fee):
    g = game(seed, "contingent", storage_end=end)
    prices = Tariff.make(energy=np.random.default_rng(seed).uniform(0.1, 0.4, 24), sell=0.04, fee=fee)
    state = g.reset(torch.arange(3), prices)
    generator = torch.Generator().manual_seed(seed)
    for t in range(24):
        before = state.stored
        state, o = g.step(state, torch.randn(3, 5, heads, generator=generator))
        assert int(o.trade_wh.sum(-1).abs().max()) == int(o.trade_cash.sum(-1).abs().max()) == 0
        torch.testing.assert_close(state.stored, before + o.store_change)
        battery = g.community.battery
        assert bool((state.stored >= battery.store_min - 1e-9).all() & (state.stored <= battery.store_max + 1e-9).all())
        net = g.community.daily(g.community.fixed)[:, t] + at_meter(o.store_change, battery)
        torch.testing.assert_close(o.net, net, rtol=0, atol=1e-12)
        torch.testing.assert_close(o.grid + o.trade_wh.double() / 1000, o.net, rtol=0, atol=1e-12)
    if end == "restore":
        assert float((state.stored - g.community.battery.start).abs().max()) < 1e-9


def test_without_an_auction_blocks_never_move():
    prices = Tariff.make(energy=np.full(24, 0.3), sell=0.04)
    results = []
    for dispatch in ("committed", "contingent"):
        g = game(1, dispatch, rule="none")
        state, total = g.reset(torch.arange(3), prices), 0
        for _ in range(24):
            state, o = g.step(state, torch.zeros(3, 5, 1))
            total = total + o.cost
        results.append(total)
    assert torch.equal(*results)


def test_price_takers_cannot_hold_blocks():
    with pytest.raises(GameError, match="da, cda or none"):
        game(1, "contingent", rule="mmr")


def test_block_heads_at_zero_are_the_games_own_rule():
    generator = torch.Generator().manual_seed(3)
    g = game(1, "contingent")
    prices = Tariff.make(energy=np.random.default_rng(1).uniform(0.1, 0.4, 24), sell=0.04)
    state = other = g.reset(torch.arange(3), prices)
    for _ in range(24):
        action = torch.randn(3, 5, 1, generator=generator)
        state, a = g.step(state, action, ("battery",))
        zeros = torch.zeros(3, 5, 3)
        other, b = g.step(other, torch.cat([action, zeros], -1), ("battery", "draw", "fill", "value"))
        assert torch.equal(a.trade_wh, b.trade_wh)
        assert torch.equal(a.store_change, b.store_change)
