"""Learning the values of a few choices with stacked nets and a replay of whole episodes: what DQN and MF-Q share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from hmarl.nets.networks import Groups, Sharing, StackedMLP, clip_per_group, set_rate
from hmarl.policies.base import Blocks, Price, Rollout, Seen, Spec, Training, learned_heads
from hmarl.policies.levels import Choices, check_levels
from hmarl.policies.mean_action import MeanAction
from hmarl.policies.ranges import check_ranges
from hmarl.scaling import Standard, spread
from retail.observation import Features
from retail.streams import torch_stream

Explore = Literal["epsilon", "boltzmann"]
Target = Literal["double", "soft"]
LEVELS = (-0.5, -0.25, -0.12, -0.05, 0.0, 0.05, 0.12, 0.25, 0.5)
"""Levels of a head, finer around 0: a battery's rating is far above what a home needs in most hours. Give others, up
to -1 and 1, where the ends matter."""


@dataclass(frozen=True)
class Valued:
    """Hyper-parameters that DQN and MF-Q share.

    Parameters
    ----------
    episodes, retrain_episodes : int
        Training days in the first round of a study, and in each later one.
    batch_days : int
        Parallel days that are played between two rounds of updates.
    levels : tuple of float
        Choices of each head, ascending in [-1, 1].
    updates : int
        Mini-batches a round.
    batch : int
        Joint steps of a mini-batch; each holds all agents.
    replay : int
        Days that are kept, the oldest forgotten first.
    n_steps : int
        Rewards that are summed before the value of what follows is asked.
    learning_rate, final_learning_rate : float
        Adam, falling linearly over ``episodes``.
    gamma : float
        Discount per step; 1 suits one-day episodes.
    tau : float
        Share by which the target net follows after each mini-batch.
    hidden : tuple of int
        Widths of the hidden layers; empty for values that are linear in what is seen.
    sharing : str
        ``all``, ``cluster`` (by portfolio) or ``agent``.
    scale_reward : bool
        Divide rewards by the spread of an agent's return in the first round.
    price, blocks : str
        ``truthful`` and ``usual`` leave these heads to the game; ``learned``.
    """

    episodes: int = 4000
    retrain_episodes: int = 400
    batch_days: int = 24
    levels: tuple[float, ...] = LEVELS
    updates: int = 48
    batch: int = 64
    replay: int = 1000
    n_steps: int = 1
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4
    gamma: float = 1.0
    tau: float = 0.02
    hidden: tuple[int, ...] = (64, 64)
    sharing: Sharing = "cluster"
    scale_reward: bool = True
    price: Price = "truthful"
    blocks: Blocks = "usual"

    def __post_init__(self) -> None:
        check_levels(self.levels)
        every = ("batch_days", "updates", "batch", "replay", "n_steps")
        check_ranges(
            self,
            least={"episodes": 0, "retrain_episodes": 0} | dict.fromkeys(every, 1),
            positive=("learning_rate", "final_learning_rate"),
            shares=("gamma", "tau"),
            widths=("hidden",),
        )


class Episodes:
    """Replay of whole episodes, so that nothing is kept twice and any number of steps can be looked ahead.

    Parameters
    ----------
    room : int
        Episodes kept.
    """

    def __init__(self, room: int) -> None:
        self.room, self.filled, self.next = room, 0, 0
        self.parts: dict[str, Tensor] = {}

    def add(self, **parts: Tensor) -> None:
        """Keep a batch of episodes.

        Parameters
        ----------
        **parts : Tensor [steps, B, ...]
            Time first; the same names and shapes at every call.
        """
        days = next(iter(parts.values())).shape[1]
        for name, x in parts.items():
            if name not in self.parts:
                self.parts[name] = torch.zeros(self.room, x.shape[0], *x.shape[2:], dtype=x.dtype)
        # Of more days than there is room for only the last are kept.
        fresh = torch.arange(max(0, days - self.room), days)
        places = (self.next + fresh) % self.room
        for name, x in parts.items():
            self.parts[name][places] = x[:, fresh].transpose(0, 1)
        self.next = (self.next + days) % self.room
        self.filled = min(self.room, self.filled + days)

    def state(self) -> dict[str, Any]:
        """Everything kept, as tensors and numbers."""
        kept = {name: x[: self.filled].clone() for name, x in self.parts.items()}
        return {"filled": self.filled, "next": self.next, "parts": kept}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what was kept.

        Parameters
        ----------
        state : dict
            From ``state``.
        """
        self.filled, self.next, self.parts = state["filled"], state["next"], {}
        for name, x in state["parts"].items():
            self.parts[name] = torch.zeros(self.room, *x.shape[1:], dtype=x.dtype)
            self.parts[name][: self.filled] = x


