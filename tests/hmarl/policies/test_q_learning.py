"""Tables: exact on a problem with an exact answer, collusive where they are known to be, frozen among rules."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hmarl.arena import arena_spec, mean_return, practise
from hmarl.arenas.aim import Aim
from hmarl.arenas.battery_day import BatteryDay
from hmarl.arenas.repeated_bertrand import RepeatedBertrand
from hmarl.contracts.trials import DAYS, LIVELY_TARIFF, evening_game, lively_game
from hmarl.evaluation import arrivals, look, play
from hmarl.policies.base import Misfit, Spec
from hmarl.policies.cells import Cells
from hmarl.policies.dqn import DQN
from hmarl.policies.macro import NAMES, at_the_meter, store_changes
from hmarl.policies.mf_ac import MFAC
from hmarl.policies.mf_q import MFQ
from hmarl.policies.ppo import IPPO, MAPPO
from hmarl.policies.q_learning import QLearning
from hmarl.policies.rule_based import RuleBased
from hmarl.policies.table import Table
from hmarl.training import Ground, train
from retail.observation import Features
from retail.streams import stream, torch_stream

THREE = (-1.0, 0.0, 1.0)


def exact_values(arena):
    """Q of the battery day by backward induction, [T, stores, 3]."""
    best, values = arena.optimum(), torch.zeros(arena.steps, arena.capacity + 1, 3, dtype=torch.float64)
    for hour, store, move in np.ndindex(*values.shape):
        after = min(max(store + move - 1, 0), arena.capacity)
        values[hour, store, move] = (store - after) * arena.prices[hour] + best[hour + 1, after]
    return values


@pytest.mark.parametrize(("decay", "rate", "rounds"), [("visits", 1.0, 20), ("constant", 0.5, 60)])
def test_tables_equal_backward_induction(decay, rate, rounds):
    arena = BatteryDay()
    policy = QLearning(
        decay=decay, rate=rate, levels=THREE, cells=(*[1] * arena.steps, 5), last_epsilon=1.0, half_life=1.0
    )
    learner = policy.start(arena_spec(arena, 0))
    practise(learner, arena, 200 * rounds, copies=200, seed=0)
    values = learner.table.values.reshape(arena.steps, 5, 3)
    assert float((values - exact_values(arena)).abs().max()) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "episodes"),
    [
        (DQN(levels=THREE), 2400),
        (MFQ(levels=THREE), 2400),
        (MFAC(levels=THREE), 9600),
        (IPPO(noise=0.5), 9600),
        (MAPPO(noise=0.5), 9600),
    ],
    ids=lambda x: type(x).__name__,
)
def test_nets_come_close_to_backward_induction(policy, episodes):
    arena = BatteryDay(agents=2)
    learner = policy.start(arena_spec(arena, 0))
    practise(learner, arena, episodes, copies=policy.batch_days, seed=0)
    earned = float(mean_return(learner, arena, 500, 1).mean())
    arena.reset(500, torch_stream(1, "judge"))
    assert earned >= 0.95 * float(arena.optimum()[0, arena.stored].mean())


def test_a_batch_of_updates_is_a_mean_of_single_ones():
    """Rows that meet in a cell against one update after the other towards their mean."""
    generator = torch_stream(0, "x")
    cell, choice = (torch.randint(k, (40, 2), generator=generator) for k in (3, 2))
    target = torch.rand(40, 2, generator=generator, dtype=torch.float64)
    fast = Table(2, 3, 2, 0.1, "constant", 0.5)
    fast.update(cell, choice, target)
    visits = Table(2, 3, 2, 0.1, "visits", 0.5)
    for part in (slice(0, 15), slice(15, 40)):
        visits.update(cell[part], choice[part], target[part])
    for n, s, a in np.ndindex(2, 3, 2):
        met = target[:, n][(cell[:, n] == s) & (choice[:, n] == a)]
        slow = 0.5
        for _ in met:
            slow += 0.1 * (float(met.mean()) - slow)
        assert float(fast.values[n, s, a]) == pytest.approx(slow, abs=1e-12)
        assert float(visits.values[n, s, a]) == pytest.approx(float(met.mean()), abs=1e-7)


def test_one_row_is_the_textbook_update():
    one, many = (Table(2, 3, 2, 0.1, "constant", 0.0) for _ in range(2))
    cell, choice, target = torch.tensor([[2, 0]]), torch.tensor([[1, 1]]), torch.tensor([[1.0, -2.0]])
    for _ in range(3):
        one.update(cell, choice, target)
    many.update(cell.repeat(3, 1), choice.repeat(3, 1), target.repeat(3, 1))
    assert float(one.values[0, 2, 1]) == pytest.approx(1 - 0.9**3)
    torch.testing.assert_close(one.values, many.values)


def test_prices_of_the_duopoly_solve_its_first_order_conditions():
    arena = RepeatedBertrand(1)

    def slope(price, joint):
        p = torch.tensor([price, price], dtype=torch.float64, requires_grad=True)
        profit = arena.profit(p)
        (profit.sum() if joint else profit[0]).backward()
        return float(p.grad[0])

    assert abs(slope(arena.nash, joint=False)) < 1e-5
    assert abs(slope(arena.monopoly, joint=True)) < 1e-5
    found = arena.profit(torch.tensor([[arena.nash] * 2, [arena.monopoly] * 2], dtype=torch.float64))[:, 0]
    np.testing.assert_allclose(found, [0.2229, 0.3375], atol=1e-4)


@pytest.mark.slow
def test_tables_end_above_competition_in_repeated_bertrand():
    """100 sessions; exploration falls as exp(-1e-5 t), inside the paper's grid; the gain is still rising at the end."""
    arena, periods = RepeatedBertrand(100), 800_000
    policy = QLearning(
        rate=0.15,
        levels=tuple(-1 + 2 * i / 14 for i in range(15)),
        cells=(15, 15),
        clock=False,
        gamma=0.95,
        first_value=5.0,
        last_epsilon=0.0,
        half_life=math.log(2) / 1e-5 / periods,
    )
    learner = policy.start(arena_spec(arena, 0))
    rows = practise(learner, arena, periods, copies=1, seed=0)
    profit = np.mean([row["return"] for row in rows[-1000:]])
    assert 0.6 <= float(arena.gain(torch.tensor(profit))) <= 0.95


