"""Mean-field learners reproduce the Ising model, and their mean action is a mean."""

from dataclasses import replace

import pytest
import torch

from hmarl.arena import arena_spec, episode, practise
from hmarl.arenas.aim import Aim
from hmarl.arenas.ising import Ising, magnetisation
from hmarl.policies.base import Misfit, Rollout, Seen
from hmarl.policies.levels import Choices
from hmarl.policies.mean_action import MeanAction
from hmarl.policies.mf_ac import MFAC
from hmarl.policies.mf_q import MFQ
from hmarl.policies.value_learning import Episodes
from retail.observation import Features
from retail.streams import torch_stream

SPINS = {"levels": (-1.0, 1.0), "gamma": 0.0, "hidden": (), "sharing": "all", "scale_reward": False}
SCHOOL = Ising(steps=4, cooling=2, strength=0.5)


def mean_field_q(temperature):
    return MFQ(
        **SPINS,
        temperature=temperature,
        final_temperature=temperature,
        replay=64,
        updates=16,
        batch=32,
        learning_rate=0.05,
    )


def mean_field_ac(temperature):
    return MFAC(**SPINS, entropy=temperature, minibatches=8, learning_rate=0.03, final_learning_rate=1e-4)


def measured(learner, seed):
    """Mean spin of two lattices long after the field is gone."""
    cooled = episode(learner, Ising(steps=1500), 2, torch_stream(seed, "judge"), explore=True)
    return float(cooled.action[200:].sign().mean())


def test_onsager():
    assert [round(magnetisation(t), 4) for t in (0.8, 1.0, 1.2, 2.0)] == [0.9796, 0.9113, 0.0, 0.0]


