"""Deterministic gradients against the tuned rule on the eight real homes: minutes each, `make verify`.

The setting is that of tests/hmarl/test_real_homes.py. Nothing is chosen on held-out days; they are played once.
"""

import os
import sys
from datetime import date
from pathlib import Path

import pytest
import torch

from hmarl.benchmark import tuned_rule
from hmarl.evaluation import arrivals, play
from hmarl.policies.base import Spec, portfolio_clusters
from hmarl.statistics import bootstrap
from hmarl.study_file.plugins import make
from hmarl.training import Ground, train
from retail import Battery, Community, Game, Tariff, auction
from retail.data import Window
from retail.data.ausgrid import Ausgrid
from retail.streams import stream
from retail.time_of_use import read_tariff, time_of_use

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[4] / "shared" / "data"))
DAYS = torch.arange(365)
HELD_OUT = DAYS[(DAYS // 7 % 7 == 3) & (DAYS >= 7)]
TRAINING = DAYS[(DAYS // 7 % 7 != 3) & (DAYS >= 7)]
GIVEN = int(os.environ.get("HMARL_VERIFY_EPISODES", "0"))
EPISODES = {"maddpg": 28_800, "matd3": 28_800}
"""Training days of those that need more than 9,600."""
SEEDS = int(os.environ.get("HMARL_VERIFY_SEEDS", "1"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA"),
]


@pytest.fixture(scope="module")
def ground():
    window = Window(date(2012, 7, 1), 365, 60, "Australia/Sydney")
    p = Ausgrid().read(window, DATA, 0)
    battery = Battery.make(8, min_kwh=2, max_kwh=10, power_kw=5, efficiency=0.95, start_kwh=6)
    to = torch.from_numpy
    homes = Community(p.names, window.clock, window.zone, 60, to(p.load), to(p.pv), battery, to(p.pv_kwp), 7)
    game = Game(homes, auction("da"), scale_days=TRAINING)
    return Ground(game, TRAINING, arrivals(game, 0))


@pytest.fixture(scope="module")
def tariff(ground):
    row = read_tariff(DATA / "tariffs" / "tou_tariffs.csv", "B_thesis_experiments")
    clock = ground.game.community.clock
    buy = time_of_use(clock, row["windows"], row["offpeak"], row["shoulder"], row["peak"])
    return Tariff.make(energy=buy.reshape(365, 24), sell=row["sell"])


@pytest.fixture(scope="module")
def rule(ground, tariff):
    learner = tuned_rule(ground, portfolio_clusters(ground.game), tariff, 0)
    return play(ground.game, learner, HELD_OUT, tariff, ground.arrival).cost


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("maddpg", marks=pytest.mark.xfail(reason="saves 0.20 [-0.14, 0.53] $/day: not resolved")),
        "matd3",
        "da-maddpg",
        "ps-maddpg",
        "mean-field",
    ],
)
def test_beats_the_tuned_rule(name, seed, ground, tariff, rule):
    episodes = GIVEN or EPISODES.get(name, 9600)
    policy = make("policies", name)
    learner = policy.start(Spec.of(ground.game, portfolio_clusters(ground.game), seed))
    rng = stream(seed, "days")
    train(learner, ground, tariff, episodes, rng, batch_days=policy.batch_days, budget=episodes, evaluate_every=10**6)
    cost = play(ground.game, learner, HELD_OUT, tariff, ground.arrival).cost
    saved = bootstrap((rule - cost).numpy(), block=7)
    sys.stdout.write(
        f"\n{name}, seed {seed}: {float(cost.mean()):.3f} $/day, tuned rule {float(rule.mean()):.3f}, "
        f"saved {saved.mean:.3f} [{saved.low:.3f}, {saved.high:.3f}]\n"
    )
    assert saved.low > 0