def retail(game):
    return Spec.of(game, torch.zeros(game.community.prosumers, dtype=torch.int64), 0)


def test_cells_of_a_game_are_quantiles_and_zero_generation_is_its_own():
    game = lively_game()
    spec = retail(game)
    cells = Cells.of_game(spec, (5, 5, 4))
    assert cells.count == 5 * 5 * 4 * 24
    days = torch.arange(DAYS)
    state = game.reset(days, LIVELY_TARIFF.on(days))
    counts = torch.zeros(5, 5)
    learner = QLearning().start(spec)
    while state.step < 24:
        seen = look(game, learner, state)
        cell = cells(seen.features, state.step)
        load, pv, store = cell // 20 % 5, cell // 4 % 5, cell % 4
        assert bool((cell // 100 == state.step).all())
        generation = game.community.daily(game.community.pv)[days, state.step]
        assert torch.equal(pv == 0, generation < 1e-9)
        share = (state.stored - game.community.battery.store_min) / game.community.battery.capacity.clamp(min=1e-9)
        assert torch.equal(store, (share.float() * 4).long().clamp(max=3))
        for n in range(5):
            counts[n] += torch.bincount(load[:, n], minlength=5)
        state, _ = game.step(state, learner.act(seen, explore=True), learner.heads)
    # Fifths of the load of each home.
    assert bool(((counts / counts.sum(1, keepdim=True) - 0.2).abs() < 0.02).all())


def test_cells_of_an_arena_cut_evenly_and_refuse_large_tables():
    spec = arena_spec(Aim(), 0)
    cells = Cells.of_arena(spec, (2, 4), clock=True)
    features = Features(torch.tensor([[-0.5], [0.5]]), torch.tensor([[[-0.9], [0.0], [0.6]]] * 2))
    assert cells(features, 1).tolist() == [[8, 10, 11], [12, 14, 15]]
    with pytest.raises(Misfit, match="choose dqn"):
        Cells.of_arena(spec, (2000,), clock=True)
    with pytest.raises(Misfit, match="give one each"):
        Cells.of_arena(spec, (2, 2, 2), clock=True)


def test_macro_actions_do_what_their_names_say():
    game = lively_game()
    days = torch.tensor([3])
    state = game.reset(days, LIVELY_TARIFF.on(days))
    for step in (12, 18):  # sun, and evening need
        while state.step < step:
            state, _ = game.step(state, torch.zeros(1, 5, 1), ("battery",))
        wish = dict(zip(NAMES, store_changes(game, state).unbind(-1), strict=True))
        fixed = game.fixed(state)
        assert not any(wish[n].any() for n in ("buy", "sell", "self-consume"))
        assert bool((wish["charge and buy"] >= wish["charge and sell"]).all())
        assert bool((wish["discharge and sell"] <= wish["discharge and buy"]).all())
        store = game.community.battery.has
        for name in ("self-consume and charge", "self-consume and discharge"):
            net, cut = at_the_meter(game, state, game.action_for(state, wish[name]))
            free = store & (cut < 1e-9)[0]
            # Neither changes from import to export or back.
            assert bool((net * fixed >= -1e-9)[0, free].all())


@pytest.mark.parametrize("reward", ["saving", "paper"])
def test_one_home_learns_alone_and_is_frozen_among_rules(reward):
    game, tariff = evening_game()
    days = torch.arange(2, DAYS)
    ground = Ground(game, days, arrivals(game, 0))
    spec = retail(game)
    learner = QLearning(mode="frozen", reward=reward, agent=2, rate=0.5).start(spec)
    rows = train(learner, ground, tariff, 96 * 20, stream(0, "days"), batch_days=96, budget=96 * 20)
    assert {"keep", "level"} <= set(rows[0])  # the rule of the others was tuned first
    rule = RuleBased().start(spec)
    rule.load(learner.rule.state())
    played, ruled = (play(game, x, days, tariff, ground.arrival).outcome for x in (learner, rule))
    others = [0, 1, 3]
    assert torch.equal(played.store_change[..., others], ruled.store_change[..., others])
    cost = float(played.cost[..., 2].sum(-1).mean())
    if reward == "saving":
        assert cost < 2.4 + 0.25 * 1.6
    else:  # to be right is to buy what the rule would buy: it says little about when
        assert rows[-1]["reward_per_day"] > rows[1]["reward_per_day"]


def test_impossible_tables_are_refused():
    spec = retail(lively_game())
    with pytest.raises(ValueError, match="mode 'frozen'"):
        QLearning(reward="paper")
    with pytest.raises(Misfit, match="5 homes"):
        QLearning(mode="frozen", agent=5).start(spec)
    with pytest.raises(Misfit, match="retail game only"):
        QLearning(mode="frozen").start(arena_spec(Aim(), 0))
    assert QLearning.paper().gamma == 0.99


def test_macro_actions_leave_further_heads_to_the_game():
    game = replace(lively_game(), curtail=True)
    learner = QLearning(episodes=8, batch_days=4).start(Spec.of(game, torch.zeros(5, dtype=torch.int64), 0))
    ground = Ground(game, torch.arange(2, DAYS), arrivals(game, 0))
    train(learner, ground, LIVELY_TARIFF, 8, stream(0, "days"), batch_days=4, budget=8)
    assert learner.heads == ("battery",)
    assert float(learner.table.values.abs().sum()) > 0


@pytest.mark.parametrize("policy", [DQN, MFQ, MFAC])
def test_a_single_return_has_a_scale(policy):
    arena = Aim(agents=1)
    learner = policy(batch_days=1).start(arena_spec(arena, 0))
    practise(learner, arena, 3, copies=1, seed=0)
    assert 0 < float(learner.reward_scale) < 10
    assert torch.isfinite(mean_return(learner, arena, 10, 0)).all()
