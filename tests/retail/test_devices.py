"""Devices besides the battery: energy is conserved in each, and whatever is asked, what is due is delivered."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from device_homes import DAYS, HOMES, PRICES, STEPS, community, thermal

from retail import Game, auction
from retail.community import CommunityError
from retail.deferrable_load import deferrable_load
from retail.devices import by_sign
from retail.electric_vehicle import electric_vehicle
from retail.peak import Peak
from retail.thermal import meet, produce, store_path

RULES = ("none", "mmr", "sdr", "sdr-da", "da", "cda")


def played(game, seed, heads=None, days=None):
    """Random actions on some heads, all steps."""
    generator = torch.Generator().manual_seed(seed)
    days = torch.arange(DAYS) if days is None else days
    state, heads = game.reset(days, PRICES), game.heads if heads is None else heads
    for _ in range(STEPS):
        before = state
        action = torch.rand(len(days), HOMES, len(heads), generator=generator) * 2.4 - 1.2
        state, outcome = game.step(state, action, heads)
        yield before, state, outcome


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_asked_energy_is_conserved_and_what_is_due_is_delivered(rule, seed):
    c = community(seed)
    game = Game(c, auction(rule), action="raw" if seed % 2 else "residual", curtail=True)
    assert game.controls(game.heads).shape == (HOMES, len(game.heads))
    car, wash = c.timed
    for before, after, o in played(game, seed):
        t = before.step
        # The vehicle: content moves by what was charged less the trip; limits hold; it is ready when it leaves.
        for k, store in enumerate((car, wash)):
            low, high = store.floor[0, t], store.ceiling[0, t]
            content = after.levels[..., k]
            assert bool((content >= low - 1e-9).all() and (content <= high + 1e-9).all())
            change = content - before.levels[..., k] + store.drain[0, t]
            assert bool((change <= store.charge[0, t] + 1e-9).all() and (change >= -store.discharge[0, t] - 1e-9).all())
        # Thermal stores stay inside; trade sums to zero in every carrier.
        for k, heat in enumerate(c.thermal):
            content = after.levels[..., 2 + k]
            assert bool((content >= -1e-9).all() and (content <= heat.store_max + 1e-9).all())
        assert int(o.used.carrier_wh.sum(1).abs().max()) == 0 and int(o.used.carrier_cash.sum(1).abs().max()) == 0
        assert int(o.trade_wh.sum(1).abs().max()) == 0
        # Nobody pays more for heat from others than for its own back-up, nobody sells below nothing.
        wh, cash = o.used.carrier_wh.double(), o.used.carrier_cash.double()
        assert bool((cash[wh < 0] <= 0).all()) and bool((cash[wh > 0] >= 0).all())
    torch.testing.assert_close(after.levels, game.equipment.start.expand_as(after.levels), rtol=0, atol=1e-9)
    torch.testing.assert_close(after.stored, c.battery.start.expand_as(after.stored), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_thermal_balance_closes_and_every_kwh_has_its_price(seed):
    """Made + bought + back-up = demand + stored + dumped; electricity and fuel are those of the devices that ran."""
    rng = np.random.default_rng(seed)
    heat = thermal("heat", rng, backup=("gas", "electricity")[seed % 2])
    low, high = store_path(heat, STEPS)
    t = int(rng.integers(STEPS))
    content = low[t - 1 if t else t] + torch.from_numpy(rng.uniform(0, 1, HOMES)) * (high - low)[t - 1 if t else t]
    content = content if t else heat.store_start
    asked = {h: torch.from_numpy(rng.uniform(-1.5, 1.5, (1, HOMES))) for h in heat.heads if rng.uniform() < 0.7}
    demand, cop = heat.demand[:1, t], heat.cop[:, t]
    made = produce(heat, asked, content[None], demand, cop, (low[t], high[t]), bool(seed % 3))
    bought = torch.from_numpy(rng.uniform(-2, 2, (1, HOMES)))
    met = meet(heat, made, content[None], demand, bought)
    assert bool((made.pump >= 0).all() and (made.pump <= heat.pump).all() and (made.chp <= heat.chp).all())
    stored = met.content - heat.keep * content
    assert bool((stored.abs() <= heat.store_rate + 1e-9).all())
    assert bool((met.content >= low[t] - 1e-9).all() and (met.content <= high[t] + 1e-9).all())
    given = made.pump * cop + made.chp * heat.chp_heat + bought + met.backup
    torch.testing.assert_close(given, demand + stored + met.dumped)
    assert bool((met.backup * met.dumped == 0).all())
    wire = met.backup * heat.backup_use if heat.backup == "electricity" else 0 * met.backup
    gas = met.backup * heat.backup_use if heat.backup == "gas" else 0 * met.backup
    torch.testing.assert_close(met.use, made.pump - made.chp + wire)
    torch.testing.assert_close(met.fuel, 3.0 * made.chp + gas)


def test_zero_action_is_the_rule_of_the_devices():
    game = Game(community(1), auction("none"))
    heads = game.equipment.heads
    state = other = game.reset(torch.arange(DAYS), PRICES)
    for _ in range(STEPS):
        state, a = game.step(state, torch.zeros(DAYS, HOMES, len(heads)), heads)
        other, b = game.step(other, torch.zeros(DAYS, HOMES, 1), ("battery",))
        torch.testing.assert_close(a.net, b.net, rtol=0, atol=1e-12)
        torch.testing.assert_close(a.used.use, game.equipment.usual.use[:, state.step - 1], rtol=0, atol=1e-12)


def test_trading_heat_never_costs_the_community_more():
    """The same production with and without a market for heat: trade only replaces back-up by what would be dumped."""
    c = community(2, timed=())
    apart = replace(c, thermal=tuple(replace(t, traded=False) for t in c.thermal))
    cost = []
    for homes in (c, apart):
        game = Game(homes, auction("da"))
        total = torch.zeros(DAYS).double()
        for _, _, o in played(game, 5, heads=("battery", "heat_chp", "cold_pump")):
            total = total + o.cost.sum(-1)
        cost.append(total)
    assert bool((cost[0] < cost[1]).all())


def test_a_batch_plays_like_its_rows():
    c = community(3)
    game = Game(c, auction("da"))
    together = list(played(game, 7))
    generator = torch.Generator().manual_seed(7)
    actions = [torch.rand(DAYS, HOMES, len(game.heads), generator=generator) * 2.4 - 1.2 for _ in range(STEPS)]
    for row in range(DAYS):
        state = game.reset(torch.tensor([row]), PRICES)
        for t in range(STEPS):
            state, o = game.step(state, actions[t][row : row + 1])
            assert torch.equal(o.reward[0], together[t][2].reward[row])
            assert torch.equal(state.levels[0], together[t][1].levels[row])


def test_device_features_are_named_and_finite():
    game = Game(community(), auction("da"))
    state = game.reset(torch.arange(DAYS), PRICES)
    assert game.observe(state).shape[-1] == len(game.observation_names) == len(set(game.observation_names))
    for _, after, _ in played(game, 0):
        assert bool(torch.isfinite(game.observe(after)).all())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"timed": (electric_vehicle(HOMES, STEPS, power_kw=0.5),)}, "vehicle of h0 starts day 0 with 42 kWh"),
        ({"timed": (deferrable_load(HOMES, STEPS, energy_kwh=30, earliest=9, latest=12),)}, "deferrable of h0"),
        ({"timed": (deferrable_load(HOMES, STEPS, name="price"),)}, "not battery or price"),
        ({"timed": (deferrable_load(HOMES + 1, STEPS),)}, "needs"),
    ],
)
def test_devices_that_cannot_do_what_is_due_are_refused(changes, said):
    with pytest.raises(CommunityError, match=said):
        community(0, **changes)


def test_peak_penalty_goes_to_importers_in_proportion():
    plain = Game(community(0, timed=(), thermal=()), auction("mmr"))
    penal = replace(plain, peak=Peak(cap_kw=3.0, rate=0.5))
    cut = replace(plain, peak=Peak(cap_kw=3.0, rule="curtail", rate=5.0))
    found = False
    for (_, _, a), (_, _, b), (_, _, d) in zip(played(plain, 1), played(penal, 1), played(cut, 1), strict=True):
        above = (a.net.sum(1) - 3.0).clamp(min=0)
        found |= bool((above > 0).any())
        torch.testing.assert_close(b.peak.charge.sum(1), 0.5 * above)
        torch.testing.assert_close(b.bill - a.bill, b.peak.charge)
        share = a.grid.clamp(min=0) / a.grid.clamp(min=0).sum(1, keepdim=True).clamp(min=1e-12)
        torch.testing.assert_close(b.peak.charge, 0.5 * above[:, None] * share)
        assert bool((d.net.sum(1) <= 3.0 + 1e-9).all()) and bool((d.grid >= -a.grid.abs() - 1e-9).all())
        torch.testing.assert_close(d.peak.unserved.sum(1), above)
        torch.testing.assert_close(d.cost - d.bill - d.wear - d.shortfall + d.end_value, 5.0 * d.peak.unserved)
    assert found


def test_the_difference_reward_counts_what_a_home_saves_at_the_peak():
    """One home moves its battery: its reward is the fall of the community's cost, penalty included."""
    c = community(0, timed=(), thermal=())
    game = Game(c, auction("da"), peak=Peak(cap_kw=2.0, rate=0.7))
    state = game.reset(torch.arange(DAYS), PRICES)
    idle = game.action_for(state, torch.zeros(DAYS, HOMES).double())
    _, still = game.step(state, idle.unsqueeze(-1))
    moved = idle.clone()
    moved[:, 2] += 0.4
    _, o = game.step(state, moved.unsqueeze(-1))
    gain = still.cost.sum(1) - o.cost.sum(1)
    torch.testing.assert_close(o.reward[:, 2], gain, rtol=0, atol=2e-3)


def test_by_sign_has_the_bits_and_the_gradient_of_where():
    x = torch.randn(50, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x[::5] = 0
    above, below = torch.tensor([0.3, -0.2, 1.7, 0.0, 2.0, 1 / 0.95, 0.1]).double(), torch.full((50, 1), 0.95).double()
    outcomes = []
    for rule in (by_sign, lambda x, a, b: x * torch.where(x > 0, a, b)):
        start = x.clone().requires_grad_()
        value = rule(start, above, below)
        value.sum().backward()
        outcomes.append((value.detach(), start.grad))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert torch.equal(outcomes[0][1], outcomes[1][1])
