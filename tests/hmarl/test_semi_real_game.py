"""The 300 semi-real homes without batteries: every auction lies between the pooled bill and the one without trade."""

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import torch

from hmarl.benchmark import no_battery
from hmarl.evaluation import arrivals
from retail import AUCTIONS, Battery, Community, Game, Tariff, auction
from retail.data import Window
from retail.data.semi_real import SemiReal
from retail.time_of_use import read_tariff, time_of_use

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA"),
]


@pytest.fixture(scope="module")
def game():
    window = Window(date(2012, 6, 1), 365, 60, "Australia/Sydney")
    p = SemiReal().read(window, DATA, 0)
    to = torch.from_numpy
    idle = Battery.make(len(p.names), has=False)
    homes = Community(p.names, window.clock, window.zone, 60, to(p.load), to(p.pv), idle, to(p.pv_kwp))
    row = read_tariff(DATA / "tariffs/tou_tariffs.csv", "B_thesis_experiments")
    buy = time_of_use(homes.clock, row["windows"], row["offpeak"], row["shoulder"], row["peak"])
    return Game(homes, auction("none")), Tariff.make(energy=buy.reshape(365, 24), sell=row["sell"])


def bill(game, tariff, rule):
    """AUD a day, and kWh a day that changed hands; month by month, so that little memory is held."""
    played = replace(game, auction=auction(rule))
    arrival, cost, traded = arrivals(game, 0), 0.0, 0.0
    for days in torch.arange(365).split(30):
        found = no_battery(played, days, tariff, arrival)
        cost += float(found.cost.sum())
        traded += float(found.outcome.trade_wh.clamp(min=0).sum()) / 1000
    return cost / 365, traded / 365


def test_every_auction_lies_between_the_pooled_bill_and_no_trade(game):
    community, tariff = game
    found = {rule: bill(community, tariff, rule) for rule in AUCTIONS}
    alone, kwh = found.pop("none")
    assert kwh == 0.0
    assert alone > 1.05 * 729.74
    for rule, (cost, kwh) in found.items():
        assert 729.74 - 0.02 <= cost <= alone, rule
        assert kwh > 0.0, rule
        if rule != "sdr-da":  # truthful limits: every overlapping kWh is matched, whatever the internal price
            assert cost == pytest.approx(729.74, rel=0.005), rule
