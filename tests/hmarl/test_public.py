"""What the platform publishes: against sums home by home, and against the game played again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmarl.evaluation import arrivals
from hmarl.policies.base import Spec, portfolio_clusters
from hmarl.policies.iddpg import IDDPG
from hmarl.policies.mean_field import MeanField
from hmarl.public import MARKET, OwnEffect, market_summary, mean_actions, public_width, publish
from hmarl.training import Ground, collect
from retail import Battery, Community, Game, Tariff, auction

PRICES = Tariff.make(energy=np.full(24, 0.3), sell=0.04)


def game(efficiency=0.95):
    rng = np.random.default_rng(3)
    load, pv = (torch.from_numpy(rng.uniform(0, 1, (24 * 4, 6))) for _ in range(2))
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * 4) * np.timedelta64(60, "m")
    battery = Battery.make(6, has=np.arange(6) != 2, efficiency=efficiency)
    labels = tuple(f"h{i}" for i in range(6))
    kwp = torch.full((6,), 3.0, dtype=torch.float64)
    return Game(Community(labels, clock, "UTC", 60, load, pv, battery, kwp, 1), auction("da"))


def played(g, action, steps=3):
    state = g.reset(torch.tensor([1, 2, 3]), PRICES)
    for _ in range(steps):
        before = state
        state, outcome = g.step(state, action)
    return before, outcome


def test_market_outcomes_are_sums_home_by_home():
    g = game()
    action = torch.rand(3, 6, 2, generator=torch.Generator().manual_seed(0)) * 0.4 - 0.2
    before, o = played(g, action)
    z, size = market_summary(g, before, o), float(g.observer.size.mean())
    for b in range(3):
        net, wh, cash = (x[b].tolist() for x in (o.net, o.trade_wh, o.trade_cash))
        demand, supply = (sum(max(s * x, 0) for x in net) / 6 / size for s in (1, -1))
        bought = [(w, c / w / 1e6 - 0.04) for w, c in zip(wh, cash, strict=True) if w > 0]
        volume = sum(w for w, _ in bought)
        price = sum(w * p for w, p in bought) / volume
        spread = (sum(w * (p - price) ** 2 for w, p in bought) / volume) ** 0.5
        shorter = min(demand, supply) * 6 * size * 1000
        expected = [demand, supply, price / 0.26, spread / 0.26, volume / shorter, demand - supply]
        torch.testing.assert_close(z[b], torch.tensor(expected), rtol=1e-4, atol=1e-5)
    assert len(MARKET) == z.shape[-1]


def test_means_of_each_side_are_those_of_a_loop():
    action = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    buying = torch.tensor([[True, False, True, False, False], [False] * 5])
    means = mean_actions(action, buying)
    for b in range(2):
        parts = []
        for side in (True, False):
            rows = action[b][buying[b] == side]
            none = torch.zeros(2)
            parts += [rows.mean(0), rows.std(0, unbiased=False)] if len(rows) else [none, none]
        torch.testing.assert_close(means[b], torch.cat([*parts, buying[b].float().mean().reshape(1)]))


@pytest.mark.parametrize("agent", [0, 1, 3])
def test_own_effect_is_what_the_game_played_again_shows(agent):
    """Lossless stores with room: the first-order effect is exact for demand, supply, net and means."""
    g = game(efficiency=1.0)
    spec = Spec.of(g, portfolio_clusters(g), 0)
    action = torch.rand(3, 6, 1, generator=torch.Generator().manual_seed(1)) * 0.1
    changed = action.clone()
    changed[:, agent] -= 0.02
    vectors, positions = [], []
    for a in (action, changed):
        before, o = played(g, a, steps=1)
        vector, position = publish(g, before, o, a)
        vectors.append(vector)
        positions.append(position)
    assert torch.equal(positions[0] > 0, positions[1] > 0), "nobody changes sides here"
    effect = OwnEffect.of(spec, ("battery",))
    shift = effect.shift(
        vectors[0],
        positions[0].T[agent].reshape(1, -1, 1, 1),
        effect.slope[agent].reshape(1, 1, 1, 1),
        (changed - action)[:, agent].reshape(1, -1, 1, 1),
    )[0, :, 0]
    names = [*MARKET, "buyers", "buyers_spread", "sellers", "sellers_spread", "share"]
    exact = [names.index(n) for n in ("demand", "supply", "net", "buyers", "sellers", "share")]
    torch.testing.assert_close(shift[:, exact], (vectors[1] - vectors[0])[:, exact], rtol=1e-3, atol=1e-6)


def test_only_those_who_ask_get_it():
    g = game()
    ground = Ground(g, torch.arange(1, 4), arrivals(g, 0))
    spec = Spec.of(g, portfolio_clusters(g), 0)
    for policy, width in ((IDDPG(), 0), (MeanField(), public_width(1, retail=True))):
        rollout, _ = collect(policy.start(spec), ground, PRICES, ground.days)
        assert rollout.public.shape == (24, 3, width)


def test_mean_field_actors_read_what_was_published():
    g = game()
    learner = MeanField().start(Spec.of(g, portfolio_clusters(g), 0))
    from hmarl.evaluation import look

    state = g.reset(torch.tensor([1, 2]), PRICES)
    seen = look(g, learner, state)
    told = replace(seen, public=torch.ones_like(seen.public))
    assert not torch.equal(learner.act(seen, explore=False), learner.act(told, explore=False))
