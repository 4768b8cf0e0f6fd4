"""Speed of the deterministic gradients: updates of all agents (critics, actors, targets) per second of process time.

Run with `pytest tests/speed -m slow -s -p no:randomly`; a table is printed at the end. Sizes are those of the goals:
observation 8, two heads, hidden layers 64 and 64, one thread. The asserted limits are 0.6 of what is asked, since
machines and their load differ, but for ratios within one run; the table says what was measured.
"""

import subprocess
import sys
import time
from pathlib import Path

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


def test_stacked_nets_against_one_learner_for_each_agent():
    """Eight agents with nets and critics of their own, in one learner and in eight."""
    options = {"batch": 256, "sharing": "agent"}
    together, apart = filled("iddpg", 8, **options), [filled("iddpg", 1, **options) for _ in range(8)]

    def loop():
        for learner in apart:
            learner.update()

    ratio = per_second(together.update, 20) / per_second(loop, 20)
    TABLE.append(f"| eight stacked nets against a loop, N = 8, B = 256 | >= 2.5 | {ratio:.1f} |")
    assert ratio > 1.5


PEAK = """
import pathlib, re, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {folder!r})
from test_learner_speed import filled
learner = filled({name!r}, 300, batch={batch}, **{options!r})
for _ in range(20):
    getattr(learner, "inner", learner).update()
# Not the peak of getrusage, which a child inherits from its parent.
print(int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024)
"""


@pytest.mark.parametrize(
    ("name", "batch", "options"),
    [
        ("da-maddpg", 64, {}),
        ("ps-maddpg", 16, {}),
        ("mean-field", 64, {}),
        ("mean-field", 64, {"sharing": "agent"}),
    ],
)
def test_memory_of_300_agents(name, batch, options):
    script = PEAK.format(folder=str(Path(__file__).parent), name=name, batch=batch, options=options)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    TABLE.append(
        f"| memory, {name} {options.get('sharing', '')}, N = 300 | < 1,024 MiB | {float(run.stdout):,.0f} MiB |"
    )
    assert float(run.stdout) < 1024


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
