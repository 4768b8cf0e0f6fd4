"""Followers: learning, tuning, planning; and the nets that all agents share."""

import pickle

import numpy as np
import pytest
import torch

from hmarl.benchmark import community_optimum, no_battery, tuned_rule
from hmarl.evaluation import arrivals, look, play
from hmarl.nets.networks import Groups, StackedMLP, clip_per_group
from hmarl.policies.apg import APG
from hmarl.policies.base import Spec, portfolio_clusters
from hmarl.policies.optimal import Optimal
from hmarl.policies.ppo import IPPO, MAPPO
from hmarl.policies.rule_based import RuleBased
from hmarl.policies.zi import ZI
from hmarl.study_file.plugins import names
from hmarl.training import Ground, TrainingError, collect, train
from retail import Battery, Community, Game, Tariff, auction
from retail.lookahead import pooled_step
from retail.streams import stream, torch_stream

PRICES = Tariff.make(energy=np.array([0.04] * 7 + [0.11] * 10 + [0.33] * 4 + [0.11] * 3), network=0.11, sell=0.04)


def small(rule="da", homes=6, days=12, **rules):
    rng = np.random.default_rng(5)
    hours = np.arange(24 * days) % 24
    load = rng.uniform(0.3, 0.6, (24 * days, homes)) + 1.2 * ((hours >= 17) & (hours < 21))[:, None]
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)[:, None]
    pv = sun * rng.uniform(0.5, 3, (days,)).repeat(24)[:, None] * (np.arange(homes) % 3 > 0)
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * days) * np.timedelta64(60, "m")
    battery = Battery.make(homes, has=np.arange(homes) % 2 == 0, wear_quadratic=0.03)
    to = torch.from_numpy
    labels = tuple(f"h{i}" for i in range(homes))
    kwp = to((np.arange(homes) % 3 > 0) * 3.0)
    return Game(Community(labels, clock, "UTC", 60, to(load), to(pv), battery, kwp, 2), auction(rule), **rules)


def ground(game):
    return Ground(game, torch.arange(2, 9), arrivals(game, 0))


def spec(game, seed=0):
    return Spec.of(game, portfolio_clusters(game), seed)


HELD_OUT = torch.arange(9, 12)


@pytest.mark.parametrize("policy", [MAPPO, IPPO])
def test_ppo_learns_to_beat_its_start_and_the_tuned_rule(policy):
    game = small()
    g = ground(game)
    learner = policy(batch_days=28, epochs=3, minibatches=2).start(spec(game))
    before = float(play(game, learner, g.days, PRICES, g.arrival).cost.mean())
    rows = train(learner, g, PRICES, 28 * 40, stream(0, "days"), batch_days=28, budget=28 * 40)
    after = rows[-1]["training_cost_per_day"]
    rule = float(play(game, tuned_rule(g, spec(game).clusters, PRICES, 0), g.days, PRICES, g.arrival).cost.mean())
    bound = float(community_optimum(game, g.days, PRICES).mean())
    assert bound < after < rule < before
    assert rows[-1]["episode"] == 28 * 40


@pytest.mark.parametrize("policy", [MAPPO(batch_days=14, price="learned", sharing="agent"), IPPO(batch_days=14)])
def test_same_seed_same_bytes_and_resume_bit_for_bit(policy):
    game = small(reward="own")
    g = ground(game)

    def go(learner, rng, batches, done=0):
        train(learner, g, PRICES, 14 * batches, rng, batch_days=14, done=done, budget=56)
        return learner

    straight = go(policy.start(spec(game)), stream(0, "days"), 4).state()
    rng = stream(0, "days")
    halted = pickle.loads(pickle.dumps(go(policy.start(spec(game)), rng, 2).state()))
    resumed = policy.start(spec(game))
    resumed.load(halted)
    go(resumed, rng, 2, done=28)
    for name, value in resumed.state()["actor"].items():
        assert torch.equal(value, straight["actor"][name])
    assert torch.equal(resumed.state()["noise"], straight["noise"])
    other = go(policy.start(spec(game, 1)), stream(0, "days"), 4).state()
    assert not torch.equal(other["log_std"], straight["log_std"])


def test_gradient_through_the_game_learns_to_beat_the_tuned_rule():
    game = small(action="raw")
    g = ground(game)
    learner = APG(batch_days=14).start(spec(game))
    rows = train(learner, g, PRICES, 14 * 60, stream(0, "days"), batch_days=14, budget=14 * 60)
    rule = float(play(game, tuned_rule(g, spec(game).clusters, PRICES, 0), g.days, PRICES, g.arrival).cost.mean())
    bound = float(community_optimum(game, g.days, PRICES).mean())
    assert bound < rows[-1]["training_cost_per_day"] < rule


