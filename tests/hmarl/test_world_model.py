"""The world model: no leakage, step by step as in one go, errors by hand, learns what can be known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmarl.benchmark import Idle
from hmarl.evaluation import arrivals
from hmarl.nets.transformer import CausalTransformer
from hmarl.policies.base import Spec, portfolio_clusters
from hmarl.policies.ppo import IPPO
from hmarl.readings import Readings
from hmarl.training import Ground, collect
from hmarl.world_model import WorldModel, errors, fit, inputs, predict, trail
from retail import Battery, Community, Game, Tariff, auction
from retail.observation import PRICE_SCALE, Features
from retail.streams import torch_stream

PRICES = Tariff.make(energy=np.array([0.15] * 7 + [0.22] * 10 + [0.44] * 4 + [0.22] * 3), sell=0.04)
HOMES, DAYS = 6, 14
NAMES = ("lstm", "gru", "transformer")


def small(**rules):
    rng, hours = np.random.default_rng(5), np.arange(24 * DAYS) % 24
    load = rng.uniform(0.3, 0.6, (24 * DAYS, HOMES)) + 1.2 * ((hours >= 17) & (hours < 21))[:, None]
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)[:, None]
    pv = sun * rng.uniform(0.5, 3, (DAYS,)).repeat(24)[:, None] * (np.arange(HOMES) % 3 > 0)
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * DAYS) * np.timedelta64(60, "m")
    to, labels = torch.from_numpy, tuple(f"h{i}" for i in range(HOMES))
    kwp = to((np.arange(HOMES) % 3 > 0) * 3.0)
    return Game(
        Community(labels, clock, "UTC", 60, to(load), to(pv), Battery.make(HOMES), kwp, 2), auction("da"), **rules
    )


@pytest.fixture(scope="module")
def played():
    game = small(reward="own")
    learner = IPPO(price="learned").start(Spec.of(game, portfolio_clusters(game), 0))
    ground = Ground(game, torch.arange(2, DAYS), arrivals(game, 0))
    rollout, _ = collect(learner, ground, PRICES, torch.arange(2, DAYS))
    return game, rollout


def model_of(name, clusters=(0, 0, 1, 1, 1, 1)):
    return WorldModel(name, torch.tensor(clusters), 24, torch_stream(0, "world model"))


def test_readings_give_back_energy_prices_and_the_reward_of_the_paper():
    game = small(reward="own")
    readings, state = Readings(game), game.reset(torch.arange(3, 6), PRICES)
    shown, outcomes, states = [game.features(state)], [], []
    generator = torch.Generator().manual_seed(0)
    while state.step < 24:
        states.append(state)
        state, outcome = game.step(state, 0.3 * torch.randn(3, HOMES, 2, generator=generator))
        shown.append(game.features(state))
        outcomes.append(outcome)
    features = Features(*(torch.stack(part) for part in zip(*shown, strict=True)))
    for t, (before, outcome) in enumerate(zip(states, outcomes, strict=True)):
        now = Features(*(part[t] for part in features))
        torch.testing.assert_close(readings.net(now), game.fixed(before), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(readings.stored(now), before.stored, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(readings.price(now, "buy")[:, 0], before.tariff.buy[:, t] / 1e5, check_dtype=False)
        after = Features(*(part[t + 1] for part in features))
        torch.testing.assert_close(
            readings.traded(after), outcome.trade_wh / 1000, rtol=1e-5, atol=1e-6, check_dtype=False
        )
    bills = torch.stack([o.bill for o in outcomes])
    torch.testing.assert_close(readings.reward(features), -bills, rtol=0, atol=1e-5)
    moved = readings.moved_on(
        Features(*(p[5] for p in features)), *(torch.ones(3, HOMES).double() * k for k in (4, 0.5, 0.2))
    )
    again = Features(features.common[5], moved)
    torch.testing.assert_close(readings.stored(again), torch.full((3, HOMES), 4.0).double())
    torch.testing.assert_close(readings.traded(again), torch.full((3, HOMES), 0.5).double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_shuffling_the_future_leaves_the_forecast(played, name):
    game, rollout = played
    model, readings = model_of(name), Readings(game)
    known = predict(model, *inputs(readings, rollout.features))[:2]
    for now in (0, 9, 23):
        order = torch.cat([torch.arange(now + 1), now + 1 + torch.randperm(24 - now, generator=torch_stream(0, "x"))])
        shuffled = Features(*(part[order] for part in rollout.features))
        for a, b in zip(known, predict(model, *inputs(readings, shuffled))[:2], strict=True):
            assert torch.equal(a[: now + 1], b[: now + 1])
    # The trade of a step itself, which the next observation holds, is not known in it.
    changed = Features(rollout.features.common, rollout.features.personal.clone())
    place = game.observer.names.index("last_traded") - len(game.observer.common_names)
    changed.personal[10, ..., place] += 1
    other = predict(model, *inputs(readings, changed))[0]
    assert torch.equal(known[0][:10], other[:10])
    assert not torch.equal(known[0][10], other[10])


@pytest.mark.parametrize("name", NAMES)
def test_step_by_step_equals_whole_days(played, name):
    game, rollout = played
    model, readings = model_of(name), Readings(game)
    model.standardise(trail(readings, rollout.features))
    whole = predict(model, *inputs(readings, rollout.features))[:2]
    carried, parts = None, []
    for t in range(25):
        common, personal = inputs(readings, Features(*(part[max(t - 1, 0) : t + 1] for part in rollout.features)))
        *made, carried = predict(model, common[-1:], personal[:, -1:], carried)
        parts.append(made)
    for k in range(2):
        torch.testing.assert_close(torch.cat([p[k] for p in parts]), whole[k], rtol=1e-4, atol=1e-5)


def test_stacked_transformers_are_those_of_torch_without_dropout():
    net = CausalTransformer(2, 2, 4, 1, torch_stream(0, "weights"), 25, width=8, heads=2, inner=12)
    generator = torch_stream(0, "x")
    common, personal = torch.randn(9, 3, 2, generator=generator), torch.randn(2, 9, 3, 2, 4, generator=generator)
    whole, _ = net(common, personal)
    for g in range(2):
        layer = torch.nn.TransformerEncoderLayer(8, 2, 12, 0.0, norm_first=True, batch_first=True)
        x = torch.cat([common[:, :, None].expand(9, 3, 2, 2), personal[g]], -1).flatten(1, 2) @ net.entry.weight[g]
        x = (x + net.position[g, :9]).transpose(0, 1)
        for block in net.blocks:
            w, b = block.weights, block.biases
            with torch.no_grad():
                layer.self_attn.in_proj_weight.copy_(w["ask"][g].T)
                layer.self_attn.in_proj_bias.copy_(b["ask"][g, 0])
                parts = {"gather": layer.self_attn.out_proj, "widen": layer.linear1, "narrow": layer.linear2}
                for name, part in parts.items():
                    part.weight.copy_(w[name][g].T)
                    part.bias.copy_(b[name][g, 0])
                x = layer(x, src_mask=torch.nn.Transformer.generate_square_subsequent_mask(9), is_causal=True)
        with torch.no_grad():
            alone = (x @ net.last[g] + net.bias[g]).transpose(0, 1).unflatten(1, (3, 2))
            torch.testing.assert_close(whole[g], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_what_can_be_known(played, name):
    """A home that trades what its net load says, at the mean of both tariffs."""
    game, rollout = played
    days = trail(Readings(game), rollout.features)
    wanted = torch.stack([0.7 * days.personal[0, ..., 0], days.common.mean(-1, keepdim=True).expand(24, -1, HOMES)])
    days = replace(days, target=wanted, traded=torch.ones_like(days.traded))
    days = days.and_then(days, 24)
    model, size = model_of(name), game.observer.size
    before = errors(model, days, size)
    made = fit(model, days, size, epochs=12, rate=1e-2, rows=64)
    assert made["quantity_rmse"] < 0.5 * before["quantity_rmse"]
    assert made["price_rmse"] < 0.5 * before["price_rmse"]
    assert made["model_epochs"] <= 12


def test_errors_by_hand(played):
    game, rollout = played
    days, model, size = trail(Readings(game), rollout.features), model_of("gru"), game.observer.size
    quantity, price, _ = predict(model, days.common, days.personal)
    made = errors(model, days, size)
    off, real = (quantity - days.target[0]) * size, days.target[0] * size
    assert made["quantity_rmse"] == pytest.approx(float((off**2).mean()) ** 0.5, rel=1e-5)
    large = real.abs() > 0.05
    assert made["quantity_mape"] == pytest.approx(float((off[large] / real[large]).abs().mean()), rel=1e-5)
    assert 0 < int(days.traded.sum()) < days.traded.numel()
    off = ((price - days.target[1]) * PRICE_SCALE)[days.traded]
    assert made["price_rmse"] == pytest.approx(float((off**2).mean()) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("clusters", [(0, 0, 1, 1, 1, 1), (0, 0, 2, 1, 1, 1)])
def test_a_group_is_fitted_as_if_it_were_alone(played, clusters):
    """Gradients of one group do not depend on what the others saw."""
    from hmarl.world_model import _loss

    game, rollout = played
    days = trail(Readings(game), rollout.features)
    other = replace(days, target=days.target.clone())
    other.target[..., 2:] += 1
    grads = []
    for seen in (days, other):
        model = model_of("lstm", clusters)
        model.standardise(days)
        _loss(model, seen).backward()
        grads.append([[grad_of(model, place, clusters[home]) for place in (0, 1)] for home in (0, -1)])
    for a, b in zip(*grads, strict=True):
        same = all(torch.equal(x, y) for one, other in zip(a, b, strict=True) for x, y in zip(one, other, strict=True))
        assert same == (a is grads[0][0])


def grad_of(model, place, cluster):
    """Gradients of the net of one cluster."""
    table, row = where(model, cluster)
    return [p.grad[row].clone() for p in model.nets[place][table].parameters()]


def where(model, cluster):
    """Table and row of the net of one cluster."""
    for k, table in enumerate(model.tables):
        for g, member in enumerate(table.members[:, 0].tolist()):
            if int(model.clusters[member]) == cluster:
                return k, g
    raise AssertionError(cluster)


@pytest.mark.parametrize("name", ["lstm", "gru", "transformer"])
def test_groups_in_tables_of_unlike_width_are_the_nets_of_each_group_alone(played, name):
    """Oracle: a model of one group, with the weights of that group, on the homes of that group."""
    game, rollout = played
    days = trail(Readings(game), rollout.features)
    clusters = (7, 3, 7, 7, 7, 9)
    model = model_of(name, clusters)
    model.standardise(days)
    assert [len(table.members) for table in model.tables] == [1, 2]
    together = predict(model, days.common, days.personal)[:2]
    for cluster in set(clusters):
        mine = (torch.tensor(clusters) == cluster).nonzero().flatten()
        alone, (table, row) = model_of(name, [0] * len(mine)), where(model, cluster)
        for place in (0, 1):
            for to, of in zip(alone.nets[place].parameters(), model.nets[place][table].parameters(), strict=True):
                to.data.copy_(of[row : row + 1])
        for field in ("mean", "scale", "target_mean", "target_scale"):
            setattr(alone, field, getattr(model, field))
        made = predict(alone, days.common, days.personal[:, :, :, mine])[:2]
        for a, b in zip(together, made, strict=True):
            torch.testing.assert_close(a[..., mine], b, rtol=1e-5, atol=1e-6)


def test_days_without_any_trade_break_nothing():
    game = small()
    ground = Ground(game, torch.arange(2, DAYS), arrivals(game, 0))

    class Silent(Idle):
        reads_features = True

    rollout, _ = collect(
        Silent(), replace(ground, game=replace(game, auction=auction("none"))), PRICES, torch.arange(2, 8)
    )
    made = fit(model_of("gru"), trail(Readings(game), rollout.features), game.observer.size, epochs=1)
    assert made["price_rmse"] == made["price_mape"] == 0
    assert all(np.isfinite(v) for v in made.values())
