"""The eight real homes: bounds and yardsticks measured elsewhere, in the setting of shipped study ausgrid8."""

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import torch

from hmarl.benchmark import Idle, community_optimum, no_battery, tuned_rule
from hmarl.evaluation import arrivals, play
from hmarl.policies.base import Spec, portfolio_clusters
from hmarl.policies.optimal import Optimal
from hmarl.policies.rule_based import RuleBased
from hmarl.training import Ground
from retail import AUCTIONS, Battery, Community, Game, Tariff, auction
from retail.data import Window
from retail.data.ausgrid import Ausgrid
from retail.time_of_use import read_tariff, time_of_use

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA")

DAYS = torch.arange(365)
WEEK = DAYS // 7
HELD_OUT = DAYS[(WEEK % 7 == 3) & (DAYS >= 7)]
TRAINING = DAYS[(WEEK % 7 != 3) & (DAYS >= 7)]


@pytest.fixture(scope="module")
def homes():
    window = Window(date(2012, 7, 1), 365, 60, "Australia/Sydney")
    p = Ausgrid().read(window, DATA, 0)
    battery = Battery.make(8, min_kwh=2, max_kwh=10, power_kw=5, efficiency=0.95, start_kwh=6)
    to = torch.from_numpy
    return Community(p.names, window.clock, window.zone, 60, to(p.load), to(p.pv), battery, to(p.pv_kwp), 7)


@pytest.fixture(scope="module")
def tariff(homes):
    row = read_tariff(DATA / "tariffs" / "tou_tariffs.csv", "B_thesis_experiments")
    buy = time_of_use(homes.clock, row["windows"], row["offpeak"], row["shoulder"], row["peak"])
    return Tariff.make(energy=buy.reshape(365, 24), sell=row["sell"])


def mean_year(homes, tariff, rule):
    game = Game(homes, auction(rule))
    return no_battery(game, DAYS, tariff, arrivals(game, 0))


def test_year_without_batteries(homes, tariff):
    alone = mean_year(homes, tariff, "none")
    assert float(alone.cost.mean()) == pytest.approx(20.773, abs=0.0005)
    traded = mean_year(homes, tariff, "da")
    # Truthful limits match every overlapping kWh, so the community pays its pooled bill.
    assert float(traded.cost.mean()) == pytest.approx(19.075, abs=0.002)
    assert float(traded.outcome.trade_wh.clamp(min=0).sum()) / 1000 / 365 == pytest.approx(7.85, abs=0.01)
    assert bool((traded.outcome.cost.sum((0, 1)) <= alone.outcome.cost.sum((0, 1)) + 1e-3).all())


@pytest.mark.parametrize("rule", list(AUCTIONS))
def test_every_auction_keeps_the_bounds_of_the_year(homes, tariff, rule):
    cost = float(mean_year(homes, tariff, rule).cost.mean())
    assert 19.075 - 0.002 <= cost <= 20.773 + 0.001
    if rule not in ("none", "sdr-da"):  # truthful limits: whatever the internal price, every overlapping kWh is matched
        assert cost == pytest.approx(19.075, abs=0.002)


def test_random_prices_stay_between_the_bounds(homes, tariff):
    from hmarl.policies.zi import ZI

    bare = replace(homes.battery, store_max=homes.battery.store_min, start=homes.battery.store_min)
    game = Game(homes.with_battery(bare), auction("da"))
    learner = ZI().start(Spec.of(game, portfolio_clusters(game), 0))
    cost = float(play(game, learner, DAYS, tariff, arrivals(game, 0)).cost.mean())
    assert 19.075 < cost < 20.773


def test_yardsticks_on_held_out_days(homes, tariff):
    assert (len(TRAINING), len(HELD_OUT)) == (308, 50)
    game = Game(homes, auction("da"), scale_days=TRAINING)
    alone = Game(homes, auction("none"), scale_days=TRAINING)
    arrival = arrivals(game, 0)
    clusters = portfolio_clusters(game)
    rule = tuned_rule(Ground(game, TRAINING, arrival), clusters, tariff, 0)
    lone_rule = tuned_rule(Ground(alone, TRAINING, arrival), clusters, tariff, 0)
    planner = Optimal().start(Spec.of(game, clusters, 0))

    def cost(g, learner):
        return float(play(g, learner, HELD_OUT, tariff, arrival).cost.mean())

    measured = {
        "no battery, no trade": (float(no_battery(alone, HELD_OUT, tariff, arrival).cost.mean()), 19.91),
        "no battery, pooled": (float(no_battery(game, HELD_OUT, tariff, arrival).cost.mean()), 17.98),
        "self-consumption, no trade": (cost(alone, Idle()), 15.98),
        "self-consumption in the auction": (cost(game, Idle()), 15.42),
        "tuned rule in the auction": (cost(game, rule), 13.50),
        "single-home optimum, no trade": (cost(alone, planner), 13.07),
        "single-home optimum in the auction": (cost(game, planner), 12.96),
        "community optimum": (float(community_optimum(game, HELD_OUT, tariff).mean()), 11.74),
    }
    wrong = {k: v for k, v in measured.items() if v[0] != pytest.approx(v[1], rel=0.01)}
    assert not wrong
    # Our rule searches a wider grid than the probe that gave 13.98; it may only be better.
    assert cost(alone, lone_rule) < 13.98 * 1.01


@pytest.mark.parametrize("rule_name", ["da", "cda"])
def test_contingent_dispatch_coordinates_without_learning(homes, tariff, rule_name):
    game = Game(homes, auction(rule_name), scale_days=TRAINING)
    posted = replace(game, dispatch="contingent")
    arrival, clusters = arrivals(game, 0), portfolio_clusters(game)
    rule = tuned_rule(Ground(game, TRAINING, arrival), clusters, tariff, 0)
    same = RuleBased().start(Spec.of(posted, clusters, 0))
    same.load(rule.state())
    committed, contingent = (
        float(play(g, r, HELD_OUT, tariff, arrival).cost.mean()) for g, r in ((game, rule), (posted, same))
    )
    bound = float(community_optimum(posted, HELD_OUT, tariff).mean())
    assert (committed - contingent) / (committed - bound) > 0.70
