"""The live A3C3 of all agents at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hmarl.advantage import generalised_advantage
from hmarl.nets.bodies import Carried, make_body
from hmarl.nets.distributions import DISTRIBUTIONS
from hmarl.nets.networks import Groups, StackedMLP, clip_per_group, set_rate
from hmarl.policies.a3c3 import A3C3, JOINT_LIMIT
from hmarl.policies.base import Rollout, Seen, Spec, Training, learned_heads
from hmarl.scaling import Standard, spread
from retail.streams import torch_stream

Whole = tuple[Tensor, Tensor]
"""Common [T, B, C] and personal [G, T, B, K, P] features of a stretch of days, scaled and grouped."""


class Central(nn.Module):
    """The critic: own observation, what is common, and all others' observations, side by side or as an encoded mean.

    Parameters
    ----------
    policy : A3C3
        Widths.
    groups : int
        Number of nets.
    spec : Spec
        Agents and features.
    generator : torch.Generator
        Stream of initial weights.
    """

    def __init__(self, policy: A3C3, groups: int, spec: Spec, generator: torch.Generator) -> None:
        super().__init__()
        joint = policy.critic == "joint" or (policy.critic == "auto" and spec.agents <= JOINT_LIMIT)
        bend = policy.activation
        self.encoder = None if joint else StackedMLP(1, 0, spec.personal, policy.encoder, generator, 1.0, bend)
        others = spec.agents * spec.personal if joint else policy.encoder[-1]
        self.net = StackedMLP(groups, spec.common + others, spec.personal, (*policy.hidden, 1), generator, 1.0, bend)

    def forward(self, common: Tensor, everybody: Tensor, personal: Tensor) -> Tensor:
        """Value of each agent [G, R, K, 1] of common [R, C], everybody's [R, N, P] and own [G, R, K, P] features."""
        if self.encoder is None:
            others = everybody.flatten(1)
        else:
            empty = everybody.new_zeros(len(everybody), 0)
            others = torch.tanh(self.encoder(empty, everybody.unsqueeze(0)))[0].mean(1)
        return self.net(torch.cat([common, others], -1), personal)


