"""Every follower of the table keeps the public contract, and the contract notices who does not."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from hmarl.arena import arena_spec
from hmarl.arenas.aim import Aim
from hmarl.contracts import ContractError, check_policy
from hmarl.contracts.trials import DAYS, evening_game, scenes
from hmarl.policies.base import Misfit, Stateless
from hmarl.policies.coordinated import Coordinated
from hmarl.policies.ppo import IPPO, PPOLearner
from hmarl.study import Study
from hmarl.study_file.plugins import make, names


@pytest.mark.parametrize("name", names("policies"))
def test_every_policy_keeps_the_contract(name):
    check_policy(make("policies", name))


@pytest.mark.parametrize("name", names("policies"))
def test_hyper_parameters_survive_a_study(name):
    study = {
        "study": "contract",
        "seeds": 1,
        "calendar": {"start": "2012-07-02", "days": 8, "hold_out": 3},
        "community": "synthetic",
        "followers": name,
        "arms": {"base": {}},
    }
    once = Study.parse(study)
    again = Study.parse(once.to_yaml())
    assert again.arm().followers.make() == once.arm().followers.make() == make("policies", name)


class Broken(PPOLearner):
    """A learner with one fault, named by its policy."""

    def act(self, seen, explore):
        fault, personal = self.policy.fault, seen.features.personal
        if fault == "changes what it sees":
            personal += 1.0
        action = super().act(seen, explore)
        if fault == "global":
            action = action + torch.rand(()) * explore
        if fault == "rows":
            action = action + personal.mean() / 10
        if fault == "nosy":
            action = action + personal.mean((1, 2), keepdim=True) / 10
        if fault == "no number":
            action[0, 0] = torch.nan
        return action.squeeze(-1) if fault == "shape" else action

    def learn(self, rollout, progress):
        return {} if self.policy.fault == "idle" else super().learn(rollout, progress)

    def state(self):
        state = super().state()
        if self.policy.fault == "forgets":
            state.pop("noise")
        return state | ({"policy": self.policy} if self.policy.fault == "objects" else {})

    def load(self, state):
        super().load({"noise": self.noise.get_state()} | state)


@dataclass(frozen=True)
class Faulty(IPPO):
    fault: str = ""

    def start(self, spec):
        learner = Broken(self, spec, pooled=False)
        if self.fault == "heads":
            learner.heads = ("thumb",)
        return learner


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("changes what it sees", "changes what it sees at step 0"),
        ("global", "global random generator|otherwise the second time"),
        ("rows", "alone otherwise than in a batch"),
        ("nosy", "private: ClassVar"),
        ("no number", "not a number"),
        ("shape", "actions of shape"),
        ("heads", "has heads"),
        ("idle", "of the loss of doing nothing"),
        ("forgets", "after it was saved and loaded"),
        ("objects", "more than tensors and numbers"),
    ],
)
def test_a_breach_is_noticed(fault, words):
    with pytest.raises(ContractError, match=words):
        check_policy(Faulty(fault=fault), seconds=1)


def test_a_learner_without_fault_passes():
    check_policy(Faulty(hidden=(32,)), seconds=10)


@dataclass(frozen=True)
class Nowhere:
    def start(self, spec):
        raise Misfit("no place")


@dataclass
class Loose:
    episodes: int = 1

    def start(self, spec):
        return Half()


@dataclass(frozen=True)
class Drifting(IPPO):
    def __post_init__(self):
        object.__setattr__(self, "gamma", self.gamma * 0.99)


@pytest.mark.parametrize(
    ("policy", "words"), [(Nowhere(), "fits neither"), (Loose(), "no frozen dataclass"), (Drifting(), "study file")]
)
def test_impossible_recipes_are_noticed(policy, words):
    with pytest.raises(ContractError, match=words):
        check_policy(policy)


@dataclass(frozen=True)
class Claims(Coordinated):
    private: ClassVar[bool] = True


def test_a_pooled_rule_is_not_private():
    assert not Coordinated.private
    with pytest.raises(ContractError, match="private to one agent"):
        check_policy(Claims())


class Half(Stateless):
    heads = ("aim",)

    def act(self, seen, explore):
        return seen.features.personal / 2


class Still(Stateless):
    heads = ("aim",)

    def act(self, seen, explore):
        return torch.zeros_like(seen.features.personal)


def test_the_answers_of_the_small_games_are_right():
    aim, equal = scenes()[:2]
    assert aim.loss(Half()) == 0
    assert aim.loss(Still()) == pytest.approx(1, abs=0.1)
    assert arena_spec(Aim(), 0).heads == ("aim",)
    from hmarl.benchmark import Idle, community_optimum
    from hmarl.policies.optimal import Optimal

    game, tariff = evening_game()
    days = torch.arange(2, DAYS)
    assert community_optimum(game, days, tariff).mean() == pytest.approx(4 * 2.4, abs=1e-6)
    assert equal.loss(Optimal().start(equal.spec(0))) == pytest.approx(0, abs=1e-6)
    assert equal.loss(Idle()) == pytest.approx(1, abs=1e-6)
