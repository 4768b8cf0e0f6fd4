"""Headline figures against the tables of the same run, and against cases whose answer is known."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from hmarl import headline
from retail.community import Battery


def measures(folder):
    return json.loads((folder / "measures.json").read_text())


@pytest.fixture(params=["regulated/0", "mark-up/1"])
def run(runs, request):
    return runs / request.param


def held_out(run, name):
    table = pd.read_parquet(run / f"{name}.parquet")
    return table[table.held_out]


def test_purchases_less_sales_are_the_bill(run):
    m, agents = measures(run), held_out(run, "agents")
    beside = agents[["bill_shortfall", "bill_peak_penalty", "bill_fuel", "bill_peer_heat"]].sum().sum() / 7
    assert m["purchase_cost"] - m["sales_revenue"] == pytest.approx(agents.bill.sum() / 7 - beside, abs=1e-6)
    assert m["sales_revenue"] > 0
    peers, steps = agents.bought_from_peers_kwh.sum(), held_out(run, "steps")
    assert m["p2p_share"] == pytest.approx(100 * peers / (peers + agents.grid_import_kwh.sum()))
    # of what is drawn and what is fed in during a step, the smaller one could have met the other
    missed = (agents.grid_import_kwh.sum() + agents.grid_export_kwh.sum() - steps.net_kwh.abs().sum()) / 2
    assert m["unmatched_share"] == pytest.approx(100 * missed / (missed + peers), abs=1e-6)
    # what homes pay lies between the cheapest and the dearest way to buy the same energy
    bought = (peers + agents.grid_import_kwh.sum()) / 7
    assert steps.sell_per_kwh.min() * bought < m["purchase_cost"] < steps.buy_per_kwh.max() * bought


def test_shape_and_volatility_are_those_of_the_steps(run):
    m, steps = measures(run), held_out(run, "steps")
    net = steps.net_kwh.to_numpy().reshape(7, 24)
    assert m["ramp"] == pytest.approx(np.abs(np.diff(net)).mean())
    assert m["peak_to_average"] == pytest.approx(np.abs(net).max() / np.abs(net).mean())
    assert m["lmp_volatility"] == pytest.approx(steps.lmp_real_time_per_mwh.std(ddof=0))
    evening = steps[steps.timestamp.dt.hour.isin([17, 18])]
    # homes that buy from the grid while others sell to it make this larger than the community's own import
    assert m["evening_import_kwh"] >= evening.net_kwh.clip(lower=0).sum() / 7 - 1e-9


def test_certificate_measures(run):
    m, certificate = measures(run), json.loads((run / "certificate.json").read_text())
    assert m["converged"] == 100 * certificate["converged"]
    assert m["leader_gap"] == certificate["leader_gap"]["local"]["upper_95_gain_per_day"]
    assert m["exploitability"] == certificate["follower_exploitability"]["found_lower"]["mean_per_day"]
    silent = {"converged": False, "leader_gap": {"local": {"says": "no"}}, "follower_exploitability": "not computed"}
    found = headline.certified(silent)
    assert found.pop("converged") == 0
    assert all(np.isnan(x) for x in found.values())


def test_flexibility_of_two_stores():
    battery = Battery.make(2, min_kwh=0, max_kwh=10, power_kw=4, efficiency=0.5, start_kwh=5)
    world = SimpleNamespace(game=SimpleNamespace(community=SimpleNamespace(step_hours=0.5, battery=battery)))
    change = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)  # half an hour: the first charges at half its rating
    stored = torch.tensor([[[10.0, 1.0]]], dtype=torch.float64)  # after it: full; nearly empty
    found = headline.flexibility(world, change, stored)
    # first: 2 kWh at the meter now, could give 2 x 0.5; second: could give the 1 kWh that it has
    assert found["flexibility_up_kw"] == pytest.approx((2 + 2 * 0.5 + 1 * 0.5) / 0.5)
    # first: full after this step, nothing more; second: 2 kWh in the store, 4 at the meter
    assert found["flexibility_down_kw"] == pytest.approx(4 / 0.5)
    without = Battery.make(2, has=np.array([False, False]), min_kwh=0, max_kwh=0, power_kw=0, efficiency=1, start_kwh=0)
    world.game.community.battery = without
    assert headline.flexibility(world, change * 0, stored * 0) == {"flexibility_up_kw": 0, "flexibility_down_kw": 0}


def test_shape_of_a_known_day():
    power = torch.tensor([[2.0, -4.0, 0.0, 2.0]], dtype=torch.float64)
    assert headline.shape(power, 0.5) == {"ramp": pytest.approx((6 + 4 + 2) / 3 / 0.5), "peak_to_average": 2.0}
    assert np.isnan(headline.shape(power * 0, 1.0)["peak_to_average"])
