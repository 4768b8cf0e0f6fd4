"""A3C3: stacked nets against one net after the other, in one process; speed of playing and learning."""

import sys
import time

import numpy as np
import pytest
import torch

from hmarl.evaluation import arrivals
from hmarl.nets.networks import StackedMLP
from hmarl.policies.a3c3 import A3C3
from hmarl.policies.base import Rollout, Spec, portfolio_clusters
from hmarl.training import Ground, collect
from retail import Battery, Community, Game, Tariff, auction
from retail.observation import Features
from retail.streams import torch_stream

COMMON, PERSONAL, STEPS, DAYS = 1, 7, 24, 4
ONE = {"passes": 1, "parts": 1, "normalise": False, "gae": 1.0, "clip": 0.2}
SAME = {"critic": "set", "pooling": "mean", "sharing": "agent", "price": "learned", "activation": "relu"}
PAPER = {"hidden": (160, 80), "encoder": (80, 40), **SAME}
OURS = SAME


def problem(agents):
    spec = Spec(
        agents=agents,
        common=COMMON,
        personal=PERSONAL,
        heads=("power", "price"),
        controls=torch.ones(agents, 2, dtype=torch.bool),
        clusters=torch.zeros(agents, dtype=torch.int64),
        steps=STEPS,
        seed=0,
    )
    g = torch_stream(0, "rollout")
    features = Features(
        torch.randn(STEPS + 1, DAYS, COMMON, generator=g), torch.randn(STEPS + 1, DAYS, agents, PERSONAL, generator=g)
    )
    action = torch.rand(STEPS, DAYS, agents, 2, generator=g) * 1.6 - 0.8
    return spec, Rollout(features, action, torch.randn(STEPS, DAYS, agents, generator=g), True)


class Loop:
    """The same update, agent by agent: the shortest obviously right form."""

    def __init__(self, learner):
        self.learner, spec, p = learner, learner.spec, learner.policy
        inbox, central = p.message, spec.common + p.encoder[-1]
        shapes = {
            "actor": (spec.common, spec.personal + inbox, (*p.hidden, 2)),
            "communicator": (spec.common, spec.personal, (p.hidden[0], p.message)),
            "critic": (central, spec.personal, (*p.hidden, 1)),
        }
        stacked = {
            "actor": learner.actor.net,
            "communicator": learner.communicator,
            "critic": learner.critic.net,
        }
        self.nets, self.free = [], []
        for n in range(spec.agents):
            own = {}
            for name, (common, personal, sizes) in shapes.items():
                own[name] = StackedMLP(1, common, personal, sizes, torch_stream(0, "any"), 1.0, "relu")
                with torch.no_grad():
                    for mine, all_of_them in zip(own[name].parameters(), stacked[name].parameters(), strict=True):
                        mine.copy_(all_of_them[n : n + 1])
            self.nets.append(own)
            self.free.append(torch.nn.Parameter(learner.free.detach()[n, 0, 0, 0].clone()))
        self.encoder = StackedMLP(1, 0, spec.personal, p.encoder, torch_stream(0, "any"), 1.0, "relu")
        self.encoder.load_state_dict(learner.critic.encoder.state_dict())
        adam = {"lr": p.learning_rate, "eps": 1e-5, "fused": True}
        self.optimizers = [
            torch.optim.Adam([*(x for net in own.values() for x in net.parameters()), free], **adam)
            for own, free in zip(self.nets, self.free, strict=True)
        ]
        self.optimizers.append(torch.optim.Adam(self.encoder.parameters(), **adam))

    def update(self, rollout):
        learner, agents = self.learner, self.learner.spec.agents
        common, everybody = learner.standard(rollout.features)
        rows, flat = common.flatten(0, 1), everybody.flatten(0, 1)
        own = [flat[None, :, n : n + 1] for n in range(agents)]
        said = [torch.tanh(self.nets[n]["communicator"](rows, own[n]))[0, :, 0] for n in range(agents)]
        total = sum(said)
        encoded = torch.tanh(self.encoder(rows[:, :0], flat[None]))[0].mean(1)
        central = torch.cat([rows, encoded], -1)
        loss = 0.0
        for n in range(agents):
            heard = ((total - said[n]) / (agents - 1)).unflatten(0, (STEPS + 1, DAYS))
            inbox = torch.cat([torch.zeros_like(heard[:1]), heard[:-1]])[:STEPS].flatten(0, 1)
            seen = torch.cat([own[n][0, : STEPS * DAYS, 0], inbox], -1)[None, :, None]
            output = self.nets[n]["actor"](rows[: STEPS * DAYS], seen)[0, :, 0]
            log = learner.density.log_probability(output, self.free[n], rollout.action[:, :, n].flatten(0, 1))
            value = self.nets[n]["critic"](central, own[n])[0, : STEPS * DAYS, 0, 0]
            later = (rollout.reward[:, :, n] / learner.reward_scale).flip(0).cumsum(0).flip(0).flatten()
            better = later - value
            loss = loss + (-log[:, 0] * better.detach() + 0.5 * better.square()).mean()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for own, free in zip(self.nets, self.free, strict=True):
            acting = [*own["actor"].parameters(), *own["communicator"].parameters(), free]
            torch.nn.utils.clip_grad_norm_(acting, learner.policy.gradient_limit)
            torch.nn.utils.clip_grad_norm_(own["critic"].parameters(), learner.policy.gradient_limit)
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), learner.policy.gradient_limit)
        for optimizer in self.optimizers:
            optimizer.step()