class ValueLearner:
    """Live learners of all agents; those with nothing to decide have no net.

    Parameters
    ----------
    policy : Valued
        Hyper-parameters.
    spec : Spec
        Agents, features, seed (streams ``weights`` and ``exploration``).
    explore, target : str
        How choices are drawn while learning, and what follows a step.
    uses_mean : bool
        Whether values see the mean choice of the others.
    """

    training: Training = "on-policy"
    reads_features = True

    def __init__(self, policy: Valued, spec: Spec, explore: Explore, target: Target, uses_mean: bool) -> None:
        self.policy, self.spec, self.explore, self.target, self.uses_mean = policy, spec, explore, target, uses_mean
        self.heads = learned_heads(spec, policy.price, policy.blocks)
        self.choices = Choices.of(policy.levels, len(self.heads))
        self.groups = Groups.make(spec.clusters, policy.sharing, spec.deciding(self.heads))
        self.field = MeanAction.of(spec, self.heads, len(self.choices))
        count, weights = self.groups.members.shape[0], torch_stream(spec.seed, "weights")
        seen = spec.personal + (len(self.choices) if uses_mean else 0)
        sizes = (*policy.hidden, len(self.choices))
        self.net = StackedMLP(count, spec.common, seen, sizes, weights, last=0.01)
        self.slow = StackedMLP(count, spec.common, seen, sizes, weights)
        self.slow.load_state_dict(self.net.state_dict())
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=policy.learning_rate, eps=1e-5, fused=True)
        self.noise = torch_stream(spec.seed, "exploration")
        self.standard = Standard.unscaled(spec.common, spec.personal)
        self.reward_scale = torch.zeros(())
        self.replay = Episodes(policy.replay)
        self.heat = torch.tensor(1.0)
        self.last = torch.empty(0, dtype=torch.int64)

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Best choice, or a draw when exploring.

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
        if seen.step == 0 or not self.uses_mean:
            self.last = torch.full((batch, agents), -1)
        action = torch.zeros(batch, agents, len(self.heads))
        if not len(self.groups.agents):
            return action
        with torch.no_grad():
            common, personal = self.standard(seen.features)
            inputs = self._inputs(personal, self.field(self.last) if self.uses_mean else None)
            value = self.groups.scatter(self.net(common, self.groups.gather(inputs)))
        choice = self._draw(value) if explore else value.argmax(-1)
        action[:, self.groups.agents] = self.choices.points[choice]
        self.last = torch.full((batch, agents), -1)
        self.last[:, self.groups.agents] = choice
        return action

    def _inputs(self, personal: Tensor, mean: Tensor | None) -> Tensor:
        return personal if mean is None else torch.cat([personal, mean], -1)

    def _draw(self, value: Tensor) -> Tensor:
        """Choices [B, M] while learning; ``heat`` is epsilon or the temperature."""
        if self.explore == "boltzmann":
            share = torch.softmax(value / self.heat, -1).cumsum(-1)
            drawn = torch.rand(value.shape[:-1], generator=self.noise).unsqueeze(-1) * share[..., -1:]
            return (drawn >= share).sum(-1).clamp(max=len(self.choices) - 1)
        anything = torch.randint(len(self.choices), value.shape[:-1], generator=self.noise)
        random = torch.rand(value.shape[:-1], generator=self.noise) < self.heat
        return torch.where(random, anything, value.argmax(-1))

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Keep a batch of episodes and make a round of updates.

        Parameters
        ----------
        rollout : Rollout
            Features, actions, rewards of B episodes.
        progress : float
            Share of ``episodes`` used; sets learning rate and exploration.

        Returns
        -------
        mapping of str to float
            Loss, mean value, exploration, learning rate.
        """
        p = self.policy
        self.heat = torch.tensor(self.heat_at(progress))
        if not len(self.groups.agents):
            return {}
        rate = set_rate(self.optimizer, p.learning_rate, p.final_learning_rate, progress)
        if float(self.reward_scale) == 0:
            self._calibrate(rollout)
        self.replay.add(
            common=rollout.features.common,
            personal=rollout.features.personal,
            choice=self.choices.nearest(rollout.action),
            reward=rollout.reward / self.reward_scale,
        )
        sums = [self._update(rollout.terminated) for _ in range(p.updates)]
        loss, value = (sum(x) / len(sums) for x in zip(*sums, strict=True))
        return {"loss": loss, "value": value, "exploration": float(self.heat), "learning_rate": rate}

    def heat_at(self, progress: float) -> float:
        """Exploration at a share of the training budget; given by the policy."""
        raise NotImplementedError

    def _calibrate(self, rollout: Rollout) -> None:
        """Fix the scales of observation and reward from the first rollout (training days only)."""
        self.standard = Standard.of_rollout(rollout.features, self.groups.agents)
        returns = rollout.reward[..., self.groups.agents].sum(0)
        self.reward_scale = spread(returns) if self.policy.scale_reward else torch.ones(())

    def _update(self, terminated: bool) -> tuple[float, float]:
        """One mini-batch for all nets: loss and mean value of what was chosen."""
        kept, g = self.replay.parts, self.groups
        steps = kept["reward"].shape[1]
        days = torch.randint(self.replay.filled, (self.policy.batch,), generator=self.noise)
        at = torch.randint(steps, (self.policy.batch,), generator=self.noise)
        goal = self._goal(days, at, terminated)
        chosen = kept["choice"][days, at]
        value = self.net(*self._look(days, at)).gather(-1, g.gather(chosen.unsqueeze(-1)))
        mask = g.real[:, None, :, None].float()
        share = mask / (mask.sum((1, 2), keepdim=True) * len(days))
        # Sum over groups of the mean over rows: a group's step does not depend on how many other groups there are.
        loss = ((value - g.gather(goal.unsqueeze(-1))).square() * share).sum()
        self.optimizer.zero_grad()
        loss.backward()
        clip_per_group(list(self.net.parameters()), 0.5)
        self.optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(self.slow.parameters(), self.net.parameters(), strict=True):
                slow.lerp_(fast, self.policy.tau)
        return float(loss.detach()), float((value.detach() * share).sum() / len(share))

    def _look(self, days: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of the nets at steps of kept episodes: common [R, C], personal [G, R, K, P]."""
        kept = self.replay.parts
        common, personal = self.standard(Features(kept["common"][days, at], kept["personal"][days, at]))
        mean = None
        if self.uses_mean:
            before = kept["choice"][days, (at - 1).clamp(min=0)]
            mean = self.field(torch.where((at > 0)[:, None], before, -1))
        return common, self.groups.gather(self._inputs(personal, mean))

    def _goal(self, days: Tensor, at: Tensor, terminated: bool) -> Tensor:
        """What the value of the choice should be, [R, N]: discounted rewards of some steps, then what follows."""
        p, kept = self.policy, self.replay.parts
        steps = kept["reward"].shape[1]
        end = (at + p.n_steps).clamp(max=steps)
        goal, factor = torch.zeros(kept["reward"][days, at].shape), torch.ones(len(days), 1)
        for k in range(p.n_steps):
            inside = (at + k < end)[:, None]
            goal = goal + torch.where(inside, factor * kept["reward"][days, (at + k).clamp(max=steps - 1)], 0.0)
            factor = torch.where(inside, factor * p.gamma, factor)
        if terminated:
            factor = torch.where((end == steps)[:, None], 0.0, factor)
        goal[:, self.groups.agents] += factor * self._after(days, end)
        return goal

    def _after(self, days: Tensor, at: Tensor) -> Tensor:
        """Value of what follows for the agents that learn, [R, M]."""
        if self.policy.gamma == 0:
            return torch.zeros(len(days), len(self.groups.agents))
        with torch.no_grad():
            inputs = self._look(days, at)
            slow = self.slow(*inputs)
            if self.target == "double":
                value = slow.gather(-1, self.net(*inputs).argmax(-1, keepdim=True))
            else:
                value = (torch.softmax(slow / self.heat, -1) * slow).sum(-1, keepdim=True)
            return self.groups.scatter(value).squeeze(-1)

    def state(self) -> dict[str, Any]:
        """Weights, optimiser, replay, scales and the state of the exploration stream."""
        return {
            "net": self.net.state_dict(),
            "slow": self.slow.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "noise": self.noise.get_state(),
            "standard": self.standard.state(),
            "reward_scale": self.reward_scale,
            "heat": self.heat,
            "replay": self.replay.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        self.net.load_state_dict(state["net"])
        self.slow.load_state_dict(state["slow"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.noise.set_state(state["noise"])
        self.standard = Standard.load(state["standard"])
        self.reward_scale, self.heat = state["reward_scale"], state["heat"]
        self.replay.load(state["replay"])
