"""Public benchmark: simple_spread of mpe2, three agents, 25 steps, discrete actions, return summed over agents.

``make verify-mpe`` runs it alone: 2 million steps a seed. Random play returns about -81, doing nothing -75, a script
that always heads for the best assignment -27.5.
"""

import pytest
import torch

from hmarl.arena import arena_spec, mean_return, practise
from hmarl.arenas.pettingzoo import ParallelArena
from hmarl.policies.base import Stateless
from hmarl.policies.ppo import MAPPO
from retail.streams import torch_stream

simple_spread = pytest.importorskip("mpe2.simple_spread_v3", reason="mpe2 is not installed (extra mpe)")


def spread():
    return ParallelArena(lambda: simple_spread.parallel_env(N=3, local_ratio=0.5, max_cycles=25), 25)


class Chance(Stateless):
    heads = tuple(f"action_{k}" for k in range(5))

    def __init__(self):
        self.noise = torch_stream(0, "chance")

    def act(self, seen, explore):
        return torch.rand(*seen.features.personal.shape[:2], 5, generator=self.noise) * 2 - 1


def settings():
    return MAPPO(sharing="all", noise=0.5, batch_days=80, epochs=6, hidden=(128, 128), gamma=0.95, learning_rate=1e-3)


def test_random_play_returns_what_others_measured():
    total = float(mean_return(Chance(), spread(), 60, 0).sum())
    assert total == pytest.approx(-80.9, abs=6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mappo_learns_to_cover_landmarks(seed):
    """2 million steps of the environment: 80,000 episodes of 25 steps."""
    arena = spread()
    policy = settings()
    learner = policy.start(arena_spec(arena, seed))
    practise(learner, arena, 80_000, copies=policy.batch_days, seed=seed)
    assert float(mean_return(learner, arena, 200, seed).sum()) >= -36