def pair(agents, sizes=OURS):
    spec, rollout = problem(agents)
    learner = A3C3(**ONE, **sizes).start(spec)
    learner.calibrate(rollout)
    return learner, Loop(learner), rollout


def cpu(work, rollout, least=3):
    seconds = []
    for _ in range(least):
        start = time.process_time()
        work(rollout)
        seconds.append(time.process_time() - start)
    return min(seconds)


def test_stacked_update_equals_the_loop():
    learner, loop, rollout = pair(5)
    learner.learn(rollout, 0.0)
    loop.update(rollout)
    for n in range(5):
        for mine, alone in zip(learner.actor.net.parameters(), loop.nets[n]["actor"].parameters(), strict=True):
            torch.testing.assert_close(mine[n], alone[0], rtol=0, atol=2e-5)
        theirs = loop.nets[n]["communicator"].parameters()
        for mine, alone in zip(learner.communicator.parameters(), theirs, strict=True):
            torch.testing.assert_close(mine[n], alone[0], rtol=0, atol=2e-5)
    for mine, alone in zip(learner.critic.encoder.parameters(), loop.encoder.parameters(), strict=True):
        torch.testing.assert_close(mine, alone, rtol=0, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "least"), [(OURS, 4), (PAPER, 2.5)], ids=["ours", "paper"])
def test_stacked_update_is_several_times_faster_than_the_loop(sizes, least):
    """The larger the nets, the more both spend on the same products."""
    learner, loop, rollout = pair(100, sizes)
    cpu(lambda r: learner.learn(r, 0.0), rollout, 1)
    stacked, single = cpu(lambda r: learner.learn(r, 0.0), rollout, 5), cpu(loop.update, rollout, 3)
    sys.stdout.write(f"\nA3C3 N=100, 4 days: loop {single * 1e3:.0f} ms, stacked {stacked * 1e3:.0f} ms")
    assert single / stacked >= least


def big_game(homes, days=18):
    rng, hours = np.random.default_rng(0), np.arange(24 * days) % 24
    load = torch.from_numpy(rng.uniform(0.2, 1.5, (24 * days, homes)))
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)[:, None] * rng.uniform(0, 3, homes)
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * days) * np.timedelta64(60, "m")
    names, kwp = tuple(map(str, range(homes))), torch.full((homes,), 3.0).double()
    home = Community(names, clock, "UTC", 60, load, torch.from_numpy(sun), Battery.make(homes), kwp, 2)
    return Game(home, auction("da"))


@pytest.mark.slow
@pytest.mark.parametrize("homes", [100, 300])
@pytest.mark.parametrize("sharing", ["cluster", "agent"])
def test_playing_and_learning_the_retail_game(homes, sharing):
    """One pass over a rollout, as in the paper: 16 days at once, 56 and more features, auction included."""
    game, days = big_game(homes), torch.arange(2, 18)
    prices = Tariff.make(energy=np.array([0.15] * 7 + [0.22] * 10 + [0.44] * 4 + [0.22] * 3), sell=0.04)
    ground = Ground(game, days, arrivals(game, 0))
    learner = A3C3(passes=1, parts=1, sharing=sharing).start(Spec.of(game, portfolio_clusters(game), 0))

    def update(_):
        learner.learn(collect(learner, ground, prices, days)[0], 0.0)

    cpu(update, None, 1)
    rate = homes * len(days) * 24 / cpu(update, None, 5)
    sys.stdout.write(f"\nA3C3 N={homes}, sharing {sharing}: {rate:.0f} agent-steps/s, collect and learn")
    assert rate > 100_000  # the goal is 130,000 on an idle core of the reference machine
