"""Speed of the whole step, with devices and observation: home-steps per second of process time, one thread.

Run with `pytest tests/speed -m slow -s -p no:randomly`; a table is printed at the end. What is asked stands beside what
was measured; asserted are ratios within one run, limits of time with room, and memory.
"""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from hmarl.evaluation import play
from hmarl.policies.base import Seen, Spec, portfolio_clusters
from hmarl.policies.ppo import IPPO
from hmarl.policies.rule_based import RuleBased
from retail import Battery, Community, Game, Tariff, auction, parallel_env

pytestmark = pytest.mark.slow
TABLE = []
TARIFF = Tariff.make(energy=np.tile([0.15, 0.22, 0.44], 8), sell=np.full(24, 0.04))


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    sys.stdout.write("\n".join(["\n\n| what | asked | measured |", "| --- | --- | --- |", *TABLE]) + "\n")


def game(homes, rule, days=3):
    rng = np.random.default_rng(0)
    steps = 24 * days
    clock = np.datetime64("2012-07-02", "m") + np.arange(steps) * np.timedelta64(60, "m")
    load, pv = rng.uniform(0, 2, (steps, homes)), np.maximum(rng.normal(0, 1.5, (steps, homes)), 0)
    battery = Battery.make(homes, has=np.arange(homes) % 2 == 0)
    profiles = (torch.from_numpy(load), torch.from_numpy(pv))
    names = tuple(f"h{i}" for i in range(homes))
    homes_ = Community(names, clock, "UTC", 60, *profiles, battery, torch.ones(homes).double())
    return Game(homes_, auction(rule))


def a_day(g, batch, observed=True):
    """Seconds of a day of ``batch`` copies with random batteries."""
    days = torch.arange(batch) % g.community.days
    action = torch.rand(batch, g.community.prosumers, 1, generator=torch.Generator().manual_seed(1)) * 2 - 1
    state = g.reset(days, TARIFF, features=observed)
    begin = time.process_time()
    for _ in range(24):
        if observed:
            g.features(state)
        state, _ = g.step(state, action)
    return time.process_time() - begin


def rate(g, batch, observed=True, times=5):
    a_day(g, batch, observed)
    return batch * g.community.prosumers * 24 / min(a_day(g, batch, observed) for _ in range(times)) / 1e6


@pytest.mark.parametrize(("rule", "asked"), [("mmr", 25), ("sdr", 25), ("da", 11), ("cda", 2.4)])
def test_home_steps_per_second(rule, asked):
    g = game(300, rule)
    with_it, without = rate(g, 64), rate(g, 64, observed=False)
    measured = f"{with_it:.1f} M/s with 60 features, {without:.1f} without"
    TABLE.append(f"| step, {rule}, N = 300, B = 64 | >= {asked:g} M/s | {measured} |")
    assert without > with_it > 0.1 * asked


def test_acting_loop():
    """The game and one shared net of 64-64, as in training: look, act with exploration, step."""
    g, batch = game(300, "da"), 64
    learner = IPPO(sharing="all").start(Spec.of(g, portfolio_clusters(g), 0))

    def once():
        state = g.reset(torch.arange(batch) % g.community.days, TARIFF)
        begin = time.process_time()
        for step in range(24):
            state, _ = g.step(state, learner.act(Seen(g.features(state), state, step), True))
        return time.process_time() - begin

    once()
    loop = batch * 300 * 24 / min(once() for _ in range(5)) / 1e6
    TABLE.append(f"| look, act, step, da, N = 300, B = 64, one net | >= 3 M/s | {loop:.1f} M/s |")
    assert loop > 0.3


def test_ten_thousand_homes():
    small, large = rate(game(300, "da"), 64), rate(game(10_000, "da"), 4, times=2)
    TABLE.append(f"| step, da, N = 10,000 against N = 300 | >= 0.6 | {large / small:.2f} |")
    assert large / small > 0.3


@pytest.mark.parametrize(("homes", "batch", "asked"), [(300, 64, 4), (8, 1024, 80)])
def test_a_batch_against_one_community_after_the_other(homes, batch, asked):
    g = game(homes, "da")
    ratio = rate(g, batch) / rate(g, 1)
    TABLE.append(f"| batched step against a loop over communities, N = {homes} | >= {asked} | {ratio:.0f} |")
    assert ratio >= 0.5 * asked


def test_one_step_of_the_pettingzoo_face():
    env = parallel_env(game(300, "da"), TARIFF)
    env.reset(seed=0)
    actions = {a: np.zeros(2, np.float32) for a in env.agents}
    taken = []
    for _ in range(20):
        begin = time.process_time()
        env.step(actions)
        taken.append(time.process_time() - begin)
    TABLE.append(f"| PettingZoo step, N = 300 | <= 1 ms | {1000 * sorted(taken)[10]:.2f} ms |")
    assert sorted(taken)[10] < 0.01


def test_a_year_of_300_homes_day_by_day():
    g = game(300, "da", days=365)
    learner = RuleBased().start(Spec.of(g, portfolio_clusters(g), 0))
    arrival = torch.arange(300).expand(365, 24, 300)
    begin = time.process_time()
    for day in range(365):
        play(g, learner, torch.tensor([day]), TARIFF, arrival)
    taken = time.process_time() - begin
    TABLE.append(f"| a year of 300 homes, rule-based, da, B = 1 | <= 10 s | {taken:.1f} s |")
    assert taken < 60


def test_memory_of_ten_thousand_homes_and_thirty_days():
    script = (
        "import sys, resource; sys.path.insert(0, 'tests/speed'); import test_step_speed as t; import torch;"
        "from hmarl.evaluation import play; from hmarl.benchmark import Idle;"
        "g = t.game(10_000, 'da', 30);"
        "play(g, Idle(), torch.arange(30), t.TARIFF, torch.arange(10_000).expand(30, 24, 10_000));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    peak = int(out.stdout.split()[-1]) / 2**20
    TABLE.append(f"| memory, 10,000 homes x 24 h x 30 days | < 2 GiB | {peak:.2f} GiB |")
    assert peak < 4
