"""Public benchmark: simple_spread and simple_speaker_listener of mpe2, 25 steps.

Actions are continuous, but for `a3c3`: the return is the same function of what agents do.

``make verify-mpe`` runs it alone. Learners train on `hmarl.arenas.particles`, which is compared with mpe2 step by step
here, and are judged on mpe2 itself, 200 episodes without exploration. Spread, return summed over three agents: random
play about -81, doing nothing -75, a script that always heads for the best assignment -27.5. Speaker and listener,
return of each: random -41.8, a script -9.5.
"""

import pytest
import torch

from hmarl.arena import arena_spec, mean_return, practise
from hmarl.arenas.particles import SpeakerListener, Spread
from hmarl.arenas.pettingzoo import ParallelArena
from hmarl.policies.a3c3 import A3C3
from hmarl.policies.base import Stateless
from hmarl.policies.maddpg import MADDPG
from hmarl.policies.ppo import MAPPO
from retail.streams import torch_stream

simple_spread = pytest.importorskip("mpe2.simple_spread_v3", reason="mpe2 is not installed (extra mpe)")
speaker_listener = pytest.importorskip("mpe2.simple_speaker_listener_v4", reason="mpe2 is not installed (extra mpe)")
STEPS = 25


def spread(continuous=False):
    rules = {"N": 3, "local_ratio": 0.5, "max_cycles": STEPS, "continuous_actions": continuous}
    return ParallelArena(lambda: simple_spread.parallel_env(**rules), STEPS)


def speaker(continuous=False):
    rules = {"max_cycles": STEPS, "continuous_actions": continuous}
    return ParallelArena(lambda: speaker_listener.parallel_env(**rules), STEPS)


def copied(ours, theirs):
    """Start our copies where theirs are."""
    worlds = [env.unwrapped.world for env in theirs._playing]
    to = {"dtype": torch.float64}
    movers = [[a.state.p_pos.tolist() for a in w.agents if a.movable] for w in worlds]
    ours.places = torch.tensor(movers, **to)
    ours.landmarks = torch.tensor([[mark.state.p_pos.tolist() for mark in w.landmarks] for w in worlds], **to)
    if isinstance(ours, SpeakerListener):
        ours.goal = torch.tensor([w.landmarks.index(w.agents[0].goal_b) for w in worlds])
    return ours.look()


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), [(Spread, spread), (SpeakerListener, speaker)])
def test_our_particles_move_as_those_of_mpe2(ours, theirs, continuous):
    ours, theirs = ours(continuous=continuous), theirs(continuous)
    copies, stream = 20, torch_stream(3, "chance")
    ours.reset(copies, stream)
    seen = theirs.reset(copies, stream)
    torch.testing.assert_close(copied(ours, theirs), seen)
    assert (ours.personal, ours.heads, ours.agents) == (theirs.personal, theirs.heads, theirs.agents)
    assert arena_spec(ours, 0).controls.tolist() == arena_spec(theirs, 0).controls.tolist()
    bumps = 0
    for step in range(STEPS):
        # crowds, so that agents touch: all head for the first landmark, or by chance somewhere else
        towards = seen.personal[..., 4:6] if ours.agents == 3 else torch.zeros(copies, 2, 2)
        action = torch.randn(copies, ours.agents, 5, generator=stream)
        action[..., 1:] += torch.stack([-towards[..., 0], towards[..., 0], -towards[..., 1], towards[..., 1]], -1) * 9
        (mine, earned), (seen, reward) = ours.step(action), theirs.step(action)
        if step + 1 < STEPS:  # their agents are gone after the last one
            torch.testing.assert_close(mine.personal, seen.personal, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(earned, reward, rtol=1e-5, atol=1e-5)
        bumps += int((reward[:, 0] - reward[:, -1]).abs().gt(0.1).sum())
    assert bumps or ours.agents == 2


class Chance(Stateless):
    heads = tuple(f"action_{k}" for k in range(5))

    def __init__(self):
        self.noise = torch_stream(0, "chance")

    def act(self, seen, explore):
        return torch.rand(*seen.features.personal.shape[:2], 5, generator=self.noise) * 2 - 1


def test_random_play_returns_what_others_measured():
    assert float(mean_return(Chance(), spread(), 60, 0).sum()) == pytest.approx(-80.9, abs=6)
    assert float(mean_return(Chance(), Spread(), 2000, 0).sum()) == pytest.approx(-80.9, abs=2)
    assert float(mean_return(Chance(), SpeakerListener(), 2000, 0).mean()) == pytest.approx(-41.75, abs=4)


def judged(policy, ours, theirs, episodes, seed):
    """Train on our particles, play 200 episodes of mpe2; return of each agent."""
    learner = policy.start(arena_spec(ours, seed))
    practise(learner, ours, episodes, copies=policy.batch_days, seed=seed)
    returns = mean_return(learner, theirs, 200, seed)
    each = ", ".join(f"{x:.2f}" for x in returns.tolist())
    print(f"{type(policy).__name__}, seed {seed}: {each}; sum {float(returns.sum()):.2f}")  # noqa: T201
    return returns


OFF_POLICY = {
    "batch_days": 32,
    "memory_days": 1024,
    "updates_per_day": 0.5,
    "gamma": 0.95,
    "trace": 0,
    "n_step": 5,
    "target_rate": 0.01,
    "anchor": 0,
    "noise": 0.5,
    "final_noise": 0.2,
    "critic_hidden": (128, 128),
}
ON_POLICY = MAPPO(
    sharing="all", noise=0.5, batch_days=80, epochs=6, hidden=(128, 128), gamma=0.9, gae=0.8, learning_rate=2e-3
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
class TestLearners:
    """An episode has 25 steps: 40,000 are the million that is asked, 80,000 for MAPPO; the others need fewer."""

    def test_mappo_covers_landmarks(self, seed):
        assert float(judged(ON_POLICY, Spread(continuous=True), spread(True), 80_000, seed).sum()) >= -36

    def test_maddpg_covers_landmarks(self, seed):
        policy = MADDPG(episodes=20_000, sharing="all", **OFF_POLICY)
        assert float(judged(policy, Spread(continuous=True), spread(True), 20_000, seed).sum()) >= -40

    def test_maddpg_speaks_and_listens(self, seed):
        policy = MADDPG(episodes=8_000, sharing="agent", **OFF_POLICY)
        assert float(judged(policy, SpeakerListener(continuous=True), speaker(True), 8_000, seed).mean()) >= -15

    def test_a3c3_speaks_and_listens(self, seed):
        policy = A3C3(sharing="agent", batch_days=64, gamma=0.95, noise=0.4)
        assert float(judged(policy, SpeakerListener(), speaker(), 16_000, seed).mean()) >= -15
