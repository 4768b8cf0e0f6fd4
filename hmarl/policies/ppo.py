"""Proximal policy optimisation for all prosumers at once: IPPO (own critic) and MAPPO (pooled critic)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hmarl.advantage import generalised_advantage
from hmarl.nets.networks import Groups, Sharing, StackedMLP, clip_per_group, set_rate
from hmarl.policies.base import Blocks, Price, Rollout, Seen, Spec, Training, learned_heads
from hmarl.policies.ranges import check_ranges
from hmarl.scaling import Standard, spread
from retail.observation import Features
from retail.streams import torch_stream

LOG_TWO_PI = 1.8378770664093453


@dataclass(frozen=True)
class IPPO:
    """Independent PPO: Gaussian actor and critic on the own observation, nets stacked per cluster.

    Source: Schulman et al. (2017), arXiv 1707.06347; de Witt et al. (2020), arXiv 2011.09533.

    Deviations: advantages are normalised per group of agents that share a net; the observation is scaled by mean and
    spread of the first rollout and frozen; no entropy bonus, the spread of actions is a learned parameter.

    Parameters
    ----------
    episodes : int
        Training days in the first round of a study.
    retrain_episodes : int
        Training days in each later round, when the tariff has moved.
    batch_days : int
        Parallel days per update.
    epochs, minibatches : int
        Passes over a rollout and parts of a pass.
    learning_rate, final_learning_rate : float
        Adam, falling linearly over ``episodes``; later rounds use the final one.
    clip : float
        Range of the probability ratio.
    gamma : float
        Discount per step; 1 suits one-day episodes.
    gae : float
        Lambda of the advantage estimate; 0.8 learns more in trainings of 10,000 days and more (studies/real_homes).
    noise : float
        Initial standard deviation of actions, in units of the battery rating.
    hidden : tuple of int
        Widths of the hidden layers.
    sharing : str
        ``all``, ``cluster`` (by portfolio) or ``agent``.
    price : str
        ``truthful``: no price head; ``learned``.
    blocks : str
        Under contingent dispatch: ``usual``, each home offers its store by the game's own rule; ``learned``.
    """

    episodes: int = 4000
    retrain_episodes: int = 400
    batch_days: int = 96
    epochs: int = 4
    minibatches: int = 4
    learning_rate: float = 2e-3
    final_learning_rate: float = 2e-4
    clip: float = 0.2
    gamma: float = 1.0
    gae: float = 0.95
    noise: float = 0.13
    hidden: tuple[int, ...] = (64, 64)
    sharing: Sharing = "cluster"
    price: Price = "truthful"
    blocks: Blocks = "usual"

    def __post_init__(self) -> None:
        check_ranges(
            self,
            least={"episodes": 0, "retrain_episodes": 0, "batch_days": 1, "epochs": 1, "minibatches": 1},
            positive=("learning_rate", "final_learning_rate", "clip", "noise"),
            shares=("gamma", "gae"),
            widths=("hidden",),
        )

    def start(self, spec: Spec) -> PPOLearner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Game, clusters and seed (streams ``weights`` and ``exploration``).

        Returns
        -------
        PPOLearner
            With a policy close to zero action (self-consumption under ``residual``).
        """
        return PPOLearner(self, spec, pooled=False)


