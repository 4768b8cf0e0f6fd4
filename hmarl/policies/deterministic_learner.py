"""The engine of the deterministic policy gradient: actors and critics of all prosumers at once."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor

from hmarl.memory import Replay, Sample
from hmarl.nets.critics import Critic, JointCritic, LocalCritic, Scene, parameters
from hmarl.nets.networks import Groups, StackedMLP, clip_per_group, set_rate
from hmarl.policies.base import Rollout, Seen, Spec, Training, learned_heads
from hmarl.policies.deterministic import Deterministic
from hmarl.public import MARKET, OwnEffect, public_width
from hmarl.scaling import Standard, spread
from retail.observation import Features
from retail.streams import torch_stream

Judge = Literal["own", "joint", "market", "everything"]
"""What a critic sees: the own observation and action; everybody's; own and market outcomes; own and all published."""


class DeterministicLearner:
    """Live learners of all prosumers; those with nothing to decide have no net and are part of the environment.

    Parameters
    ----------
    policy : Deterministic
        Hyper-parameters.
    spec : Spec
        Heads, features, clusters and seed (streams ``weights``, ``exploration``, ``replay``).
    judge : str
        What critics see.
    self_consistent : bool
        Whether an actor's step counts what its action changes in what is published.
    """

    training: Training = "on-policy"
    reads_features = True

    def __init__(self, policy: Deterministic, spec: Spec, judge: Judge, self_consistent: bool = False) -> None:
        self.policy, self.spec, self.judge = policy, spec, judge
        self.reads_public = judge in ("market", "everything")
        self.heads = learned_heads(spec, policy.price, policy.blocks)
        self.agents = spec.deciding(self.heads).nonzero().flatten()
        every = torch.ones(len(self.agents), dtype=torch.bool)
        self.groups = Groups.make(spec.clusters[self.agents], policy.sharing, every)
        self.effect = OwnEffect.of(spec, self.heads) if self_consistent and self.reads_public else None
        count, weights = self.groups.members.shape[0], torch_stream(spec.seed, "weights")
        sizes = (*policy.hidden, len(self.heads))
        self.actor = StackedMLP(count, spec.common, spec.personal, sizes, weights, last=0.01)
        self.critics = [self._critic(count, weights) for _ in range(1 + policy.twin)]
        # Lambda-returns need no targets that move slowly, and those of joint critics are large.
        self.actor_target, self.targets = deepcopy(self.actor), [] if policy.trace > 0 else deepcopy(self.critics)
        rates = ((self.actor.parameters(), policy.actor_rate), (parameters(self.critics), policy.critic_rate))
        self.actor_step, self.critic_step = (torch.optim.Adam(p, lr=lr, fused=True) for p, lr in rates)
        self.noise, self.replay = torch_stream(spec.seed, "exploration"), torch_stream(spec.seed, "replay")
        self.memory = Replay(policy.memory_days, policy.n_step, policy.gamma)
        self.standard = Standard.unscaled(spec.common, spec.personal)
        self.reward_scale = torch.zeros(())
        self.days_seen, self.updates, self.progress = 0, 0, 0.0

    def _critic(self, groups: int, weights: torch.Generator) -> Critic:
        spec, heads, hidden = self.spec, len(self.heads), self.policy.critic_hidden
        if self.judge == "joint":
            return JointCritic(self.groups, (spec.common, spec.personal, heads), hidden, weights)
        retail = spec.game is not None
        self.width = public_width(heads, retail) if self.reads_public else 0
        if self.judge == "market" and retail:
            self.width = len(MARKET)
        return LocalCritic(groups, (spec.common, self.width, spec.personal, heads), hidden, weights)

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Action of the actors, with noise when exploring; random during the warm-up.

        Parameters
        ----------
        seen : Seen
            Features (scaled).
        explore : bool
            Add noise (stream ``exploration``).

        Returns
        -------
        Tensor [B, N, A] float32
            One column for each of ``heads``; zero for those with nothing to decide.
        """
        batch, agents, _ = seen.features.personal.shape
        action = torch.zeros(batch, agents, len(self.heads))
        if not len(self.agents):
            return action
        shape = (batch, len(self.agents), len(self.heads))
        if explore and self.days_seen < self.policy.warm_up_days:
            action[:, self.agents] = torch.rand(shape, generator=self.noise) * 2 - 1
            return action
        with torch.no_grad():
            common, personal = self.standard(seen.features)
            chosen = self.groups.scatter(torch.tanh(self.actor(common, self.groups.gather(personal[:, self.agents]))))
            if explore:
                chosen = (chosen + self._spread() * torch.randn(shape, generator=self.noise)).clamp(-1, 1)
        action[:, self.agents] = chosen
        return action

    def _spread(self) -> float:
        p, share = self.policy, min(self.progress / 0.6, 1.0)
        return p.noise + (p.final_noise - p.noise) * share

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Keep the days, then learn from steps drawn from memory.

        Parameters
        ----------
        rollout : Rollout
            Features (scaled), actions, rewards ($) of B days.
        progress : float
            Share of ``episodes`` used; sets learning rates and noise.

        Returns
        -------
        mapping of str to float
            Losses, mean size of actions, spread of exploration.
        """
        if not len(self.agents):
            return {}
        p, batch = self.policy, rollout.reward.shape[1]
        if float(self.reward_scale) == 0:
            self._calibrate(rollout)
        self._keep(rollout)
        self.days_seen, self.progress = self.days_seen + batch, progress
        for step, rate in ((self.actor_step, p.actor_rate), (self.critic_step, p.critic_rate)):
            set_rate(step, rate, rate * p.final_share, progress)
        if self.days_seen < p.warm_up_days:
            return {"spread": 1.0}
        if p.trace > 0:
            # Critics that have hardly learned are no help: at first the rewards of the day alone.
            self.memory.retrace(self._values, p.trace if self.updates >= p.critic_first else 1.0)
        sums: dict[str, float] = {}
        count = max(1, round(batch * p.updates_per_day))
        for _ in range(count):
            for key, value in self.update().items():
                sums[key] = sums.get(key, 0.0) + value / count
        return sums | {"spread": self._spread()}

    def _calibrate(self, rollout: Rollout) -> None:
        """Fix the scales of observation and reward from the first rollout (training days only)."""
        self.standard = Standard.of_rollout(rollout.features, self.agents)
        self.reward_scale = spread(rollout.reward[..., self.agents].flip(0).cumsum(0))

    def _keep(self, rollout: Rollout) -> None:
        common, personal = rollout.features
        kept = Rollout(
            self.standard(Features(common, personal[..., self.agents, :])),
            rollout.action[..., self.agents, :].clamp(-1, 1),
            rollout.reward[..., self.agents],
            rollout.terminated,
            rollout.public[..., : self.width] if self.reads_public else rollout.public,
            rollout.position[..., self.agents] if self.reads_public else rollout.position,
        )
        self.memory.add(kept, self.reward_scale)

    def _values(self, features: Features, public: Tensor) -> Tensor:
        """Values [R, M] of the present actors."""
        with torch.no_grad():
            scene = Scene.of(features, self.groups, public)
            action = self._smoothed(self.actor, scene) / self.policy.noise
            return self.groups.scatter(_least([c.value(scene, action) for c in self.critics]))[..., 0]

    def _smoothed(self, actor: StackedMLP, scene: Scene) -> Tensor:
        """Actions of the target, with its noise."""
        p, action = self.policy, torch.tanh(actor(scene.common, scene.personal))
        if p.target_noise > 0:
            noise = torch.randn(action.shape, generator=self.replay) * p.target_noise
            action = (action + noise.clamp(-p.target_clip, p.target_clip)).clamp(-1, 1)
        return action

    def update(self) -> dict[str, float]:
        """One update of all critics, and of all actors when it is their turn.

        Returns
        -------
        dict of str to float
            Loss of the critics by net, mean size of the actors' actions.
        """
        p, sample = self.policy, self.memory.sample(self.policy.batch, self.replay)
        scene = Scene.of(sample.features, self.groups, sample.public)
        taken, target = self.groups.gather(sample.action), self._target(sample)
        real = self.groups.real[:, None, :, None].float() / p.batch
        # Sum over nets of the mean over rows: a net's step does not depend on how many other nets there are.
        by_actor = real / self.groups.real.sum(1)[:, None, None, None]
        by_critic = real if self.judge == "joint" else by_actor
        loss = torch.zeros(())
        for critic in self.critics:
            loss = loss + ((critic.value(scene, taken / p.noise) - target).square() * by_critic).sum()
        self._step(self.critic_step, list(parameters(self.critics)), loss)
        self.updates += 1
        row = {"critic_loss": float(loss.detach() / (by_critic.sum() * p.batch))}
        if self.updates > p.critic_first and self.updates % p.actor_every == 0:
            row["action_size"] = self._improve(scene, taken, sample, by_actor)
        if self.memory.bootstraps:
            self._follow()
        return row

    def _improve(self, scene: Scene, taken: Tensor, sample: Sample, weight: Tensor) -> float:
        """One step of all actors uphill; returns the mean size of their actions."""
        p, before_tanh = self.policy, self.actor(scene.common, scene.personal)
        action, shift = torch.tanh(before_tanh), None
        if self.effect is not None:
            position = self.groups.gather(sample.position.unsqueeze(-1))
            slope = self.groups.gather(self.effect.slope[self.agents].unsqueeze(0))
            shift = self.effect.shift(scene.public, position, slope, action - taken)
        gain = self.critics[0].own(scene, taken / p.noise, action / p.noise, shift)
        gain = gain - p.action_penalty * before_tanh.square().mean(-1, keepdim=True)
        if p.anchor > 0:
            gain = gain - p.anchor * ((action - taken) / self._spread()).square().mean(-1, keepdim=True)
        self._step(self.actor_step, list(self.actor.parameters()), -(gain * weight).sum())
        return float((action.detach().abs() * weight).sum()) / (len(weight) * len(self.heads))

    def _step(self, optimizer: torch.optim.Optimizer, weights: list[Any], loss: Tensor) -> None:
        # Only these weights: what else the loss passes through gets no gradient, which saves a third of the work.
        for weight, grad in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = grad
        clip_per_group(weights, self.policy.clip)
        optimizer.step()

    def _target(self, sample: Sample) -> Tensor:
        gain = self.groups.gather(sample.gain.unsqueeze(-1))
        if not self.memory.bootstraps:
            return gain
        with torch.no_grad():
            after = Scene.of(sample.after, self.groups, sample.public_after)
            action = self._smoothed(self.actor_target, after) / self.policy.noise
            values = _least([c.value(after, action) for c in self.targets])
            return gain + sample.discount[:, None, None] * values

    def _follow(self) -> None:
        """Move the target nets a little."""
        followed = ((self.actor_target.parameters(), self.actor.parameters()),)
        pairs = (*followed, (parameters(self.targets), parameters(self.critics)))
        with torch.no_grad():
            for targets, sources in pairs:
                for target, source in zip(targets, sources, strict=True):
                    target.lerp_(source, self.policy.target_rate)

    def state(self) -> dict[str, Any]:
        """Weights, optimisers, memory, scales, counters and the states of the streams."""
        return {
            "nets": [net.state_dict() for net in self._nets()],
            "optimizers": [self.actor_step.state_dict(), self.critic_step.state_dict()],
            "streams": [self.noise.get_state(), self.replay.get_state()],
            "memory": self.memory.state(),
            "standard": self.standard.state(),
            "reward_scale": self.reward_scale,
            "counters": [self.days_seen, self.updates, self.progress],
        }

    def _nets(self) -> list[StackedMLP]:
        nets = [self.actor, *(c.net for c in self.critics)]
        return nets if self.policy.trace > 0 else [*nets, self.actor_target, *(c.net for c in self.targets)]

    def adopt(self, state: Mapping[str, Any], places: Tensor) -> None:
        """Take over trained actors for other homes; critics, which may know each home, begin anew.

        Parameters
        ----------
        state : mapping
            From ``state`` of the same policy on the homes it was trained on.
        places : Tensor [G] int64
            Trained group whose actor each group here takes.
        """
        self.actor.load_state_dict({name: x[places] for name, x in state["nets"][0].items()})
        self.actor_target.load_state_dict(self.actor.state_dict())
        self.standard, self.reward_scale = Standard.load(state["standard"]), state["reward_scale"]
        self.days_seen, self.progress = state["counters"][0], state["counters"][2]

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        for net, weights in zip(self._nets(), state["nets"], strict=True):
            net.load_state_dict(weights)
        for optimizer, part in zip((self.actor_step, self.critic_step), state["optimizers"], strict=True):
            optimizer.load_state_dict(part)
        for stream, part in zip((self.noise, self.replay), state["streams"], strict=True):
            stream.set_state(part)
        self.memory.load(state["memory"])
        self.standard, self.reward_scale = Standard.load(state["standard"]), state["reward_scale"]
        self.days_seen, self.updates, self.progress = state["counters"]


def _least(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).amin(0)
