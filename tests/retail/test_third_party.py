"""The environment in the hands of a library that has never heard of it."""

import numpy as np
import pytest
import torch

from retail import Battery, Community, Game, Tariff, auction, parallel_env

supersuit = pytest.importorskip("supersuit", reason="comes with the extra `third-party`")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_random_policy_through_supersuit():
    rng = np.random.default_rng(0)
    clock = np.datetime64("2012-07-02", "m") + np.arange(72) * np.timedelta64(60, "m")
    load, pv = (torch.from_numpy(rng.uniform(0, 2, (72, 4))) for _ in range(2))
    homes = Community(tuple("abcd"), clock, "UTC", 60, load, pv, Battery.make(4), torch.ones(4).double(), warm_up=1)
    game = Game(homes, auction("da"))
    env = parallel_env(game, Tariff.make(energy=np.full(24, 0.3), sell=0.04))
    vector = supersuit.pettingzoo_env_to_vec_env_v1(env)
    observations, _ = vector.reset(seed=3)
    assert observations.shape == (4, len(game.observation_names))
    days = 0
    for _ in range(100):
        actions = np.stack([vector.action_space.sample() for _ in range(4)])
        observations, rewards, terminated, _, _ = vector.step(actions)
        assert np.isfinite(observations).all()
        assert np.isfinite(rewards).all()
        days += bool(terminated.all())
    assert days == 4
