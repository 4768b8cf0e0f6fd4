"""What a policy sees in the trials is what it sees in training, and its own exceptions come with their trial."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from hmarl.arena import episode
from hmarl.arenas.aim import Aim
from hmarl.contracts import ContractError, check_policy
from hmarl.contracts.trials import LIVELY_TARIFF, lively_game, retail_scene, scenes
from hmarl.evaluation import arrivals
from hmarl.policies.base import Misfit, Stateless
from hmarl.policies.mean_field import MeanField
from hmarl.policies.ppo import IPPO
from hmarl.public import MARKET, public_width
from hmarl.training import Ground, collect
from retail.streams import torch_stream

ROWS = torch.tensor([0, 2, 5])


def seen_in(scene, learner, rows=ROWS):
    walk, seen = scene.walk(learner, rows), []
    try:
        seen.append(next(walk))
        while True:
            seen.append(walk.send(learner.act(seen[-1], explore=False)))
    except StopIteration:
        return seen


def test_the_retail_walk_publishes_what_training_publishes():
    game = lively_game()
    scene = retail_scene(game, LIVELY_TARIFF, 0.0, 1.0, "it", brief=False)
    learner = MeanField().start(scene.spec(0))
    public = torch.stack([seen.public for seen in seen_in(scene, learner)])
    ground = Ground(game, torch.arange(2, 8), arrivals(game, 0))
    rollout, _ = collect(learner, ground, LIVELY_TARIFF, ROWS + 2, explore=False)
    assert public.shape[-1] == public_width(len(learner.heads), retail=True)
    assert not public[0].any()
    assert torch.equal(public[1:], rollout.public[:-1])
    assert bool((public[1:, :, MARKET.index("demand")] > 0).any())


def test_the_walk_of_an_arena_publishes_the_actions():
    scene = scenes()[0]
    learner = MeanField().start(scene.spec(0))
    seen = seen_in(scene, learner)
    assert not seen[0].public.any()
    action = learner.act(seen[0], explore=False)
    assert seen[1].public.shape == (len(ROWS), public_width(1, retail=False))
    torch.testing.assert_close(seen[1].public[:, 2], action[..., 0].mean(1))  # everybody counts as a seller
    rollout = episode(learner, Aim(), 4, torch_stream(0, "it"), explore=False)
    assert rollout.public.shape[-1] == seen[1].public.shape[-1]


def test_who_does_not_ask_is_shown_nothing():
    for scene in scenes():
        learner = IPPO().start(scene.spec(0))
        assert {tuple(seen.public.shape) for seen in seen_in(scene, learner)} == {(len(ROWS), 0)}


@dataclass(frozen=True)
class Reader:
    """Aims at what was published, through a net of exactly that width."""

    fault: str = ""

    def start(self, spec):
        if self.fault == "start":
            raise KeyError("start")
        return ReaderLearner(self.fault, spec)


class ReaderLearner(Stateless):
    reads_public = True

    def __init__(self, fault: str, spec: Any) -> None:
        self.fault, self.heads = fault, spec.heads[:1]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Linear(public_width(1, spec.game is not None), spec.agents)

    def act(self, seen, explore):
        if self.fault == "shown":
            seen.public.add_(1.0)
        if self.fault == "act" and seen.step == 3:
            raise RuntimeError("four is too many")
        if self.fault == "alone" and len(seen.public) == 1:
            raise ZeroDivisionError("nobody else")
        if self.fault == "misfit":
            raise Misfit("not here")
        return torch.tanh(self.net(seen.public)).unsqueeze(-1).detach()

    def state(self):
        if self.fault == "state":
            raise AttributeError("no state")
        return {}


def test_a_policy_may_read_what_is_published():
    check_policy(Reader())


@pytest.mark.parametrize(
    ("fault", "trial", "cause"),
    [
        ("start", "start", KeyError),
        ("act", "actions", RuntimeError),
        ("misfit", "actions", Misfit),
        ("state", "same seed", AttributeError),
        ("alone", "batch", ZeroDivisionError),
    ],
)
def test_an_exception_of_the_policy_says_in_which_trial_it_came(fault, trial, cause):
    with pytest.raises(ContractError, match=f"Reader in scene 'aim' raises {cause.__name__} in trial '{trial}': ") as e:
        check_policy(Reader(fault))
    assert isinstance(e.value.__cause__, cause)


def test_what_was_published_is_not_to_be_changed():
    with pytest.raises(ContractError, match="changes what it sees at step 0"):
        check_policy(Reader("shown"))
