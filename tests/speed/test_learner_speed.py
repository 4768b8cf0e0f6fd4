"""Speed of the deterministic gradients: updates of all agents (critics, actors, targets) per second of process time.

Run with `pytest tests/speed -m slow -s -p no:randomly`; a table is printed at the end. Sizes are those of the goals:
observation 8, two heads, hidden layers 64 and 64, one thread. The asserted limits are 0.6 of what is asked, since
machines and their load differ, but for ratios within one run; the table says what was measured.
"""

import sys
import time

import pytest
import torch

from hmarl.nets.critics import JointCritic, Scene
from hmarl.nets.networks import Groups
from hmarl.policies.base import Rollout, Spec
from hmarl.public import public_width
from hmarl.study_file.plugins import make
from retail.observation import Features
from retail.streams import torch_stream

pytestmark = pytest.mark.slow
OBSERVED, HEADS, STEPS, DAYS = 8, 2, 24, 4
SIZES = {"hidden": (64, 64), "critic_hidden": (64, 64), "critic_first": 0, "trace": 0, "n_step": 1}
TABLE = []


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    sys.stdout.write("\n".join(["\n\n| what | asked | measured |", "| --- | --- | --- |", *TABLE]) + "\n")


def per_second(run, times, rounds=5):
    run()
    taken = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(times):
            run()
        taken.append((time.process_time() - begin) / times)
    return 1 / min(taken)


def filled(name, agents, **options):
    """A learner with a few random days in memory, about to update."""
    heads = tuple(f"head_{i}" for i in range(HEADS))
    can = torch.ones(agents, HEADS, dtype=torch.bool)
    spec = Spec(agents, 1, OBSERVED - 1, heads, can, torch.arange(agents) % 4, STEPS, 0)
    learner = make("policies", name, **SIZES, **options, updates_per_day=0.01).start(spec)
    g = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.randn(*shape, generator=g)

    features = Features(rand(STEPS + 1, DAYS, 1), rand(STEPS + 1, DAYS, agents, OBSERVED - 1))
    action, reward = rand(STEPS, DAYS, agents, HEADS) / 4, rand(STEPS, DAYS, agents)
    public = torch.rand(STEPS, DAYS, public_width(HEADS, retail=False), generator=g)
    learner.learn(Rollout(features, action, reward, True, public, torch.zeros(STEPS, DAYS, agents)), 0.0)
    return learner


@pytest.mark.parametrize(
    ("name", "agents", "batch", "asked", "options"),
    [
        ("maddpg", 8, 256, 110, {}),
        ("matd3", 8, 256, None, {}),
        ("da-maddpg", 8, 256, None, {}),
        ("da-maddpg", 100, 64, 30, {}),
        ("da-maddpg", 300, 64, 11, {}),
        ("ps-maddpg", 300, 64, None, {"sharing": "agent", "self_consistent": False}),
        ("ps-maddpg", 300, 16, 55, {}),
    ],
)
def test_updates_per_second(name, agents, batch, asked, options):
    learner = filled(name, agents, batch=batch, **options)
    rate = per_second(learner.update, 40 if agents < 100 else 6)
    goal = "-" if asked is None else f">= {asked} /s"
    words = ", ".join(f"{k} {v}" for k, v in options.items())
    TABLE.append(f"| update, {name} {words}, N = {agents}, B = {batch} | {goal} | {rate:.1f} /s |")
    assert asked is None or rate >= 0.6 * asked


@pytest.mark.parametrize("agents", [8, 32])
def test_joint_actor_step_against_literal_substitution(agents):
    rows, g = 256, torch.Generator().manual_seed(0)
    groups = Groups.make(torch.zeros(agents, dtype=torch.int64), "agent", torch.ones(agents, dtype=torch.bool))
    critic = JointCritic(groups, (0, OBSERVED, HEADS), (64, 64), torch_stream(0, "weights"))
    features = Features(torch.zeros(rows, 0), torch.randn(rows, agents, OBSERVED, generator=g))
    scene = Scene.of(features, groups, torch.zeros(rows, 0))
    taken = torch.randn(agents, rows, 1, HEADS, generator=g)
    action = torch.randn(agents, rows, 1, HEADS, generator=g).requires_grad_()

    def fast():
        torch.autograd.grad(critic.own(scene, taken, action, None).sum(), action)

    def literal():
        total = torch.zeros(())
        for n in range(agents):
            own = torch.zeros(agents, 1, 1, 1)
            own[n] = 1
            total = total + critic.value(scene, taken + own * (action - taken))[n].sum()
        torch.autograd.grad(total, action)

    ratio = per_second(fast, 5) / per_second(literal, 2)
    TABLE.append(f"| joint actor step, literal substitution / rank-A correction, N = {agents} | - | {ratio:.1f} |")
    assert ratio > 2
