"""Tabular Q-learning, each agent with its own table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from hmarl.policies.base import Learner, Misfit, Rollout, Seen, Spec, Training, learned_heads
from hmarl.policies.cells import Cells
from hmarl.policies.levels import Choices, check_levels
from hmarl.policies.macro import NAMES, store_changes
from hmarl.policies.ranges import check_ranges
from hmarl.policies.table import Decay, Table, epsilon_greedy
from hmarl.policies.value_learning import LEVELS
from retail.observation import Features
from retail.streams import torch_stream


@dataclass(frozen=True)
class QLearning:
    """Tabular Q-learning on load, generation, stored energy and hour, with nine macro-actions.

    ``Q(s, a) <- (1 - rate) Q(s, a) + rate (r + gamma (1 - terminated) max_a' Q(s', a'))``. A rollout is learned from
    its last step to its first, so that one day carries news from evening to morning. Choices are epsilon-greedy; Q = 0
    at the start is optimistic where rewards are costs. Mode ``independent``: every home learns, all at once. Mode
    ``frozen``, as in MAPDES: one home learns alone against the tariff and then plays, unchanged, among homes that
    follow the tuned rule. In an arena the features are cut evenly and choices are levels of its heads.

    Source: MAPDES (Shah et al., 2023, arXiv 2310.05932); Watkins and Dayan (1992), doi 10.1007/BF00992698.

    ============= =============================== ========================== ======================================
    what          paper                           ours                       why
    ============= =============================== ========================== ======================================
    episodes      300,000                         20,000                     many homes and days at once
    rate          0.1                             0.1                        ``decay: visits`` for exact problems
    gamma         0.99                            1                          an evening sale must be worth its price
    epsilon       1, "decaying by 0.99"           1 to 0.05, half-life 10 %  0.99 a day is over after 458 days; the
                                                  of the budget              paper converges at 60,000
    cells         not given                       5 x 5 x 5 x 24             quantiles of training days
    actions       nine names                      the same, ``macro``        one meter makes five moves of them
    reward        + kWh if right, - kWh if wrong  saving in $                ``reward: paper``: right is what the
                                                                             tuned rule would do at the meter
    ============= =============================== ========================== ======================================

    Parameters
    ----------
    episodes, retrain_episodes : int
        Training days in the first round of a study, and in each later one.
    batch_days : int
        Parallel days per update.
    mode : str
        ``independent`` or ``frozen``.
    agent : int
        Position of the home that learns, under ``frozen``.
    reward : str
        ``saving``, or under ``frozen`` also ``paper``.
    infeasible : float
        Taken off a ``paper`` reward for a move that was not wholly possible, kWh.
    choices : str
        In the retail game: ``macro`` or ``levels`` of the battery head.
    levels : tuple of float
        Choices of a head, ascending in [-1, 1].
    rate : float
        Learning rate.
    decay : str
        ``constant``, or ``visits``: 1 / visits instead of ``rate``.
    gamma : float
        Discount per step.
    first_value : float
        Values at the start, in the unit of rewards; above what is possible, everything is tried at least once.
    first_epsilon, last_epsilon : float
        Share of random choices at the start and at least.
    half_life : float
        Share of the training budget in which it halves.
    bins : tuple of int
        Ranges of load, generation and stored energy in the retail game.
    cells : tuple of int
        Ranges of each feature of an arena over [-1, 1]; one number stands for all.
    clock : bool
        Whether tables of an arena tell its steps apart.
    """

    episodes: int = 20000
    retrain_episodes: int = 2000
    batch_days: int = 96
    mode: Literal["independent", "frozen"] = "independent"
    agent: int = 0
    reward: Literal["saving", "paper"] = "saving"
    infeasible: float = 0.1
    choices: Literal["macro", "levels"] = "macro"
    levels: tuple[float, ...] = LEVELS
    rate: float = 0.1
    decay: Decay = "constant"
    gamma: float = 1.0
    first_value: float = 0.0
    first_epsilon: float = 1.0
    last_epsilon: float = 0.05
    half_life: float = 0.1
    bins: tuple[int, int, int] = (5, 5, 5)
    cells: tuple[int, ...] = (16,)
    clock: bool = True

    def __post_init__(self) -> None:
        check_levels(self.levels)
        least = {"episodes": 0, "retrain_episodes": 0, "batch_days": 1, "agent": 0, "infeasible": 0}
        shares = ("rate", "gamma", "first_epsilon", "last_epsilon")
        check_ranges(self, least=least, positive=("half_life",), shares=shares, widths=("bins", "cells"))
        if self.reward == "paper" and (self.mode, self.choices) != ("frozen", "macro"):
            raise ValueError(
                "reward is 'paper', which judges the macro-actions of mode 'frozen'; choose both, or saving"
            )

    @classmethod
    def paper(cls) -> QLearning:
        """Hyper-parameters of MAPDES, as far as it gives them."""
        return cls(episodes=300_000, mode="frozen", reward="paper", gamma=0.99)

    def start(self, spec: Spec) -> Learner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Agents and seed (stream ``exploration``).

        Returns
        -------
        Learner
            With empty tables.
        """
        if self.mode == "independent":
            return TableLearner(self, spec)
        from hmarl.policies.frozen import FrozenTrader  # noqa: PLC0415  it builds on this module

        if self.agent >= spec.retail.community.prosumers:
            homes = spec.retail.community.prosumers
            raise Misfit(f"agent is {self.agent}, but there are {homes} homes, counted from 0; give a smaller one.")
        return FrozenTrader(self, spec)

    def epsilon(self, progress: float) -> float:
        """Share of random choices.

        Parameters
        ----------
        progress : float
            Share of the training budget used.

        Returns
        -------
        float
            0..1.
        """
        return max(self.last_epsilon, self.first_epsilon * 0.5 ** (progress / self.half_life))


class TableLearner:
    """Live tables of all agents."""

    training: Training = "on-policy"
    reads_features = True

    def __init__(self, policy: QLearning, spec: Spec) -> None:
        self.policy, self.spec, self.macro = policy, spec, spec.game is not None and policy.choices == "macro"
        # A macro-action names what becomes of the store; what else a home could move follows the game's own rule.
        self.heads = ("battery",) if self.macro else learned_heads(spec, "truthful")
        self.levels = Choices.of(policy.levels, len(self.heads))
        self.cells = cells_of(policy, spec)
        self.decides = spec.deciding(self.heads)
        count = len(NAMES) if self.macro else len(self.levels)
        self.table = Table(spec.agents, self.cells.count, count, policy.rate, policy.decay, policy.first_value)
        self.noise = torch_stream(spec.seed, "exploration")
        self.epsilon = policy.epsilon(0.0)
        self.path: list[tuple[Tensor, Tensor]] = []

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Best choice, or any with probability epsilon when exploring.

        Parameters
        ----------
        seen : Seen
            Features, and the state for macro-actions.
        explore : bool
            Draw (stream ``exploration``), and remember what was chosen where.

        Returns
        -------
        Tensor [B, N, H]
            0 for those with nothing to decide.
        """
        cell = self.cells(seen.features, seen.step)
        value = self.table.at(cell)
        choice = epsilon_greedy(value, self.epsilon, self.noise) if explore else value.argmax(-1)
        if explore:
            self.path = [*(self.path if seen.step else ()), (cell, choice)]
        if self.macro:
            game = self.spec.retail
            wish = store_changes(game, seen.state).gather(-1, choice.unsqueeze(-1)).squeeze(-1)
            action = game.action_for(seen.state, wish).unsqueeze(-1)
        else:
            action = self.levels.points[choice]
        return torch.where(self.decides[:, None], action, torch.zeros_like(action))

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Go through the days just played, last step first.

        Parameters
        ----------
        rollout : Rollout
            Of the days that ``act`` has just explored; rewards and last features are used.
        progress : float
            Share of the budget used; sets epsilon.

        Returns
        -------
        mapping of str to float
            Mean size of an error before its update, epsilon.
        """
        steps = len(rollout.reward)
        if len(self.path) != steps:
            raise RuntimeError(f"A table learns from what it has just explored: {len(self.path)} of {steps} steps.")
        after = self.cells(Features(*(part[-1] for part in rollout.features)), steps)
        error = backward(
            self.table, self.path, rollout.reward, None if rollout.terminated else after, self.policy.gamma
        )
        self.epsilon = self.policy.epsilon(progress)
        return {"error": error, "epsilon": self.epsilon}

    def state(self) -> dict[str, Any]:
        """Tables, epsilon and the state of the exploration stream."""
        return {"table": self.table.state(), "epsilon": self.epsilon, "noise": self.noise.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        self.table.load(state["table"])
        self.epsilon = state["epsilon"]
        self.noise.set_state(state["noise"])


def cells_of(policy: QLearning, spec: Spec) -> Cells:
    """Cells of the tables.

    Parameters
    ----------
    policy : QLearning
        Ranges.
    spec : Spec
        Of a retail game or an arena.

    Returns
    -------
    Cells
        Without unit.
    """
    if spec.game is None:
        return Cells.of_arena(spec, policy.cells, policy.clock)
    return Cells.of_game(spec, policy.bins)


def backward(
    table: Table, path: list[tuple[Tensor, Tensor]], reward: Tensor, after: Tensor | None, gamma: float
) -> float:
    """Update a table by a batch of episodes, last step first.

    Parameters
    ----------
    table : Table
        Of N agents.
    path : list of (cell, choice)
        Each Tensor [B, N], one pair for each step.
    reward : Tensor [T, B, N]
        Larger is better.
    after : Tensor [B, N] int64 or None
        Cells after the last step; None if it ended the task.
    gamma : float
        Discount per step.

    Returns
    -------
    float
        Mean size of an error before its update.
    """
    follows, total = after, 0.0
    for t in reversed(range(len(path))):
        cell, choice = path[t]
        target = reward[t].double()
        if follows is not None and gamma > 0:
            target = target + gamma * table.at(follows).amax(-1)
        before = table.at(cell).gather(-1, choice.unsqueeze(-1)).squeeze(-1)
        total += float((target - before).abs().mean()) / len(path)
        table.update(cell, choice, target)
        follows = cell
    return total
