"""The family of deterministic gradients: equal where it must be, resumable, and right in games with known answers."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from hmarl.arena import arena_spec, episode, practise
from hmarl.arenas.bertrand import Bertrand
from hmarl.arenas.cournot import Cournot
from hmarl.evaluation import arrivals
from hmarl.policies.base import Misfit, Spec
from hmarl.policies.da_maddpg import DAMADDPG
from hmarl.policies.iddpg import IDDPG
from hmarl.policies.maddpg import MADDPG
from hmarl.policies.matd3 import MATD3
from hmarl.policies.ps_maddpg import PSMADDPG
from hmarl.study_file.plugins import make
from hmarl.training import Ground, train
from retail import Battery, Community, Game, Tariff, auction
from retail.streams import stream

PRICES = Tariff.make(energy=np.array([0.04] * 7 + [0.11] * 10 + [0.33] * 4 + [0.11] * 3), network=0.11, sell=0.04)
FAMILY = ("iddpg", "maddpg", "matd3", "da-maddpg", "ps-maddpg", "mean-field")
BRIEF = {"batch_days": 4, "memory_days": 8, "critic_first": 2, "batch": 16, "hidden": (8,), "critic_hidden": (8, 8)}


def small(**rules):
    rng = np.random.default_rng(5)
    load, pv = (torch.from_numpy(rng.uniform(0, 1, (24 * 9, 5))) for _ in range(2))
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * 9) * np.timedelta64(60, "m")
    battery = Battery.make(5, has=np.arange(5) != 2)
    kwp = torch.full((5,), 3.0, dtype=torch.float64)
    return Game(Community(tuple("abcde"), clock, "UTC", 60, load, pv, battery, kwp, 2), auction("da"), **rules)


def trained(learner, game, rng, batches, done=0):
    ground = Ground(game, torch.arange(2, 9), arrivals(game, 0))
    train(learner, ground, PRICES, 4 * batches, rng, batch_days=4, done=done, budget=16)
    return learner


def weights(state):
    return [x for net in state["nets"] for x in net.values()] if "nets" in state else list(state["actor"].values())


def spec(game, seed=0):
    return Spec.of(game, torch.tensor([0, 1, 0, 1, 1]), seed)


@pytest.mark.parametrize(
    ("name", "options"),
    [(n, {}) for n in FAMILY] + [("mean-field", {"base": "ppo"}), ("matd3", {"trace": 0, "n_step": 2})],
)
def test_same_seed_same_bytes_and_resume_bit_for_bit(name, options):
    game = small(storage_end="carry") if options.get("n_step") else small()
    policy = make("policies", name, **{**BRIEF, **options})
    straight = trained(policy.start(spec(game)), game, stream(0, "days"), 4).state()
    rng = stream(0, "days")
    halted = pickle.loads(pickle.dumps(trained(policy.start(spec(game)), game, rng, 2).state()))
    resumed = policy.start(spec(game))
    resumed.load(halted)
    after = trained(resumed, game, rng, 2, done=8).state()
    untouched = weights(policy.start(spec(game)).state())
    if game.terminates:  # under carry, stores also begin anew where training was halted
        assert all(torch.equal(a, b) for a, b in zip(weights(after), weights(straight), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(weights(after), untouched, strict=True) if a.dim() == 3)


def test_one_cluster_for_each_home_is_da_maddpg_bit_for_bit():
    game = small()
    alone = replace(spec(game), clusters=torch.arange(5))
    states = [
        trained(policy(**BRIEF).start(alone), game, stream(0, "days"), 3).state() for policy in (PSMADDPG, DAMADDPG)
    ]
    for a, b in zip(*(weights(s) for s in states), strict=True):
        assert torch.equal(a, b)
    shared = trained(PSMADDPG(**BRIEF).start(spec(game)), game, stream(0, "days"), 3).state()
    assert len(weights(shared)[0]) == 2 < len(weights(states[0])[0]) == 4


def test_joint_critics_refuse_crowds_and_name_what_to_choose():
    crowd = arena_spec(Cournot(65), 0)
    for policy in (MADDPG, MATD3):
        with pytest.raises(Misfit, match=r"65 agents .* da-maddpg, ps-maddpg or mean-field, or say force: true"):
            policy().start(crowd)
        policy(force=True, **BRIEF).start(crowd)
        policy(**BRIEF).start(arena_spec(Cournot(64), 0))


def test_presets_of_the_papers_are_recipes_of_their_own():
    for policy in (IDDPG, MADDPG, MATD3):
        paper = policy.paper()
        assert (paper.trace, paper.anchor, paper.n_step) == (0, 0, 1)
        assert {f.name for f in fields(paper)} == {f.name for f in fields(policy())}
        replace(paper, memory_days=2).start(arena_spec(Cournot(2), 0))


def test_impossible_recipes_are_refused():
    with pytest.raises(ValueError, match=r"trace is 2.*; it must be between 0 and 1") as caught:
        PSMADDPG(trace=2, batch_days=0, noise=0)
    assert "batch_days is 0" in str(caught.value)
    assert "noise is 0" in str(caught.value)


ARENA = {
    "batch_days": 16,
    "memory_days": 1000,
    "updates_per_day": 0.25,
    "batch": 64,
    "critic_first": 100,
    "actor_rate": 1e-3,
    "critic_rate": 2e-3,
    "final_share": 0.02,
    "noise": 0.3,
    "final_noise": 0.1,
    "anchor": 0.0,
    "trace": 0.0,
    "n_step": 1,
    "action_penalty": 0.0,
    "hidden": (16,),
    "critic_hidden": (32, 32),
    "sharing": "agent",
}


# Critics that see no rival take its exploration for noise, and old steps hold old rivals: many fresh copies instead.
MANY = {**ARENA, "batch_days": 256, "memory_days": 1024, "updates_per_day": 1 / 64, "batch": 256}


def final(policy, arena, episodes, seed=0):
    learner = policy.start(arena_spec(arena, seed))
    practise(learner, arena, episodes, copies=policy.batch_days, seed=seed)
    return episode(learner, arena, 2, torch.Generator(), explore=False).action[0, 0]


def test_maddpg_finds_the_cournot_equilibrium():
    arena = Cournot(2)
    share = arena.quantity(final(MADDPG(**ARENA), arena, 12_000)) / arena.nash
    assert float(share.mean()) == pytest.approx(1, abs=0.05)
    assert float((share - 1).abs().max()) < 0.08


def test_price_takers_end_at_cost_and_agents_that_see_their_own_effect_at_nash():
    """The exact answers of both: P = cost at 4/3 of the Nash quantity for N = 3; Nash at 1."""
    arena = Cournot(3)
    for aware, answer in ((True, 1.0), (False, 4 / 3)):
        policy = DAMADDPG(self_consistent=aware, **ARENA)
        share = arena.quantity(final(policy, arena, 12_000)) / arena.nash
        assert float(share.mean()) == pytest.approx(answer, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("firms", [2, 3, 8])
@pytest.mark.parametrize("name", FAMILY)
def test_cournot(name, firms):
    arena = Cournot(firms)
    options, episodes = (MANY, 400_000) if name == "iddpg" else (ARENA, 24_000)
    share = arena.quantity(final(make("policies", name, **options), arena, episodes)) / arena.nash
    assert float(share.mean()) == pytest.approx(1, abs=0.05)
    # Independent critics find the total; who sells which part of it stays less sharp (measured 0.02, 0.12, 0.10).
    assert float((share - 1).abs().max()) < (0.15 if name == "iddpg" else 0.08)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILY)
def test_bertrand(name):
    arena = Bertrand()
    assert arena.nash == pytest.approx(1.4729, abs=1e-4)
    price = arena.price(final(make("policies", name, **MANY, gamma=0.0), arena, 400_000))
    assert float(price.mean()) == pytest.approx(arena.nash, rel=0.01)


def test_a_training_in_which_no_actor_would_move_is_refused():
    """The study `coordination` once had 80 updates, and 200 in which only critics learn."""
    with pytest.raises(ValueError, match=r"episodes is 320, which gives 80 updates, .* first 200 .*no actor"):
        PSMADDPG(episodes=320)
    PSMADDPG(episodes=320, critic_first=60)
    PSMADDPG(episodes=0)