@pytest.mark.parametrize("temperature", [0.8, 1.0])
def test_mean_field_q_magnetises_as_onsager_says(temperature):
    learner = mean_field_q(temperature).start(arena_spec(SCHOOL, 0))
    practise(learner, SCHOOL, 32 * 40, copies=32, seed=0)
    # Values of down and up with 0..4 neighbours up, without a field.
    up = torch.arange(5) / 4
    seen, _ = learner.standard(Features(torch.zeros(1, 1), torch.zeros(1, 400, 0)))
    inputs = torch.stack([1 - up, up], -1)[None, None]
    value = learner.net(seen, inputs)[0, 0].detach()
    expected = torch.tensor([[2.0, -2], [1, -1], [0, 0], [-1, 1], [-2, 2]])
    torch.testing.assert_close(value, expected, rtol=0, atol=0.05)
    assert measured(learner, 0) == pytest.approx(magnetisation(temperature), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("temperature", [0.8, 1.0])
@pytest.mark.parametrize(("make", "rounds"), [(mean_field_q, 40), (mean_field_ac, 300)])
def test_mean_field_learners_magnetise_as_onsager_says(make, rounds, temperature, seed):
    learner = make(temperature).start(arena_spec(SCHOOL, seed))
    practise(learner, SCHOOL, 32 * rounds, copies=32, seed=seed)
    found = measured(learner, seed)
    assert found == pytest.approx(magnetisation(temperature), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("make", [mean_field_q, mean_field_ac])
def test_no_order_far_above_the_critical_temperature(make):
    learner = make(2.0).start(arena_spec(SCHOOL, 0))
    practise(learner, SCHOOL, 32 * 40, copies=32, seed=0)
    assert abs(measured(learner, 0)) < 0.05


def test_the_mean_is_over_the_others_that_decide_or_over_the_neighbours():
    chosen = torch.tensor([[2, 0, 1, 2]])
    everyone = MeanAction(3, torch.tensor([1.0, 1.0, 0.0, 1.0]), None)
    torch.testing.assert_close(everyone(chosen)[0, 0], torch.tensor([0.5, 0.0, 0.5]))
    torch.testing.assert_close(everyone(chosen)[0, 2], torch.tensor([1 / 3, 0.0, 2 / 3]))
    assert not everyone(torch.full((1, 4), -1)).any()
    ring = MeanAction(3, torch.ones(4), torch.tensor([[3, 1], [0, 2], [1, 3], [2, 0]]))
    torch.testing.assert_close(ring(chosen)[0, 0], torch.tensor([0.5, 0.0, 0.5]))
    over_time = everyone.of_rollout(chosen.expand(2, 1, 4))
    assert over_time.shape == (3, 1, 4, 3)
    assert not over_time[0].any()
    torch.testing.assert_close(over_time[1], everyone(chosen))


def test_choices_are_all_combinations_and_are_recognised():
    choices = Choices.of((-1.0, 0.0, 1.0), 2)
    assert len(choices) == 9
    assert torch.equal(choices.nearest(choices.points + 0.1), torch.arange(9))
    with pytest.raises(Misfit, match="at most 1024"):
        Choices.of(tuple(x / 10 for x in range(-5, 6)), 3)
    with pytest.raises(ValueError, match="ascending"):
        MFQ(levels=(0.5, 0.2))
    with pytest.raises(ValueError, match="tau is 2"):
        MFQ(tau=2.0)


def test_replay_keeps_the_last_episodes_whole():
    replay = Episodes(5)
    for k in range(4):
        replay.add(reward=torch.arange(2 * k, 2 * k + 2).float().expand(3, 2) * torch.ones(3, 1))
    kept = sorted(replay.parts["reward"][: replay.filled, 0].tolist())
    assert kept == [3.0, 4.0, 5.0, 6.0, 7.0]
    replay.add(reward=torch.arange(20.0, 29).expand(3, 9))
    assert sorted(replay.parts["reward"][:, 2].tolist()) == [24.0, 25.0, 26.0, 27.0, 28.0]


@pytest.mark.parametrize("n_steps", [1, 2, 9])
@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize("target", ["soft", "double"])
def test_goals_equal_their_definition_step_by_step(n_steps, terminated, target):
    """The batched goal against a loop over rows and agents."""
    policy = MFQ(n_steps=n_steps, gamma=0.9, target=target, sharing="agent", levels=(-1.0, 0.2, 1.0), updates=1)
    arena = Aim(agents=2, steps=4)
    learner = policy.start(arena_spec(arena, 0))
    played = episode(learner, arena, 6, torch_stream(0, "arena"), explore=True)
    learner.learn(Rollout(played.features, played.action, played.reward, terminated), 0.3)
    days, at = torch.tensor([0, 3, 5, 1]), torch.tensor([0, 3, 2, 1])
    goal = learner._goal(days, at, terminated)
    kept = learner.replay.parts
    for row, (day, t) in enumerate(zip(days.tolist(), at.tolist(), strict=True)):
        end = min(t + n_steps, 4)
        for agent in range(2):
            want = sum(0.9 ** (k - t) * float(kept["reward"][day, k, agent]) for k in range(t, end))
            if not (terminated and end == 4):
                other = torch.nn.functional.one_hot(kept["choice"][day, end - 1, 1 - agent], 3).float()
                common = kept["common"][day, end][None]
                one = learner.standard(Features(common, kept["personal"][day, end][None]))
                inputs = torch.cat([one.personal[0, agent], other])[None, None, None].expand(2, 1, 1, -1)
                fast, slow = (net(one.common, inputs)[agent, 0, 0].detach() for net in (learner.net, learner.slow))
                pi = torch.softmax(slow / learner.heat, 0)
                want += 0.9 ** (end - t) * float(slow[fast.argmax()] if target == "double" else (pi * slow).sum())
            assert float(goal[row, agent]) == pytest.approx(want, abs=1e-5)


def test_memory_of_others_begins_anew_with_an_episode():
    learner = MFQ().start(arena_spec(Aim(), 0))
    features = Features(torch.zeros(2, 1), torch.rand(2, 3, 1, generator=torch_stream(0, "x")))
    first = learner.act(Seen(features, None, 0), False)
    learner.act(Seen(features, None, 1), True)
    assert torch.equal(learner.act(Seen(features, None, 0), False), first)


def test_neighbours_that_decide_nothing_do_not_count():
    spec = arena_spec(Aim(agents=3), 0)
    spec = replace(
        spec, controls=torch.tensor([[True], [True], [False]]), neighbours=torch.tensor([[1, 2], [0, 2], [0, 1]])
    )
    field = MeanAction.of(spec, spec.heads, 3)
    one = field(torch.tensor([0, 2, 1]))
    assert one.tolist() == [[0, 0, 1], [1, 0, 0], [0.5, 0, 0.5]]
    # The third one's column is whatever learning makes of its zero action; it changes nothing.
    assert torch.equal(field(torch.tensor([0, 2, -1])), one)
