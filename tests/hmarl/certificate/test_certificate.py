"""What the certificate of a run says, and that it finds faults planted on purpose."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmarl.certificate.certify import certify, invariants
from hmarl.certificate.exploitability import exploitability, peer_prices, volumes
from hmarl.certificate.leader_gap import SIZES, deviations, earned, global_gap, lanes, local_gap
from hmarl.certificate.market_power import market_power, price_impact, withholding
from hmarl.certificate.welfare import account, fairness, gini
from hmarl.equilibrium.coordinator import Coordinator
from hmarl.equilibrium.iterate import restore
from hmarl.evaluation import play
from hmarl.settlement import settle_days, settle_position
from hmarl.simulate import simulate
from hmarl.study import Study
from hmarl.tables import bill_parts
from hmarl.world import build
from retail.streams import stream

TEXT = """
study: proof
seeds: 1
calendar: {start: 2012-07-02, days: 4, zone: Australia/Sydney, hold_out: 2, warm_up: 3}
community: {source: synthetic, prosumers: 4, pv: 0.6, battery: 0.5}
tariff: {name: time-of-use, average_cap: 0.23}
game: {action: raw}
auction: none
followers: optimal
leader: {name: mark-up}
wholesale: {name: dc-opf, case: pjm5, bus: B, replication: 400}
equilibrium: {method: trust-region, climbs: 1, probes: 1, simulations: 30}
arms: {one: {}}
"""
LEARNED = {
    "auction": "da", "equilibrium.method": "alternate", "equilibrium.rounds": 2,
    "followers": {"name": "mappo", "episodes": 24, "retrain_episodes": 8, "batch_days": 8},
}  # fmt: skip
SHORT = SIZES["short"]


def ended(**changes):
    world = build(Study.parse(TEXT).change(**changes).arm(), 0, None)
    last = list(Coordinator(world))[-1]
    learner = world.policy.start(world.spec)
    restore(learner, stream(0, "days"), last.learners)
    judged = settle_days(world, play(world.game, learner, world.judged, last.tariff, world.arrival))
    return world, learner, last, judged


@pytest.fixture(scope="module")
def exact():
    return ended()


@pytest.fixture(scope="module")
def learned():
    return ended(**LEARNED)


def test_exact_followers_cannot_be_exploited_and_the_gap_is_certified(exact):
    world, learner, last, judged = exact
    told = certify(world, learner, last, judged)
    follower = told["follower_exploitability"]
    for end in ("upper", "price_taker", "found_lower"):
        assert follower[end]["mean_per_day"] <= 1e-9
    assert follower["value_of_information_per_day"] >= 0.0
    whole = told["leader_gap"]["global"]
    assert whole["certified"]
    assert 0.0 <= whole["gap_ratio"] <= 0.1
    local = told["leader_gap"]["local"]
    assert local["deviations"] == 60
    assert local["best_gain_ratio"] <= 0.01
    assert local["best_gain_per_day"] <= local["upper_95_gain_per_day"] + 1e-12
    # what can be gained by deviating is no more than what is left to the bound
    assert local["best_gain_per_day"] <= whole["gap_per_day"] + 1e-6
    assert local["best_gain_recleared_per_day"] == pytest.approx(local["best_gain_per_day"], rel=0.05, abs=1e-3)
    assert told["invariants_hold"]
    # homes alone at their optimum are the community's optimum where nobody can trade
    assert told["saving"]["saving_ratio"] == pytest.approx(1.0, abs=1e-6)


def test_learned_followers_get_an_interval_and_an_estimate(learned):
    world, learner, last, judged = learned
    told = certify(world, learner, last, judged)
    follower = told["follower_exploitability"]
    low, high = (np.array(follower[end]["by_home_per_day"]) for end in ("found_lower", "upper"))
    assert (low >= 0.0).all()
    assert (low <= high + 1e-6).all()
    assert high.mean() > 0.0
    whole = told["leader_gap"]["global"]
    assert "conditional estimate" in whole["says"]
    assert not whole["certified"]
    parts = whole["bound_per_day"] + whole["largest_regret_per_day"] - whole["delivered_per_day"]
    assert whole["gap_per_day"] == pytest.approx(parts)
    assert told["welfare"]["less_no_peer_trade"]["prosumers"] > 0.0
    assert told["welfare"]["competitive"]["total"] >= told["welfare"]["run"]["total"]
    fair = told["fairness"]
    assert sum(one["homes"] for one in fair["by_cluster"].values()) == 4


class Wasteful:
    """One home moves a tenth less energy through its store than it should."""

    def __init__(self, learner, home):
        self.learner, self.home = learner, home
        self.heads, self.training, self.reads_features = learner.heads, learner.training, learner.reads_features

    def act(self, seen, explore):
        action = self.learner.act(seen, explore).clone()
        # raw heads are power, so a tenth less of it is a tenth less energy
        action[:, self.home, 0] *= 0.9
        return action


def test_a_follower_that_wastes_a_tenth_is_found(exact):
    world, learner, last, _ = exact
    outcome = play(world.game, learner, world.judged, last.tariff, world.arrival).outcome
    plain, home = outcome.cost.sum(1).mean(0).numpy(), int(outcome.store_change.abs().sum((0, 1)).argmax())
    wasted = Wasteful(learner, home)
    cost = play(world.game, wasted, world.judged, last.tariff, world.arrival).outcome.cost.sum(1).mean(0).numpy()
    loss = cost - plain
    assert loss[home] > 1e-4
    found = exploitability(world, wasted, last.tariff, world.judged, SHORT)
    assert found.upper[home] == pytest.approx(loss[home], rel=1e-6)
    assert found.found[home] == pytest.approx(loss[home], rel=1e-6)
    assert np.delete(found.upper, home).max() <= 1e-9


def test_a_price_moved_by_two_cents_is_found(exact):
    world, _, last, _ = exact
    kept = local_gap(world, last, SHORT)
    price = last.tariff.buy_price
    prices = world.rules.price_set()
    step = int(np.argmax(last.settled.played.net.mean(0).numpy()))
    moved = world.rules.tariff(prices.clip(price - 0.02 * np.eye(24)[step]))
    told = local_gap(world, replace(last, tariff=moved), SHORT)
    lost = kept["profit_per_day"] - told["profit_per_day"]
    assert lost > 0.0
    assert told["best_gain_per_day"] >= 0.5 * lost
    assert told["best_gain_per_day"] > kept["best_gain_per_day"]


def test_a_broken_ledger_is_found(exact):
    world, _, _, judged = exact
    assert all(one["holds"] for one in invariants(world, judged).values())
    for change, fault in (
        (lambda nano: nano + np.eye(*nano.shape, dtype=np.int64), "ledger_rows_sum_to_zero_nano"),
        (lambda nano: np.roll(nano, 1, axis=1), "prosumers_accounts_are_their_parts_nano"),
    ):
        broken = replace(judged, ledger=replace(judged.ledger, nano=change(judged.ledger.nano)))
        told = invariants(world, broken)
        assert not told[fault]["holds"]
        assert told[fault]["residual"] >= 1.0


def test_deviations_are_admissible_different_and_enough(exact):
    world, _, last, _ = exact
    prices, price = world.rules.price_set(), last.tariff.buy_price
    found = deviations(prices, price, 60, 0)
    assert len(found) == 60
    assert len({p.tobytes() for _, p in found}) == 60
    for _, p in found:
        assert world.rules.admissible(p) == []
        assert np.abs(p - price).max() > 1e-6
    assert [k for k, _ in found] == [k for k, _ in deviations(prices, price, 60, 0)]


def test_lanes_play_what_play_plays(learned):
    world, learner, last, _ = learned
    other = world.rules.tariff(world.rules.clip(last.tariff.buy_price + 0.01))
    importing, exporting = lanes(world, learner, [last.tariff, other], world.training)
    for k, tariff in enumerate((last.tariff, other)):
        settled = settle_days(world, play(world.game, learner, world.training, tariff, world.arrival))
        np.testing.assert_allclose((importing - exporting)[k], settled.played.net.numpy(), atol=1e-9)
        wholesale = world.meter.to_per_kwh(settled.real_time_lmp)
        forecast_error = ((settled.lmp - settled.real_time_lmp) * settled.bid).sum(axis=1) / 1000
        profit = earned(tariff.on(world.training), importing[k], exporting[k], wholesale) - forecast_error
        np.testing.assert_allclose(profit, settled.profit, atol=1e-6)


def test_volumes_and_peer_prices_by_hand(learned):
    world, _, _, judged = learned
    played = judged.played
    offered, wanted = volumes(world.game, played)
    net = played.outcome.net[0, 12].numpy()
    assert offered[0, 12, 1] == pytest.approx(sum(max(-x, 0.0) for i, x in enumerate(net) if i != 1), abs=2e-3)
    assert wanted[0, 12, 1] == pytest.approx(sum(max(x, 0.0) for i, x in enumerate(net) if i != 1), abs=2e-3)
    np.testing.assert_allclose(1000 * offered, np.rint(1000 * offered), atol=1e-6)  # orders are whole Wh
    buy, sell = peer_prices(played)
    assert (buy >= sell).all()
    assert (buy <= played.tariff.buy_price + 1e-12).all()
    quiet = (played.outcome.trade_wh == 0).all(-1).numpy()
    np.testing.assert_array_equal(buy[quiet], played.tariff.buy_price[quiet])


def test_the_account_is_the_ledger(learned):
    world, _, _, judged = learned
    told = account(judged, world)
    # payments cancel, so what is left is what the world really spends: fuel and wear
    wear = float((judged.played.outcome.wear - judged.played.outcome.end_value).sum()) * 400
    assert told["total"] == pytest.approx(-(judged.real_time.cost.sum() + wear) / 2, abs=1e-4)
    assert told["aggregator"] == pytest.approx(400 * judged.profit.mean(), abs=1e-5)


def test_gini_by_hand_and_winners(learned):
    assert gini(np.array([1.0, 1.0, 1.0])) == pytest.approx(0.0)
    assert gini(np.array([0.0, 0.0, 1.0])) == pytest.approx(2 / 3)
    assert gini(np.array([-1.0, 0.5])) is None
    x = np.random.default_rng(0).random(9)
    assert gini(x) == pytest.approx(np.abs(x[:, None] - x).mean() / (2 * x.mean()))
    world, learner, _, _ = learned
    at_default = settle_days(world, play(world.game, learner, world.judged, world.rules.default, world.arrival))
    same = fairness(world, learner, at_default)["against_default_tariff"]
    assert same["winners"] == same["losers"] == 0


@pytest.mark.parametrize("market", ["dc-opf", "none"])
def test_one_bill_from_end_to_end(market):
    changes = {**LEARNED, "followers": "zi", "equilibrium.rounds": 1}
    if market == "none":
        changes |= {"wholesale": "none", "leader": "fixed"}
    world, _, _, judged = ended(**changes)
    parts = {name: np.rint(x * 1e9).astype(np.int64) for name, x in bill_parts(world, judged).items()}
    bill = parts.pop("bill")
    np.testing.assert_array_equal(sum(parts.values()), bill)
    played, days = judged.played, 2
    paid = (played.outcome.bill + played.outcome.shortfall).sum(1).numpy().reshape(-1)
    np.testing.assert_allclose(bill * 1e-9, paid, atol=1e-7)
    assert (parts["bill_p2p_saving"] <= 24).all()  # trade inside the tariff's two prices never costs more
    assert parts["bill_p2p_saving"].min() < 0
    net = played.outcome.net.numpy()
    network = 0.09 * np.maximum(net, 0.0).sum(1).reshape(-1)
    np.testing.assert_allclose(parts["bill_network"] * 1e-9, network, atol=1e-7)
    if market == "dc-opf":
        value = (judged.real_time_lmp[..., None] / 1000 * net).sum(1).reshape(days * 4)
        np.testing.assert_allclose((parts["bill_energy"] + parts["bill_congestion"]) * 1e-9, value, atol=1e-7)
    else:
        assert not parts["bill_energy"].any()


def test_full_size_lets_followers_learn_at_each_deviation(learned):
    world, _, last, _ = learned
    size = replace(SIZES["full"], deviations=2, seeds=2, tariffs=1, days=1)
    told = local_gap(world, last, size)
    assert told["followers"] == "learn at each deviation"
    assert told["upper_95_gain_per_day"] > told["best_gain_per_day"]
    assert torch.isfinite(torch.tensor(global_gap(world, last, size)["gap_per_day"]))


def test_market_power_finds_an_oversized_position(exact):
    world, _, _, judged = exact
    again = settle_position(world, judged.played, judged.forecast, judged.bid)
    assert np.array_equal(again.profit, judged.profit)
    impact = price_impact(world, judged, share=3.0)
    assert impact["slope_per_mwh_per_mw"] > 0.0  # 400 communities move a five-bus system, step by step
    assert 0.0 < impact["share_of_load_ratio"] < 1.0
    # Bought dear beyond what is needed and sold back in real time: less would have paid.
    oversized = settle_position(world, judged.played, judged.forecast, 100.0 * judged.bid)
    told = withholding(world, oversized)
    assert told["best_position_ratio"] < 1.0
    assert told["best_gain_per_day"] > 0.0
    assert told["best_gain_per_day"] == max(told["gain_per_day_by_position"].values())


def test_a_small_buyer_has_no_market_power():
    world, _, _, judged = ended(**{"wholesale.replication": 1, "equilibrium.simulations": 3})
    impact = price_impact(world, judged)
    assert impact["slope_per_mwh_per_mw"] == pytest.approx(0.0, abs=1e-12)
    assert impact["elasticity_ratio"] == pytest.approx(0.0, abs=1e-12)
    assert withholding(world, judged)["best_gain_per_day"] == pytest.approx(0.0, abs=1e-8)  # cash of a step in 1e-9
    assert "not computed" in market_power(replace(world, exchange=None), judged, None)["says"]


def test_a_run_without_gaps_has_its_other_figures():
    study = Study.parse(TEXT).change(**{"equilibrium.certificate": "none", "equilibrium.method": "alternate"})
    result = simulate(study.arm(), 0, None, lambda label, share: None)
    assert "leader_gap" not in result.certificate
    assert result.certificate["invariants_hold"]
    assert np.isnan(result.measures["leader_gap"])
    assert result.measures["converged"] in (0.0, 100.0)
