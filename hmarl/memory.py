"""Replay memory of off-policy learners: whole days in tensors made once, n-step returns worked out on arrival."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmarl.policies.base import Rollout
from retail.observation import Features


class Sample(NamedTuple):
    """R joint steps, drawn at random.

    Attributes
    ----------
    features, after : Features
        Common [R, C] and personal [R, M, P] before the step, and ``ahead`` steps later.
    action : Tensor [R, M, A]
        As chosen.
    gain : Tensor [R, M]
        Discounted rewards of the steps in between.
    discount : Tensor [R]
        Weight of the value of ``after``: 0 where the day's end ended the task.
    public, public_after : Tensor [R, Z]
        What was published of the step, and of the step that follows ``after``; of the day's last step where the day is
        cut there.
    position : Tensor [R, M]
        Net load at the meter in the step.
    """

    features: Features
    after: Features
    action: Tensor
    gain: Tensor
    discount: Tensor
    public: Tensor
    public_after: Tensor
    position: Tensor


@dataclass
class Replay:
    """The last ``capacity`` days; memory is taken once, on the first rollout.

    A step t is stored with its n-step return: the discounted rewards up to step h = min(t + n, T), then the discounted
    value of what is seen at h. At h = T there is such a value only if the day was cut (truncated), not if it ended
    (terminated). With n >= T and ended days returns are complete: nothing is bootstrapped. ``retrace`` replaces
    n-step returns by lambda-returns.

    Parameters
    ----------
    capacity : int
        Days D.
    n_step : int
        Steps summed before the value of another net takes over.
    gamma : float
        Discount per step.

    Attributes
    ----------
    stored : int
        Days in memory.
    """

    capacity: int
    n_step: int
    gamma: float
    stored: int = 0
    _next: int = 0

    def add(self, rollout: Rollout, scale: Tensor) -> None:
        """Keep the days of a rollout, over the oldest ones.

        Parameters
        ----------
        rollout : Rollout
            Of B days and M agents, features as nets read them, rewards in $.
        scale : Tensor [] $
            Rewards are divided by it.
        """
        steps, batch, _ = rollout.reward.shape
        if not hasattr(self, "_fields"):
            self._allocate(rollout)
        kept = min(batch, self.capacity)
        place = (self._next + torch.arange(kept)) % self.capacity
        rows = {
            "common": rollout.features.common,
            "personal": rollout.features.personal,
            "action": rollout.action,
            "gain": self._gains(rollout.reward / scale),
            "reward": rollout.reward / scale,
            "public": rollout.public.reshape(steps, batch, -1),
            "position": rollout.position.reshape(steps, batch, -1),
        }
        for name, row in rows.items():
            self._fields[name][place] = row[:, batch - kept :].transpose(0, 1)
        self._next = (self._next + kept) % self.capacity
        self.stored = min(self.stored + kept, self.capacity)

    def _allocate(self, rollout: Rollout) -> None:
        steps, batch, agents = rollout.reward.shape
        days, last = self.capacity, rollout.features.common.shape[-1]
        personal = rollout.features.personal.shape[-2:]
        self._fields = {
            "common": torch.empty(days, steps + 1, last),
            "personal": torch.empty(days, steps + 1, *personal),
            "action": torch.empty(days, steps, *rollout.action.shape[-2:]),
            "gain": torch.empty(days, steps, agents),
            "reward": torch.empty(days, steps, agents),
            "public": torch.empty(days, steps, rollout.public.numel() // (steps * batch)),
            "position": torch.empty(days, steps, rollout.position.numel() // (steps * batch)),
        }
        self._ended = rollout.terminated
        now = torch.arange(steps)
        self._ahead = (now + self.n_step).clamp(max=steps)
        ends = (self._ahead == steps) & rollout.terminated
        self._discount = self.gamma ** (self._ahead - now).float() * ~ends

    def _gains(self, reward: Tensor) -> Tensor:
        """Discounted sum of up to n rewards from each step on, [T, B, M]."""
        gain = reward.clone()
        for k in range(1, min(self.n_step, len(reward))):
            gain[:-k] += self.gamma**k * reward[k:]
        return gain

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        """Draw joint steps with equal chances, with replacement.

        Parameters
        ----------
        count : int
            R.
        generator : torch.Generator
            Stream of the draw.

        Returns
        -------
        Sample
            Features as stored, scaled rewards.
        """
        steps = len(self._ahead)
        drawn = torch.randint(self.stored * steps, (count,), generator=generator)
        day, step = drawn // steps, drawn % steps
        ahead = self._ahead[step]
        f = {name: field.flatten(0, 1) for name, field in self._fields.items()}
        now, then = day * (steps + 1) + step, day * (steps + 1) + ahead
        following = day * steps + ahead.clamp(max=steps - 1)
        return Sample(
            Features(f["common"].index_select(0, now), f["personal"].index_select(0, now)),
            Features(f["common"].index_select(0, then), f["personal"].index_select(0, then)),
            f["action"].index_select(0, drawn),
            f["gain"].index_select(0, drawn),
            self._discount[step],
            f["public"].index_select(0, drawn),
            f["public"].index_select(0, following),
            f["position"].index_select(0, drawn),
        )

    def retrace(self, value: Callable[[Features, Tensor], Tensor], trace: float, days_at_once: int = 64) -> None:
        """Replace the returns of all days in memory by lambda-returns; nothing is bootstrapped any more.

        G_t = r_t + gamma ((1 - lambda) V(s_{t+1}) + lambda G_{t+1}), with the value of the present actors (Peng and
        Williams, 1996, doi 10.1007/BF00114731; no correction for the age of actions).

        Parameters
        ----------
        value : callable
            Features [R, ...] and published [R, Z] to values [R, M].
        trace : float
            Lambda; 1 gives the rewards of the day alone.
        days_at_once : int
            Days in one evaluation.
        """
        f = self._fields
        for days in torch.arange(self.stored).split(days_at_once):
            public, reward = f["public"][days], f["reward"][days]
            rows = Features(f["common"][days].flatten(0, 1), f["personal"][days].flatten(0, 1))
            known = torch.cat([public, public[:, -1:]], 1).flatten(0, 1)
            values = value(rows, known).reshape(len(days), -1, reward.shape[-1])
            running = values[:, -1] * (not self._ended)
            for t in reversed(range(reward.shape[1])):
                after = running if t == reward.shape[1] - 1 else values[:, t + 1]
                running = reward[:, t] + self.gamma * ((1 - trace) * after + trace * running)
                f["gain"][days, t] = running
        self._discount.zero_()

    @property
    def bootstraps(self) -> bool:
        """Whether any step needs the value of what comes after it."""
        return bool(self._discount.any())

    def state(self) -> dict[str, Any]:
        """The days in memory and where the next one goes."""
        if not hasattr(self, "_fields"):
            return {"stored": 0}
        fields = {name: field[: self.stored].clone() for name, field in self._fields.items()}
        return {
            "stored": self.stored,
            "next": self._next,
            "fields": fields,
            "ahead": self._ahead,
            "discount": self._discount.clone(),
            "ended": self._ended,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of a memory of the same capacity.
        """
        self.stored = state["stored"]
        if not self.stored:
            return
        self._next, self._ended = state["next"], state["ended"]
        self._ahead, self._discount = state["ahead"].clone(), state["discount"].clone()
        self._fields = {}
        for name, field in state["fields"].items():
            self._fields[name] = torch.empty(self.capacity, *field.shape[1:])
            self._fields[name][: self.stored] = field