@dataclass(frozen=True)
class MAPPO(IPPO):
    """Multi-agent PPO: as IPPO, but the critic also sees the mean observation of all prosumers.

    The pooled mean keeps the critic's size independent of the number of agents; actors see their own observation only.

    Source: Yu et al. (2022), arXiv 2103.01955. Deviation: mean-pooled instead of concatenated central state.
    """

    def start(self, spec: Spec) -> PPOLearner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Game, clusters and seed (streams ``weights`` and ``exploration``).

        Returns
        -------
        PPOLearner
            With a policy close to zero action (self-consumption under ``residual``).
        """
        return PPOLearner(self, spec, pooled=True)


class PPOLearner:
    """Live learners of all prosumers; those with nothing to decide have no net."""

    training: Training = "on-policy"
    reads_features = True
    per_group = ("actor", "critic", "log_std", "optimizer")

    def __init__(self, policy: IPPO, spec: Spec, pooled: bool) -> None:
        self.policy, self.spec, self.pooled = policy, spec, pooled
        self.heads = learned_heads(spec, policy.price, policy.blocks)
        width = len(self.heads)
        self.groups = Groups.make(spec.clusters, policy.sharing, spec.deciding(self.heads))
        count, weights = self.groups.members.shape[0], torch_stream(spec.seed, "weights")
        self.actor = StackedMLP(count, spec.common, spec.personal, (*policy.hidden, width), weights, last=0.01)
        # The pooled mean of what is personal is common to all: it joins the critic's common input.
        central = spec.common + (spec.personal if pooled else 0)
        self.critic = StackedMLP(count, central, spec.personal, (*policy.hidden, 1), weights)
        spread = torch.log(torch.tensor([0.5 if h == "price" else policy.noise for h in self.heads]))
        self.log_std = torch.nn.Parameter(spread.repeat(count, 1, 1, 1))
        self.parameters = [*self.actor.parameters(), *self.critic.parameters(), self.log_std]
        # Fused Adam is the same arithmetic with less overhead for many small tensors.
        self.optimizer = torch.optim.Adam(self.parameters, lr=policy.learning_rate, eps=1e-5, fused=True)
        self.noise = torch_stream(spec.seed, "exploration")
        self.standard = Standard.unscaled(spec.common, spec.personal)
        self.reward_scale = torch.zeros(())

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Mean action, or a sample when exploring.

        Parameters
        ----------
        seen : Seen
            Features (scaled).
        explore : bool
            Sample with the learned spread (stream ``exploration``).

        Returns
        -------
        Tensor [B, N, A] float32
            One column for each of ``heads``; zero for those with nothing to decide.
        """
        batch, agents, _ = seen.features.personal.shape
        action = torch.zeros(batch, agents, len(self.heads))
        if not len(self.groups.agents):
            return action
        with torch.no_grad():
            common, personal = self.standard(seen.features)
            mean = self.groups.scatter(self.actor(common, self.groups.gather(personal)))
            if explore:
                std = self.groups.scatter(self.log_std.exp().expand(-1, 1, self.groups.members.shape[1], -1))
                mean = mean + std * torch.randn(mean.shape, generator=self.noise)
        action[:, self.groups.agents] = mean
        return action

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Several clipped passes over a batch of days.

        Parameters
        ----------
        rollout : Rollout
            Features (scaled), actions, rewards ($) of B days.
        progress : float
            Share of ``episodes`` used; sets the learning rate.

        Returns
        -------
        mapping of str to float
            Losses, spread of actions, clipped share.
        """
        if not len(self.groups.agents):
            return {}
        p = self.policy
        rate = set_rate(self.optimizer, p.learning_rate, p.final_learning_rate, progress)
        if float(self.reward_scale) == 0:
            self._calibrate(rollout)
        data = self._prepare(rollout)
        rows = data["old"].shape[1]
        # One shuffle an update: slices are then views, and copying wide rows costs more than it gives.
        order = torch.randperm(rows, generator=self.noise)
        data = {k: v[:, order] for k, v in data.items()}
        size = -(-rows // p.minibatches)
        sums: dict[str, float] = {}
        parts = range(0, rows, size)
        for _ in range(p.epochs):
            for first in parts:
                for key, value in self._step({k: v[:, first : first + size] for k, v in data.items()}).items():
                    sums[key] = sums.get(key, 0.0) + value
        return {k: v / (p.epochs * len(parts)) for k, v in sums.items()} | {"learning_rate": rate}

    def _calibrate(self, rollout: Rollout) -> None:
        """Fix the scales of observation and reward from the first rollout (training days only)."""
        self.standard = Standard.of_rollout(rollout.features, self.groups.agents)
        self.reward_scale = spread(rollout.reward[..., self.groups.agents].flip(0).cumsum(0))

    def _central(self, features: Features) -> Tensor:
        """Common input of the critic, [R, C]; pooled: with the mean of the personal features of all prosumers."""
        if not self.pooled:
            return features.common
        return torch.cat([features.common, features.personal.mean(-2)], -1)

    def _prepare(self, rollout: Rollout) -> dict[str, Tensor]:
        """Advantages and returns; personal things as [G, rows, K, ...], common ones as [1, rows, ...]."""
        g = self.groups
        steps, batch, agents = rollout.reward.shape
        rows = self.standard(Features(*(part.flatten(0, 1) for part in rollout.features)))
        personal, central = g.gather(rows.personal), self._central(rows)
        with torch.no_grad():
            value = g.scatter(self.critic(central, personal))[..., 0].reshape(steps + 1, batch, -1)
        reward = rollout.reward[..., g.agents] / self.reward_scale
        advantage = generalised_advantage(reward, value, self.policy.gamma, self.policy.gae, rollout.terminated)
        full = torch.zeros(steps * batch, agents, 2)
        full[:, g.agents] = torch.stack([advantage, advantage + value[:-1]], -1).flatten(0, 1)
        grouped, acted = g.gather(full), g.gather(rollout.action.flatten(0, 1))
        played = steps * batch
        common, personal, central = rows.common[:played], personal[:, :played], central[:played]
        with torch.no_grad():
            old = self._log_probability(common, personal, acted)
        mask = g.real[:, None, :, None].float()
        adv = grouped[..., :1]
        count = mask.sum((1, 2), keepdim=True) * played
        centre = (adv * mask).sum((1, 2), keepdim=True) / count
        deviation = (((adv - centre) * mask).square().sum((1, 2), keepdim=True) / count).sqrt()
        return {
            "common": common.unsqueeze(0),
            "central": central.unsqueeze(0),
            "personal": personal,
            "action": acted,
            "old": old,
            "advantage": (adv - centre) / (deviation + 1e-8),
            "target": grouped[..., 1:],
        }

    def _log_probability(self, common: Tensor, personal: Tensor, action: Tensor) -> Tensor:
        z = (action - self.actor(common, personal)) * torch.exp(-self.log_std)
        return (-0.5 * z.square() - self.log_std - 0.5 * LOG_TWO_PI).sum(-1, keepdim=True)

    def _step(self, d: dict[str, Tensor]) -> dict[str, float]:
        p = self.policy
        now = self._log_probability(d["common"][0], d["personal"], d["action"])
        ratio = torch.exp(now - d["old"])
        clipped = ratio.clamp(1 - p.clip, 1 + p.clip)
        mask = self.groups.real[:, None, :, None].float()
        share = mask / (mask.sum((1, 2), keepdim=True) * ratio.shape[1])
        # Sum over groups of the mean over rows: a group's step does not depend on how many other groups there are.
        policy_loss = -(torch.minimum(ratio * d["advantage"], clipped * d["advantage"]) * share).sum()
        value_loss = ((self.critic(d["central"][0], d["personal"]) - d["target"]).square() * share).sum()
        self.optimizer.zero_grad()
        (policy_loss + 0.5 * value_loss).backward()
        clip_per_group([*self.actor.parameters(), self.log_std], 0.5)
        clip_per_group(list(self.critic.parameters()), 0.5)
        self.optimizer.step()
        with torch.no_grad():
            outside = ((ratio - 1).abs() > p.clip).float().mul(share).sum() / len(share)
        return {
            "policy_loss": float(policy_loss.detach()),
            "value_loss": float(value_loss.detach()),
            "clipped": float(outside),
            "spread": float(self.log_std.detach().exp().mean()),
        }

    def state(self) -> dict[str, Any]:
        """Weights, optimiser, scales and the state of the exploration stream."""
        return {
            "actor": self.actor.state_dict(),
            "critic": self.critic.state_dict(),
            "log_std": self.log_std.detach().clone(),
            "optimizer": self.optimizer.state_dict(),
            "noise": self.noise.get_state(),
            "standard": self.standard.state(),
            "reward_scale": self.reward_scale,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        self.actor.load_state_dict(state["actor"])
        self.critic.load_state_dict(state["critic"])
        with torch.no_grad():
            self.log_std.copy_(state["log_std"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.noise.set_state(state["noise"])
        self.standard = Standard.load(state["standard"])
        self.reward_scale = state["reward_scale"]
