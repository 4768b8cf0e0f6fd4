import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aggregator.bidding import bill, cvar, positions, price_maker, scenario_position
from aggregator.gate import Bids, Gate, Risk
from aggregator.leader import LeaderError
from aggregator.meter import Meter
from wholesale import LOAD_SHAPES, Bid, market, read_matpower
from wholesale.residual import ResidualCurve, residual_curves

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
CASE118 = DATA / "grid" / "pglib_opf" / "pglib_opf_case118_ieee.m"
NEUTRAL = Risk()


def day_costs(position, scenarios, day_ahead, short, long):
    deviation = scenarios - position
    settled = np.maximum(deviation, 0) * short + np.minimum(deviation, 0) * long
    return (day_ahead * position + settled).sum(axis=1)


def draw(seed, count=20, steps=3):
    rng = np.random.default_rng(seed)
    scenarios = rng.normal(1.0, 2.0, (count, steps))
    day_ahead = rng.uniform(0.05, 0.2, steps)
    real_time = day_ahead + rng.normal(0.0, 0.05, (count, steps))
    return scenarios, day_ahead, np.maximum(real_time, day_ahead), np.minimum(real_time, day_ahead)


@pytest.mark.parametrize("seed", range(5))
def test_without_risk_each_hour_is_a_newsvendor(seed):
    scenarios, day_ahead, short, long = draw(seed, count=21)
    short, long = np.broadcast_to(day_ahead * 1.3, short.shape), np.broadcast_to(day_ahead * 0.9, long.shape)
    found = scenario_position(scenarios, day_ahead, short, long, NEUTRAL)
    # critical ratio (short - w) / (short - long) = 0.3 / 0.4
    assert found == pytest.approx(np.sort(scenarios, axis=0)[int(np.ceil(0.75 * 21)) - 1])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_no_position_on_a_grid_is_better(seed, beta):
    scenarios, day_ahead, short, long = draw(seed, count=11, steps=2)
    risk = Risk(beta, 0.8)

    def value(position):
        costs = day_costs(np.asarray(position), scenarios, day_ahead, short, long)
        return (1 - beta) * costs.mean() + beta * cvar(costs, 0.8)

    best = value(scenario_position(scenarios, day_ahead, short, long, risk))
    axes = [np.linspace(scenarios[:, t].min(), scenarios[:, t].max(), 25) for t in range(2)]
    assert best <= min(value(p) for p in itertools.product(*axes)) + 2e-5


def test_cvar_is_the_mean_of_the_tail_and_its_linear_program():
    costs = np.arange(10.0)
    assert cvar(costs, 0.8) == pytest.approx(8.5)
    assert cvar(costs, 0.85) == pytest.approx((9 + 0.5 * 8) / 1.5)
    assert cvar(costs, 0.0) == pytest.approx(4.5)
    for alpha in (0.5, 0.77, 0.9):
        line = min(z + np.maximum(costs - z, 0).mean() / (1 - alpha) for z in costs)
        assert cvar(costs, alpha) == pytest.approx(line)


def test_risk_narrows_the_tail_and_costs_on_average():
    scenarios, day_ahead, short, long = draw(1, count=200)
    costs = [
        day_costs(
            scenario_position(scenarios, day_ahead, short, long, Risk(beta, 0.95)), scenarios, day_ahead, short, long
        )
        for beta in (0.0, 1.0)
    ]
    assert cvar(costs[1], 0.95) < cvar(costs[0], 0.95)
    assert costs[1].mean() > costs[0].mean()