def test_looking_ahead_and_stepping_agree():
    """The differentiable look-ahead is the game itself: same stores, same cost where every pair crosses."""
    for rule, end in (("da", "restore"), ("none", "value")):
        game = small(rule, storage_end=end)
        state = game.reset(HELD_OUT, PRICES)
        generator = torch.Generator().manual_seed(0)
        while state.step < 24:
            action = torch.randn(3, 6, 1, generator=generator)
            after, cost = pooled_step(game, state, action, ("battery",))
            state, o = game.step(state, action)
            torch.testing.assert_close(after.stored, state.stored)
            torch.testing.assert_close(cost, o.cost.sum(-1), rtol=0, atol=6 * 0.0005 * 0.44)


@pytest.mark.parametrize("end", ["restore", "value"])
def test_the_derivative_of_a_day_is_that_of_its_cost(end):
    """Also through hours in which the store must return to its start, where both of its limits are the same number."""
    game = small(storage_end=end)
    generator = torch.Generator().manual_seed(1)
    actions = 0.8 * torch.randn(24, 3, 6, 1, generator=generator, dtype=torch.float64)
    forced = 0

    def cost(chosen):
        nonlocal forced
        state, total = game.reset(HELD_OUT, PRICES), torch.zeros((), dtype=torch.float64)
        while state.step < 24:
            low, high = game.feasible(state)
            forced += int(((low == high) & (game.community.battery.capacity > 0)).sum())
            state, step_cost = pooled_step(game, state, chosen[state.step], ("battery",))
            total = total + step_cost.sum()
        return total

    leaf = actions.clone().requires_grad_()
    cost(leaf).backward()
    assert forced > 0 or end == "value"
    for _ in range(6):
        way = torch.randn(actions.shape, generator=generator, dtype=torch.float64)
        slope = float(cost(actions + 1e-6 * way) - cost(actions - 1e-6 * way)) / 2e-6
        assert float((leaf.grad * way).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_an_actor_sees_its_own_observation_only():
    game = small()
    learner = MAPPO().start(spec(game))
    state = game.reset(torch.arange(3, 6), PRICES)
    seen = look(game, learner, state)
    changed = seen.features._replace(personal=seen.features.personal.clone())
    changed.personal[:, 2] += 1.0
    a, b = (learner.act(type(seen)(f, state), explore=False) for f in (seen.features, changed))
    assert torch.equal(a[:, [0, 4]], b[:, [0, 4]])
    assert not torch.equal(a[:, 2], b[:, 2])


def test_a_broken_learner_is_named():
    game = small()
    with pytest.raises(
        TrainingError, match=r"episode 14: .*policy_loss is nan.* \(tensor actor\.weights\.0 of group 0"
    ):
        train(
            MAPPO(batch_days=14, learning_rate=1e30, final_learning_rate=1e30).start(spec(game)),
            ground(game),
            PRICES,
            14 * 5,
            stream(0, "days"),
            batch_days=14,
        )


@pytest.mark.parametrize("end", ["restore", "carry"])
def test_the_rule_is_tuned_to_the_best_candidate(end):
    game = small(storage_end=end)
    g = ground(game)
    learner = tuned_rule(g, spec(game).clusters, PRICES, 0)
    best = float(play(game, learner, g.days, PRICES, g.arrival).cost.mean())
    costs = []
    for keep, level, room, power in learner.candidates[::9]:
        one = RuleBased((keep,), (level,), (room,), (power,)).start(spec(game))
        costs.append(float(play(game, one, g.days, PRICES, g.arrival).cost.mean()))
    assert best <= min(costs) + 1e-9
    assert best < float(no_battery(game, g.days, PRICES, g.arrival).cost.mean())


def test_zi_quotes_do_not_depend_on_the_batch():
    game = small()
    learner, arrival = ZI().start(spec(game)), arrivals(game, 0)
    many = play(game, learner, torch.arange(3, 9), PRICES, arrival)
    one = play(game, learner, torch.tensor([5]), PRICES, arrival)
    assert torch.equal(many.outcome.trade_cash[2:3], one.outcome.trade_cash)
    ticks = many.outcome.order_tick
    assert bool(((ticks >= many.tariff.sell[..., None]) & (ticks <= many.tariff.buy[..., None])).all())


@pytest.mark.parametrize("wear", [0.0, 0.03])
@pytest.mark.parametrize("end", ["restore", "value"])
def test_optimal_alone_pays_exactly_its_program(wear, end):
    game = small("none", storage_end=end)
    battery = Battery.make(6, has=np.arange(6) % 2 == 0, wear_quadratic=wear)
    game = small("none", storage_end=end)
    game = Game(game.community.with_battery(battery), game.auction, storage_end=end)
    played = play(game, Optimal().start(spec(game)), HELD_OUT, PRICES, arrivals(game, 0))
    np.testing.assert_allclose(played.cost.numpy(), community_optimum(game, HELD_OUT, PRICES), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", names("policies"))
@pytest.mark.parametrize("end", ["restore", "carry"])
def test_nobody_beats_the_community_optimum(name, end):
    from hmarl.study_file.plugins import make

    game = small(storage_end=end)
    learner = make("policies", name).start(spec(game))
    played = play(game, learner, HELD_OUT, PRICES, arrivals(game, 0))
    bound = community_optimum(game, HELD_OUT, PRICES)
    if end == "carry":
        assert float(played.cost.mean()) >= bound.mean() - 1e-4
    else:
        assert (played.cost.numpy() >= bound - 1e-4).all()


def test_carry_hands_the_store_to_the_next_day():
    game = small(storage_end="carry")
    played = play(game, RuleBased().start(spec(game)), HELD_OUT, PRICES, arrivals(game, 0))
    x = played.outcome.store_change
    torch.testing.assert_close(played.stored[1, 0], played.stored[0, -1] + x[1, 0])
    rollout, stored = collect(MAPPO().start(spec(game)), ground(game), PRICES, HELD_OUT)
    assert not rollout.terminated
    assert stored.shape == (3, 6)


@pytest.mark.parametrize("sharing", ["agent", "cluster", "all"])
def test_stacked_nets_equal_a_list_of_nets(sharing):
    clusters, chosen = torch.tensor([0, 1, 0, 1, 1]), torch.tensor([True, True, True, False, True])
    groups = Groups.make(clusters, sharing, chosen)
    net = StackedMLP(groups.members.shape[0], 2, 3, (8, 2), torch_stream(0, "weights"))
    common, x = (torch.randn(*shape, generator=torch_stream(0, "x")) for shape in ((7, 2), (7, 5, 3)))
    stacked = groups.scatter(net(common, groups.gather(x)))
    label = {"agent": [0, 1, 2, 3], "cluster": [0, 1, 0, 1], "all": [0] * 4}[sharing]
    for column, agent in enumerate(groups.agents.tolist()):
        w, b = ([p[label[column]] for p in ps] for ps in (net.weights, net.biases))
        seen = torch.cat([common, x[:, agent]], -1)
        alone = torch.tanh(seen @ w[0] + b[0]) @ w[1] + b[1]
        torch.testing.assert_close(stacked[:, column], alone, rtol=1e-5, atol=1e-6)


def test_gradients_are_clipped_group_by_group():
    p = torch.nn.Parameter(torch.zeros(2, 3))
    p.grad = torch.tensor([[3.0, 4.0, 0.0], [0.3, 0.0, 0.4]])
    clip_per_group([p], 1.0)
    torch.testing.assert_close(p.grad.norm(dim=1), torch.tensor([1.0, 0.5]))


def test_impossible_recipes_are_refused():
    for recipe, words in (
        (lambda: MAPPO(batch_days=0, noise=-1), ("batch_days is 0", "noise is -1")),
        (lambda: RuleBased(keep=()), ("keep is ()",)),
        (lambda: MAPPO(price="learned").start(spec(small())), ("does not depend on limit prices",)),
    ):
        with pytest.raises(ValueError) as caught:
            recipe()
        for word in words:
            assert word in str(caught.value)


def test_carried_stores_begin_anew_after_a_gap():
    game = small(storage_end="carry")
    days = torch.tensor([3, 4, 7, 8])
    played = play(game, RuleBased().start(spec(game)), days, PRICES, arrivals(game, 0))
    first = played.stored[:, 0] - played.outcome.store_change[:, 0]
    start = game.community.battery.start
    torch.testing.assert_close(first[[0, 2]], start.expand(2, -1))
    torch.testing.assert_close(first[[1, 3]], played.stored[[0, 2], -1])
    bound = community_optimum(game, days, PRICES)
    assert bound[0] == bound[1] != bound[2] == bound[3]
    assert float(played.cost.mean()) >= bound.mean() - 1e-4
