import time
from dataclasses import replace

import numpy as np
import pytest

from aggregator.portfolio import BestResponse
from aggregator.slope_merge import Fleet


def parts(p, change):
    gain, loss = np.maximum(change, 0), np.maximum(-change, 0)
    net = p.fixed_kwh + gain / p.eta_charge[:, None] - loss * p.eta_discharge[:, None]
    return gain, loss, net


@pytest.mark.parametrize("seed", range(24))
def test_the_dynamic_programme_costs_what_highs_finds(draw, seed):
    rng = np.random.default_rng(seed)
    p = draw(
        rng, days=3, prosumers=6, steps=(8, 24)[seed % 2], batteries=5, pooled=False,
        end_value=rng.uniform(0.05, 0.3, 6), eta_charge=rng.uniform(0.8, 1, 6),
        storage_end=("restore", "value")[seed // 2 % 2], wear_linear=rng.uniform(0, 0.02, 6) * (seed % 3 > 0),
    )  # fmt: skip
    # few price levels, so that many slopes tie; sometimes one price for both directions
    buy = np.round(rng.uniform(0.1, 0.4, (3, p.steps)), 1 + seed % 3)
    sell = buy if seed % 7 == 0 else np.minimum(0.05, buy)
    followers = BestResponse(p)
    fleet = Fleet.of(followers.pools)
    assert fleet.applies(sell)
    change = fleet.respond(buy, sell).reshape(6, 3, -1).transpose(1, 0, 2)
    gain, loss, net = parts(p, change)
    level = p.start[:, None] + change.cumsum(axis=2)
    assert (level >= p.store_min[:, None] - 1e-9).all() and (level <= p.store_max[:, None] + 1e-9).all()
    assert (gain <= p.charge[:, None] + 1e-9).all() and (loss <= p.discharge[:, None] + 1e-9).all()
    bill = (buy[:, None] * np.maximum(net, 0) - sell[:, None] * np.maximum(-net, 0)).sum(axis=2)
    cost = bill + p.wear_linear * (gain + loss).sum(axis=2)
    if p.storage_end == "restore":
        assert level[..., -1] == pytest.approx(np.broadcast_to(p.start, (3, 6)), abs=1e-9)
    else:
        cost -= p.end_value * change.sum(axis=2)
    assert cost == pytest.approx(followers.solve(buy, sell).cost, abs=1e-8)


@pytest.mark.parametrize("end", ["restore", "value"])
def test_many_followers_answer_as_one_by_one(draw, prices, end):
    rng = np.random.default_rng(1)
    p = draw(rng, days=2, prosumers=120, batteries=100, pooled=False, storage_end=end)
    buy, sell = prices(rng, 8)
    together = BestResponse(p).solve(buy, sell, weights=[0.3, 0.7])
    cost = np.zeros((2, 120))
    for n in range(0, 120, 10):
        some = replace(p, fixed_kwh=p.fixed_kwh[:, n : n + 10], **{k: getattr(p, k)[n : n + 10] for k in PARTS})
        cost[:, n : n + 10] = BestResponse(some).solve(buy, sell).cost
    assert together.cost == pytest.approx(cost, abs=1e-8)
    assert together.mean == pytest.approx(0.3 * cost[0].sum() + 0.7 * cost[1].sum())
    by_hand = together.own + together.importing @ buy - together.exporting @ sell
    assert together.cost == pytest.approx(by_hand)
    assert together.net == pytest.approx((together.importing - together.exporting).sum(axis=1))
    gain, loss, net = parts(p, together.store_change)
    assert together.importing - together.exporting == pytest.approx(net)
    assert together.wear == pytest.approx((0.01 * (gain + loss)).sum(axis=(1, 2)))


PARTS = (
    "store_min", "store_max", "start", "charge", "discharge", "eta_charge", "eta_discharge", "wear_linear",
    "wear_quadratic", "end_value",
)  # fmt: skip


def test_what_the_fleet_leaves_to_others(draw, prices):
    rng = np.random.default_rng(2)
    assert Fleet.of(BestResponse(draw(rng)).pools) is None  # two stores behind one meter
    assert Fleet.of(BestResponse(draw(rng, fee=0.02)).pools) is None  # two meters
    assert Fleet.of(BestResponse(draw(rng, rho=0.03, pooled=False)).pools) is None
    p = draw(rng, prosumers=100, batteries=100, pooled=False, wear_linear=0.0)
    buy, sell = prices(rng, 8)
    wasting = BestResponse(p).solve(buy, sell - 0.3)  # negative prices pay for waste: the linear program, which wastes
    assert not Fleet.of(BestResponse(p).pools).applies(sell - 0.3)
    assert wasting.store_change.shape == (2, 100, 8)


@pytest.mark.slow
def test_ten_thousand_followers(draw, prices):
    rng = np.random.default_rng(3)
    p = draw(rng, days=1, prosumers=10_000, batteries=10_000, steps=24, pooled=False)
    fleet = Fleet.of(BestResponse(p).pools)
    seconds = []
    for _ in range(5):
        buy, sell = prices(rng, 24, days=1)
        began = time.process_time()
        fleet.respond(buy, sell)
        seconds.append(time.process_time() - began)
    assert min(seconds) <= 0.4
