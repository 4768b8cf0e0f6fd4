"""Analytic policy gradient: the cost of a day is differentiated through the game itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hmarl.nets.networks import Groups, Sharing, StackedMLP, clip_per_group, set_rate
from hmarl.policies.base import Rollout, Seen, Spec, Training, learned_heads
from hmarl.policies.ranges import check_ranges
from hmarl.scaling import Standard
from retail.lookahead import pooled_step
from retail.observation import Features
from retail.state import State
from retail.streams import torch_stream


@dataclass(frozen=True)
class APG:
    """Analytic policy gradient: nets trained by differentiating the community's cost through physics and tariff.

    No value function, no exploration: a day is played with the derivative kept, and its whole cost is followed back to
    the weights. What the auction matches is taken as every overlapping kWh; observations of trades come from the
    real auction. It shows what a policy of this size and observation can hold, and needs the game's equations to do so.

    Plays: the retail game, through its own equations

    Source: own form of backpropagation through a differentiable simulator (Wiedemann et al., 2022, arXiv 2209.13052).

    Parameters
    ----------
    episodes : int
        Training days in the first round of a study.
    retrain_episodes : int
        Training days in each later round.
    batch_days : int
        Parallel days per update.
    learning_rate, final_learning_rate : float
        Adam, falling linearly over ``episodes``.
    hidden : tuple of int
        Widths of the hidden layers.
    sharing : str
        ``all``, ``cluster`` (by portfolio) or ``agent``.
    """

    episodes: int = 4000
    retrain_episodes: int = 400
    batch_days: int = 48
    learning_rate: float = 1e-2
    final_learning_rate: float = 1e-3
    hidden: tuple[int, ...] = (64, 64)
    sharing: Sharing = "cluster"

    def __post_init__(self) -> None:
        least = {"episodes": 0, "retrain_episodes": 0, "batch_days": 1}
        check_ranges(self, least=least, positive=("learning_rate", "final_learning_rate"), widths=("hidden",))

    def start(self, spec: Spec) -> APGLearner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Game, clusters and seed (stream ``weights``).

        Returns
        -------
        APGLearner
            With a policy close to zero action.
        """
        return APGLearner(self, spec)


class APGLearner:
    """Live learners; prosumers with nothing to move have no net."""

    training: Training = "gradient"
    reads_features = True
    per_group = ("actor", "optimizer")

    def __init__(self, policy: APG, spec: Spec) -> None:
        self.policy, self.spec, self.game = policy, spec, spec.retail
        self.heads = tuple(h for h in learned_heads(spec, "truthful") if h != "curtail")
        self.groups = Groups.make(spec.clusters, policy.sharing, spec.deciding(self.heads))
        count = self.groups.members.shape[0]
        weights = torch_stream(spec.seed, "weights")
        self.actor = StackedMLP(
            count, spec.common, spec.personal, (*policy.hidden, len(self.heads)), weights, last=0.01
        )
        self.optimizer = torch.optim.Adam(self.actor.parameters(), lr=policy.learning_rate, eps=1e-5, fused=True)
        self.standard = Standard.unscaled(spec.common, spec.personal)
        self.measured = False

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Act without exploration.

        Parameters
        ----------
        seen : Seen
            Features (scaled).
        explore : bool
            No difference.

        Returns
        -------
        Tensor [B, N, A] float32
            Battery and other devices in rating units; limit prices are truthful.
        """
        with torch.no_grad():
            return self._action(seen.features)

    def _action(self, features: Features) -> Tensor:
        common, personal = self.standard(features)
        action = torch.zeros(*personal.shape[:2], len(self.heads))
        if not len(self.groups.agents):
            return action
        chosen = self.groups.scatter(self.actor(common, self.groups.gather(personal)))
        return action.index_copy(1, self.groups.agents, chosen)

    def descend(self, state: State, progress: float) -> Mapping[str, float]:
        """Play a batch of days and follow its cost back to the weights.

        Parameters
        ----------
        state : State
            Before the first step of B days.
        progress : float
            Share of ``episodes`` used; sets the learning rate.

        Returns
        -------
        mapping of str to float
            Cost of the community ($ a day), gradient norm before clipping, learning rate.
        """
        p, game = self.policy, self.game
        rate = set_rate(self.optimizer, p.learning_rate, p.final_learning_rate, progress)
        if not self.measured:
            self._calibrate(state)
        total = torch.zeros(len(state.days), dtype=torch.float64)
        while state.step < game.community.steps:
            action = self._action(game.features(state))
            after, cost = pooled_step(game, state, action, self.heads)
            total = total + cost
            with torch.no_grad():
                played, _ = game.step(state, action.detach(), self.heads)
            state = replace(after, last_wh=played.last_wh, last_cash=played.last_cash)
        loss = total.mean()
        self.optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
            clip_per_group(list(self.actor.parameters()), 1.0)
            self.optimizer.step()
        return {"cost_per_day": float(loss.detach()), "learning_rate": rate}

    def _calibrate(self, state: State) -> None:
        """Fix the scales of the observation from the first batch (training days only)."""
        shown = []
        with torch.no_grad():
            while state.step < self.game.community.steps:
                features = self.game.features(state)
                shown.append(features)
                state, _ = self.game.step(state, self._action(features), self.heads)
        common, personal = (torch.cat(part) for part in zip(*shown, strict=True))
        self.standard, self.measured = Standard.of(common, personal[:, self.groups.agents].flatten(0, 1)), True

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Not used: this learner follows the game's own derivative; rewards ($) are ignored."""
        return {}

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and scales."""
        parts = {"actor": self.actor.state_dict(), "optimizer": self.optimizer.state_dict()}
        return parts | {"standard": self.standard.state(), "measured": self.measured}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        self.actor.load_state_dict(state["actor"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.standard, self.measured = Standard.load(state["standard"]), state["measured"]
