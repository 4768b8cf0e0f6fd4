"""Critics of all agents at once against one net after the other and literal substitution."""

import pytest
import torch

from hmarl.nets.critics import JointCritic, LocalCritic, Scene
from hmarl.nets.networks import Groups
from retail.observation import Features
from retail.streams import torch_stream

AGENTS, ROWS = 5, 7


def setting(sharing):
    groups = Groups.make(torch.tensor([0, 1, 0, 1, 1]), sharing, torch.ones(AGENTS, dtype=torch.bool))
    g = torch.Generator().manual_seed(0)
    flat = [torch.randn(ROWS, AGENTS, width, generator=g, dtype=torch.float64) for width in (3, 2, 2)]
    common, public = (torch.randn(ROWS, width, generator=g, dtype=torch.float64) for width in (4, 6))
    return groups, common, public, flat


def alone(net, label, x):
    """One net, layer by layer."""
    weights, biases = ([p[label] for p in ps] for ps in (net.weights, net.biases))
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        x = x @ w + b
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        x = x.clamp(min=0)
    return x @ weights[-1] + biases[-1]


@pytest.mark.parametrize("sharing", ["agent", "cluster", "all"])
def test_stacked_local_critics_equal_a_list_of_nets(sharing):
    groups, common, public, (personal, taken, action) = setting(sharing)
    critic = LocalCritic(len(groups.real), (4, 6, 3, 2), (8, 8), torch_stream(0, "weights"))
    critic.net.double()
    scene = Scene.of(Features(common, personal), groups, public)
    shift = torch.randn(ROWS, AGENTS, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    value = groups.scatter(critic.value(scene, groups.gather(taken)))
    moved = critic.own(scene, groups.gather(taken), groups.gather(action), groups.gather(shift))
    label = {"agent": range(5), "cluster": [0, 1, 0, 1, 1], "all": [0] * 5}[sharing]
    for n in range(AGENTS):
        x = torch.cat([common, public, personal[:, n], taken[:, n]], -1)
        torch.testing.assert_close(value[:, n], alone(critic.net, label[n], x))
        x = torch.cat([common, public + shift[:, n], personal[:, n], action[:, n]], -1)
        torch.testing.assert_close(groups.scatter(moved)[:, n], alone(critic.net, label[n], x))


@pytest.mark.parametrize("sharing", ["agent", "cluster"])
def test_joint_actor_step_equals_literal_substitution(sharing):
    groups, common, public, (personal, taken, action) = setting(sharing)
    critic = JointCritic(groups, (4, 3, 2), (8, 8), torch_stream(0, "weights"))
    critic.net.double()
    scene = Scene.of(Features(common, personal), groups, public)
    value = groups.scatter(critic.value(scene, groups.gather(taken)))
    ours, literal = (action.clone().requires_grad_() for _ in range(2))
    fast = groups.scatter(critic.own(scene, groups.gather(taken), groups.gather(ours), None))
    slow = []
    for n in range(AGENTS):
        substituted = torch.cat([taken[:, :n], literal[:, n : n + 1], taken[:, n + 1 :]], 1)
        x = torch.cat([common, personal.flatten(1), substituted.flatten(1)], -1)
        slow.append(alone(critic.net, n, x))
        x = torch.cat([common, personal.flatten(1), taken.flatten(1)], -1)
        torch.testing.assert_close(value[:, n], alone(critic.net, n, x))
    torch.testing.assert_close(fast, torch.stack(slow, 1))
    weight = torch.randn(fast.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (fast * weight).sum().backward()
    (torch.stack(slow, 1) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, literal.grad)
