"""Mean-field actor-critic: as MF-Q, but the policy is a net of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hmarl.nets.networks import Groups, Sharing, StackedMLP, clip_per_group, set_rate
from hmarl.policies.base import Blocks, Price, Rollout, Seen, Spec, Training, learned_heads
from hmarl.policies.levels import Choices, check_levels
from hmarl.policies.mean_action import MeanAction
from hmarl.policies.ranges import check_ranges
from hmarl.policies.value_learning import LEVELS
from hmarl.scaling import Standard, spread
from retail.observation import Features
from retail.streams import torch_stream


@dataclass(frozen=True)
class MFAC:
    """Mean-field actor-critic: a critic ``V(o, m)`` that sees the mean choice m of the neighbours in the step before.

    ``R_t = r_t + gamma R_t+1`` (from ``V`` where an episode is cut), ``min -log pi(a | o, m) (R - V(o, m)) - entropy
    H(pi) + value (R - V)^2``. While learning choices are drawn from ``pi``; when judged, the likeliest is taken.

    Source: Yang et al. (2018), Mean Field Multi-Agent Reinforcement Learning, ICML, arXiv 1802.05438.

    ============= ============================== =========================== ======================================
    what          paper or the authors' code     ours                        why
    ============= ============================== =========================== ======================================
    actor         ``pi(a | o)``                  also sees m                 m is public; ``actor_sees_mean: false``
    nets          shared trunk, logits / 0.1     apart, logits as they are   value errors do not move the actor
    value, weight 0.1                            0.5                         nets apart: only the rate matters
    entropy       0.08                           0.003, scaled rewards       rewards are divided by their spread
    clipping      overwritten by an unclipped    norm 0.5 a net              as meant
                  step in the authors' code
    end of cut    value of the last step seen    value of what follows       no step is lost
    gamma         0.95                           1                           an evening sale must be worth its price
    learning rate 1e-4                           2e-3 falling                thousands of days, not millions
    ============= ============================== =========================== ======================================

    Parameters
    ----------
    episodes, retrain_episodes : int
        Training days in the first round of a study, and in each later one.
    batch_days : int
        Parallel days per update.
    minibatches : int
        Parts of a rollout, one step of the optimiser each.
    levels : tuple of float
        Choices of each head, ascending in [-1, 1].
    learning_rate, final_learning_rate : float
        Adam, falling linearly over ``episodes``.
    gamma : float
        Discount per step; 1 suits one-day episodes.
    entropy : float
        Weight of the entropy of choices, in units of scaled rewards.
    value : float
        Weight of the critic's loss.
    hidden : tuple of int
        Widths of the hidden layers; empty for linear nets.
    sharing : str
        ``all``, ``cluster`` (by portfolio) or ``agent``.
    actor_sees_mean : bool
        Whether the actor sees the mean choice too.
    scale_reward : bool
        Divide rewards by the spread of an agent's return in the first round.
    price, blocks : str
        ``truthful`` and ``usual`` leave these heads to the game; ``learned``.
    """

    episodes: int = 8000
    retrain_episodes: int = 800
    batch_days: int = 48
    minibatches: int = 4
    levels: tuple[float, ...] = LEVELS
    learning_rate: float = 2e-3
    final_learning_rate: float = 2e-4
    gamma: float = 1.0
    entropy: float = 0.003
    value: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    sharing: Sharing = "cluster"
    actor_sees_mean: bool = True
    scale_reward: bool = True
    price: Price = "truthful"
    blocks: Blocks = "usual"

    def __post_init__(self) -> None:
        check_levels(self.levels)
        check_ranges(
            self,
            least={"episodes": 0, "retrain_episodes": 0, "batch_days": 1, "minibatches": 1, "entropy": 0},
            positive=("learning_rate", "final_learning_rate", "value"),
            shares=("gamma",),
            widths=("hidden",),
        )

    def start(self, spec: Spec) -> MFACLearner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Agents, clusters, neighbours and seed (streams ``weights`` and ``exploration``).

        Returns
        -------
        MFACLearner
            With all choices nearly equally likely.
        """
        return MFACLearner(self, spec)