class A3C3Learner:
    """Live learners of all agents; those with nothing to decide have no net and send nothing."""

    training: Training = "on-policy"
    reads_features = True

    def __init__(self, policy: A3C3, spec: Spec) -> None:
        self.policy, self.spec, self.workers = policy, spec, policy.workers
        self.heads = learned_heads(spec, policy.price, policy.blocks)
        self.density = DISTRIBUTIONS[policy.head]
        self.groups = Groups.make(spec.clusters, policy.sharing, spec.deciding(self.heads))
        count, senders = self.groups.members.shape[0], len(self.groups.agents)
        few = spec.agents <= JOINT_LIMIT
        self.apart = policy.pooling == "concat" or (policy.pooling == "auto" and few)
        inbox = policy.message * (max(senders - 1, 0) if self.apart else 1)
        weights, sizes = torch_stream(spec.seed, "weights"), (spec.common, spec.personal)
        out, bend = len(self.heads) * self.density.width, policy.activation
        self.actor = make_body(policy.body, count, sizes[0], sizes[1] + inbox, policy.hidden, out, weights, bend)
        self.communicator = (
            StackedMLP(count, *sizes, (policy.hidden[0], policy.message), weights, 1.0, bend)
            if policy.message
            else None
        )
        self.critic = Central(policy, count, spec, weights)
        spread = torch.tensor([0.5 if h == "price" else policy.noise for h in self.heads])
        self.free = nn.Parameter(self.density.free(spread).repeat(count, 1, 1, 1, 1))
        self.real = self.groups.real[:, None, None, :, None].float()
        self.optimizer = torch.optim.Adam(self.parameters, lr=policy.learning_rate, eps=1e-5, fused=True)
        self.noise = torch_stream(spec.seed, "exploration")
        self.standard = Standard.unscaled(spec.common, spec.personal)
        self.reward_scale = torch.zeros(())
        self.sent: Tensor | None = None
        self.carried: Carried = None
        self.advance: Callable[[], None] = self.optimizer.step

    @property
    def acting(self) -> list[Tensor]:
        """Parameters of actors and communicators, each [G, ...]."""
        sender = [] if self.communicator is None else list(self.communicator.parameters())
        return [*self.actor.parameters(), *sender, self.free]

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters, in a fixed order."""
        return [*self.acting, *self.critic.parameters()]

    @property
    def calibrated(self) -> bool:
        """Whether the scales of observation and reward are known."""
        return float(self.reward_scale) > 0

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Most likely action, or a sample when exploring; the day so far is remembered until a first step.

        Parameters
        ----------
        seen : Seen
            Features (scaled) and step.
        explore : bool
            Sample (stream ``exploration``).

        Returns
        -------
        Tensor [B, N, A] float32
            One column for each of ``heads``; zero for those with nothing to decide.
        """
        if seen.step == 0:
            self.sent, self.carried = None, None
        action = torch.zeros(*seen.features.personal.shape[:2], len(self.heads))
        if not len(self.groups.agents):
            return action
        with torch.no_grad():
            common, personal = self.standard(seen.features)
            whole = (common.unsqueeze(0), self.groups.gather(personal).unsqueeze(1))
            output, self.sent, self.carried = self.play(whole, self.sent, self.carried)
            if explore:
                chosen = self.density.sample(output, self.free.expand(*output.shape[:-1], -1), self.noise)
            else:
                chosen = self.density.best(output, self.free)
        action[:, self.groups.agents] = self.groups.scatter(chosen[:, 0])
        return action

    def play(self, whole: Whole, sent: Tensor | None, carried: Carried) -> tuple[Tensor, Tensor | None, Carried]:
        """What the actors put out over a stretch of days.

        Parameters
        ----------
        whole : tuple of Tensor
            Common [T, B, C] and personal [G, T, B, K, P].
        sent : Tensor [G, 1, B, K, message], optional
            Messages of the step before; None at the start of a day.
        carried : any
            What the bodies remember; None at the start of a day.

        Returns
        -------
        output : Tensor [G, T, B, K, A * width]
            Of the actors.
        sent, carried
            To go on with.
        """
        common, personal = whole
        messages = None
        if self.communicator is not None:
            groups, steps, batch, width, _ = personal.shape
            rows = personal.reshape(groups, steps * batch, width, -1)
            messages = torch.tanh(self.communicator(common.flatten(0, 1), rows)).reshape(
                groups, steps, batch, width, -1
            )
            before = torch.zeros_like(messages[:, :1]) if sent is None else sent
            arriving = torch.cat([before, messages[:, :-1]], 1)
            personal = torch.cat([personal, self._inbox(arriving)], -1)
            messages = messages[:, -1:].detach()
        output, carried = self.actor(common, personal, carried)
        return output, messages, carried

    def _inbox(self, arriving: Tensor) -> Tensor:
        """What each agent gets of the others' messages [G, T, B, K, message]."""
        senders = len(self.groups.agents)
        if not self.apart:
            total = (arriving * self.real).sum((0, 3), keepdim=True)
            return (total - arriving) / max(senders - 1, 1)
        groups, steps, batch, width, _ = arriving.shape
        flat = self.groups.scatter(arriving.reshape(groups, steps * batch, width, -1))
        others = [[k for k in range(senders) if k != n] for n in range(senders)]
        boxes = flat[:, torch.tensor(others, dtype=torch.int64).reshape(senders, -1)].flatten(2)
        every = flat.new_zeros(len(flat), self.spec.agents, boxes.shape[-1]).index_copy(1, self.groups.agents, boxes)
        return self.groups.gather(every).reshape(groups, steps, batch, width, -1)

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Gradient steps on a batch of days.

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
        if not self.calibrated:
            self.calibrate(rollout)
        data, sums = self.prepare(rollout), dict[str, float]()
        days = rollout.reward.shape[1]
        parts = torch.randperm(days, generator=self.noise).split(-(-days // p.parts))
        pieces = [data] if len(parts) == 1 else [self._days(data, part) for part in parts]
        for _ in range(p.passes):
            for piece in pieces:
                for key, value in self._step(piece).items():
                    sums[key] = sums.get(key, 0.0) + value / (p.passes * len(pieces))
        return sums | {"learning_rate": rate}

    def calibrate(self, rollout: Rollout) -> None:
        """Fix the scales of observation and reward from the first rollout (training days only)."""
        self.standard = Standard.of_rollout(rollout.features, self.groups.agents)
        self.reward_scale = spread(rollout.reward[..., self.groups.agents].flip(0).cumsum(0))

    def grouped(self, x: Tensor) -> Tensor:
        """Bring something of all agents [T, B, N, P] into groups [G, T, B, K, P]."""
        return self.groups.gather(x.flatten(0, 1)).unflatten(1, tuple(x.shape[:2]))

    def prepare(self, rollout: Rollout) -> dict[str, Tensor]:
        """Everything of a rollout that stays the same over its passes: [T, B, ...] or [G, T, B, K, ...]."""
        common, everybody = self.standard(rollout.features)
        data = {
            "common": common,
            "everybody": everybody,
            "personal": self.grouped(everybody),
            "action": self.grouped(rollout.action),
            "reward": self.grouped(rollout.reward.unsqueeze(-1)) / self.reward_scale,
        }
        data["terminated"] = torch.tensor(float(rollout.terminated))
        if self.policy.passes * self.policy.parts > 1:
            # With a single gradient step these are those of the step itself.
            with torch.no_grad():
                output, value = self.evaluate(data)
                data["old"] = self.density.log_probability(output, self.free, data["action"])
                data["advantage"], data["target"] = self._advantage(data, value)
        return data

    @staticmethod
    def _days(data: dict[str, Tensor], part: Tensor) -> dict[str, Tensor]:
        """Some days of a rollout, in a row in memory."""
        place = dict.fromkeys(("common", "everybody", "raw_common", "raw_personal"), 1)
        return {k: v if v.dim() == 0 else v.index_select(place.get(k, 2), part) for k, v in data.items()}

    def evaluate(self, data: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Outputs of the actors [G, T, B, K, .] and values [G, T + 1, B, K, 1] of whole days."""
        common, everybody, personal = data["common"], data["everybody"], data["personal"]
        steps, batch = common.shape[0], common.shape[1]
        output, _, _ = self.play((common[:-1], personal[:, :-1]), None, None)
        value = self.critic(common.flatten(0, 1), everybody.flatten(0, 1), personal.flatten(1, 2))
        return output, value.unflatten(1, (steps, batch))

    def _advantage(self, data: dict[str, Tensor], value: Tensor) -> tuple[Tensor, Tensor]:
        """Advantages, normalised if asked, and targets of the critic, each [G, T, B, K, 1]."""
        p, reward = self.policy, data["reward"].transpose(0, 1)
        values = value.detach().transpose(0, 1)
        raw = generalised_advantage(reward, values, p.gamma, p.gae, bool(data["terminated"])).transpose(0, 1)
        target = raw + value.detach()[:, :-1]
        if not p.normalise:
            return raw, target
        return self.normalised(raw), target

    def normalised(self, raw: Tensor) -> Tensor:
        """Bring [G, T, B, K, 1] to mean 0 and spread 1 within each group."""
        share = self.share(raw)
        centred = raw - (raw * share).sum((1, 2, 3), keepdim=True)
        return centred / ((centred.square() * share).sum((1, 2, 3), keepdim=True).sqrt() + 1e-8)

    def share(self, like: Tensor) -> Tensor:
        """Weights [G, 1, 1, K, 1] that make a sum the mean over the real rows of each group."""
        return self.real / (self.real.sum(3, keepdim=True) * like.shape[1] * like.shape[2])

    def _step(self, d: dict[str, Tensor]) -> dict[str, float]:
        p = self.policy
        output, value = self.evaluate(d)
        now = self.density.log_probability(output, self.free, d["action"])
        if "old" in d:
            old, advantage, target = d["old"], d["advantage"], d["target"]
        else:
            old, (advantage, target) = now.detach(), self._advantage(d, value)
        ratio, share = torch.exp(now - old), self.share(now)
        clipped = ratio.clamp(1 - p.clip, 1 + p.clip)
        # Sum over groups of the mean over rows: a group's step does not depend on how many other groups there are.
        policy_loss = -(torch.minimum(ratio * advantage, clipped * advantage) * share).sum()
        value_loss = ((value[:, :-1] - target).square() * share).sum()
        loss = policy_loss + 0.5 * value_loss + self.further(d, output, value)
        if p.entropy > 0:
            loss = loss - p.entropy * (self.density.entropy(output, self.free) * share).sum()
        self.optimizer.zero_grad()
        loss.backward()
        clip_per_group(self.acting, p.gradient_limit)
        clip_per_group(list(self.critic.net.parameters()), p.gradient_limit)
        if self.critic.encoder is not None:
            clip_per_group(list(self.critic.encoder.parameters()), p.gradient_limit)
        self.advance()
        outside = ((ratio.detach() - 1).abs() > p.clip).float().mul(share).sum() / len(share)
        return {
            "policy_loss": float(policy_loss.detach()),
            "value_loss": float(value_loss.detach()),
            "clipped": float(outside),
            "concentration": float(self.free.detach().mean()),
        }

    def further(self, data: dict[str, Tensor], output: Tensor, value: Tensor) -> Tensor | float:
        """Further terms of the loss, for learners built on this one."""
        return 0.0

    def state(self) -> dict[str, Any]:
        """Weights, optimiser, scales and the state of the exploration stream."""
        return {
            "parameters": [p.detach().clone() for p in self.parameters],
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
        with torch.no_grad():
            for mine, given in zip(self.parameters, state["parameters"], strict=True):
                mine.copy_(given)
        self.optimizer.load_state_dict(state["optimizer"])
        self.noise.set_state(state["noise"])
        self.standard = Standard.load(state["standard"])
        self.reward_scale = state["reward_scale"]


__all__ = ["A3C3Learner", "Central"]
