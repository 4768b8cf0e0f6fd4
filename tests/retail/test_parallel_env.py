import numpy as np
import torch
from device_homes import PRICES, community
from pettingzoo.test import parallel_api_test, parallel_seed_test

from retail import Battery, Community, Game, Tariff, auction, parallel_env


def env(end="restore"):
    rng = np.random.default_rng(0)
    clock = np.datetime64("2012-07-02", "m") + np.arange(72) * np.timedelta64(60, "m")
    load, pv = (torch.from_numpy(rng.uniform(0, 2, (72, 4))) for _ in range(2))
    homes = Community(tuple("abcd"), clock, "UTC", 60, load, pv, Battery.make(4), torch.ones(4).double(), warm_up=1)
    return parallel_env(Game(homes, auction("da"), storage_end=end), Tariff.make(energy=np.full(24, 0.3), sell=0.04))


def test_pettingzoo_api():
    parallel_api_test(env(), num_cycles=100)


def test_pettingzoo_seeds():
    parallel_seed_test(env)


def test_the_end_of_a_day_terminates_or_truncates():
    for end, terminated in (("restore", True), ("carry", False)):
        e = env(end)
        e.reset(seed=1)
        for _ in range(24):
            _, _, ended, cut, infos = e.step({a: np.zeros(2, np.float32) for a in e.agents})
        assert set(ended.values()) == {terminated}
        assert set(cut.values()) == {not terminated}
        assert e.agents == []
        assert e.state().shape == (4 * len(e.observation_names),)
        assert {"cost", "net_kwh", "store_change_kwh"} == set(infos["a"])


def test_every_device_has_its_place_in_an_action():
    game = Game(community(), auction("da"), curtail=True)
    e = parallel_env(game, PRICES)
    parallel_api_test(e, num_cycles=30)
    assert e.action_space("h0").shape == (len(game.heads),) == (2 + 1 + len(game.equipment.heads),)
