"""One home that has learned alone, among homes that follow a rule (MAPDES)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hmarl.policies.base import Rollout, Seen, Spec, Training
from hmarl.policies.macro import TRADE, at_the_meter
from hmarl.policies.q_learning import QLearning, TableLearner, backward
from hmarl.policies.rule_based import RuleBased
from retail.auctions.none import NoAuction
from retail.state import State


class FrozenTrader:
    """One table that learns in a game of its own, without an auction; everybody else follows the tuned rule.

    Parameters
    ----------
    policy : QLearning
        With ``mode: frozen``.
    spec : Spec
        Retail game and seed.
    """

    training: Training = "gradient"
    reads_features = True
    heads: tuple[str, ...] = ("battery",)

    def __init__(self, policy: QLearning, spec: Spec) -> None:
        self.policy, self.spec = policy, spec
        # Alone there is nobody to trade with: prices are the tariff's, and nothing depends on the other homes.
        self.alone = replace(spec.retail, auction=NoAuction(), reward="own", dispatch="committed")
        self.tables = TableLearner(policy, replace(spec, game=self.alone))
        self.rule = RuleBased().start(spec)

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """The rule for all homes but one, which plays the best choice of its table.

        Parameters
        ----------
        seen : Seen
            Features and state.
        explore : bool
            No difference: what has learned is frozen.

        Returns
        -------
        Tensor [B, N, 1]
            Battery head; limit prices are truthful.
        """
        action = self.rule.act(seen, explore).clone()
        action[:, self.policy.agent] = self.tables.act(seen, explore=False)[:, self.policy.agent]
        return action

    def descend(self, state: State, progress: float) -> Mapping[str, float]:
        """Play a batch of days alone and learn from them.

        Parameters
        ----------
        state : State
            Before the first step of B days.
        progress : float
            Share of ``episodes`` used; sets epsilon.

        Returns
        -------
        mapping of str to float
            Mean reward of a day ($, or kWh for ``paper``), error, epsilon.
        """
        rewards = []
        while state.step < self.alone.community.steps:
            seen = Seen(self.alone.features(state), state, state.step)
            action = self.tables.act(seen, explore=True)
            judged = self._judged(seen, action) if self.policy.reward == "paper" else None
            state, outcome = self.alone.step(state, action, self.heads)
            rewards.append(outcome.reward if judged is None else judged)
        reward = torch.stack(rewards)
        after = None if self.alone.terminates else self.tables.cells(self.alone.features(state), state.step)
        error = backward(self.tables.table, self.tables.path, reward, after, self.policy.gamma)
        self.tables.epsilon = self.policy.epsilon(progress)
        mean = float(reward[..., self.policy.agent].sum(0).mean())
        return {"reward_per_day": mean, "error": error, "epsilon": self.tables.epsilon}

    def _judged(self, seen: Seen, action: Tensor) -> Tensor:
        """Rewards of the paper, [B, N] kWh: what flows at the meter, positive where the rule would trade alike."""
        _, choice = self.tables.path[-1]
        flow, cut = at_the_meter(self.alone, seen.state, action[..., 0])
        ruled, _ = at_the_meter(self.alone, seen.state, self.rule.act(seen, explore=False)[..., 0])
        right = TRADE[choice] == torch.where(ruled.abs() < 1e-3, 0.0, ruled).sign()
        return torch.where(right, flow.abs(), -flow.abs()) - self.policy.infeasible * (cut > 1e-9)

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Not used: it learns in a game of its own; rewards ($) are ignored."""
        return {}

    def state(self) -> dict[str, Any]:
        """The table and the numbers of the rule."""
        return {"tables": self.tables.state(), "rule": self.rule.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        self.tables.load(state["tables"])
        self.rule.load(state["rule"])
