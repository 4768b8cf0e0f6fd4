"""Policies train on PettingZoo environments through one adapter."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from pettingzoo import ParallelEnv

from hmarl.arena import arena_spec, episode, mean_return, practise
from hmarl.arenas.pettingzoo import ParallelArena
from hmarl.contracts.trials import lively_game
from hmarl.policies.base import Misfit
from hmarl.policies.dqn import DQN
from hmarl.policies.ppo import IPPO, MAPPO
from retail import Tariff, parallel_env
from retail.streams import torch_stream


class Echo(ParallelEnv):
    """``turner`` must name the number it sees, ``pusher`` must push 2 x what it sees, and leaves a step early."""

    metadata = {"name": "echo"}  # noqa: RUF012

    def __init__(self):
        self.possible_agents = ["turner", "pusher"]
        self.agents = []

    def observation_space(self, agent):
        return Discrete(3, start=1) if agent == "turner" else Box(-1.0, 1.0, (2, 1), np.float32)

    def action_space(self, agent):
        return Discrete(3, start=1) if agent == "turner" else Box(-2.0, 2.0, (1,), np.float32)

    def reset(self, seed=None, options=None):
        self.agents, self.rng, self.t = list(self.possible_agents), np.random.default_rng(seed), 0
        return self._look(), {a: {} for a in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.t += 1
        reward = {"turner": float(actions["turner"] == self.number)}
        if "pusher" in actions:
            assert self.action_space("pusher").contains(actions["pusher"])
            reward["pusher"] = 1 - float((actions["pusher"][0] - 2 * self.push[0, 0]) ** 2)
        over = {a: self.t >= (3 if a == "pusher" else 4) for a in self.agents}
        seen = {a: x for a, x in self._look().items() if a in over}
        self.agents = [a for a in self.agents if not over[a]]
        return seen, reward, over, dict.fromkeys(over, False), {a: {} for a in over}

    def _look(self):
        self.number, self.push = int(self.rng.integers(1, 4)), self.rng.uniform(-1, 1, (2, 1)).astype(np.float32)
        return {"turner": self.number, "pusher": self.push}


def test_spaces_become_heads_and_features():
    arena = ParallelArena(Echo, 4, identify=True, terminated=True)
    assert (arena.agents, arena.personal, arena.heads) == (2, 5, ("action_0", "action_1", "action_2"))
    assert arena.controls.tolist() == [[True, True, True], [True, False, False]]
    seen = arena.reset(3, torch_stream(0, "arena"))
    for t in range(4):
        number = seen.personal[:, 0, :3]
        assert bool((number.sum(-1) == 1).all())
        assert seen.personal[:, :, 3:].tolist() == [[[1.0, 0.0], [0.0, 1.0]]] * 3
        push = seen.personal[:, 1, :1]
        alive = t < 3
        heads = torch.stack([2 * number - 1, torch.cat([push, torch.zeros(3, 2)], -1)], 1)
        seen, reward = arena.step(heads)
        torch.testing.assert_close(reward, torch.tensor([[1.0, float(alive)]] * 3))
    assert not seen.personal[:, 1, 1:2].any()


def test_same_stream_same_episodes():
    def played():
        arena = ParallelArena(Echo, 4)
        return episode(IPPO().start(arena_spec(arena, 0)), arena, 5, torch_stream(3, "arena"), explore=True)

    a, b = played(), played()
    assert torch.equal(a.features.personal, b.features.personal)
    assert torch.equal(a.reward, b.reward)
    assert not torch.equal(a.features.personal[0, 0], a.features.personal[0, 1])


@pytest.mark.parametrize(
    ("policy", "right", "pushed"),
    [
        (MAPPO(sharing="agent", noise=0.5), 3.6, 2.4),
        (DQN(sharing="agent", levels=(-1.0, 0.0, 1.0), learning_rate=5e-3, gamma=0.0, updates=24), 3.6, 1.7),
    ],
    ids=["mappo", "dqn"],
)
def test_policies_learn_on_it(policy, right, pushed):
    """4 right names and 3 pushes without loss at best (with three levels 2); 4/3 and less than 0 by chance."""
    arena = ParallelArena(Echo, 4, terminated=True)
    learner = policy.start(arena_spec(arena, 0))
    practise(learner, arena, 32 * 40, copies=32, seed=0)
    turner, pusher = mean_return(learner, arena, 50, 0).tolist()
    assert turner > right
    assert pusher > pushed


def test_the_retail_game_itself_is_a_parallel_env():
    tariff = Tariff.make(energy=np.full(24, 0.3), sell=0.05)
    arena = ParallelArena(lambda: parallel_env(lively_game(), tariff, days=(2, 3)), 24)
    assert arena.agents == 5
    rows = practise(IPPO(sharing="all").start(arena_spec(arena, 0)), arena, 4, copies=2, seed=0)
    assert len(rows) == 2


def test_other_spaces_are_refused():
    class Odd(Echo):
        def action_space(self, agent):
            return Box(-np.inf, np.inf, (1,), np.float32)

    class Odder(Echo):
        def observation_space(self, agent):
            return Dict({"x": Discrete(2)})

    for env, words in ((Odd, "finite bounds"), (Odder, "Observations of turner")):
        with pytest.raises(Misfit, match=words):
            ParallelArena(env, 4)
