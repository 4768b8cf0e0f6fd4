"""MB-A3C3: forecasts join the observation; imagined steps are the game's; cluster agents act for their homes."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from hmarl.benchmark import no_battery
from hmarl.evaluation import arrivals, look, play
from hmarl.imagination import Imagination
from hmarl.policies.base import Misfit, Spec, portfolio_clusters
from hmarl.policies.mb_a3c3 import MBA3C3
from hmarl.training import Ground, collect, train
from retail import Battery, Community, Game, Tariff, auction
from retail.observation import PRICE_SCALE, Features
from retail.peak import Peak
from retail.streams import stream, torch_stream

PRICES = Tariff.make(energy=np.array([0.04] * 7 + [0.11] * 10 + [0.33] * 4 + [0.11] * 3), network=0.11, sell=0.04)
HOMES, DAYS = 6, 12
FAST = {
    "hidden": (16, 16),
    "encoder": (16, 8),
    "batch_days": 7,
    "passes": 2,
    "parts": 1,
    "body": "ff",
    "warm_days": 7,
    "refit_days": 14,
    "memory_days": 14,
    "model_epochs": 2,
}


def small(rule="da", **rules):
    rng, hours = np.random.default_rng(5), np.arange(24 * DAYS) % 24
    load = rng.uniform(0.3, 0.6, (24 * DAYS, HOMES)) + 1.2 * ((hours >= 17) & (hours < 21))[:, None]
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)[:, None]
    pv = sun * rng.uniform(0.5, 3, (DAYS,)).repeat(24)[:, None] * (np.arange(HOMES) % 3 > 0)
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * DAYS) * np.timedelta64(60, "m")
    battery = Battery.make(HOMES, has=np.arange(HOMES) != 4, wear_quadratic=0.03)
    to, labels = torch.from_numpy, tuple(f"h{i}" for i in range(HOMES))
    kwp = to((np.arange(HOMES) % 3 > 0) * 3.0)
    home = Community(labels, clock, "UTC", 60, to(load), to(pv), battery, kwp, 2)
    return Game(home, auction(rule), scale_days=torch.arange(2, 9), **rules)


def spec(game, postcodes=("2000", "2010") * 3):
    return replace(Spec.of(game, portfolio_clusters(game), 0), postcodes=postcodes)


def ground(game):
    return Ground(game, torch.arange(2, 9), arrivals(game, 0))


def trained(policy, game, batches=3):
    learner, g = policy.start(spec(game)), ground(game)
    rows = train(learner, g, PRICES, 7 * batches, stream(0, "days"), batch_days=7, budget=7 * batches)
    return learner, rows


@pytest.mark.parametrize("model", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize("clusters", ["random", "location", "dtw"])
def test_all_variants_of_table_2_run_and_report_their_errors(model, clusters):
    learner, rows = trained(MBA3C3(model=model, clusters=clusters, **{**FAST, "body": "conv1d"}), small(), 2)
    fitted = [row for row in rows if "quantity_rmse" in row]
    assert len(fitted) == 1
    named = {f"{what}_{how}" for what in ("quantity", "price") for how in ("rmse", "mape")}
    assert all(np.isfinite(fitted[0][name]) for name in named)
    count = int(fitted[0]["model_clusters"])
    made = learner.model.forward(0, torch.zeros(1, 1, 2), torch.zeros(1, 1, HOMES, 4))
    assert count == sum(len(out) for out, _ in made)
    if clusters == "location":
        assert learner.model.clusters.tolist() == [0, 1] * 3


def test_without_clusters_each_home_has_its_own_model():
    learner, _ = trained(MBA3C3(clusters="none", model="gru", **FAST), small(), 2)
    assert learner.model.clusters.tolist() == list(range(HOMES))


def test_forecasts_are_zero_first_and_then_known_to_the_actors():
    game = small()
    learner, _ = trained(MBA3C3(model="gru", **FAST), game)
    g = ground(game)
    known = play(game, learner, g.days, PRICES, g.arrival)
    learner.model = None
    unknown = play(game, learner, g.days, PRICES, g.arrival)
    assert not torch.equal(known.outcome.store_change, unknown.outcome.store_change)
    assert torch.equal(
        learner._forecasts(collect(learner, g, PRICES, g.days)[0].features), torch.zeros(25, 7, HOMES, 2)
    )


def test_learning_sees_the_forecasts_that_acting_saw():
    game = small()
    learner, _ = trained(MBA3C3(model="lstm", **FAST), game)
    shown = []
    original = learner._next_forecast
    learner._next_forecast = lambda features: shown.append(original(features)) or shown[-1]
    rollout, _ = collect(learner, ground(game), PRICES, torch.arange(2, 9))
    torch.testing.assert_close(torch.stack(shown), learner._forecasts(rollout.features)[:-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("end", ["restore", "value"])
@pytest.mark.parametrize("action", ["residual", "raw"])
def test_an_imagined_step_with_the_true_trade_is_the_step_of_the_game(end, action):
    game = small(reward="own", storage_end=end, action=action)
    imagination, state = Imagination(game), game.reset(torch.arange(3, 6), PRICES, arrivals(game, 0)[3:6])
    generator = torch.Generator().manual_seed(0)
    matched = 0
    while state.step < 24:
        heads = (0.5 * torch.randn(3, HOMES, 2, generator=generator)).clamp(-1, 1)
        before, features = state, game.features(state)
        state, outcome = game.step(before, heads)
        traded = outcome.trade_wh.double() / 1000
        price = outcome.trade_cash / outcome.trade_wh.double().where(outcome.trade_wh != 0, 1.0) / 1e6
        forecast = traded / game.observer.size, price / PRICE_SCALE
        dearest = before.tariff.buy.amax(-1, keepdim=True).double() / 1e5
        asked = {"battery": heads[..., 0], "price": heads[..., 1]}
        made = imagination.step(features, before.step, asked, forecast, dearest)
        torch.testing.assert_close(made.stored, state.stored, rtol=1e-4, atol=1e-5)
        # A pair trades at its own middle, so the price found is never worse than the limit.
        torch.testing.assert_close(made.traded, traded, rtol=0, atol=2e-3)
        torch.testing.assert_close(made.reward, outcome.reward, rtol=0, atol=2e-3)
        matched += int((outcome.trade_wh != 0).sum())
        wished = imagination.head_for(features, outcome.net)
        asked = {"battery": wished}
        again = imagination.step(features, before.step, asked, forecast, dearest)
        inside = wished.abs() < 1
        torch.testing.assert_close(again.stored[inside], state.stored[inside], rtol=1e-3, atol=1e-3)
    assert matched > 50


@pytest.mark.parametrize("use", ["lookahead", "dyna"])
def test_imagination_needs_the_own_bill_of_committed_moves(use):
    cap = Peak(cap_kw=2.0)
    for rules, there in (
        ({"reward": "difference"}, "reward difference"),
        ({"dispatch": "contingent"}, "dispatch contingent"),
        ({"curtail": True}, "curtailment"),
        ({"peak": cap}, "a price on its peak"),
    ):
        with pytest.raises(Misfit, match=f"use '{use}' imagines the own bill .* the game has {there};"):
            MBA3C3(use=use, **FAST).start(spec(small(**{"reward": "own"} | rules)))
    MBA3C3(use=use, **FAST).start(spec(small(reward="own", peak=replace(cap, rule="report"))))


def test_lookahead_plays_the_best_of_its_candidates_when_not_exploring():
    game = small(reward="own")
    learner, _ = trained(MBA3C3(use="lookahead", model="gru", **FAST), game)
    state = game.reset(torch.arange(3, 6), PRICES, arrivals(game, 0)[3:6])
    seen = look(game, learner, state)
    chosen = learner.act(seen, explore=False)
    learner.policy = replace(learner.policy, use="forecast")
    plain = learner.act(seen, explore=False)
    assert not torch.equal(chosen, plain)
    assert not chosen[:, 4].any()  # nothing to decide
    forecast = (
        learner._next_forecast(seen.features) * 0 + learner._forecasts(Features(*(x[None] for x in seen.features)))[0]
    )
    features = Features(seen.features.common, torch.cat([seen.features.personal, forecast], -1))
    options = learner._candidates(seen.features, forecast.unbind(-1), plain)
    assert len(options) == learner.policy.candidates + 2
    assert all(
        any(torch.allclose(chosen[b, n], o[b, n], atol=1e-5) for o in options) for b in range(3) for n in range(4)
    )
    # What it promises is no less than what the policy's own action promises.
    scores = []
    for action in (plain, chosen):
        made = learner.imagination.step(
            seen.features, 0, {"battery": action[..., 0]}, forecast.unbind(-1), torch.full((3, 1), 0.44).double()
        )
        after = learner.readings.moved_on(seen.features, made.stored, made.traded, made.paid)
        scores.append(made.reward.float() / learner.reward_scale + learner._worth(seen, features, after))
    assert bool((scores[1][:, :4] >= scores[0][:, :4] - 1e-5).all())
    assert bool((scores[1][:, :4] > scores[0][:, :4]).any())


def test_looking_ahead_reads_nothing_of_the_next_step():
    """Loads of later steps of a day, which sets no scales, change neither forecasts nor choices."""
    game, other = small(reward="own"), small(reward="own")
    learner, _ = trained(MBA3C3(use="lookahead", model="gru", **FAST), game)
    load = other.community.daily(other.community.load)
    load[9, 11:] += torch.rand(load[9, 11:].shape, generator=torch_stream(0, "x")).double()
    other = replace(other, community=replace(other.community, load=other.community.load.clone()))
    acted = []
    for g in (game, other):
        state, steps = g.reset(torch.tensor([9]), PRICES, arrivals(game, 0)[9:10]), []
        for _ in range(12):
            steps.append(learner.act(look(g, learner, state), explore=False))
            state, _ = g.step(state, steps[-1], learner.heads)
        acted.append(torch.stack(steps))
    assert torch.equal(acted[0][:11], acted[1][:11])
    assert not torch.equal(acted[0][11], acted[1][11])


def test_dyna_adds_imagined_steps_to_the_update():
    game = small(reward="own")
    learner, _ = trained(MBA3C3(use="dyna", model="gru", **FAST), game)
    rollout, _ = collect(learner, ground(game), PRICES, torch.arange(2, 9))
    learner.raw = rollout.features
    own = torch.cat([rollout.features.personal, learner._forecasts(rollout.features)], -1)
    data = learner.prepare(replace(rollout, features=Features(rollout.features.common, own)))
    learner.raw = None
    # With the actions really taken and a model that is right, imagined and real rewards are the same.
    reward, after = learner._imagined(data, data["action"])
    stored = learner.readings.own(rollout.features, "stored")
    torch.testing.assert_close(after[..., learner.readings._places["own stored"]], stored[1:], rtol=1e-4, atol=1e-4)
    untraded = (learner.readings.own(rollout.features, "last_traded")[1:] == 0) & (own[:-1, ..., -2].abs() < 1e-3)
    if bool(untraded.any()):
        torch.testing.assert_close(reward[untraded], rollout.reward[untraded], rtol=0, atol=5e-3)
    output, value = learner.evaluate(data)
    term = learner.further(data, output, value)
    assert float(term.detach()) != 0
    grads = torch.autograd.grad(term, learner.acting, allow_unused=True)
    assert all(g is not None and torch.isfinite(g).all() for g in grads)


def test_cluster_agents_decide_alike_for_their_homes():
    game = small()
    learner, _ = trained(MBA3C3(agents="per-cluster", number=2, model="gru", **FAST), game)
    assert learner.spec.agents == 2
    rollout, _ = collect(learner, ground(game), PRICES, torch.arange(2, 9))
    for k in range(2):
        mine = [n for n in range(HOMES) if int(learner.labels[n]) == k and n != 4]
        assert bool((rollout.action[:, :, mine] == rollout.action[:, :, mine[:1]]).all())
    assert not rollout.action[:, :, 4].any()


@pytest.mark.parametrize("use", ["forecast", "dyna"])
def test_resume_bit_for_bit(use):
    game = small(reward="own")
    policy, g = MBA3C3(use=use, model="gru", **FAST), ground(game)

    def go(learner, rng, batches, done=0):
        train(learner, g, PRICES, 7 * batches, rng, batch_days=7, done=done, budget=28)
        return learner

    straight = go(policy.start(spec(game)), stream(0, "days"), 4)
    rng = stream(0, "days")
    halted = pickle.loads(pickle.dumps(go(policy.start(spec(game)), rng, 2).state()))
    resumed = policy.start(spec(game))
    resumed.load(halted | {"days": rng.bit_generator.state})  # as the coordinator keeps it
    go(resumed, rng, 2, done=14)
    a, b = straight.state(), resumed.state()
    assert all(torch.equal(x, y) for x, y in zip(a["parameters"], b["parameters"], strict=True))
    assert all(torch.equal(x, y) for x, y in zip(a["model"]["nets"], b["model"]["nets"], strict=True))
    assert a["counted"] == b["counted"]


def test_it_learns_to_beat_no_battery_and_its_start():
    game = small()
    g, policy = (
        ground(game),
        MBA3C3(model="gru", **{**FAST, "batch_days": 28, "parts": 2, "passes": 3, "refit_days": 280}),
    )
    learner = policy.start(spec(game))
    before = float(play(game, learner, g.days, PRICES, g.arrival).cost.mean())
    rows = train(learner, g, PRICES, 28 * 12, stream(0, "days"), batch_days=28, budget=28 * 12)
    after = rows[-1]["training_cost_per_day"]
    assert after < before
    assert after < float(no_battery(game, g.days, PRICES, g.arrival).cost.mean())


def test_misfits_and_wrong_settings_are_refused_before_training():
    with pytest.raises(Misfit, match="needs postcodes"):
        MBA3C3(clusters="location").start(spec(small(), ()))
    with pytest.raises(Misfit, match="7 clusters of 6 homes"):
        MBA3C3(number=7).start(spec(small()))
    with pytest.raises(Misfit, match="plays the retail game only"):
        MBA3C3().start(replace(spec(small()), game=None))
    with pytest.raises(ValueError, match=r"dyna_weight is 0\.9.*; workers is 2"):
        MBA3C3(dyna_weight=0.9, workers=2)
    assert MBA3C3.paper().number == 4
