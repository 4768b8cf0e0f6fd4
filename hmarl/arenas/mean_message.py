"""Guess the mean of what the others know: only messages help."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retail.observation import Features

SPREAD = 3.0
"""Largest guess; an action of 1 stands for it."""


@dataclass
class MeanMessage:
    """Every agent holds a hidden number and is paid for guessing the mean of the others' numbers.

    x_n ~ N(0, 1), fixed for an episode, is all that agent n sees. From the second step on (a message takes one step)
    its reward is -(guess - mean of the others' x)². Without messages the best guess is 0 and costs 1 / (N - 1) a step;
    with them the cost goes to 0.

    Parameters
    ----------
    agents : int
        N >= 2.
    steps : int
        Length of an episode, at least 2.
    """

    agents: int = 4
    steps: int = 4
    common: int = 1
    personal: int = 1
    heads: tuple[str, ...] = ("guess",)
    terminated: bool = True

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Draw the hidden numbers of B episodes; see `hmarl.arena.Arena`."""
        self.hidden = torch.randn(copies, self.agents, generator=generator)
        self.target = (self.hidden.sum(-1, keepdim=True) - self.hidden) / (self.agents - 1)
        self.step_now = 0
        return self._features()

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Pay for the guess of one step."""
        guess = action[..., 0].clamp(-1, 1) * SPREAD
        reward = -(guess - self.target).square() * float(self.step_now > 0)
        self.step_now += 1
        return self._features(), reward

    def _features(self) -> Features:
        """Common: whether messages can have arrived; personal: the own number."""
        begun = torch.full((len(self.hidden), 1), float(self.step_now > 0))
        return Features(begun, self.hidden.unsqueeze(-1))

    @property
    def silent(self) -> float:
        """Best mean return of an agent that hears nothing, reward units per episode."""
        return -(self.steps - 1) / (self.agents - 1)
