from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import aggregator
from aggregator.actor_critic import ActorCritic
from aggregator.gate import Gate
from aggregator.leader_env import LeaderEnv
from aggregator.portfolio import optimum
from aggregator.promise import promise


@pytest.fixture
def simple(make_view):
    """Nobody can move energy: the profit is linear in the prices and its maximum known."""
    return make_view(np.random.default_rng(3), steps=8, days=4, batteries=0, rules={"floor": 0.14, "ceiling": 0.4})


def test_the_environment_is_one_of_gymnasium(make_view):
    check_env(LeaderEnv(make_view(np.random.default_rng(0), rho=0.03), block_hours=2.0), skip_render_check=True)


def test_the_reward_is_the_settled_profit(make_view):
    view = make_view(np.random.default_rng(1), steps=6, days=3, rho=0.03)
    env = LeaderEnv(view, block_hours=2.0, days=2, penalty=0.2)
    actions = np.random.default_rng(2).uniform(-1, 1, (3, 6))
    days = np.array([0, 2])
    prices, shares = env.decode(actions)
    for price, share, reward in zip(prices, shares, env.profits(actions, days), strict=True):
        assert view.rules.admissible(price) == []
        response = optimum(view.portfolio.over(days), price, view.rules.sell)
        by_hand = 0.0
        for d in range(2):
            w = view.wholesale_price[days[d]]
            bid, net = share * response.net[1 - d], response.net[d]
            wholesale = w * bid + np.where(net > bid, 1.2, 0.8) * w * (net - bid)
            retail = (price - 0.08) * response.importing[d] - 0.05 * response.exporting[d]
            by_hand += (retail - wholesale).sum() / 2
        assert reward == pytest.approx(by_hand, abs=1e-7)


def test_an_actor_critic_finds_the_best_action_of_each_situation():
    """Reward -|a - target(s)|^2 plus noise; two situations with opposite targets."""
    nets, rng = ActorCritic.start(2, 3, 16, seed=0), np.random.default_rng(0)
    situations = np.eye(2, dtype=np.float32)
    targets = np.array([[0.6, -0.4, 0.2], [-0.5, 0.5, -0.1]])
    leaves = nets.leaves()
    optimiser = torch.optim.Adam(leaves.values(), lr=0.01)
    for k in range(600):
        s, sigma = k % 2, 0.3 * (1 - 0.8 * k / 600)
        actions = nets.explore(situations[s], 8, sigma, rng)
        rewards = -((actions - targets[s]) ** 2).sum(axis=1) + rng.normal(0, 0.1, len(actions))
        nets.learn(optimiser, leaves, situations[s], actions, rewards, sigma)
    nets.settle()
    for s in range(2):
        assert nets.act(situations[s]) == pytest.approx(targets[s], abs=0.12)
    again = ActorCritic.load(nets.state())
    assert (again.act(situations[0]) == nets.act(situations[0])).all()


def test_it_learns_what_is_worth_knowing(simple):
    untrained = aggregator.leader("learned", trials=0, tariff_hours=1.0).offer(simple)
    trained = aggregator.leader("learned", trials=960, tariff_hours=1.0).offer(simple)
    best = aggregator.leader("stackelberg", method="bound").offer(simple)
    assert simple.rules.admissible(trained.tariff.buy_price) == []
    assert trained.promised - untrained.promised > 0.6 * (best.promised - untrained.promised)
    assert trained.promised == pytest.approx(promise(simple, trained.tariff))
    assert (
        aggregator.leader("learned", trials=960, tariff_hours=1.0).offer(simple).tariff.buy == trained.tariff.buy
    ).all()


def test_the_slow_clock_goes_on_where_the_last_offer_ended(simple):
    leader, view = aggregator.leader("learned", trials=160, refresh=16), simple
    first = leader.offer(view)
    assert first.state["rounds"] == 0
    surprises, offer = [], first
    for k in range(1, 4):
        surprises.append(0.1 * k)
        view = replace(simple, round=k, last=offer, profit=offer.promised + 0.1 * k)
        offer = leader.offer(view)
        assert offer.state["rounds"] == k
        assert offer.state["surprise"] == pytest.approx(np.mean(surprises))
        assert offer.state["sigma"] == pytest.approx(0.03 * (1 + k) ** -0.75)
        assert "one update from the delivered profit" in offer.method
    assert (leader.offer(view).tariff.buy == offer.tariff.buy).all()
    # the same round with a better surprise learns something else
    other = leader.offer(replace(view, profit=view.profit + 5.0))
    assert any((other.state["nets"]["weights"][n] != w).any() for n, w in offer.state["nets"]["weights"].items())


def test_the_learned_share_multiplies_the_bid(simple):
    leader = aggregator.leader("learned", trials=0)
    forecast = np.ones((2, 8))
    shares = np.linspace(0.8, 1.2, 8)
    assert leader.position(Gate(forecast, shares=shares)) == pytest.approx(np.tile(shares, (2, 1)))
    assert (leader.position(Gate(forecast)) == forecast).all()
    assert leader.offer(simple).shares.shape == (8,)


def test_mistakes_come_all_at_once():
    with pytest.raises(aggregator.LeaderError) as caught:
        aggregator.leader("learned", trials=-1, rate=0.0, pairs=0)
    for word in ("trials is -1", "rate is 0.0", "pairs is 0"):
        assert word in str(caught.value)