def test_blocks_hold_one_quantity_and_cost_no_less():
    scenarios, day_ahead, short, long = draw(2, steps=6)
    free = scenario_position(scenarios, day_ahead, short, long, NEUTRAL)
    tied = scenario_position(scenarios, day_ahead, short, long, NEUTRAL, blocks=np.arange(6) // 3)
    assert np.ptp(tied[:3]) == np.ptp(tied[3:]) == 0.0
    costs = [day_costs(p, scenarios, day_ahead, short, long).mean() for p in (free, tied)]
    assert costs[0] <= costs[1] + 1e-12


def test_earning_both_ways_is_refused():
    scenarios, day_ahead, short, long = draw(3)
    with pytest.raises(LeaderError, match="deviating both ways"):
        scenario_position(scenarios, day_ahead, long - 0.1, short, NEUTRAL)


def curves_of(rng, hours):
    found = []
    for t in range(hours):
        edges = np.concatenate([[-5.0], np.sort(rng.uniform(-4, 12, 3)), [14.0]])
        found.append(ResidualCurve("A", t, edges, np.sort(rng.uniform(5, 80, 4)), 0.0, 0.0, 0))
    return tuple(found)


@pytest.mark.parametrize("seed", range(8))
def test_the_price_maker_against_a_grid(seed):
    rng = np.random.default_rng(seed)
    curves, low, high = curves_of(rng, 3), rng.uniform(-3, 2, 3), rng.uniform(4, 10, 3)
    energy, resale = float(rng.uniform(low.sum(), high.sum())), rng.uniform(0, 40, 3) * (seed % 2)
    found = price_maker(curves, low, high, energy, resale=resale)
    assert found.mw.sum() == pytest.approx(energy)
    assert (found.mw >= low - 1e-9).all() and (found.mw <= high + 1e-9).all()
    value = found.bill - resale @ found.mw
    assert found.bill == pytest.approx(bill(curves, found.mw))
    for a, b in itertools.product(np.linspace(low[0], high[0], 60), np.linspace(low[1], high[1], 60)):
        c = energy - a - b
        if low[2] <= c <= high[2]:
            mw = np.array([a, b, c])
            assert value <= bill(curves, mw) - resale @ mw + 0.01 * (1 + abs(value))
    for other in (found.price_taker, found.flat):
        assert value <= bill(curves, other) - resale @ other + 1e-9


def test_a_flat_curve_makes_a_price_taker_of_everyone():
    curves = tuple(ResidualCurve("A", t, np.array([-9.0, 9.0]), np.array([10.0 + t]), 0.0, 0.0, 0) for t in range(3))
    found = price_maker(curves, np.zeros(3), np.full(3, 2.0), 3.0)
    assert found.mw == pytest.approx([2.0, 1.0, 0.0])
    assert found.bill == pytest.approx(2 * 10 + 11)
    with pytest.raises(LeaderError, match="cannot sum to 7"):
        price_maker(curves, np.zeros(3), np.full(3, 2.0), 7.0)


@pytest.mark.data
@pytest.mark.skipif(not CASE118.exists(), reason=f"{CASE118} is not there; set HMARL_DATA")
@pytest.mark.parametrize("load", [60.0, 120.0])
def test_a_day_on_case118_delivers_the_promised_bill(load):
    system = read_matpower(CASE118).over(LOAD_SHAPES["daily"] * 0.93)
    dc = market("dc-opf", convention="pglib")
    curves = residual_curves(dc, system, "59", 0.0, 200.0)
    low, high = np.full(24, 0.5 * load), np.full(24, 1.5 * load)
    found = price_maker(curves, low, high, 24 * load)

    def cleared(mw):
        return float(dc.clear(system, [Bid("59", mw)]).price("59") @ mw)

    assert cleared(found.mw) == pytest.approx(found.bill, rel=1e-3)
    assert cleared(found.mw) <= min(cleared(found.price_taker), cleared(found.flat)) * (1 + 1e-9)


def gate(seed, **changes):
    rng = np.random.default_rng(seed)
    curves = tuple(
        ResidualCurve("A", t, np.array([-40.0, 5.0 + t, 40.0]), np.array([20.0, 60.0]), 0.0, 0.0, 0) for t in range(4)
    )
    scenarios = tuple(rng.normal(6.0, 3.0, (15, 4)) for _ in range(2))
    forecast = np.stack([part.mean(axis=0) for part in scenarios])
    given = {"scenarios_kwh": scenarios, "lmp_per_mwh": np.full((2, 4), 30.0), "curves": curves, "meter": Meter(1000)}
    return Gate(forecast, **{**given, **changes})


def test_a_position_does_not_depend_on_units_or_replication():
    small, large = (
        positions(gate(0, meter=Meter(k), curves=()), "blocks", Risk(0.5, 0.8), 2.0, 0.2) for k in (1000, 7000)
    )
    assert small == pytest.approx(large)
    # one curve in MW: ten times the communities of a tenth of the size stand for the same MW
    one = gate(1)
    tenth = replace(
        one,
        forecast_kwh=one.forecast_kwh / 10,
        scenarios_kwh=tuple(s / 10 for s in one.scenarios_kwh),
        meter=Meter(10000),
    )
    for style in ("price-maker", "blocks"):
        found = [positions(g, style, NEUTRAL, 2.0, 0.2) for g in (one, tenth)]
        assert found[1] * 10 == pytest.approx(found[0], abs=1e-6)


def test_styles_of_a_leader():
    base = gate(2)
    assert (Bids().position(base) == base.forecast_kwh).all()
    newsvendor = Bids().position(replace(base, two_price=True))
    assert newsvendor.shape == (2, 4)
    assert (newsvendor != base.forecast_kwh).any()
    blocks = Bids(bid="blocks", block_hours=2.0).position(replace(base, two_price=True))
    assert (blocks[:, 0] == blocks[:, 1]).all()
    moved = Bids(bid="price-maker", shift=0.3).position(base)
    assert moved.sum(axis=1) == pytest.approx(base.forecast_kwh.sum(axis=1))
    assert (np.abs(moved - base.forecast_kwh) <= 0.3 * np.abs(base.forecast_kwh) + 1e-9).all()
    half = Meter(1000, 0.5)
    coarse = Bids(bid="blocks", block_hours=1.0).position(replace(base, meter=half, two_price=True))
    assert (coarse[:, 2] == coarse[:, 3]).all()


def test_bids_refuse_with_a_sentence():
    with pytest.raises(LeaderError, match="beta 2"):
        Risk(beta=2.0)
    with pytest.raises(LeaderError) as caught:
        Bids(information="all", bid="guess", block_hours=0.0, shift=2.0)
    for word in ("information", "bid", "block_hours", "shift"):
        assert word in str(caught.value)
    with pytest.raises(LeaderError, match="residual supply curves"):
        Bids(bid="price-maker").position(gate(3, curves=()))
    with pytest.raises(LeaderError, match="needs a wholesale market"):
        Bids(bid="blocks").position(Gate(np.zeros((1, 4))))
