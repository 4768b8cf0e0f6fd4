"""Bidding options inside a study: what is known at gate closure, and what the ledger makes of it."""

from dataclasses import replace

import numpy as np
import pytest

from hmarl.equilibrium.coordinator import Coordinator
from hmarl.gate import gate
from hmarl.settlement import expected_net, settle_days
from hmarl.study import Study
from hmarl.study_file.problems import StudyError
from hmarl.world import build

TEXT = """
study: bids
seeds: 1
calendar: {start: 2012-07-02, days: 6, zone: Australia/Sydney, hold_out: 2, warm_up: 3}
community: {source: synthetic, prosumers: 4, pv: 0.6, battery: 0.5}
followers: rule-based
leader: {name: mark-up, bid: blocks, block_hours: 6, risk: {beta: 0.5, alpha: 0.8}}
wholesale: {name: dc-opf, case: pjm5, bus: B, replication: 20000, imbalance: two-price}
equilibrium: {rounds: 1}
arms: {a: {}}
"""


def world(**changes):
    return build(Study.parse(TEXT).change(**changes).arm("a"), 0, None)


@pytest.fixture(scope="module")
def played():
    return next(iter(Coordinator(world()))).settled.played


def prices(kwh):
    return np.zeros_like(kwh)


def test_scenarios_are_metered_days_of_the_past(played):
    w = world()
    seen = gate(w, played, expected_net(w, played), prices)
    net = played.net.numpy()
    assert seen.two_price
    for d in range(1, len(net)):
        np.testing.assert_array_equal(seen.scenarios_kwh[d], net[:d])
    assert len(seen.scenarios_kwh[0]) == 1
    assert len(seen.curves) == 24
    mw = w.meter.to_mw(seen.forecast_kwh)
    assert seen.lmp_per_mwh[1, 7] == seen.curves[7].price_at(mw[1, 7])
    perfect = replace(w, leader=replace(w.leader, information="perfect"))
    np.testing.assert_array_equal(gate(perfect, played, net, prices).scenarios_kwh[2], net[2:3])


def test_blocks_are_bid_and_settled_at_two_prices(played):
    w = world()
    s = settle_days(w, played)
    assert (s.bid.reshape(-1, 4, 6) == s.bid.reshape(-1, 4, 6)[..., :1]).all()
    net = played.net.numpy()
    short, long = np.maximum(s.lmp, s.real_time_lmp), np.minimum(s.lmp, s.real_time_lmp)
    settled_at = np.where(net > s.bid, short, long)
    wholesale = (s.lmp * s.bid + settled_at * (net - s.bid)) / 1000
    one = settle_days(world(**{"wholesale.imbalance": "one-price"}), played)
    grid, t = played.outcome.grid, played.tariff
    retail = t.energy.double()[..., None] * grid.clamp(min=0) + t.sell.double()[..., None] * grid.clamp(max=0)
    by_hand = (retail.sum(-1).numpy() / 1e5 - wholesale).sum(axis=1)
    np.testing.assert_allclose(s.profit, by_hand, atol=1e-6)
    assert s.ledger.total("imbalance") <= 0.0 == one.ledger.total("imbalance")


def test_perfect_information_pays_no_imbalance(played):
    w = world(leader={"name": "mark-up", "information": "perfect", "bid": "price-taker"})
    s = settle_days(w, played)
    np.testing.assert_allclose(s.bid, played.net.numpy(), atol=1e-9)
    assert abs(s.ledger.total("imbalance")) < 1e-6
    blocks = settle_days(replace(w, leader=replace(w.leader, bid="blocks")), played)
    inside = played.net.numpy().reshape(-1, 4, 6)
    assert (blocks.bid.reshape(-1, 4, 6)[..., 0] <= inside.max(axis=-1) + 1e-9).all()
    assert (blocks.bid.reshape(-1, 4, 6)[..., 0] >= inside.min(axis=-1) - 1e-9).all()


def test_a_price_maker_moves_energy_between_hours_and_coupled_markets_refuse_it(played):
    leader = {"name": "mark-up", "bid": "price-maker", "shift": 0.3}
    s = settle_days(world(leader=leader, **{"wholesale.imbalance": "one-price"}), played)
    np.testing.assert_allclose(s.bid.sum(axis=1), s.forecast.sum(axis=1))
    assert (np.abs(s.bid - s.forecast) <= 0.3 * np.abs(s.forecast) + 1e-9).all()
    assert np.abs(s.bid - s.forecast).max() > 0.0
    with pytest.raises(ValueError, match="residual supply curves"):
        settle_days(world(leader=leader, wholesale={"name": "unit-commitment", "case": "pjm5", "bus": "B"}), played)


def test_shares_of_an_offer_reach_the_gate(played):
    w = world()
    seen = gate(w, played, expected_net(w, played), prices, np.full(24, 0.9))
    assert (seen.shares == 0.9).all()


def test_mistakes_are_found_in_the_study():
    for leader in ({"name": "mark-up", "bid": "guess"}, {"name": "mark-up", "risk": {"beta": 3.0}}):
        with pytest.raises(StudyError):
            Study.parse(TEXT).change(leader=leader).arm("a")
