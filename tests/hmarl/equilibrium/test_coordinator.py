"""Both levels together: rounds, settlement, invariants, results."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from hmarl.equilibrium.alternate import damped
from hmarl.equilibrium.coordinator import Coordinator
from hmarl.equilibrium.iterate import price_change, share_done, view
from hmarl.settlement import expected_net, settle_days
from hmarl.simulate import simulate
from hmarl.study import Study
from hmarl.study_file.problems import StudyError
from hmarl.world import build
from retail import Tariff

TEXT = """
study: tiny
seeds: 1
calendar: {start: 2012-07-02, days: 6, zone: Australia/Sydney, hold_out: 2, warm_up: 3}
community: {source: synthetic, prosumers: 5, pv: 0.6, battery: 0.4}
tariff: {name: time-of-use, average_cap: 0.23}
game: {action: raw}
followers: {name: mappo, episodes: 24, retrain_episodes: 8, batch_days: 8, minibatches: 1, epochs: 1}
leader: {name: stackelberg, scenarios: 2, method: bound, cuts: 15}
wholesale: {name: dc-opf, case: pjm5, bus: B, replication: 4000}
equilibrium: {rounds: 3, damping: 0.5}
arms:
  regulated: {leader: fixed, followers: rule-based}
  mark-up: {leader: mark-up, followers: zi}
  stackelberg: {}
