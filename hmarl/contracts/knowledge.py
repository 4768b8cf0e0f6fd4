"""Whether homes act on what they cannot know: load and PV of other homes, and of steps that are yet to come."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hmarl.contracts.error import ContractError
from hmarl.contracts.trials import DAYS, LIVELY_TARIFF, Scene, fits, lively_game, retail_scene
from hmarl.policies.base import Learner, Policy
from retail.game import Game

STEPS = 24
MEASURED = DAYS // 2
"""First days, which set all scales; nothing of them is changed, so what is measured at the start stays as it is."""
TODAY = DAYS - 2
"""The day that is played; one day comes after it."""
NOON, EVENING = TODAY * STEPS + 12, TODAY * STEPS + 18
"""Steps of the game, counted from its first day: PV at its best, and the dearest hours."""


@dataclass(frozen=True)
class Change:
    """Other load and PV of some homes, for a while.

    Attributes
    ----------
    homes : Tensor [N] bool
        Whose profiles are others.
    first, last : int
        Steps of the game [first, last).
    """

    homes: Tensor
    first: int
    last: int

    def __call__(self, game: Game) -> Game:
        """The game with other profiles; scales, devices and public features stay as they are."""
        c = game.community
        there = torch.zeros(c.load.shape, dtype=torch.bool)
        there[self.first : self.last] = self.homes
        # Both raise the net load, so that one does not hide the other; who has no PV gets none.
        load, pv = torch.where(there, 2 * c.load + 0.7, c.load), torch.where(there, c.pv / 4, c.pv)
        return replace(game, community=replace(c, load=load, pv=pv))


def check_knowledge(policy: Policy, name: str) -> None:
    """Check that a home acts on its own past and present, and on what is public.

    The same learner, its state taken over, meets a game in which load and PV of others, or of what is yet to come, are
    different, while everything that is carried out stays as it was. Nothing is public there but the market; a policy
    that refuses such a game is only asked whether it knows the future.

    Parameters
    ----------
    policy : Policy
        ``private = False`` exempts it from the question about others, ``foresight = True`` from that about the future.
    name : str
        For messages.

    Raises
    ------
    ContractError
        If actions change with what nobody, or only somebody else, can know.
    """
    private, foresight = bool(getattr(policy, "private", True)), bool(getattr(policy, "foresight", False))
    game = replace(lively_game(), public="none", scale_days=torch.arange(MEASURED))
    if not fits(policy, _scene(game)):
        game, private = replace(game, public="this_step"), False
    if (foresight and not private) or not fits(policy, _scene(game)):
        return
    played = _Played.of(policy, game)
    everybody = torch.ones(game.community.prosumers, dtype=torch.bool)
    if not foresight:
        _judge(
            played.off(Change(everybody, NOON + 1, DAYS * STEPS), NOON, everybody),
            f"{name} acts on load and PV of later steps and days",
            "measure on the days game.scale_days only; if it is meant to know the future, say foresight: "
            "ClassVar[bool] = True",
        )
    for change, judged in _of_others(len(everybody), foresight) if private else ():
        _judge(
            played.off(change, judged, ~change.homes),
            f"{name} lets load and PV of some homes change what others do at once",
            "if it is meant to, say private: ClassVar[bool] = False",
        )


def _of_others(homes: int, foresight: bool) -> list[tuple[Change, int]]:
    """Changes of one half of the homes and of the other, and the last step before these homes themselves could show it.

    A home may act on its past from the first step of the day on, and others on that by the market one step later; who
    knows the future acts on this evening from the first step on too.
    """
    begins, first_half = TODAY * STEPS, torch.arange(homes) < homes // 2
    found = []
    for half in (first_half, ~first_half):
        found.append((Change(half, MEASURED * STEPS, begins), begins))
        found += [(Change(half, now, DAYS * STEPS), begins if foresight else now) for now in (NOON, EVENING)]
    return found


@dataclass(frozen=True)
class _Played:
    """A learner after a round of training, and what it did today without exploration."""

    policy: Policy
    game: Game
    state: dict[str, Any]
    actions: list[Tensor]

    @classmethod
    def of(cls, policy: Policy, game: Game) -> _Played:
        scene = _scene(game)
        learner = policy.start(scene.spec(0))
        scene.learn(learner, 0, 0.0)
        actions = _answers(learner, scene, EVENING, [])
        return cls(policy, game, learner.state(), actions)

    def off(self, change: Change, judged: int, who: Tensor) -> float:
        """Largest change of somebody's action from the start of the day up to a step."""
        scene = _scene(change(self.game))
        learner = self.policy.start(scene.spec(0))
        learner.load(copy.deepcopy(self.state))
        answers = _answers(learner, scene, judged, self.actions)
        return max(float((a - b)[:, who].abs().max()) for a, b in zip(answers, self.actions, strict=False))


def _judge(off: float, what: str, remedy: str) -> None:
    if off > 0:
        raise ContractError(f"{what}: in a changed game actions differ by {off:.2g}; {remedy}.")


def _scene(game: Game) -> Scene:
    return retail_scene(game, LIVELY_TARIFF, 0.0, 1.0, "what homes know", brief=False)


def _answers(learner: Learner, scene: Scene, last: int, played: list[Tensor]) -> list[Tensor]:
    """Actions of today, up to a step of the game; what is carried out are those already played, if there are any."""
    # Rows of a scene begin after two days of warm-up.
    walk: Any = scene.walk(learner, torch.tensor([TODAY - 2]))
    seen, answers = next(walk), []
    with torch.no_grad():
        for step in range(last - TODAY * STEPS + 1):
            answers.append(learner.act(seen, explore=False))
            seen = walk.send(played[step] if played else answers[step])
    walk.close()
    return answers


__all__ = ["check_knowledge"]
