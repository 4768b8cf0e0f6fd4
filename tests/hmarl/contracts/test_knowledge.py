"""A home acts on its own past and present and on what is public; who knows more says so, or is noticed."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import pytest
import torch

from hmarl.contracts import ContractError, check_policy
from hmarl.contracts.knowledge import EVENING, MEASURED, NOON, TODAY, Change, check_knowledge
from hmarl.contracts.trials import DAYS, lively_game
from hmarl.policies.base import Misfit, Stateless
from hmarl.policies.mb_a3c3 import MBA3C3
from hmarl.policies.mpc import MPC
from hmarl.policies.optimal import Optimal


def tomorrow_of_all(game, load, state):
    return load[(state.days + 1).clamp(max=DAYS - 1), state.step].sum(-1, keepdim=True)


def own_next_step(game, load, state):
    return load[state.days, min(state.step + 1, 23)]


def own_mean_of_every_day(game, load, state):
    return load.mean((0, 1)).expand(len(state.days), -1)


def others_now(game, load, state):
    return load[state.days, state.step].roll(1, -1)


def others_pv_now(game, load, state):
    return game.community.daily(game.community.pv)[state.days, state.step].sum(-1, keepdim=True)


def others_in_the_evening(game, load, state):
    return others_now(game, load, state) * (17 <= state.step < 21)


def others_yesterday(game, load, state):
    return load[state.days - 1, state.step].sum(-1, keepdim=True)


def others_expected(game, load, state):
    return game.observer.expected[state.days, state.step].sum(-1, keepdim=True)


def own(game, load, state):
    measured = load if game.scale_days is None else load[game.scale_days]
    before = load[state.days - 1, state.step] + game.observer.expected[state.days, state.step :].sum(1)
    return load[state.days, : state.step + 1].sum(1) + before + state.stored + measured.mean((0, 1))


def market(game, load, state):
    return own(game, load, state) + state.last_wh.clamp(min=0).sum(-1, keepdim=True) / 1000


@dataclass(frozen=True)
class Knowing:
    """A rule that is fine in all but what it reads."""

    reads: str = "own"

    def start(self, spec):
        return Rule(spec.retail, globals()[self.reads])


class Rule(Stateless):
    def __init__(self, game, reads):
        self.game, self.reads = game, reads

    def act(self, seen, explore):
        known = self.reads(self.game, self.game.community.daily(self.game.community.load), seen.state)
        wish = torch.tanh(known / 10).expand_as(seen.state.stored)
        return wish.unsqueeze(-1)


FUTURE = ("tomorrow_of_all", "own_next_step", "own_mean_of_every_day")
OTHERS = ("others_now", "others_pv_now", "others_in_the_evening", "others_yesterday", "others_expected")


@dataclass(frozen=True)
class Seer(Knowing):
    foresight: ClassVar[bool] = True


@dataclass(frozen=True)
class Pooled(Knowing):
    private: ClassVar[bool] = False


@dataclass(frozen=True)
class Oracle(Seer):
    private: ClassVar[bool] = False


@pytest.mark.parametrize("reads", FUTURE)
def test_who_acts_on_what_is_to_come_is_noticed(reads):
    for kind in (Knowing, Pooled):
        with pytest.raises(ContractError, match=r"later steps and days.*foresight: ClassVar"):
            check_knowledge(kind(reads), "it")
    check_knowledge(Oracle(reads), "it")


@pytest.mark.parametrize("reads", OTHERS)
def test_who_acts_on_what_belongs_to_others_is_noticed(reads):
    with pytest.raises(ContractError, match=r"some homes change what others do at once.*private: ClassVar"):
        check_knowledge(Knowing(reads), "it")
    check_knowledge(Pooled(reads), "it")


def test_who_knows_the_own_future_may_still_not_know_that_of_others():
    check_knowledge(Seer("own_next_step"), "it")
    for reads in ("tomorrow_of_all", "others_yesterday"):
        with pytest.raises(ContractError, match="private: ClassVar"):
            check_knowledge(Seer(reads), "it")


@pytest.mark.parametrize("reads", ["own", "market"])
def test_own_past_training_days_and_the_market_may_be_used(reads):
    check_knowledge(Knowing(reads), "it")


def test_the_whole_suite_asks():
    with pytest.raises(ContractError, match="Knowing acts on load and PV of later steps and days"):
        check_policy(Knowing("tomorrow_of_all"))
    check_policy(Knowing("own"))


@dataclass(frozen=True)
class Demanding(Knowing):
    """Plays only where the net load of the community is public."""

    def start(self, spec):
        if spec.retail.public == "none":
            raise Misfit("There is no community net.")
        return super().start(spec)


def test_who_refuses_a_game_without_public_net_load_is_still_asked_for_the_future():
    check_knowledge(Demanding("others_now"), "it")
    with pytest.raises(ContractError, match="later steps and days"):
        check_knowledge(Demanding("tomorrow_of_all"), "it")


@dataclass(frozen=True)
class BlindOptimal(Optimal):
    foresight: ClassVar[bool] = False


@dataclass(frozen=True)
class LonelyMPC(MPC):
    private: ClassVar[bool] = True


@dataclass(frozen=True)
class LonelyOptimal(Optimal):
    private: ClassVar[bool] = True


@dataclass(frozen=True)
class LonelyMB(MBA3C3):
    private: ClassVar[bool] = True


MB = partial(LonelyMB, model="gru", body="ff", clusters="none", model_epochs=2, warm_days=12)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (BlindOptimal(), "later steps"),
        (LonelyMPC(scope="community"), "some homes"),
        (LonelyOptimal(scope="community"), "some homes"),
        (MB(use="lookahead"), "some homes"),
        (MB(agents="per-cluster", clusters="euclidean", number=2), "some homes"),
    ],
)
def test_what_the_yardsticks_declare_is_needed(policy, words):
    with pytest.raises(ContractError, match=words):
        check_knowledge(policy, "it")


def test_who_declares_what():
    assert Optimal.foresight
    assert not hasattr(MPC, "foresight")
    assert [Optimal(scope).private for scope in ("home", "community")] == [True, False]
    assert [MPC(scope).private for scope in ("home", "community")] == [True, False]
    assert [MBA3C3(use=use).private for use in ("forecast", "dyna", "lookahead")] == [True, True, False]
    assert not MBA3C3(agents="per-cluster").private


def test_a_change_is_where_it_says():
    game, homes = lively_game(), torch.tensor([False, True, False, False, True])
    assert TODAY * 24 < NOON < EVENING < (TODAY + 1) * 24 < DAYS * 24
    changed = Change(homes, NOON, EVENING)(replace(game, scale_days=torch.arange(MEASURED)))
    for now, before in ((changed.community.load, game.community.load), (changed.community.pv, game.community.pv)):
        where = (now != before).nonzero()
        assert set(where[:, 1].tolist()) == {1, 4}
        assert where[:, 0].min() == NOON
        assert where[:, 0].max() == EVENING - 1
    assert bool((changed.community.fixed >= game.community.fixed).all())