"""


def study(**changes):
    return Study.parse(TEXT).change(**changes)


def world(arm, seed=0, **changes):
    return build(study(**changes).arm(arm), seed, None)


def test_every_step_of_every_account_sums_to_zero():
    for arm in ("regulated", "mark-up", "stackelberg"):
        for it in Coordinator(world(arm)):
            ledger = it.settled.ledger
            assert int(np.abs(ledger.nano.sum(axis=1)).max()) == 0
            assert len(ledger.accounts) == 5 + 8
            o = it.settled.played.outcome
            paid = (ledger.paid / 1e9).reshape(o.bill.shape)
            torch.testing.assert_close(torch.from_numpy(paid), o.bill + o.shortfall, rtol=0, atol=1e-8)


def test_profit_by_hand():
    w = world("stackelberg")
    it = next(iter(Coordinator(w)))
    s, o = it.settled, it.settled.played.outcome
    t = s.played.tariff
    margin = (t.energy.double() / 1e5)[..., None] * o.grid.clamp(min=0)
    retail = (margin + (t.sell.double() / 1e5)[..., None] * o.grid.clamp(max=0)).sum(-1).numpy()
    net = s.played.net.numpy()
    wholesale = (s.lmp * s.bid + s.real_time_lmp * (net - s.bid)) / 1000
    np.testing.assert_allclose(s.profit, (retail - wholesale).sum(axis=1), atol=1e-6)
    # The market saw all replicas, in MW.
    assert w.exchange is not None
    np.testing.assert_allclose(s.real_time.accepted[:, 0], net.reshape(-1) * 4000 / 1000)


def test_a_fixed_tariff_needs_one_round_and_moving_ones_say_how_they_ended():
    fixed = list(Coordinator(world("regulated")))
    assert len(fixed) == 1
    assert fixed[0].converged
    moving = list(Coordinator(world("mark-up", **{"equilibrium.rounds": 1})))
    assert len(moving) == 1
    assert not moving[-1].converged
    assert moving[-1].reason.startswith("NOT CONVERGED after 1 round: a single round cannot show rest")
    assert moving[-1].certificate["converged"] is False


def test_promises_are_made_for_every_leader():
    for arm in ("regulated", "mark-up", "stackelberg"):
        it = next(iter(Coordinator(world(arm, followers="optimal", **{"auction": "none"}))))
        assert it.offer.promised is not None
        if it.offer.bound is not None:
            assert it.offer.promised <= it.offer.bound + 1e-9


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_damping_keeps_a_share_of_the_old_tariff(share):
    old, new = (Tariff.make(energy=np.full(3, p), network=0.1, sell=0.04) for p in (0.1, 0.3))
    mixed = damped(new, old, share)
    np.testing.assert_allclose(mixed.buy_price, 0.4 - 0.2 * share)
    assert price_change(mixed, old) == pytest.approx(0.2 * (1 - share))


def test_damped_rounds_move_half_way():
    its = list(Coordinator(world("mark-up", **{"equilibrium.tolerance": 1e-9})))
    for before, after in pairwise(its):
        expected = 0.5 * before.tariff.buy_price + 0.5 * after.offer.tariff.buy_price
        np.testing.assert_allclose(after.tariff.buy_price, expected, atol=1.01e-5)


def test_an_iterate_is_enough_to_go_on_from():
    changes = {"equilibrium.tolerance": 1e-9}
    straight = list(Coordinator(world("stackelberg", **changes)))
    first = next(iter(Coordinator(world("stackelberg", **changes))))
    resumed = list(Coordinator(world("stackelberg", **changes), start=first))
    assert [it.k for it in resumed] == [it.k for it in straight[1:]]
    assert torch.equal(resumed[-1].settled.played.outcome.bill, straight[-1].settled.played.outcome.bill)
    for name, value in resumed[-1].learners["actor"].items():
        assert torch.equal(value, straight[-1].learners["actor"][name])


def test_arms_share_homes_days_and_arrivals():
    a, b = world("regulated"), world("stackelberg")
    assert torch.equal(a.game.community.load, b.game.community.load)
    assert torch.equal(a.game.community.pv, b.game.community.pv)
    assert torch.equal(a.arrival, b.arrival)
    assert torch.equal(a.training, b.training)
    assert not set(a.training.tolist()) & set(a.judged.tolist())
    assert a.arrival.sort(-1).values.eq(torch.arange(5)).all()
    assert not torch.equal(world("regulated", seed=1).game.community.load, a.game.community.load)


def test_gate_closure_information():
    w = world("regulated")
    played = next(iter(Coordinator(w))).settled.played
    net = played.net.numpy()
    forecast = expected_net(w, played)
    np.testing.assert_allclose(forecast[2], net[:2].mean(axis=0))
    perfect = replace(w, leader=replace(w.leader, information="perfect"))
    s = settle_days(perfect, played)
    np.testing.assert_array_equal(s.bid, net)
    assert not s.ledger.wholesale_real_time.any()
    last = replace(w, leader=replace(w.leader, information="last-day"))
    np.testing.assert_allclose(expected_net(last, played)[3], net[2])


def test_results_are_complete_and_reproducible():
    arm = study().arm("stackelberg")
    a, b = (simulate(arm, 0, None, lambda label, share: None) for _ in range(2))
    assert a.checkpoint == b.checkpoint
    assert a.measures == b.measures
    for name, frame in a.frames.items():
        pd.testing.assert_frame_equal(frame, b.frames[name])
    by_hour = {"profiles", "buses", "lines"}
    assert set(a.frames) == {"iterations", "tariffs", "steps", "agents", "trades", "training"} | by_hour
    steps, agents, trades = (a.frames[n] for n in ("steps", "agents", "trades"))
    assert len(steps) == 6 * 24
    assert steps["held_out"].sum() == 2 * 24
    assert str(steps["timestamp"].dt.tz) == "UTC+10:00"
    accounts = [c for c in steps if c.endswith("_paid")]
    assert float(steps[accounts].sum(axis=1).abs().max()) < 1e-6
    assert (trades.groupby("timestamp")[["bought_wh", "paid_nano"]].sum() == 0).all().all()
    judged = agents[agents["held_out"]]
    assert judged["cost"].sum() / 2 == pytest.approx(a.measures["community_cost"])
    yardsticks = a.certificate["yardsticks_per_day"]
    assert yardsticks["community_optimum"] <= yardsticks["followers"] + 1e-6


def test_retail_only_study_has_no_wholesale_accounts():
    document = study().document | {"wholesale": "none", "leader": "fixed", "arms": {"regulated": {"followers": "zi"}}}
    w = build(Study.parse(document).arm("regulated"), 0, None)
    ledger = next(iter(Coordinator(w))).settled.ledger
    for account in ("generators", "other_loads", "congestion_rent"):
        assert ledger.total(account) == 0
    assert ledger.total("aggregator") < 0


def test_the_public_face():
    rounds = list(study().coordinator(arm="regulated", seed=0))
    assert rounds[0].k == 0
    assert rounds[0].certificate["ledger_sums_to_zero"]


def test_leaders_that_buy_need_a_market():
    with pytest.raises(StudyError, match="there is no wholesale market"):
        study(wholesale="none")


def test_rest_needs_followers_that_have_gone_on_learning():
    its = list(Coordinator(world("regulated", **{"arms.regulated.followers": {"name": "mappo", "episodes": 16}})))
    assert len(its) > 1
    assert its[1].episodes > its[0].episodes
    assert its[1].cost_change > 0


def test_damping_does_not_make_rest():
    """A small step is no sign of rest: what the leader wants is compared with what is in force."""
    changes = {"wholesale.replication": 15000, "equilibrium.damping": 0.99, "equilibrium.rounds": 3}
    its = list(Coordinator(world("mark-up", **changes)))
    for before, after in pairwise(its):
        wanted = world("mark-up").leader.offer(view(world("mark-up", **changes), after.k, before)).tariff
        assert after.price_change == pytest.approx(price_change(wanted, before.tariff))


def test_replicas_that_the_system_cannot_serve_are_refused():
    with pytest.raises(ValueError, match=r"Lower wholesale\.replication"):
        next(iter(Coordinator(world("regulated", **{"wholesale.replication": 2_000_000}))))


@pytest.mark.parametrize("market", ["merit-order", "price-series", "unit-commitment"])
def test_every_market_settles(market, tmp_path):
    """Ledger, prices and profit hold in every wholesale world, with blocks in an order book below."""
    wholesale = {"name": market, "case": "pjm5", "bus": "B", "replication": 100}
    if market == "price-series":
        hours = pd.date_range("2012-06-25", periods=24 * 20, freq="h", name="timestamp")
        frame = pd.DataFrame({"price": 20.0 + np.arange(len(hours)) % 24}, index=hours)
        frame.to_csv(tmp_path / "prices.csv")
        wholesale["path"] = str(tmp_path / "prices.csv")
    changes = {"wholesale": wholesale, "auction": "cda", "game.dispatch": "contingent"}
    it = next(iter(Coordinator(world("mark-up", **changes))))
    assert int(np.abs(it.settled.ledger.nano.sum(axis=1)).max()) == 0
    assert np.isfinite(it.settled.lmp).all()
    if market == "price-series":
        np.testing.assert_allclose(it.settled.lmp, np.tile(20.0 + np.arange(24), (4, 1)))


@pytest.mark.parametrize(
    ("arm", "changes", "first"),
    [
        ("stackelberg", {"followers": {"name": "mappo", "episodes": 90, "retrain_episodes": 1}}, 0.9),
        ("mark-up", {}, 1 / 11),
    ],
)
def test_the_share_that_is_done_goes_by_training_days(arm, changes, first):
    one = world(arm, **changes)
    shares = [share_done(one, k, part, 11) for k in range(11) for part in (0.0, 0.5, 1.0)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert shares[2] == pytest.approx(first)
