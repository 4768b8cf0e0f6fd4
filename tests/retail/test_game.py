"""The game: exact accounts, feasible stores, the same numbers alone and in a batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retail import AUCTIONS, Battery, Community, Game, Tariff, auction
from retail.battery_head import intended
from retail.community import CommunityError
from retail.game import GameError

STEPS = {15: 96, 30: 48, 60: 24}


def community(seed=0, homes=5, days=3, step=60, **battery):
    rng = np.random.default_rng(seed)
    steps = STEPS[step] * days
    load, pv = rng.uniform(0, 2, (steps, homes)), np.maximum(rng.normal(0, 1.5, (steps, homes)), 0)
    clock = np.datetime64("2012-07-02", "m") + np.arange(steps) * np.timedelta64(step, "m")
    store = Battery.make(homes, **({"has": np.arange(homes) % 2 == 0, "wear_quadratic": 0.03} | battery))
    names = tuple(f"h{i}" for i in range(homes))
    return Community(
        names, clock, "UTC", step, torch.from_numpy(load), torch.from_numpy(pv), store, torch.ones(homes).double()
    )


def tariff(steps, seed=0, fee=0.0):
    rng = np.random.default_rng(seed)
    return Tariff.make(energy=rng.uniform(0.05, 0.4, steps), sell=0.04, network=0.05, fee=fee)


def run(game, prices, seed=0, days=(0, 1, 2), heads=2, stored=None):
    state = game.reset(torch.tensor(days), prices, stored=stored)
    generator = torch.Generator().manual_seed(seed)
    outcomes = []
    while state.step < game.community.steps:
        action = torch.randn(len(days), game.community.prosumers, heads, generator=generator)
        state, outcome = game.step(state, action)
        outcomes.append(outcome)
    return state, outcomes


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([15, 30, 60]),
    st.sampled_from(list(AUCTIONS)),
    st.sampled_from([0, 0.03, 0.3]),
)
def test_inside_the_community_energy_and_cash_are_exact(seed, step, rule, fee):
    game = Game(community(seed, step=step), auction(rule))
    prices = tariff(STEPS[step], seed, fee)
    _, outcomes = run(game, prices, seed)
    for t, o in enumerate(outcomes):
        assert int(o.trade_wh.sum(-1).abs().max()) == int(o.trade_cash.sum(-1).abs().max()) == 0
        torch.testing.assert_close(o.grid + o.trade_wh.double() / 1000, o.net, rtol=0, atol=1e-12)
        buy, sell = float(prices.buy_price[t]), float(prices.sell_price[t])
        cash = (o.trade_cash + o.fee_cash).double() / 1e9
        expected = cash + o.grid.clamp(min=0) * buy + o.grid.clamp(max=0) * sell
        torch.testing.assert_close(o.bill, expected, rtol=0, atol=1e-12)
        # Nobody is worse off than at the tariff, up to the rounding of the order to 1 Wh.
        alone = o.net.clamp(min=0) * buy + o.net.clamp(max=0) * sell
        assert bool((o.bill <= alone + 0.0005 * buy).all())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["restore", "value", "carry"]), st.sampled_from(["raw", "residual"]))
def test_stores_stay_in_range_conserve_energy_and_come_home(seed, end, action):
    c = community(seed, power_kw=3.0, efficiency=0.9, min_kwh=1.0, max_kwh=8.0)
    game = Game(c, auction("da"), storage_end=end, action=action)
    state, outcomes = run(game, tariff(24), seed)
    stored = c.battery.start.expand(3, -1)
    for t, o in enumerate(outcomes):
        x = o.store_change
        stored = stored + x
        assert bool((stored >= c.battery.store_min - 1e-9).all() & (stored <= c.battery.store_max + 1e-9).all())
        assert float(x.abs().max()) <= 3.0 + 1e-9
        meter = torch.where(x > 0, x / c.battery.eta_charge, x * c.battery.eta_discharge)
        torch.testing.assert_close(o.net, c.daily(c.fixed)[:, t] + meter, rtol=0, atol=1e-12)
        torch.testing.assert_close(o.wear, 0.015 * x * x)
    torch.testing.assert_close(stored, state.stored)
    last = outcomes[-1]
    gain = state.stored - c.battery.start
    if end == "restore":
        assert float(gain.abs().max()) < 1e-9
        assert float(last.shortfall.abs().max()) == 0
    if end == "value":
        torch.testing.assert_close(last.end_value, gain * game.end_value)
    assert game.terminates == (end != "carry")


def test_an_unreachable_start_is_charged_at_the_dearest_price():
    c = community(power_kw=0.1)
    game = Game(c, auction("none"))
    prices = tariff(24)
    state, outcomes = run(game, prices, stored=torch.zeros(3, 5, dtype=torch.float64))
    own = c.battery.has
    missing = (c.battery.start - state.stored)[:, own]
    torch.testing.assert_close(missing, torch.full_like(missing, 5.0 - 24 * 0.1))
    expected = missing / 0.95 * float(prices.buy_price.max())
    torch.testing.assert_close(outcomes[-1].shortfall[:, own], expected)


def test_batch_equals_single_days():
    game = Game(community(4), auction("da"))
    prices = tariff(24)
    together = run(game, prices, heads=1, days=(0, 1, 2))[1]
    generator = torch.Generator().manual_seed(0)
    actions = [torch.randn(3, 5, 1, generator=generator) for _ in range(24)]
    for row in range(3):
        state = game.reset(torch.tensor([row]), prices)
        for t in range(24):
            state, o = game.step(state, actions[t][row : row + 1])
            assert torch.equal(o.bill, together[t].bill[row : row + 1])


def test_rewards_mean_what_they_say():
    c = community(2)
    prices = tariff(24)
    own, team, diff = (
        run(Game(c, auction("da"), reward=r), prices, heads=1)[1] for r in ("own", "community", "difference")
    )
    buy, sell = prices.buy_price, prices.sell_price
    for t in range(24):
        fixed = c.daily(c.fixed)[:, t]
        bill = lambda x, t=t: x.clamp(min=0) * float(buy[t]) + x.clamp(max=0) * float(sell[t])  # noqa: E731
        saving = bill(fixed) - own[t].cost
        torch.testing.assert_close(own[t].reward, saving)
        torch.testing.assert_close(team[t].reward, saving.mean(-1, keepdim=True).expand_as(saving))
        total = diff[t].net.sum(-1, keepdim=True)
        idle = total - diff[t].net + fixed
        torch.testing.assert_close(diff[t].reward, bill(idle) - bill(total) - diff[t].wear)


def test_with_idle_batteries_truthful_difference_rewards_are_zero():
    c = community(2, has=False)
    for o in run(Game(c, auction("da")), tariff(24), heads=1)[1]:
        assert float(o.reward.abs().max()) < 1e-12


def test_intended_and_action_for_are_inverse():
    game = Game(community(1), auction("da"))
    state = game.reset(torch.tensor([0, 1]), tariff(24))
    wish = torch.randn(2, 5, generator=torch.Generator().manual_seed(1)).double()
    battery, hours = game.community.battery, game.community.step_hours
    back = intended(game.action_for(state, wish), game.base(state), battery, hours, game.action)
    has = game.community.battery.has
    torch.testing.assert_close(back[:, has], wish[:, has])


@pytest.mark.parametrize("public", ["this_step", "last_step", "none"])
def test_observations_are_named_and_private(public):
    c = community(3)
    game = Game(c, auction("da"), public=public)
    state = game.reset(torch.tensor([1]), tariff(24))
    seen = game.observe(state)
    assert seen.shape == (1, 5, len(game.observation_names))
    assert len(set(game.observation_names)) == len(game.observation_names)
    assert ("community_net" in game.observation_names) == (public != "none")
    # What another home stores is nowhere in my observation.
    other = replace(state, stored=state.stored + torch.tensor([0.0, 0, 1, 0, 0]).double())
    assert torch.equal(game.observe(other)[:, [0, 1, 3, 4]], seen[:, [0, 1, 3, 4]])


@pytest.mark.parametrize("public", ["last_step", "none"])
def test_what_is_not_public_yet_is_in_no_feature(public):
    a = community(3, days=4)
    load = a.load.clone()
    load[60, 2] += 5.0  # home 2, day 2, noon
    seen = []
    for c in (a, replace(a, load=load)):
        game = Game(c, auction("da"), public=public, scale_days=torch.tensor([0, 1]))
        state = game.reset(torch.tensor([2]), tariff(24))
        for _ in range(12):
            state, _ = game.step(state, torch.zeros(1, 5, 1))
        seen.append(game.observe(state))
    assert torch.equal(seen[0][:, [0, 1, 3, 4]], seen[1][:, [0, 1, 3, 4]])


def test_difference_is_the_change_of_the_community_bill_with_fees():
    """Against the whole bill recomputed with one battery idle, every overlapping kWh matched, any fee."""
    for fee in (0.0, 0.05, 0.5):
        c, prices = community(6), tariff(24, 6, fee)
        game = Game(c, auction("da"))
        state = game.reset(torch.tensor([1]), prices)
        action = torch.randn(1, 5, 1, generator=torch.Generator().manual_seed(3))
        fixed = game.fixed(state)[0]
        _, o = game.step(state, action)
        buy, sell = float(prices.buy_price[0]), float(prices.sell_price[0])

        def bill(net, buy=buy, sell=sell, fee=fee):
            matched = min(float(net.clamp(min=0).sum()), float((-net).clamp(min=0).sum()))
            alone = float((net.clamp(min=0) * buy + net.clamp(max=0) * sell).sum())
            return alone - max(buy - sell - fee, 0) * matched

        for home in range(5):
            idle = o.net[0].clone()
            idle[home] = fixed[home]
            expected = bill(idle) - bill(o.net[0]) - float(o.wear[0, home])
            assert float(o.reward[0, home]) == pytest.approx(expected, abs=1e-9)


def test_forecasts_use_the_past_only():
    a = community(3, days=6)
    tail = a.load.clone()
    tail[72:] = 0.1
    b = replace(a, load=tail)
    pair = [Game(c, auction("da")).observer.expected for c in (a, b)]
    assert torch.equal(pair[0][:4], pair[1][:4])
    assert not torch.equal(pair[0][4], pair[1][4])


def test_mistakes_are_sentences():
    game = Game(community(), auction("da"))
    with pytest.raises(GameError, match="steps a day"):
        game.reset(torch.tensor([0]), tariff(48))
    with pytest.raises(GameError, match="0-based"):
        game.reset(torch.tensor([3]), tariff(24))
    state = game.reset(torch.tensor([0]), tariff(24))
    with pytest.raises(GameError, match="not a number"):
        game.step(state, torch.full((1, 5, 1), float("nan")))
    with pytest.raises(CommunityError) as caught:
        community(efficiency=1.2, min_kwh=-1.0)
    assert "eta_charge" in str(caught.value)
    assert "store_min" in str(caught.value)


@pytest.mark.parametrize("rule", list(AUCTIONS))
def test_a_limit_price_moves_something_where_somebody_looks_at_it(rule):
    game = Game(community(), auction(rule))
    moved = game.controls(("battery", "price"))
    assert moved[:, 0].tolist() == [True, False, True, False, True]
    # The same stores and other limit prices: does anybody pay otherwise?
    cash = []
    for sign in (1, -1):
        state, total = game.reset(torch.arange(3), tariff(24)), 0
        while state.step < 24:
            action = torch.stack([torch.zeros(3, 5), sign * torch.ones(3, 5)], -1)
            state, outcome = game.step(state, action)
            total = total + outcome.trade_cash
        cash.append(total)
    assert bool(moved[:, 1].all()) == bool(moved[:, 1].any()) == (not torch.equal(*cash))