class MFACLearner:
    """Live learners of all agents; those with nothing to decide have no net."""

    training: Training = "on-policy"
    reads_features = True

    def __init__(self, policy: MFAC, spec: Spec) -> None:
        self.policy, self.spec = policy, spec
        self.heads = learned_heads(spec, policy.price, policy.blocks)
        self.choices = Choices.of(policy.levels, len(self.heads))
        self.groups = Groups.make(spec.clusters, policy.sharing, spec.deciding(self.heads))
        self.field = MeanAction.of(spec, self.heads, len(self.choices))
        count, weights = self.groups.members.shape[0], torch_stream(spec.seed, "weights")
        means = len(self.choices)
        wide, narrow = spec.personal + means, spec.personal + means * policy.actor_sees_mean
        self.actor = StackedMLP(count, spec.common, narrow, (*policy.hidden, means), weights, last=0.01)
        self.critic = StackedMLP(count, spec.common, wide, (*policy.hidden, 1), weights)
        parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=policy.learning_rate, eps=1e-5, fused=True)
        self.noise = torch_stream(spec.seed, "exploration")
        self.standard = Standard.unscaled(spec.common, spec.personal)
        self.reward_scale = torch.zeros(())
        self.last = torch.empty(0, dtype=torch.int64)

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Likeliest choice, or a draw when exploring.

        Parameters
        ----------
        seen : Seen
            Features.
        explore : bool
            Draw (stream ``exploration``).

        Returns
        -------
        Tensor [B, N, H] float32
            Levels; 0 for those with nothing to decide.
        """
        batch, agents, _ = seen.features.personal.shape
        if seen.step == 0:
            self.last = torch.full((batch, agents), -1)
        action = torch.zeros(batch, agents, len(self.heads))
        if not len(self.groups.agents):
            return action
        with torch.no_grad():
            common, personal = self.standard(seen.features)
            grouped = self.groups.gather(torch.cat([personal, self.field(self.last)], -1))
            logits = self.groups.scatter(self.actor(common, self._seen_by_actor(grouped)))
        choice = logits.argmax(-1)
        if explore:
            share = torch.softmax(logits, -1).cumsum(-1)
            drawn = torch.rand(choice.shape, generator=self.noise).unsqueeze(-1) * share[..., -1:]
            choice = (drawn >= share).sum(-1).clamp(max=len(self.choices) - 1)
        action[:, self.groups.agents] = self.choices.points[choice]
        self.last = torch.full((batch, agents), -1)
        self.last[:, self.groups.agents] = choice
        return action

    def _seen_by_actor(self, inputs: Tensor) -> Tensor:
        return inputs if self.policy.actor_sees_mean else inputs[..., : self.spec.personal]

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """One pass over a batch of days.

        Parameters
        ----------
        rollout : Rollout
            Features, actions, rewards of B days.
        progress : float
            Share of ``episodes`` used; sets the learning rate.

        Returns
        -------
        mapping of str to float
            Losses, entropy of choices, learning rate.
        """
        p = self.policy
        if not len(self.groups.agents):
            return {}
        rate = set_rate(self.optimizer, p.learning_rate, p.final_learning_rate, progress)
        if float(self.reward_scale) == 0:
            self._calibrate(rollout)
        data = self._prepare(rollout)
        rows = data["common"].shape[1]
        order = torch.randperm(rows, generator=self.noise)
        data = {name: x[:, order] for name, x in data.items()}
        size, sums = -(-rows // p.minibatches), dict.fromkeys(("policy_loss", "value_loss", "entropy"), 0.0)
        parts = range(0, rows, size)
        for first in parts:
            for name, value in self._step({k: v[:, first : first + size] for k, v in data.items()}).items():
                sums[name] += value / len(parts)
        return sums | {"learning_rate": rate}

    def _calibrate(self, rollout: Rollout) -> None:
        """Fix the scales of observation and reward from the first rollout (training days only)."""
        self.standard = Standard.of_rollout(rollout.features, self.groups.agents)
        returns = rollout.reward[..., self.groups.agents].sum(0)
        self.reward_scale = spread(returns) if self.policy.scale_reward else torch.ones(())

    def _prepare(self, rollout: Rollout) -> dict[str, Tensor]:
        """Inputs, choices and returns; personal things as [G, rows, K, ...], common ones as [1, rows, C]."""
        g, (steps, batch, _) = self.groups, rollout.reward.shape
        choice = self.choices.nearest(rollout.action)
        rows = self.standard(Features(*(part.flatten(0, 1) for part in rollout.features)))
        inputs = g.gather(torch.cat([rows.personal, self.field.of_rollout(choice).flatten(0, 1)], -1))
        played = steps * batch
        follows = torch.zeros_like(rollout.reward[0])
        if not rollout.terminated:
            with torch.no_grad():
                end = g.scatter(self.critic(rows.common[played:], inputs[:, played:]))
            follows[:, g.agents] = end.squeeze(-1)
        returns = torch.zeros_like(rollout.reward)
        for t in reversed(range(steps)):
            follows = returns[t] = rollout.reward[t] / self.reward_scale + self.policy.gamma * follows
        return {
            "common": rows.common[:played].unsqueeze(0),
            "inputs": inputs[:, :played],
            "choice": g.gather(choice.flatten(0, 1).unsqueeze(-1)),
            "return": g.gather(returns.flatten(0, 1).unsqueeze(-1)),
        }

    def _step(self, d: dict[str, Tensor]) -> dict[str, float]:
        p = self.policy
        common, inputs = d["common"][0], d["inputs"]
        value = self.critic(common, inputs)
        log_pi = torch.log_softmax(self.actor(common, self._seen_by_actor(inputs)), -1)
        gain = (d["return"] - value).detach()
        mask = self.groups.real[:, None, :, None].float()
        share = mask / (mask.sum((1, 2), keepdim=True) * len(common))
        # Sum over groups of the mean over rows: a group's step does not depend on how many other groups there are.
        policy_loss = -(log_pi.gather(-1, d["choice"]) * gain * share).sum()
        entropy = -((log_pi.exp() * log_pi).sum(-1, keepdim=True) * share).sum()
        value_loss = ((value - d["return"]).square() * share).sum()
        self.optimizer.zero_grad()
        (policy_loss - p.entropy * entropy + p.value * value_loss).backward()
        clip_per_group(list(self.actor.parameters()), 0.5)
        clip_per_group(list(self.critic.parameters()), 0.5)
        self.optimizer.step()
        parts = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy / len(share)}
        return {name: float(x.detach()) for name, x in parts.items()}

    def state(self) -> dict[str, Any]:
        """Weights, optimiser, scales and the state of the exploration stream."""
        return {
            "actor": self.actor.state_dict(),
            "critic": self.critic.state_dict(),
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
        self.optimizer.load_state_dict(state["optimizer"])
        self.noise.set_state(state["noise"])
        self.standard = Standard.load(state["standard"])
        self.reward_scale = state["reward_scale"]
