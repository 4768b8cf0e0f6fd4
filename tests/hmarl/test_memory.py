"""Replay memory against loops over single days and steps."""

import pickle

import pytest
import torch

from hmarl.memory import Replay
from hmarl.policies.base import Rollout
from retail.observation import Features

STEPS, AGENTS = 5, 3


def rollout(days, terminated=True, seed=0):
    g = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=g)

    features = Features(rand(STEPS + 1, days, 2), rand(STEPS + 1, days, AGENTS, 4))
    action, reward = rand(STEPS, days, AGENTS, 1), rand(STEPS, days, AGENTS)
    return Rollout(features, action, reward, terminated, rand(STEPS, days, 2), rand(STEPS, days, AGENTS))


@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize("n_step", [1, 2, 5, 9])
def test_returns_and_what_follows_are_those_of_a_loop(n_step, terminated):
    r, gamma = rollout(4, terminated), 0.9
    memory = Replay(10, n_step, gamma)
    memory.add(r, torch.tensor(2.0))
    drawn = memory.sample(300, torch.Generator().manual_seed(1))
    found = 0
    for row in range(300):
        for t in range(STEPS):
            for d in range(4):
                if not torch.equal(r.action[t, d], drawn.action[row]):
                    continue
                found += 1
                h = min(t + n_step, STEPS)
                gain = sum(gamma ** (k - t) * r.reward[k, d] / 2 for k in range(t, h))
                torch.testing.assert_close(drawn.gain[row], gain)
                over = h == STEPS and terminated
                assert float(drawn.discount[row]) == pytest.approx(0.0 if over else gamma ** (h - t))
                for now, then, whole in zip(drawn.features, drawn.after, r.features, strict=True):
                    assert torch.equal(now[row], whole[t, d])
                    assert torch.equal(then[row], whole[h, d])
                assert torch.equal(drawn.public[row], r.public[t, d])
                assert torch.equal(drawn.public_after[row], r.public[min(h, STEPS - 1), d])
                assert torch.equal(drawn.position[row], r.position[t, d])
    assert found == 300
    assert memory.bootstraps is not (terminated and n_step >= STEPS)


@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize("trace", [0.5, 1.0])
def test_lambda_returns_are_those_of_their_definition(terminated, trace):
    """G_t as the weighted mean of all n-step returns, not as a recursion."""
    r, gamma = rollout(2, terminated), 0.9
    memory = Replay(3, 1, gamma)
    memory.add(r, torch.tensor(1.0))

    def value(features, public):
        return features.personal.sum(-1)

    memory.retrace(value, trace, days_at_once=1)
    v = r.features.personal.sum(-1)
    if terminated:
        v = torch.cat([v[:-1], torch.zeros_like(v[-1:])])
    drawn = memory.sample(50, torch.Generator().manual_seed(1))
    assert not memory.bootstraps
    for row in range(50):
        ((t, d),) = [(t, d) for t in range(STEPS) for d in range(2) if torch.equal(r.action[t, d], drawn.action[row])]
        n_step = [
            sum(gamma**k * r.reward[t + k, d] for k in range(n)) + gamma**n * v[t + n, d]
            for n in range(1, STEPS - t + 1)
        ]
        weights = [(1 - trace) * trace**n for n in range(len(n_step) - 1)] + [trace ** (len(n_step) - 1)]
        torch.testing.assert_close(drawn.gain[row], sum(w * x for w, x in zip(weights, n_step, strict=True)))


def test_oldest_days_make_room_and_a_state_goes_on():
    memory = Replay(3, 1, 1.0)
    first, second = rollout(2, seed=1), rollout(2, seed=2)
    for r in (first, second):
        memory.add(r, torch.tensor(1.0))
    assert memory.stored == 3
    kept = torch.cat([first.action[:, 1:], second.action], 1).transpose(0, 1).reshape(-1, AGENTS, 1)
    drawn = memory.sample(400, torch.Generator().manual_seed(0))
    seen = {tuple(a.flatten().tolist()) for a in drawn.action}
    assert seen == {tuple(a.flatten().tolist()) for a in kept}
    other = Replay(3, 1, 1.0)
    other.load(pickle.loads(pickle.dumps(memory.state())))
    for m in (memory, other):
        m.add(rollout(1, seed=3), torch.tensor(1.0))
    a, b = (m.sample(20, torch.Generator().manual_seed(2)) for m in (memory, other))
    assert torch.equal(a.action, b.action)
    assert torch.equal(a.gain, b.gain)
